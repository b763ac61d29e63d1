//! `bitesize fit`.

use super::{keep_if_interrupted, read_config, read_report};
use crate::args::{
    CalibrationArgs, ConstraintArgs, PreprocessArgs, TargetArgs, absolute, at_least_one, package_name, sweep_steps,
};
use anyhow::{Context as _, bail};
use bitesize::choose::parse_uniform;
use bitesize::console::{Console, Interrupted};
use bitesize::inputs::{Inputs, Sources};
use bitesize::model::Model;
use bitesize::report::Report;
use bitesize::run::config::{DataConfig, ModelConfig, PackageConfig, SearchConfig, VerifyConfig};
use bitesize::run::{self, RunConfig, RunFolder};
use bitesize::{Ending, stages, usage};
use bitesize_ir::{Policy, PolicySpace};
use bitesize_search::evaluate::RewardKind;
use bitesize_search::problem::to_compact;
use bitesize_search::search::Strategy;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::path::{Path, PathBuf};

/// The whole road.
#[derive(Args)]
pub(crate) struct FitArgs {
    /// The network, float ONNX
    #[arg(required_unless_present_any = ["resume", "config"])]
    model: Option<PathBuf>,
    /// Data for calibration and for judging policies: a folder of class folders, .npz, CIFAR-10 .bin, IDX
    #[arg(long, value_name = "DATA", required_unless_present_any = ["resume", "config"])]
    train: Option<PathBuf>,
    /// Data for the final accuracy only; nothing is chosen by it
    #[arg(long, value_name = "DATA")]
    val: Option<PathBuf>,
    /// The run folder: new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Go on with the interrupted run in the output folder
    #[arg(long)]
    resume: bool,
    /// Take every setting from the config.toml of an earlier run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "train", "resume"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    calibration: CalibrationArgs,
    /// What the C package is called: every name and file of it begins so
    #[arg(long, value_name = "NAME", default_value = "model", value_parser = package_name)]
    name: String,
    /// Samples that verification runs on the host
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_one, help_heading = "Verification")]
    host_samples: usize,
    /// Samples that verification runs on each emulated core
    #[arg(long, value_name = "N", default_value = "8", value_parser = at_least_one, help_heading = "Verification")]
    qemu_samples: usize,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

/// How widths are chosen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Search")]
pub(crate) struct SearchArgs {
    /// The strategy
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = strategies())]
    search: String,
    /// Take these widths and search nothing: a policy file, or W/A as in 8/8
    #[arg(long, value_name = "FILE|W/A", conflicts_with = "search")]
    policy: Option<String>,
    /// Evaluations at most, one an episode; probes of single widths count by their share of the samples, and are all made
    /// [default: 200; 600 for ddpg]
    #[arg(long, visible_alias = "evaluations", value_name = "N", value_parser = at_least_one)]
    episodes: Option<usize>,
    /// What is maximised on the held-out samples: loss (how little the output's distribution departs from the float
    /// network's; no labels) or accuracy
    #[arg(long, value_name = "WHAT", default_value = "loss")]
    reward: RewardKind,
    /// Stop the search at the first evaluation that ends after so many seconds; what it found then depends on the machine
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    time_limit: Option<u64>,
    /// Training samples held out to judge policies by
    #[arg(long, value_name = "N", default_value = "512", value_parser = at_least_one)]
    eval_samples: usize,
    /// Stop after this many episodes without a new best
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    patience: Option<usize>,
    /// Sweep budgets too, STEPS levels of FLASH times as many of RAM down to the least that do, and write what each
    /// delivers as CSV and SVG; --flash and --ram may then be left out [STEPS where left out: 4]
    #[arg(
        long,
        value_name = "STEPS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "4",
        value_parser = sweep_steps,
        conflicts_with = "policy"
    )]
    pareto: Option<usize>,
    #[command(flatten)]
    constraints: ConstraintArgs,
}

/// Every strategy with its line of help.
fn strategies() -> PossibleValuesParser {
    let value = |strategy: Strategy| PossibleValue::new(strategy.name()).help(strategy.description());
    PossibleValuesParser::new(Strategy::ALL.map(value))
}

impl SearchArgs {
    /// Whether FLASH and RAM need not be limited: packed weights are, or budgets are swept.
    pub(crate) fn needs_no_budget(&self) -> bool {
        self.pareto.is_some() || self.constraints.limits_weights()
    }

    /// The settings, with policy and constraints checked against `model`.
    pub(crate) fn config(&self, model: &Model) -> anyhow::Result<SearchConfig> {
        let policy = self.policy.as_deref().map(|text| read_policy(text, &model.space)).transpose()?;
        Ok(SearchConfig {
            strategy: if policy.is_some() { "policy".into() } else { self.search.clone() },
            policy: policy.as_ref().map(to_compact),
            episodes: self.episodes.unwrap_or(self.search.parse().map_or(1, Strategy::usual_episodes)),
            reward: self.reward,
            time_limit: self.time_limit,
            eval_samples: self.eval_samples,
            patience: self.patience,
            pareto: self.pareto,
            constraints: self.constraints.read(model)?,
        })
    }
}

/// A policy file, or `W/A`.
fn read_policy(text: &str, space: &PolicySpace) -> anyhow::Result<Policy> {
    let path = Path::new(text);
    if path.is_file() {
        let file = std::fs::read_to_string(path).with_context(|| format!("cannot read the policy `{text}`"))?;
        return Policy::from_toml(&file, space).with_context(|| format!("cannot use the policy `{text}`"));
    }
    match parse_uniform(text) {
        Ok((weights, activations)) => Ok(Policy::uniform(space, weights, activations)),
        Err(problem) if text.contains(".toml") => Err(usage(format!("there is no policy file `{text}`; {problem}"))),
        Err(problem) => Err(usage(problem)),
    }
}

impl FitArgs {
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let earlier = self.output.join(run::CONFIG);
        let kept = if self.resume && earlier.is_file() { Some(read_config(&earlier)?) } else { None };
        let (config, inputs) = match (&self.model, &self.config, &kept) {
            (Some(model), ..) => self.new_config(model, console)?,
            (None, Some(path), _) => {
                // A new run, with the data as they are now.
                let (mut config, inputs) = with_inputs(read_config(path)?, console)?;
                config.data.train_samples = inputs.train_samples();
                (config, inputs)
            }
            (None, None, Some(kept)) => with_inputs(kept.clone(), console)?,
            (None, None, None) => {
                bail!("there is no run to resume in `{}`: it has no {}", self.output.display(), run::CONFIG)
            }
        };
        let mut folder = match &kept {
            Some(kept) => {
                if let Some(difference) = kept.first_difference(&config) {
                    bail!(
                        "`{}` holds a run with other settings, so it cannot be resumed with these: {difference}",
                        self.output.display()
                    );
                }
                inputs.refuse_other_training_data(kept)?;
                RunFolder::open(&self.output)?
            }
            None => RunFolder::create(&self.output)?,
        };
        let finished =
            |report: &Report| !report.fits || report.verification.is_some() && folder.join(run::PACKAGE).is_dir();
        if let Some(report) = read_report(&folder)?.filter(finished) {
            console.note(format_args!("the run in `{}` is finished: nothing to do", self.output.display()));
            return Ok(report.ending());
        }
        stages::refuse_edited_policy(&inputs, &folder)?;
        let ending = bitesize::fit(&config, &inputs, &mut folder, console);
        keep_if_interrupted(&ending, &mut folder);
        ending.map_err(|error| keep_search(error, &mut folder))
    }

    /// The settings that the flags say, checked against the network and the data.
    fn new_config(&self, model: &Path, console: &Console) -> anyhow::Result<(RunConfig, Inputs)> {
        let platform = self.target.required(self.search.needs_no_budget())?;
        let preprocess = self.preprocess.read()?;
        let train = self.train.as_deref().ok_or_else(|| usage("say which data to calibrate with: --train DATA"))?;
        let sources = Sources { model, train: Some(train), val: self.val.as_deref(), preprocess: &preprocess };
        let inputs = Inputs::open(sources, console)?;
        let config = RunConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            seed: self.calibration.seed,
            model: ModelConfig { path: absolute(model)?, sha256: inputs.model.sha256.clone() },
            data: DataConfig {
                train: absolute(train)?,
                train_samples: inputs.train_samples(),
                val: self.val.as_deref().map(absolute).transpose()?,
            },
            preprocess,
            calibration: self.calibration.config(),
            target: Some(platform.name),
            search: Some(self.search.config(&inputs.model)?),
            package: PackageConfig { name: self.name.clone() },
            verify: VerifyConfig { host_samples: self.host_samples, qemu_samples: self.qemu_samples },
        };
        Ok((config, inputs))
    }
}

/// A failure after a search of more than one episode, or of several budgets, or after probes, keeps what resuming needs: it
/// may have taken hours. One episode takes no time, and a failure then leaves nothing, as an earlier one does.
fn keep_search(error: anyhow::Error, folder: &mut RunFolder) -> anyhow::Error {
    let lines = |name: &str| std::fs::read_to_string(folder.join(name)).map_or(0, |text| text.lines().count());
    let searched = lines(run::DIARY) >= 2 || lines(run::PARETO_POINTS) >= 2 || lines(run::PROBES) >= 1;
    if error.is::<Interrupted>() || !folder.is_fresh() || !searched {
        return error;
    }
    folder.keep_only(&[run::CONFIG, run::CALIBRATION, run::DIARY, run::PROBES, run::PARETO_POINTS]);
    error.context(format!(
        "the search so far is kept: mend what is named here and go on with `bitesize fit --resume -o {}`",
        folder.path().display()
    ))
}

fn with_inputs(config: RunConfig, console: &Console) -> anyhow::Result<(RunConfig, Inputs)> {
    let inputs = Inputs::of_run(&config, config.data.val.as_deref(), console)?;
    Ok((config, inputs))
}
