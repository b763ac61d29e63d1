//! A board: its memories and its core. A core: what the kernels cost there with one named compiler.
//!
//! Both are TOML files (`targets/*.toml`, `targets/cores/*.toml`); reading them from disk is the caller's affair.

use crate::code::{Code, Implementation, KernelKey, Stage, Stages};
use crate::memory::{InputRows, Scheduling};
use crate::op::KernelKind;
use crate::size::parse_size;
use crate::work_names::work_names;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// A board or chip.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Short name, as given to `--board`.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The document that the figures come from.
    pub datasheet: String,
    /// Name of the core file, as `cortex-m4`.
    pub core: String,
    /// Its highest clock in MHz; absent where times are not to be told.
    #[serde(default)]
    pub clock_mhz: Option<NonZeroU32>,
    /// FLASH regions. A package lies in one; regions are never added up.
    pub flash: Vec<Region>,
    /// RAM regions. Arena and stack lie in one; regions are never added up.
    pub ram: Vec<Region>,
}

/// A memory region.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// As the datasheet calls it.
    pub name: String,
    /// Start address.
    pub address: u64,
    /// Bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Bytes that the application or a boot loader keeps for itself.
    #[serde(default, deserialize_with = "size")]
    pub reserved: u64,
}

impl Region {
    /// Bytes left for the network.
    pub fn available(&self) -> u64 {
        self.size.saturating_sub(self.reserved)
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Text(String),
        Bytes(u64),
    }
    match Raw::deserialize(deserializer)? {
        Raw::Text(text) => parse_size(&text).map_err(serde::de::Error::custom),
        Raw::Bytes(bytes) => Ok(bytes),
    }
}

/// The two limits that a policy has to keep, each `None` where nothing is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of FLASH for the package.
    pub flash_bytes: Option<u64>,
    /// Bytes of RAM for arena and stack.
    pub ram_bytes: Option<u64>,
}

impl Budget {
    /// No limit.
    pub const UNLIMITED: Self = Self { flash_bytes: None, ram_bytes: None };

    /// Both limits.
    pub fn of(flash_bytes: u64, ram_bytes: u64) -> Self {
        Self { flash_bytes: Some(flash_bytes), ram_bytes: Some(ram_bytes) }
    }

    /// Whether a package of `bytes` of FLASH keeps it.
    pub fn holds_flash(self, bytes: u64) -> bool {
        holds(self.flash_bytes, bytes)
    }

    /// Whether `bytes` of arena and stack keep it.
    pub fn holds_ram(self, bytes: u64) -> bool {
        holds(self.ram_bytes, bytes)
    }
}

/// Whether `bytes` are within `limit`: always where there is none.
pub fn holds(limit: Option<u64>, bytes: u64) -> bool {
    limit.is_none_or(|limit| bytes <= limit)
}

impl Target {
    /// Reads a target file.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let target: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if target.flash.is_empty() || target.ram.is_empty() {
            return Err("a target needs at least one [[flash]] and one [[ram]] region".into());
        }
        Ok(target)
    }

    /// The largest FLASH region, less what is reserved.
    pub fn flash_bytes(&self) -> u64 {
        largest(&self.flash)
    }

    /// The largest RAM region, less what is reserved.
    pub fn ram_bytes(&self) -> u64 {
        largest(&self.ram)
    }

    /// Both as limits.
    pub fn budget(&self) -> Budget {
        Budget::of(self.flash_bytes(), self.ram_bytes())
    }
}

fn largest(regions: &[Region]) -> u64 {
    regions.iter().map(Region::available).max().unwrap_or(0)
}

/// What emitted code costs on one core with one compiler and its flags, measured (`cargo xtask kernel-costs`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreCosts {
    /// As `cortex-m4`.
    pub name: String,
    /// The compiler that was measured, as it names itself.
    pub compiler: String,
    /// Every flag that the figures depend on: core, optimization, language, sections. Warnings alone are not among them.
    pub flags: Vec<String>,
    /// Bytes that every package has whatever its layers: entry points.
    pub base_code_bytes: u64,
    /// Upper bound of the entry point's own stack frame in bytes.
    pub base_stack_bytes: u64,
    /// For each kernel kind, what one more layer of it costs.
    pub layers: BTreeMap<KernelKind, LayerCost>,
    /// For each [`KernelKey::name`], what having the kernel costs.
    pub kernels: BTreeMap<String, KernelCost>,
    /// Whether layers are computed row by row where they can be: on cores that gain from it.
    #[serde(default)]
    pub by_rows: bool,
    /// What layers cost that are computed row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowCosts>,
    /// What rolling chains cost; without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<RollingCosts>,
    /// Instructions of what the code does; absent where nobody measured them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<InstructionCosts>,
    /// What a run may do with rows. It is chosen, not measured.
    #[serde(skip)]
    pub scheduling: Scheduling,
    /// How a run's input comes. It is chosen, not measured.
    #[serde(skip)]
    pub input: InputRows,
}

/// What it costs that layers take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingCosts {
    /// Code that all chains share.
    pub code_bytes: u64,
    /// Bound of the stack between the entry point and a kernel.
    pub stack_bytes: u64,
    /// Bound of the stack of what chooses the next step; no kernel runs then.
    pub driver_stack_bytes: u64,
    /// Of each chain: its table and its call.
    pub chain_bytes: u64,
    /// Of each tensor that a chain reads or writes.
    pub band_bytes: u64,
    /// Of each layer of a chain, beside what a layer costs alone.
    pub member_bytes: u64,
    /// Of each part of a concatenation in a chain but its first, beside what it costs alone.
    pub part_bytes: u64,
    /// Entry points for pushed rows, beside those for an image, where layers take turns.
    pub push_bytes: u64,
    /// The same, with what they share with chains and the table of the input, where no layers take turns.
    pub push_alone_bytes: u64,
}

/// Instructions on the core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructionCosts {
    /// Of an inference, whatever its layers.
    pub base: u64,
    /// For each [`Code::name`], instructions of each thing that it does, in the order of [`work_names`].
    pub code: BTreeMap<String, Vec<f64>>,
    /// What it takes that layers take turns, where it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<RollingInstructions>,
}

/// Instructions of a rolling chain beside those of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingInstructions {
    /// Of each step.
    pub step: f64,
    /// Of each byte of rows that are moved to make room.
    pub moved_byte: f64,
}

impl InstructionCosts {
    /// Instructions of `work`. [`CoreCosts::from_toml`] has checked that all code is there that the core has.
    ///
    /// # Panics
    /// The core does not have that code.
    pub fn of_work(&self, work: &[(Code, Vec<f64>)]) -> u64 {
        let of_code = |(code, counts): &(Code, Vec<f64>)| {
            let costs = &self.code[&code.name()];
            counts.iter().zip(costs).map(|(count, cost)| count * cost).sum::<f64>()
        };
        work.iter().map(of_code).sum::<f64>().round() as u64
    }

    fn check(&self, codes: impl Iterator<Item = Code>) -> Result<(), String> {
        for code in codes {
            let name = code.name();
            let expected = work_names(code.role());
            match self.code.get(&name) {
                None => return Err(format!("[instructions.code] lacks `{name}`")),
                Some(costs) if costs.len() != expected.len() => {
                    let (found, of) = (costs.len(), expected.join(", "));
                    return Err(format!(
                        "[instructions.code] has {found} numbers for `{name}`, which takes one for each of: {of}"
                    ));
                }
                Some(costs) if costs.iter().any(|cost| !(0.0..1e9).contains(cost)) => {
                    return Err(format!("[instructions.code] has a number for `{name}` that is not from 0 to 1e9"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// What layers cost that are composed of stages ([`Implementation::Rows`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowCosts {
    /// For each kernel kind that has rows, what one more layer of it costs.
    pub layers: BTreeMap<KernelKind, LayerCost>,
    /// For each [`Stage::name`], what having the stage costs. The stack is that of the loop that calls it and its own.
    pub stages: BTreeMap<String, KernelCost>,
}

/// What one more layer costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCost {
    /// Bytes of its constant descriptor.
    pub descriptor_bytes: u64,
    /// Upper bound of the bytes of its call.
    pub call_bytes: u64,
}

/// What one specialised kernel costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelCost {
    /// Bytes of code and its constants.
    pub code_bytes: u64,
    /// Bound of its stack in bytes, callees included.
    pub stack_bytes: u64,
}

impl CoreCosts {
    /// Reads a core file.
    ///
    /// # Errors
    /// What is wrong, with the line; a kernel or kind that is missing.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let costs: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        for key in KernelKey::all() {
            if !costs.kernels.contains_key(&key.name()) {
                return Err(format!("[kernels] lacks `{}`", key.name()));
            }
            if !costs.layers.contains_key(&key.kind) {
                return Err(format!("[layers] lacks `{}`", key.kind.name()));
            }
        }
        if let Some(rows) = &costs.rows {
            if let Some(stage) = Stage::all().into_iter().find(|stage| !rows.stages.contains_key(&stage.name())) {
                return Err(format!("[rows.stages] lacks `{}`", stage.name()));
            }
            let lacks = |kind: &KernelKind| Stages::of(*kind).is_some() && !rows.layers.contains_key(kind);
            if let Some(kind) = KernelKind::ALL.into_iter().find(lacks) {
                return Err(format!("[rows.layers] lacks `{}`", kind.name()));
            }
        }
        if let Some(RollingInstructions { step, moved_byte }) = costs.instructions.as_ref().and_then(|own| own.rolling)
            && ![step, moved_byte].iter().all(|cost| (0.0..1e9).contains(cost))
        {
            return Err("[instructions.rolling] has a number that is not from 0 to 1e9".into());
        }
        if let Some(instructions) = &costs.instructions {
            let stages = Stage::all().into_iter().filter(|_| costs.rows.is_some()).map(Code::Stage);
            instructions.check(KernelKey::all().into_iter().map(Code::Kernel).chain(stages))?;
        }
        Ok(costs)
    }

    /// Whether layers are computed row by row where they can be.
    pub fn has_rows(&self) -> bool {
        self.by_rows && self.rows.is_some()
    }

    /// The same core, whose layers are computed row by row, or all by kernels of their own widths: the least code and scratch.
    pub fn with_rows(&self, by_rows: bool) -> Self {
        Self { by_rows, ..self.clone() }
    }

    /// The same core, where a run may do as `scheduling` says with rows and its input comes as `input` says.
    pub fn with_schedule(&self, scheduling: Scheduling, input: InputRows) -> Self {
        Self { scheduling, input, ..self.clone() }
    }

    /// Everything that decides how many bytes a network takes and with what they were measured, one figure a line. The
    /// same costs give the same text whatever fields are called, so it can be hashed and compared across versions.
    pub fn figures(&self) -> String {
        let Self {
            name,
            compiler,
            flags,
            base_code_bytes,
            base_stack_bytes,
            layers,
            kernels,
            by_rows,
            rows,
            rolling,
            instructions: _,
            scheduling,
            input,
        } = self;
        let mut text = format!("{name}\n{compiler}\n{}\n{base_code_bytes} {base_stack_bytes}\n", flags.join(" "));
        for (kind, LayerCost { descriptor_bytes, call_bytes }) in layers {
            text += &format!("{} {descriptor_bytes} {call_bytes}\n", kind.name());
        }
        for (kernel, KernelCost { code_bytes, stack_bytes }) in kernels {
            text += &format!("{kernel} {code_bytes} {stack_bytes}\n");
        }
        text += &format!("by rows {by_rows}\n");
        if let Some(RowCosts { layers, stages }) = rows {
            for (kind, LayerCost { descriptor_bytes, call_bytes }) in layers {
                text += &format!("rows {} {descriptor_bytes} {call_bytes}\n", kind.name());
            }
            for (stage, KernelCost { code_bytes, stack_bytes }) in stages {
                text += &format!("{stage} {code_bytes} {stack_bytes}\n");
            }
        }
        if let Some(costs) = rolling {
            let RollingCosts {
                code_bytes,
                stack_bytes,
                driver_stack_bytes,
                chain_bytes,
                band_bytes,
                member_bytes,
                part_bytes,
                push_bytes,
                push_alone_bytes,
            } = costs;
            text += &format!("rolling {code_bytes} {stack_bytes} {driver_stack_bytes} {chain_bytes} {band_bytes} ");
            text += &format!("{member_bytes} {part_bytes} {push_bytes} {push_alone_bytes}\n");
        }
        text += &format!("schedule {scheduling} {}\n", input.name());
        text
    }

    /// The same for instructions, empty where the core has none.
    pub fn instruction_figures(&self) -> String {
        let Some(InstructionCosts { base, code, rolling }) = &self.instructions else { return String::new() };
        let lines = code.iter().map(|(code, costs)| format!("{code} {costs:?}\n"));
        let of_rolling = |rolling: &RollingInstructions| format!("rolling {} {}\n", rolling.step, rolling.moved_byte);
        std::iter::once(format!("instructions {base}\n")).chain(lines).chain(rolling.as_ref().map(of_rolling)).collect()
    }

    /// What FLASH and stack hold for, as headers and reports name it: the compiler with its version, then every flag.
    pub fn compiler_and_flags(&self) -> String {
        std::iter::once(&self.compiler).chain(&self.flags).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The cost of a piece of code; `None` for one that the core does not have.
    pub fn code(&self, code: Code) -> Option<KernelCost> {
        match code {
            Code::Kernel(key) => self.kernels.get(&key.name()).copied(),
            Code::Stage(stage) => self.rows.as_ref().and_then(|rows| rows.stages.get(&stage.name()).copied()),
        }
    }

    /// The cost of a layer of `kind` that is computed as `implementation` says. [`Self::from_toml`] has checked that it is
    /// there where the core has such layers.
    pub fn layer(&self, kind: KernelKind, implementation: Implementation) -> LayerCost {
        match (implementation, &self.rows) {
            (Implementation::Rows, Some(rows)) => rows.layers[&kind],
            _ => self.layers[&kind],
        }
    }
}
