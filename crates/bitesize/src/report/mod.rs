//! What a run tells at its end: `report.json` for programs, `report.md` for people; the same facts.

mod markdown;

use crate::Ending;
use crate::choose::{Chosen, SearchSummary};
use crate::inputs::Inputs;
use crate::measure::Accuracies;
use crate::pareto::PointReport;
use crate::platform::{Platform, limit};
use crate::run::RunConfig;
use crate::run::config::PackageConfig;
use crate::sqnr::TensorQuality;
use bitesize_ir::Network;
use bitesize_ir::memory::{FlashUse, RamUse, Widths};
use bitesize_search::constraints::Constraints;
use bitesize_search::feasibility::{Diagnosis, Verdict};
use bitesize_verify::{RunnerResult, Status};
use serde::{Deserialize, Serialize};

/// The number of the schema of `report.json`.
pub const SCHEMA: u32 = 1;

/// `report.json`. Keys of steps that did not run are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of bitesize.
    pub version: String,
    /// Where all chance came from.
    pub seed: u64,
    /// The network.
    pub model: ModelReport,
    /// What it had to fit.
    pub target: TargetReport,
    /// What the package is called.
    #[serde(default)]
    pub package: PackageConfig,
    /// What it had to keep beside FLASH and RAM.
    #[serde(default)]
    pub constraints: Option<Constraints>,
    /// Whether it fits.
    pub fits: bool,
    /// On the validation data.
    pub accuracy: Option<AccuracyReport>,
    /// Bytes of FLASH.
    pub flash: Option<FlashReport>,
    /// Bytes of RAM.
    pub ram: Option<RamReport>,
    /// One for each operator.
    pub layers: Option<Vec<LayerReport>>,
    /// What the search did.
    pub search: Option<SearchReport>,
    /// What it was compared with.
    pub baselines: Option<Vec<BaselineReport>>,
    /// What other budgets would deliver.
    #[serde(default)]
    pub pareto: Option<Vec<PointReport>>,
    /// What fine-tuning did.
    pub tune: Option<TuneReport>,
    /// What ran the package.
    pub verification: Option<Vec<VerificationReport>>,
    /// The name of the policy delivered: `search`, `policy`, or a baseline's.
    pub chosen: Option<String>,
    /// Where nothing fits: what would.
    pub diagnosis: Option<DiagnosisReport>,
    /// At 8 bits everywhere, against float.
    pub tensors: Option<Vec<TensorReport>>,
    /// What was read.
    pub data: Vec<String>,
    /// How stored values become the network's.
    pub preprocess: String,
    /// Everything that was warned of.
    pub warnings: Vec<String>,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct ModelReport {
    pub path: String,
    pub sha256: String,
    pub parameters: usize,
    pub macs: u64,
    /// Whether a final Softmax was left out.
    pub softmax_dropped: bool,
}

/// What it had to fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct TargetReport {
    pub name: String,
    pub core: String,
    /// Null without a limit.
    pub flash_bytes: Option<u64>,
    /// Null without a limit.
    pub ram_bytes: Option<u64>,
    /// The compiler and its flags that bytes of FLASH and stack hold for.
    #[serde(default)]
    pub compiler: String,
}

/// Accuracies on the validation data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct AccuracyReport {
    pub metric: String,
    pub samples: usize,
    pub float: f64,
    pub integer: Option<f64>,
}

/// Bytes of FLASH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct FlashReport {
    pub total: u64,
    pub weights: u64,
    pub quantization: u64,
    pub code: u64,
}

/// Bytes of RAM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct RamReport {
    pub total: u64,
    pub arena: u64,
    pub scratch: u64,
    pub stack: u64,
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct LayerReport {
    pub name: String,
    pub op: String,
    pub weight_bits: Option<u8>,
    pub activation_bits: u8,
    pub macs: u64,
    pub flash_bytes: u64,
    pub ram_bytes: u64,
}

/// What the search did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct SearchReport {
    pub strategy: String,
    pub episodes: usize,
    pub evaluations: usize,
    pub seconds: f64,
    /// Of `seconds`, what quantizing and running networks took; the rest is the strategy's own.
    #[serde(default)]
    pub evaluation_seconds: f64,
    pub stop_reason: String,
    pub reward: Option<f64>,
    /// Policies that differ in single widths, measured on part of the samples.
    #[serde(default)]
    pub probes: usize,
    /// `loss` or `accuracy`: what the rewards are of.
    #[serde(default)]
    pub reward_kind: String,
    /// How sure an optimum is.
    #[serde(default)]
    pub note: String,
}

/// A policy that the search is compared with, after the same final quantization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct BaselineReport {
    pub name: String,
    pub fits: bool,
    pub accuracy: Option<f64>,
    pub reward: Option<f64>,
    pub flash_bytes: u64,
    pub ram_bytes: u64,
    /// Why it fits and could not be quantized all the same.
    #[serde(default)]
    pub failed: Option<String>,
}

/// What fine-tuning did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct TuneReport {
    pub epochs: usize,
    pub seconds: f64,
    pub before: f64,
    pub after: f64,
}

/// What one runner found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct VerificationReport {
    pub runner: String,
    /// `passed`, `mismatch`, `failed` or `not run`.
    pub status: String,
    /// What there is to say about it.
    pub detail: String,
    pub samples: usize,
    pub mismatches: usize,
    pub instructions: Option<u64>,
    pub stack_bytes: Option<u64>,
    pub flash_bytes: Option<u64>,
    pub ram_bytes: Option<u64>,
    pub compiler: Option<String>,
}

/// Where nothing fits: what would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct DiagnosisReport {
    /// Whether it is proved that nothing fits.
    pub proved: bool,
    pub least_flash_bytes: u64,
    pub least_ram_bytes: u64,
    /// A budget that would do, both together.
    pub would_do_flash_bytes: u64,
    pub would_do_ram_bytes: u64,
    /// The operator at the peak of RAM.
    pub peak_node: String,
    /// Bytes of its kernel's scratch.
    #[serde(default)]
    pub peak_scratch_bytes: usize,
    /// What is alive then, largest first: name, bytes, bits.
    pub peak_tensors: Vec<(String, usize, u8)>,
    /// The boards on which some policy fits.
    pub boards: Vec<String>,
}

/// A tensor at 8 bits everywhere, against float.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct TensorReport {
    pub name: String,
    /// Null where there is no error at all.
    pub sqnr_db: Option<f64>,
    pub reason: Option<String>,
}

impl Report {
    /// A report of a network, its data and a target, everything else still to come.
    pub fn new(config: &RunConfig, inputs: &Inputs, platform: &Platform) -> Self {
        let model = &inputs.model;
        let network = &model.network;
        let target = &platform.name;
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            seed: config.seed,
            model: ModelReport {
                path: model.path.display().to_string(),
                sha256: model.sha256.clone(),
                parameters: network.parameters(),
                macs: network.macs(),
                softmax_dropped: network.softmax_dropped,
            },
            target: TargetReport {
                name: target.name.clone(),
                core: target.core.clone(),
                flash_bytes: limit(target.flash_bytes),
                ram_bytes: limit(target.ram_bytes),
                compiler: format!("{} {}", platform.core.compiler, platform.core.flags.join(" ")),
            },
            package: config.package.clone(),
            constraints: config.constraints(),
            fits: false,
            accuracy: None,
            flash: None,
            ram: None,
            layers: None,
            search: None,
            baselines: None,
            pareto: None,
            tune: None,
            verification: None,
            chosen: None,
            diagnosis: None,
            tensors: None,
            data: inputs.echo.clone(),
            preprocess: inputs.preprocess.describe(),
            warnings: Vec::new(),
        }
    }

    /// Adds the memory and the layers of a policy's widths.
    pub fn add_memory(&mut self, network: &Network, widths: &Widths, flash: &FlashUse, ram: &RamUse) {
        self.flash = Some(FlashReport {
            total: flash.total,
            weights: flash.weights,
            quantization: flash.quantization,
            code: flash.code,
        });
        self.ram = Some(RamReport { total: ram.total, arena: ram.arena, scratch: ram.scratch, stack: ram.stack });
        let layer = |(i, node): (usize, &bitesize_ir::Node)| LayerReport {
            name: node.name.clone(),
            op: node.op.name().into(),
            weight_bits: widths.weights[i].map(|b| b.bits()),
            activation_bits: widths.tensors[node.output.0].bits(),
            macs: node.op.macs(network.shape(node.output)),
            flash_bytes: flash.layers[i].total(),
            ram_bytes: ram.plan.alive[i] as u64,
        };
        self.layers = Some(network.nodes.iter().enumerate().map(layer).collect());
    }

    /// Takes away what was found out about the policy delivered, since another one is delivered now.
    pub fn forget_delivered(&mut self) {
        self.accuracy = None;
        self.tune = None;
        self.verification = None;
        self.diagnosis = None;
        self.search = None;
        self.baselines = None;
        self.pareto = None;
        self.chosen = Some("policy".into());
    }

    /// Adds what was chosen and what it was compared with.
    pub fn add_choice(&mut self, chosen: &Chosen) {
        self.chosen = Some(chosen.finalists[chosen.best].name.clone());
        self.search = chosen.search.as_ref().map(|s: &SearchSummary| SearchReport {
            strategy: s.strategy.into(),
            episodes: s.episodes,
            evaluations: s.evaluations,
            seconds: s.seconds,
            evaluation_seconds: s.evaluation_seconds,
            stop_reason: s.stop_reason.into(),
            reward: s.reward,
            probes: s.probes,
            reward_kind: s.reward_kind.name().into(),
            note: s.note.clone(),
        });
        if chosen.search.is_some() {
            let row = |f: &crate::choose::Finalist| BaselineReport {
                name: f.name.clone(),
                fits: f.fits,
                accuracy: None,
                reward: f.reward,
                flash_bytes: f.memory.flash_bytes,
                ram_bytes: f.memory.ram_bytes,
                failed: f.failed.clone(),
            };
            self.baselines = Some(chosen.finalists[1..].iter().map(row).collect());
        }
    }

    /// Adds accuracies: `integer[i]` is that of the finalist `measured[i]`.
    pub fn add_accuracies(&mut self, accuracies: &Accuracies, chosen: &Chosen, measured: &[usize]) {
        let of = |finalist: usize| {
            let same = |i: &usize| chosen.finalists[*i].policy == chosen.finalists[finalist].policy;
            measured.iter().position(same).map(|at| accuracies.integer[at])
        };
        self.accuracy = accuracies.float.map(|float| AccuracyReport {
            metric: "top1".into(),
            samples: accuracies.samples,
            float,
            integer: of(chosen.best),
        });
        for (i, row) in self.baselines.iter_mut().flatten().enumerate() {
            row.accuracy = if row.fits { of(i + 1) } else { None };
        }
    }

    /// Adds accuracies of float and of what is delivered.
    pub fn set_accuracy(&mut self, samples: usize, float: f64, integer: Option<f64>) {
        self.accuracy = Some(AccuracyReport { metric: "top1".into(), samples, float, integer });
    }

    /// Adds what the runners found.
    pub fn add_verification(&mut self, results: &[RunnerResult]) {
        let row = |r: &RunnerResult| VerificationReport {
            runner: r.runner.into(),
            status: r.status.word().into(),
            detail: std::iter::once(r.status.to_string()).chain(r.notes.iter().cloned()).collect::<Vec<_>>().join("; "),
            samples: r.samples,
            mismatches: r.mismatches,
            instructions: r.instructions,
            stack_bytes: r.stack_bytes,
            flash_bytes: r.flash_bytes,
            ram_bytes: r.ram_bytes,
            compiler: r.compiler.clone(),
        };
        self.verification = Some(results.iter().map(row).collect());
    }

    /// Adds each tensor's quality at 8 bits.
    pub fn add_qualities(&mut self, qualities: &[TensorQuality]) {
        let row = |q: &TensorQuality| TensorReport {
            name: q.name.clone(),
            sqnr_db: q.sqnr_db.is_finite().then_some(q.sqnr_db),
            reason: q.reason.clone(),
        };
        self.tensors = Some(qualities.iter().map(row).collect());
    }

    /// Adds why nothing fits; `boards` are those on which something does.
    pub fn add_diagnosis(&mut self, diagnosis: &Diagnosis, boards: Vec<String>) {
        self.diagnosis = Some(DiagnosisReport {
            proved: diagnosis.verdict == Verdict::Impossible,
            least_flash_bytes: diagnosis.least_flash.bytes,
            least_ram_bytes: diagnosis.least_ram.bytes,
            would_do_flash_bytes: diagnosis.would_do.flash_bytes,
            would_do_ram_bytes: diagnosis.would_do.ram_bytes,
            peak_node: diagnosis.peak.node.clone(),
            peak_scratch_bytes: diagnosis.peak.scratch_bytes,
            peak_tensors: diagnosis.peak.tensors.iter().map(|t| (t.name.clone(), t.bytes, t.bits.bits())).collect(),
            boards,
        });
    }

    /// Reads the text of `report.json`.
    ///
    /// # Errors
    /// What is wrong, with the line; another schema.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let report: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if report.schema == SCHEMA { Ok(report) } else { Err(format!("its schema is {}, not {SCHEMA}", report.schema)) }
    }

    /// The text of `report.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report holds texts and finite numbers");
        text.push('\n');
        text
    }

    /// How the run ended that made it.
    pub fn ending(&self) -> Ending {
        let rows = || self.verification.iter().flatten();
        // Without a compiler's name it was not even built: that says nothing about what it computes.
        let refuted =
            |v: &VerificationReport| v.status == Status::MISMATCH || v.status == Status::FAILED && v.compiler.is_some();
        if !self.fits {
            Ending::DoesNotFit
        } else if rows().any(refuted) {
            Ending::Mismatch
        } else if rows().any(|v| v.status == Status::FAILED) {
            Ending::NotBuilt
        } else {
            Ending::Done
        }
    }
}
