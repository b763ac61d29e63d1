//! The schema of `report.json`.

use crate::deliver::sweep::PointReport;
use crate::run::config::PackageConfig;
use crate::task::Metric;
use bitesize_search::Constraints;
use serde::{Deserialize, Serialize};

/// The number of the schema of `report.json`.
pub const SCHEMA: u32 = 2;

/// [`FidelityReport::data`] on the validation data.
pub const ON_VALIDATION: &str = "validation";

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
    /// What the network is for: the name given to `--task`.
    pub task: String,
    /// The task's metric on the validation data; null without labels.
    pub metric: Option<MetricReport>,
    /// Further figures on the validation data.
    pub metrics: Vec<MetricReport>,
    /// How near what is delivered comes to the float network; null where nothing is.
    pub fidelity: Option<FidelityReport>,
    /// The metric where it is a share of right answers.
    pub accuracy: Option<AccuracyReport>,
    /// Bytes of FLASH.
    pub flash: Option<FlashReport>,
    /// Bytes of RAM.
    pub ram: Option<RamReport>,
    /// Instructions of an inference; null where the core's file says nothing of them.
    #[serde(default)]
    pub instructions: Option<InstructionsReport>,
    /// One for each operator.
    pub layers: Option<Vec<LayerReport>>,
    /// What the search did.
    pub search: Option<SearchReport>,
    /// What it was compared with.
    pub baselines: Option<Vec<BaselineReport>>,
    /// What other budgets would deliver.
    #[serde(default)]
    pub pareto: Option<Vec<PointReport>>,
    /// What was learned of the policy delivered; null where nothing was to be.
    #[serde(default)]
    pub reconstruction: Option<ReconstructionReport>,
    /// What came of training at the widths delivered; null where there was none.
    #[serde(default)]
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
    /// The function at the end that was left out.
    pub tail: Option<String>,
    /// How the output runs over height, width and channels, where it is no vector.
    #[serde(default)]
    pub output_order: Option<String>,
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
    /// The board's clock; null where none is known.
    #[serde(default)]
    pub clock_mhz: Option<u32>,
    /// The compiler and its flags that bytes of FLASH and stack hold for.
    #[serde(default)]
    pub compiler: String,
    /// `fast` or `small`: the kernels that layers are computed by. Empty in reports of before there was a choice.
    #[serde(default)]
    pub kernels: String,
}

/// A figure on the validation data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct MetricReport {
    pub name: String,
    /// `higher` or `lower`.
    pub better: String,
    pub float: Option<f64>,
    pub integer: Option<f64>,
    pub samples: usize,
    /// The same of each output, where values of several are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_output: Option<ByOutput>,
}

/// A figure of each output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct ByOutput {
    pub float: Vec<Option<f64>>,
    /// Null where nothing integer was measured.
    pub integer: Option<Vec<Option<f64>>>,
}

impl MetricReport {
    /// The figure; `None` for one that this version does not know.
    fn figure(&self) -> Option<Metric> {
        Metric::of_name(&self.name)
    }

    /// Its name for people.
    pub fn title(&self) -> &'static str {
        self.figure().map_or("-", Metric::title)
    }

    /// `value`, which is of this figure, for people.
    pub fn shown(&self, value: Option<f64>) -> String {
        self.figure().map_or("-".into(), |metric| metric.shown(value))
    }
}

/// How near the integer network comes to the float network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct FidelityReport {
    /// `validation`, or `held-out` for training samples that chose the policy.
    pub data: String,
    pub samples: usize,
    /// `softmax`, `sigmoid` or `real`: what outputs are compared as.
    pub form: String,
    pub loss: f64,
    /// Of `softmax` and `sigmoid`.
    pub agreement: Option<f64>,
    /// Of `real`.
    pub rmse: Option<f64>,
    /// The same of each output, where there are values of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rmse_by_output: Vec<f64>,
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
    /// `auto`, `in-place` or `layers`: what of rows the plan makes use of. Empty in reports of before there was a choice.
    #[serde(default)]
    pub schedule: String,
    /// `image` or `rows`: how the input comes. Empty in reports of before there was a choice.
    #[serde(default)]
    pub input: String,
    /// What `--schedule layers` would need at the same widths.
    #[serde(default)]
    pub layers_total: Option<u64>,
    /// With the image whole in the arena.
    #[serde(default)]
    pub image_total: Option<u64>,
    /// With pushed rows.
    #[serde(default)]
    pub rows_total: Option<u64>,
    /// The peak at uniform 8 bits of rolling chains that are left out because they take too many instructions; null where none that are
    /// at least a tenth below are.
    #[serde(default)]
    pub unlimited_peak: Option<usize>,
    /// What lies where, step by step: lines of text.
    #[serde(default)]
    pub timeline: Vec<String>,
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
    /// Predicted; null where the core's file says nothing of instructions.
    #[serde(default)]
    pub instructions: Option<u64>,
    /// Counted on the emulated core of the target; null where it did not run.
    #[serde(default)]
    pub counted_instructions: Option<u64>,
}

/// Instructions of an inference on the target's core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct InstructionsReport {
    pub predicted: u64,
    /// Counted on the emulated core; null where it did not run.
    pub counted: Option<u64>,
    /// What the counted ones, or else the predicted ones, take at the board's clock and one instruction a cycle.
    pub milliseconds: Option<f64>,
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
    /// Finalists that were trained for an epoch before one was chosen.
    #[serde(default)]
    pub trials: usize,
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
    /// The task's metric on the validation data.
    pub metric: Option<f64>,
    pub reward: Option<f64>,
    pub flash_bytes: u64,
    pub ram_bytes: u64,
    /// Predicted instructions of an inference; null where the core's file says nothing of them.
    #[serde(default)]
    pub instructions: Option<u64>,
    /// Why it fits and could not be quantized all the same.
    #[serde(default)]
    pub failed: Option<String>,
}

/// What was learned from images without labels, of the network of the policy delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct ReconstructionReport {
    /// Asked for.
    pub minutes: f64,
    pub samples_asked: usize,
    /// Learned from.
    pub samples: usize,
    /// Judged by.
    pub held_out_samples: usize,
    pub loss_before: Option<f64>,
    /// Null where nothing could be learned.
    pub loss_after: Option<f64>,
    /// Whether what was learned is delivered.
    pub kept: bool,
    /// The task's metric on the validation data of the network as it was rounded, where what was learned is delivered.
    pub metric_before: Option<f64>,
    pub seconds: f64,
    /// Why nothing could be learned.
    pub failed: Option<String>,
    pub units: Vec<UnitReport>,
}

/// A block, or the network, that was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct UnitReport {
    /// The last node of the block; null for the whole network.
    pub name: Option<String>,
    pub before: Option<f64>,
    pub after: Option<f64>,
    pub kept: bool,
}

/// What came of training at the widths delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct TuneReport {
    /// Done.
    pub epochs: usize,
    pub epochs_asked: usize,
    pub seconds: f64,
    /// The task's first figure on the held-out samples; null where they have no labels.
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// How far from float the network is on them.
    pub loss_before: Option<f64>,
    pub loss_after: Option<f64>,
    /// What their labels bring, by which it is judged; null where they have none.
    pub label_loss_before: Option<f64>,
    pub label_loss_after: Option<f64>,
    /// Learned from.
    pub samples: usize,
    /// Judged by.
    pub held_out_samples: usize,
    /// Whether what was learned is delivered.
    pub kept: bool,
    /// The task's metric on the validation data of the network as it was rounded, where what was learned is delivered.
    pub metric_before: Option<f64>,
    /// Why it ended before its last epoch.
    pub ended: Option<String>,
    pub losses: Vec<EpochReport>,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct EpochReport {
    /// Of the samples that are learned from.
    pub loss: Option<f64>,
    pub held_out_loss: Option<f64>,
    pub held_out_label_loss: Option<f64>,
    pub held_out_metric: Option<f64>,
    /// What rates are multiplied by at its end.
    pub rate: f64,
    pub frozen: usize,
}

/// What one runner found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the schema's, which docs/formats.md explains")]
pub struct VerificationReport {
    pub runner: String,
    /// `passed`, `mismatch`, `over bound`, `failed` or `not run`.
    pub status: String,
    /// What there is to say about it.
    pub detail: String,
    pub samples: usize,
    pub mismatches: usize,
    pub instructions: Option<u64>,
    /// What was predicted of them for the runner's core.
    #[serde(default)]
    pub predicted_instructions: Option<u64>,
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
    /// Of an inference, where they are limited.
    #[serde(default)]
    pub least_instructions: Option<u64>,
    /// Whether a search met the limit of its effort, so that less than what it found may do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub limit_reached: bool,
    /// A budget that would do, both together.
    pub would_do_flash_bytes: u64,
    pub would_do_ram_bytes: u64,
    #[serde(default)]
    pub would_do_instructions: Option<u64>,
    /// The operator at the peak of RAM, of a chain the first; empty while rows come in that no layer takes at once.
    pub peak_node: String,
    /// The last operator of the chain at the peak; null where one operator runs alone.
    #[serde(default)]
    pub peak_last_node: Option<String>,
    /// Bytes of its kernel's scratch.
    #[serde(default)]
    pub peak_scratch_bytes: usize,
    /// What is alive then, largest first: name, bytes, bits.
    pub peak_tensors: Vec<(String, usize, u8)>,
    /// Those of them of which a chain keeps some rows: name, rows kept, all rows.
    #[serde(default)]
    pub peak_rows: Vec<(String, usize, usize)>,
    /// The least RAM with pushed rows, where the whole image is alive at the peak and it is less.
    #[serde(default)]
    pub rows_least_ram_bytes: Option<u64>,
    /// Where rows are pushed: FLASH and RAM that the given policy, or one that was found, takes with the whole image, where that fits.
    #[serde(default)]
    pub image_fits_bytes: Option<[u64; 2]>,
    /// The boards on which some policy fits.
    pub boards: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
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
    /// Whether there are figures of the validation data in it.
    pub fn is_validated(&self) -> bool {
        self.metric.is_some() || self.fidelity.as_ref().is_some_and(|fidelity| fidelity.data == ON_VALIDATION)
    }

    /// Reads the text of `report.json`, of this schema or the one before.
    ///
    /// # Errors
    /// What is wrong, with the line; another schema.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Numbered {
            schema: u32,
        }
        let Numbered { schema } = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match schema {
            SCHEMA => serde_json::from_str(text).map_err(|e| e.to_string()),
            1 => serde_json::from_value(super::schema_1::upgraded(text, SCHEMA)?).map_err(|e| e.to_string()),
            other => Err(format!("its schema is {other}, and this version reads 1 and {SCHEMA}")),
        }
    }

    /// The text of `report.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report holds texts and finite numbers");
        text.push('\n');
        text
    }
}
