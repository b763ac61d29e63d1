//! `config.toml`: everything that reproduces a run.

use super::learning::{FinetuneConfig, ReconstructConfig};
use super::provenance::{Difference, Provenance};
use crate::input::{DataLayout, PreprocessFile};
use crate::target::{Kernels, PlatformName};
use crate::task::Task;
use bitesize_codegen::{EmitOptions, check_name};
use bitesize_import::InputShape;
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_search::constraints::Constraints;
use bitesize_search::{RewardKind, Strategy};
use bitesize_train::{CalibrationSettings, RangeMethod};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// How many levels of each budget may be swept.
pub const STEPS: RangeInclusive<usize> = 2..=20;

/// How many seconds a search may be limited to.
pub const TIME_LIMITS: RangeInclusive<u64> = 1..=1_000_000_000;

/// Shares of values that a range may be made to hold.
pub const PERCENTILES: RangeInclusive<f64> = 0.5..=1.0;

/// The name of the strategy of a run whose widths were given.
pub const GIVEN: &str = "policy";

/// The settings of a run, as they stand in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The version of bitesize.
    pub version: String,
    /// [`RESULTS_VERSION`](super::RESULTS_VERSION) of the bitesize that began the run; 0 for those that did not say.
    #[serde(default)]
    pub results_version: u32,
    /// Where all chance comes from.
    pub seed: u64,
    /// What the network is for; `None` in runs of before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The network.
    pub model: ModelConfig,
    /// The data.
    pub data: DataConfig,
    /// How stored values become the network's.
    #[serde(default)]
    pub preprocess: PreprocessFile,
    /// How ranges are found.
    pub calibration: CalibrationConfig,
    /// What the package has to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<PlatformName>,
    /// How widths are chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchConfig>,
    /// What is learned from images without labels once widths are chosen; `None` for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruct: Option<ReconstructConfig>,
    /// How the network is trained at its widths; `None` for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finetune: Option<FinetuneConfig>,
    /// What the package is called.
    #[serde(default)]
    pub package: PackageConfig,
    /// How the package is verified.
    #[serde(default)]
    pub verify: VerifyConfig,
}

/// The network's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Where it lies.
    pub path: PathBuf,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// The sizes of its input, where the file leaves some open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_shape: Option<GivenShape>,
}

/// The shape of a network's input as a text, such as `1x3x96x96`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GivenShape(InputShape);

impl GivenShape {
    /// The shape.
    pub fn get(&self) -> &InputShape {
        &self.0
    }
}

impl From<InputShape> for GivenShape {
    fn from(shape: InputShape) -> Self {
        Self(shape)
    }
}

impl TryFrom<String> for GivenShape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl From<GivenShape> for String {
    fn from(shape: GivenShape) -> Self {
        shape.0.to_string()
    }
}

/// The data sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// For calibration and reward.
    pub train: PathBuf,
    /// Samples in it.
    pub train_samples: usize,
    /// For the final figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
    /// Where the channels of `.npz` data are, where their shapes do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<DataLayout>,
}

/// How ranges are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationConfig {
    /// Samples of the training data, at most.
    pub samples: usize,
    /// How ranges are chosen on them.
    #[serde(default)]
    pub ranges: CalibrationSettings,
    /// Whether channels are brought to one size where that helps.
    #[serde(default = "yes")]
    pub equalize: bool,
}

fn yes() -> bool {
    true
}

/// How widths are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// The name of a strategy, or `policy` where the widths were given.
    pub strategy: String,
    /// The widths given, one word a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Evaluations at most, one an episode; probes count by their share of the samples.
    pub episodes: usize,
    /// What is maximised.
    #[serde(default)]
    pub reward: RewardKind,
    /// Seconds after which to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<u64>,
    /// Training samples held out for the reward, at most.
    pub eval_samples: usize,
    /// Episodes without a new best after which to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Levels of FLASH and of RAM that are swept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pareto: Option<usize>,
    /// How finalists are trained before the best of them is chosen; `None` for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<FinetuneConfig>,
    /// What policies have to keep beside FLASH and RAM.
    #[serde(default, skip_serializing_if = "Constraints::is_none")]
    pub constraints: Constraints,
}

/// What the package is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageConfig {
    /// What every C name and file of it begins with.
    pub name: String,
}

impl Default for PackageConfig {
    fn default() -> Self {
        Self { name: EmitOptions::default().prefix }
    }
}

/// How the package is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyConfig {
    /// Samples on the host.
    pub host_samples: usize,
    /// Samples on each emulated core.
    pub qemu_samples: usize,
}

impl Default for VerifyConfig {
    fn default() -> Self {
        Self { host_samples: 64, qemu_samples: 8 }
    }
}

impl SearchConfig {
    /// Whether there may be no budget: packed weights or instructions are limited, or budgets are swept.
    pub fn needs_no_budget(&self) -> bool {
        self.pareto.is_some() || self.constraints.weight_bytes.is_some() || self.constraints.instructions.is_some()
    }

    /// Refuses what the flags refuse too.
    fn check(&self) -> Result<(), String> {
        let is_given = self.strategy == GIVEN;
        if is_given != self.policy.is_some() {
            return Err(format!("`search.policy` goes with `search.strategy = \"{GIVEN}\"`, and the other way round"));
        }
        if !is_given {
            self.strategy.parse::<Strategy>().map_err(|problem| format!("`search.strategy`: {problem}"))?;
        }
        if let Some(steps) = self.pareto.filter(|steps| !STEPS.contains(steps)) {
            return Err(format!("`search.pareto` is {steps}: {} to {} are possible", STEPS.start(), STEPS.end()));
        }
        if is_given && self.pareto.is_some() {
            return Err("`search.pareto` and `search.policy` exclude each other".into());
        }
        if is_given && self.trial.is_some() {
            return Err("`search.trial` and `search.policy` exclude each other".into());
        }
        self.trial
            .as_ref()
            .map_or(Ok(()), FinetuneConfig::check)
            .map_err(|problem| format!("`search.trial`: {problem}"))?;
        if is_given && self.constraints != self.constraints.limits() {
            return Err("`search.policy` gives all widths: leave out those of `search.constraints`".into());
        }
        if self.constraints.instructions == Some(0) {
            return Err("`search.constraints.instructions` is 0: at least 1 is needed".into());
        }
        match self.time_limit.filter(|seconds| !TIME_LIMITS.contains(seconds)) {
            Some(seconds) => Err(format!("`search.time_limit` is {seconds}: 1 to {} are possible", TIME_LIMITS.end())),
            None => Ok(()),
        }
    }
}

impl RunConfig {
    /// Reads `config.toml`.
    ///
    /// # Errors
    /// What is wrong, with the line; unknown keys are errors.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what the flags refuse too.
    fn check(&self) -> Result<(), String> {
        check_name(&self.package.name).map_err(|e| format!("`package.name`: {e}"))?;
        let search = self.search.as_ref();
        let counts = [
            ("calibration.samples", Some(self.calibration.samples)),
            ("search.episodes", search.map(|s| s.episodes)),
            ("search.eval_samples", search.map(|s| s.eval_samples)),
            ("search.patience", search.and_then(|s| s.patience)),
            ("verify.host_samples", Some(self.verify.host_samples)),
            ("verify.qemu_samples", Some(self.verify.qemu_samples)),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return Err(format!("`{key}` is 0: at least 1 is needed"));
        }
        let ranges = &self.calibration.ranges;
        if let RangeMethod::Percentile(share) = ranges.method
            && !PERCENTILES.contains(&share)
        {
            let (least, most) = (PERCENTILES.start(), PERCENTILES.end());
            return Err(format!("`calibration.ranges.method`: percentile is {share}: {least} to {most} are possible"));
        }
        if ranges.candidates < 2 {
            return Err(format!("`calibration.ranges.candidates` is {}: at least 2 are needed", ranges.candidates));
        }
        self.reconstruct.as_ref().map_or(Ok(()), ReconstructConfig::check)?;
        self.finetune.as_ref().map_or(Ok(()), FinetuneConfig::check)?;
        let target = self.target.as_ref();
        if target.is_some_and(|target| target.flash_bytes.is_some() != target.ram_bytes.is_some()) {
            return Err("`target.flash_bytes` and `target.ram_bytes` go together".into());
        }
        if let (Some(target), Some(search)) = (target, search)
            && !target.has_limit()
            && !search.needs_no_budget()
        {
            return Err(
                "nothing is limited: give `target.flash_bytes` and `target.ram_bytes`, or a limit of weights or instructions"
                    .into()
            );
        }
        search.map_or(Ok(()), SearchConfig::check)
    }

    /// What policies have to keep beside FLASH and RAM; `None` for nothing.
    pub fn constraints(&self) -> Option<Constraints> {
        self.search.as_ref().map(|search| search.constraints.clone()).filter(|constraints| !constraints.is_none())
    }

    /// The text of `config.toml`.
    pub fn to_toml(&self) -> String {
        let body = toml::to_string(self).expect("settings are numbers, texts and tables");
        format!("# Reproduces this run: bitesize fit --config config.toml -o ANOTHER_FOLDER\n{body}")
    }

    /// Every setting of the tables `tables` (or keys outside of tables) with its name and value. Files may have moved: of
    /// them counts what they contain, so their paths are left out.
    pub fn settings(&self, tables: &[&str]) -> Vec<(String, String)> {
        let is_in = |key: &str| tables.iter().any(|table| key.strip_prefix(table).is_some_and(is_end));
        self.flat().into_iter().filter(|(key, _)| is_in(key)).collect()
    }

    /// Every setting that results depend on, with its value.
    fn flat(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        if let Ok(toml::Value::Table(table)) = toml::Value::try_from(self) {
            flatten("", &table, &mut rows);
        }
        let paths = ["version", "model.path", "data.train", "data.val", "finetune.unlabelled"];
        rows.retain(|(key, _)| !paths.contains(&key.as_str()));
        rows
    }

    /// The first setting in which `self` and `other` differ so that results differ, named with both values.
    pub fn difference_from(&self, other: &Self) -> Option<Difference> {
        let of = |config: &Self| {
            let mut rows = config.flat();
            if config.target.is_some() {
                // What is not said is told by its name all the same.
                let of_target = |key: &str, value: &str| (format!("target.{key}"), value.to_owned());
                let unsaid = [
                    of_target("kernels", Kernels::default().name()),
                    of_target("schedule", Scheduling::default().name()),
                    of_target("input", InputRows::default().name()),
                ];
                let unsaid = unsaid.into_iter().filter(|(key, _)| rows.iter().all(|(other, _)| other != key));
                let unsaid: Vec<(String, String)> = unsaid.collect();
                rows.extend(unsaid);
            }
            Provenance::default().with_all(rows)
        };
        of(self).first_difference(&of(other))
    }
}

/// Whether a key that goes on with `rest` lies in the table before it, or is that key.
fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

fn flatten(prefix: &str, table: &toml::Table, rows: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, rows),
            toml::Value::String(text) => rows.push((name, text.clone())),
            other => rows.push((name, other.to_string())),
        }
    }
}
