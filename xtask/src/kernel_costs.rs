//! `cargo xtask kernel-costs`: measures what emitted code costs on each core, and writes `targets/cores/*.toml`.
//!
//! Every kernel instance is compiled alone; its sections and its stack frame are its cost. Descriptors are measured by
//! `sizeof`, calls, entry points and chains on emitted packages ([`crate::entry_costs`]). The meaning of every field is in
//! `docs/adding-a-target.md`. With `--check` nothing is written: the files must already say what is measured. With
//! `--measure NAME COMPILER FLAG...` the file of another core or compiler is printed.

use crate::entry_costs::{calls, rolling};
use crate::objects::Core;
use bitesize_codegen::{instances, layer_type, rows_layer_type};
use bitesize_ir::code::{Code, KernelKey, Stage, Stages};
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::{CoreCosts, KernelCost, LayerCost, RollingCosts, RollingInstructions, RowCosts};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const COMPILER: &str = "arm-none-eabi-gcc";

/// Of the names of what is compiled alone.
const PREFIX: &str = "cost";

/// The cores, what the compiler is told for each, and whether layers are computed row by row: where two lanes are multiplied
/// at a time it takes a fraction of the instructions.
const CORES: [(&str, &[&str], bool); 4] = [
    ("cortex-m0plus", &["-mcpu=cortex-m0plus", "-mthumb", "-O2"], false),
    ("cortex-m4", &["-mcpu=cortex-m4", "-mthumb", "-O2"], true),
    ("cortex-m7", &["-mcpu=cortex-m7", "-mthumb", "-O2"], true),
    ("cortex-m33", &["-mcpu=cortex-m33", "-mthumb", "-O2"], true),
];

/// Flags of every core on top of its own. A kernel has a section of its own, so that the linker can leave it out, and the
/// compiler addresses data that have sections of their own otherwise, which takes other code and other stack.
const COMMON_FLAGS: [&str; 3] = ["-std=c99", "-ffunction-sections", "-fdata-sections"];

/// Measures and writes, or with `--check` compares.
///
/// # Errors
/// A compiler that is missing or fails, a kernel whose stack has no bound, a file that differs.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        [flag, name, compiler, flags @ ..] if flag == "--measure" => {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            print!("{}", to_toml(&measured_costs(name, compiler, &flags, has_lanes(compiler, &flags)?)?));
            return Ok(());
        }
        other => {
            let found = other.join(" ");
            return Err(format!("it takes nothing, `--check` or `--measure NAME COMPILER FLAG...`, found `{found}`"));
        }
    };
    let version = compiler_version(COMPILER)?;
    for (name, flags, by_rows) in CORES {
        let path = core_path(name);
        if check {
            let written = read_core(name)?;
            if written.compiler != version {
                eprintln!(
                    "SKIPPED: the costs of {name} cannot be run here: they are of `{}`, and here is `{version}`",
                    written.compiler
                );
                continue;
            }
        }
        let costs = measured_costs(name, COMPILER, flags, by_rows)?;
        // Instructions are measured by a command of their own.
        let [bytes, instructions] = parts_of_core(&path)?;
        if check {
            compare(&bytes, &to_toml(&costs), &path)?;
        } else {
            let text = to_toml(&costs) + &instructions;
            std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        let code: u64 = costs.kernels.values().map(|k| k.code_bytes).sum();
        println!("{name}: {} kernels, {code} bytes in all", costs.kernels.len());
    }
    Ok(())
}

/// The file of a core of the project.
pub(crate) fn core_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../targets/cores/{name}.toml"))
}

/// What a core's file says of bytes, then what it says of instructions; the second is empty where the file ends before.
fn parts_of_core(path: &Path) -> Result<[String; 2], String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let (bytes, instructions) = text.split_at(text.find(INSTRUCTIONS).unwrap_or(text.len()));
    Ok([bytes.to_owned(), instructions.to_owned()])
}

/// The costs of a core of the project without those of instructions, which may be of other kernels than there are.
///
/// # Errors
/// The file cannot be read, or something is missing in it.
pub(crate) fn read_core(name: &str) -> Result<CoreCosts, String> {
    let path = core_path(name);
    let [bytes, _] = parts_of_core(&path)?;
    CoreCosts::from_toml(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn compare(written: &str, measured: &str, path: &Path) -> Result<(), String> {
    let different: Vec<String> = written
        .lines()
        .zip(measured.lines())
        .filter(|(written, measured)| written != measured)
        .map(|(written, measured)| format!("  file     {written}\n  measured {measured}"))
        .take(20)
        .collect();
    if different.is_empty() && written.lines().count() == measured.lines().count() {
        return Ok(());
    }
    Err(format!("{} is out of date:\n{}\nrun `cargo xtask kernel-costs`", path.display(), different.join("\n")))
}

/// What `compiler` calls itself, with its version.
///
/// # Errors
/// It cannot be started or says nothing.
pub(crate) fn compiler_version(compiler: &str) -> Result<String, String> {
    let output = Command::new(compiler).arg("--version").output();
    let output =
        output.map_err(|e| format!("cannot run {compiler} ({e}); {COMPILER} is in the package gcc-arm-none-eabi"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(|line| line.trim().to_owned()).ok_or_else(|| format!("{compiler} does not say what it is"))
}

fn measured_costs(name: &str, compiler: &str, flags: &[&str], by_rows: bool) -> Result<CoreCosts, String> {
    let folder = std::env::temp_dir().join(format!("bitesize-kernel-costs-{}-{name}", std::process::id()));
    let common = COMMON_FLAGS.iter().filter(|flag| !flags.contains(flag));
    let flags: Vec<&str> = flags.iter().chain(common).copied().collect();
    let core = Core { compiler, flags: &flags, folder };
    let kernels: Result<BTreeMap<String, KernelCost>, String> =
        KernelKey::all().into_par_iter().map(|key| Ok((key.name(), code(&core, Code::Kernel(key))?))).collect();
    let kernels = kernels?;
    let calls = calls(&core)?;
    let rolling = rolling(&core, &calls)?;
    let of = |descriptor_bytes: u64| LayerCost { descriptor_bytes, call_bytes: calls.each };
    let described = descriptors(&core, &KernelKind::ALL, &BTreeSet::new(), layer_type)?;
    let rows = Some(rows(&core, of)?);
    let _ = std::fs::remove_dir_all(&core.folder);
    let layer = |kind: KernelKind| of(described[&kind]);
    Ok(CoreCosts {
        name: name.into(),
        compiler: compiler_version(compiler)?,
        flags: flags.iter().map(ToString::to_string).collect(),
        base_code_bytes: calls.base,
        base_stack_bytes: calls.stack,
        layers: KernelKind::ALL.into_iter().map(|kind| (kind, layer(kind))).collect(),
        kernels,
        by_rows,
        rows,
        rolling: Some(rolling),
        instructions: None,
        scheduling: Scheduling::default(),
        input: InputRows::default(),
    })
}

/// Whether the compiler multiplies two lanes at a time with these flags.
fn has_lanes(compiler: &str, flags: &[&str]) -> Result<bool, String> {
    let folder = std::env::temp_dir().join(format!("bitesize-kernel-costs-{}-lanes", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let file = folder.join("empty.c");
    std::fs::write(&file, "").map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    let output = Command::new(compiler).args(flags).args(["-dM", "-E"]).arg(&file).output();
    let _ = std::fs::remove_dir_all(&folder);
    let output = output.map_err(|e| format!("cannot run {compiler}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(["__ARM_FEATURE_DSP ", "__thumb2__ "].iter().all(|name| text.contains(&format!("#define {name}"))))
}

/// What layers and stages of the kernels cost that work row by row.
fn rows(core: &Core, layer: impl Fn(u64) -> LayerCost) -> Result<RowCosts, String> {
    let all = Stage::all();
    let alone: Result<BTreeMap<Stage, KernelCost>, String> =
        all.par_iter().map(|stage| Ok((*stage, code(core, Code::Stage(*stage))?))).collect();
    let alone = alone?;
    // A stage is called by a loop, whose frame lies above its own.
    let above = |stage: Stage| {
        let loops = Stages::loops_of(stage.kind).filter(|_| !stage.kind.is_loop());
        loops.map(|kind| alone[&Stage { kind, bits: None }].stack_bytes).max().unwrap_or(0)
    };
    let with_loop = |(stage, cost): (&Stage, &KernelCost)| {
        (stage.name(), KernelCost { stack_bytes: cost.stack_bytes + above(*stage), ..*cost })
    };
    let kinds: Vec<KernelKind> = KernelKind::ALL.into_iter().filter(|kind| Stages::of(*kind).is_some()).collect();
    let loops = all.iter().filter(|stage| stage.kind.is_loop()).map(|stage| Code::Stage(*stage)).collect();
    let described = descriptors(core, &kinds, &loops, rows_layer_type)?;
    Ok(RowCosts {
        layers: kinds.into_iter().map(|kind| (kind, layer(described[&kind]))).collect(),
        stages: alone.iter().map(with_loop).collect(),
    })
}

/// Compiles one piece of code alone. It must need nothing but itself, and no variables.
fn code(core: &Core, key: Code) -> Result<KernelCost, String> {
    let [(header_name, header), (_, source)] = instances(&BTreeSet::from([key]), PREFIX);
    let file = format!("{}.c", key.name());
    let object = core.compile(&[(&header_name, &header), (&file, &source)], &file)?;
    if !object.undefined.is_empty() {
        return Err(format!("{} calls {}, whose stack and size are unknown", key.name(), object.undefined.join(", ")));
    }
    if object.writable_bytes > 0 {
        return Err(format!("{} has {} bytes of variables", key.name(), object.writable_bytes));
    }
    // The functions of one file might call each other, so their frames are added up.
    let stack_bytes = object.frames.iter().map(|(_, bytes)| bytes).sum();
    Ok(KernelCost { code_bytes: object.constant_bytes, stack_bytes })
}

/// `sizeof` of each kind's descriptor on the core, whose type `layer_type` names; the header with it is that of `codes`.
fn descriptors(
    core: &Core,
    kinds: &[KernelKind],
    codes: &BTreeSet<Code>,
    layer_type: impl Fn(KernelKind, &str) -> String,
) -> Result<BTreeMap<KernelKind, u64>, String> {
    let [(header_name, header), _] = instances(codes, PREFIX);
    let mut source = format!("#include \"{header_name}\"\n");
    for kind in kinds {
        let (name, kind) = (kind.name(), layer_type(*kind, PREFIX));
        let _ = writeln!(source, "extern const {kind} descriptor_{name};\nconst {kind} descriptor_{name};");
    }
    let object = core.compile(&[(&header_name, &header), ("descriptors.c", &source)], "descriptors.c")?;
    let bytes = |kind: KernelKind| {
        let symbol = format!("descriptor_{}", kind.name());
        object.symbol_bytes.get(&symbol).copied().ok_or_else(|| format!("{symbol} was not compiled"))
    };
    kinds.iter().map(|kind| Ok((*kind, bytes(*kind)?))).collect()
}

/// What comes before the instructions in a core's file.
const INSTRUCTIONS: &str = "\n[instructions]\n";

/// The text of a core's file.
pub(crate) fn to_toml(costs: &CoreCosts) -> String {
    let flags: Vec<String> = costs.flags.iter().map(|flag| format!("\"{flag}\"")).collect();
    let mut text = format!(
        "# Measured by `cargo xtask kernel-costs`; what the fields mean is in docs/adding-a-target.md.\n\
         name = \"{}\"\ncompiler = \"{}\"\nflags = [{}]\nbase_code_bytes = {}\nbase_stack_bytes = {}\nby_rows = {}\n\n[layers]\n",
        costs.name,
        costs.compiler,
        flags.join(", "),
        costs.base_code_bytes,
        costs.base_stack_bytes,
        costs.by_rows
    );
    write_layers(&mut text, &costs.layers);
    text.push_str("\n[kernels]\n");
    write_code(&mut text, &costs.kernels);
    if let Some(rows) = &costs.rows {
        text.push_str("\n[rows.layers]\n");
        write_layers(&mut text, &rows.layers);
        text.push_str("\n[rows.stages]\n");
        write_code(&mut text, &rows.stages);
    }
    if let Some(costs) = &costs.rolling {
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
        let _ = writeln!(
            text,
            "\n[rolling]\ncode_bytes = {code_bytes}\nstack_bytes = {stack_bytes}\ndriver_stack_bytes = {driver_stack_bytes}\n\
             chain_bytes = {chain_bytes}\nband_bytes = {band_bytes}\nmember_bytes = {member_bytes}\npart_bytes = {part_bytes}\n\
             push_bytes = {push_bytes}\npush_alone_bytes = {push_alone_bytes}"
        );
    }
    if let Some(instructions) = &costs.instructions {
        let base = instructions.base;
        let _ = writeln!(
            text,
            "{INSTRUCTIONS}# Counted by `cargo xtask instruction-costs`.\nbase = {base}\n\n[instructions.code]"
        );
        for (name, costs) in &instructions.code {
            let _ = writeln!(text, "{name} = {costs:?}");
        }
        if let Some(RollingInstructions { step, moved_byte }) = instructions.rolling {
            let _ = writeln!(text, "\n[instructions.rolling]\nstep = {step:?}\nmoved_byte = {moved_byte:?}");
        }
    }
    text
}

fn write_layers(text: &mut String, layers: &BTreeMap<KernelKind, LayerCost>) {
    for (kind, cost) in layers {
        let (descriptor, call) = (cost.descriptor_bytes, cost.call_bytes);
        let _ = writeln!(text, "{} = {{ descriptor_bytes = {descriptor}, call_bytes = {call} }}", kind.name());
    }
}

fn write_code(text: &mut String, costs: &BTreeMap<String, KernelCost>) {
    for (name, cost) in costs {
        let _ = writeln!(text, "{name} = {{ code_bytes = {}, stack_bytes = {} }}", cost.code_bytes, cost.stack_bytes);
    }
}
