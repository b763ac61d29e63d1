//! `config.toml`: everything that reproduces a run.

use crate::data::PreprocessFile;
use crate::model::sha256;
use crate::pareto::STEPS;
use crate::platform::PlatformName;
use bitesize_codegen::{EmitOptions, check_name};
use bitesize_search::constraints::Constraints;
use bitesize_search::evaluate::RewardKind;
use bitesize_train::CalibrationSettings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The settings of a run, as they stand in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The version of bitesize.
    pub version: String,
    /// Where all chance comes from.
    pub seed: u64,
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
}

/// The data sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// For calibration and reward.
    pub train: PathBuf,
    /// Samples in it.
    pub train_samples: usize,
    /// For the final accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
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
}

/// How widths are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether there may be no budget: packed weights are limited, or budgets are swept.
    pub fn needs_no_budget(&self) -> bool {
        self.pareto.is_some() || self.constraints.weight_bytes.is_some()
    }
}

impl RunConfig {
    /// Reads `config.toml`.
    ///
    /// # Errors
    /// What is wrong, with the line; unknown keys are errors.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        config.check_counts()?;
        check_name(&config.package.name).map_err(|e| format!("`package.name`: {e}"))?;
        Ok(config)
    }

    /// Refuses what the flags refuse too.
    fn check_counts(&self) -> Result<(), String> {
        let search = self.search.as_ref();
        let counts = [
            ("calibration.samples", Some(self.calibration.samples)),
            ("search.episodes", search.map(|s| s.episodes)),
            ("search.eval_samples", search.map(|s| s.eval_samples)),
            ("search.patience", search.and_then(|s| s.patience)),
            ("search.time_limit", search.and_then(|s| s.time_limit).map(|s| s as usize)),
            ("verify.host_samples", Some(self.verify.host_samples)),
            ("verify.qemu_samples", Some(self.verify.qemu_samples)),
        ];
        if let Some((policy, steps)) = search.and_then(|s| Some((&s.policy, s.pareto?))) {
            if !STEPS.contains(&steps) {
                return Err(format!("`search.pareto` is {steps}: {} to {} are possible", STEPS.start(), STEPS.end()));
            }
            if policy.is_some() {
                return Err("`search.pareto` and `search.policy` exclude each other".into());
            }
        }
        match counts.iter().find(|(_, count)| *count == Some(0)) {
            Some((key, _)) => Err(format!("`{key}` is 0: at least 1 is needed")),
            None => Ok(()),
        }
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

    /// A short text that two runs share where no setting makes their results differ.
    pub fn fingerprint(&self) -> String {
        let text: String = self.flat().into_iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        sha256(text.as_bytes())
    }

    /// Every setting that results depend on, with its value. A file may have moved: what counts is its hash or its content.
    fn flat(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        if let Ok(toml::Value::Table(table)) = toml::Value::try_from(self) {
            flatten("", &table, &mut rows);
        }
        rows.retain(|(key, _)| !matches!(key.as_str(), "model.path" | "data.train" | "data.val"));
        rows
    }

    /// The first setting in which `self` and `other` differ so that results differ, named with both values.
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        let (mine, theirs) = (self.flat(), other.flat());
        let value = |rows: &[(String, String)], key: &str| {
            rows.iter().find(|(k, _)| k == key).map_or("nothing".to_owned(), |(_, v)| v.clone())
        };
        let keys = mine.iter().chain(&theirs).map(|(k, _)| k);
        let mut differing = keys.filter(|k| value(&mine, k) != value(&theirs, k));
        differing.next().map(|key| format!("`{key}` is {} there and {} now", value(&mine, key), value(&theirs, key)))
    }
}

fn flatten(prefix: &str, table: &toml::Table, rows: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, rows),
            other => rows.push((name, other.to_string())),
        }
    }
}
