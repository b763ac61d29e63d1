//! `bitesize fit`.

use crate::args::{
    CalibrationArgs, DataArgs, ModelArgs, PreprocessArgs, ReconstructArgs, TaskArgs, absolute, at_least_one,
    package_name, trained,
};
use crate::console::{err_line, print, tell_shortcoming};
use crate::open::{config_of, keep_if_resumable, read_config};
use crate::search_args::SearchArgs;
use crate::target_args::TargetArgs;
use crate::tune_args::{TuneArgs, epochs};
use anyhow::bail;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::files;
use bitesize::input::{DataLayout, Inputs, Sources};
use bitesize::observe::{Interrupted, Monitor};
use bitesize::run::config::{DataConfig, ModelConfig, PackageConfig, VerifyConfig};
use bitesize::run::names::{CONFIG, DIARY, PARETO_POINTS, PROBES, RECONSTRUCTION, TUNING};
use bitesize::run::{FinetuneConfig, RESULTS_VERSION, RunConfig, RunFolder};
use bitesize::{Ending, Until, Walked, usage};
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::path::{Path, PathBuf};

/// The whole road.
#[derive(Args)]
pub(crate) struct FitArgs {
    /// The network, float ONNX
    #[arg(required_unless_present_any = ["resume", "config"], value_parser = trained())]
    model: Option<PathBuf>,
    #[command(flatten)]
    model_input: ModelArgs,
    /// Data for calibration and for judging policies: a folder of class folders, .npz, CIFAR-10 .bin, IDX
    #[arg(long, value_name = "DATA", required_unless_present_any = ["resume", "config"])]
    train: Option<PathBuf>,
    /// Data for the final figures only; nothing is chosen by them
    #[arg(long, value_name = "DATA")]
    val: Option<PathBuf>,
    /// The run folder: new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Go on with the interrupted run in the output folder
    #[arg(long)]
    resume: bool,
    /// Take every setting from the config.toml of an earlier run; --reconstruct may go beside it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "train", "resume"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    reconstruct: ReconstructArgs,
    /// Train the network at the widths chosen, so often through all training samples but those held out; what was learned is delivered
    /// where it is better on those
    #[arg(long, value_name = "EPOCHS", value_parser = epochs, help_heading = "Training")]
    finetune: Option<usize>,
    /// By what the best of the search's finalists is chosen: rounded, as they are quantized, or tuned, after an epoch of the training that --finetune
    /// asks for
    #[arg(long, value_name = "HOW", default_value = "rounded", value_parser = ["rounded", "tuned"], help_heading = "Search")]
    judge: String,
    #[command(flatten)]
    tune: TuneArgs,
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
    task: TaskArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

impl FitArgs {
    /// The command that goes on with an interrupted run.
    pub(crate) fn resume_command(&self) -> String {
        format!("bitesize fit --resume -o {}", self.output.shown())
    }

    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let mut folder =
            if self.resume { RunFolder::open_or_create(&self.output)? } else { RunFolder::create(&self.output)? };
        let kept = if folder.holds_run() { Some(config_of(&folder)?) } else { None };
        let (config, inputs) = self.settings(kept.as_ref(), monitor)?;
        if let Some(difference) = kept.as_ref().and_then(|kept| kept.difference_from(&config)) {
            bail!(
                "`{}` holds a run with other settings, so it cannot be resumed with these: {difference}; go on with \
                 what it was begun with, or begin another run in a new folder",
                self.output.shown()
            );
        }
        if kept.as_ref().is_some_and(|kept| kept.data.val.is_none()) && config.data.val.is_some() {
            bail!(
                "the run in `{0}` has no validation data: go on without --val, then measure with `bitesize eval {0} --val DATA`",
                self.output.shown()
            );
        }
        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        if let Some(report) = bitesize::finished(&opened, Until::Proven)? {
            if report.has_open_runners() {
                let path = self.output.shown();
                monitor.note(format_args!(
                    "the run in `{path}` is finished but for its proof: what was not run is run now"
                ));
                let report = bitesize::prove_rest(&opened, report)?;
                print(format_args!("{}", report.summary()));
                tell_shortcoming(&report);
                return Ok(report.ending());
            }
            tell_shortcoming(&report);
            monitor.note(format_args!("the run in `{}` is finished: nothing to do", self.output.shown()));
            return Ok(report.ending());
        }
        let result = bitesize::walk(opened, Until::Proven);
        keep_if_resumable(&result, &mut folder);
        let Walked { report, misfit, .. } = result.map_err(|error| keep_search(error, &mut folder))?;
        match misfit {
            Some(misfit) => err_line!("{misfit}"),
            None => print(format_args!("{}", report.summary())),
        }
        tell_shortcoming(&report);
        Ok(report.ending())
    }

    /// The settings that are asked for, with what they name; `kept` are those of the run in the folder.
    fn settings(&self, kept: Option<&RunConfig>, monitor: &Monitor) -> anyhow::Result<(RunConfig, Inputs)> {
        let open = |config: RunConfig| {
            let inputs = inputs_of(&config, Some(&config.data.train), config.data.val.as_deref(), monitor)?;
            Ok((config, inputs))
        };
        match (&self.model, &self.config, kept) {
            (Some(model), ..) => self.new_config(model, monitor),
            (None, Some(path), _) => {
                // A new run, of this version, with the data as they are now.
                let (version, results_version) = (env!("CARGO_PKG_VERSION").to_owned(), RESULTS_VERSION);
                let mut config = RunConfig { version, results_version, ..read_config(path)? };
                // What edited widths lost, and an earlier run may be given on top.
                config.reconstruct = self.reconstruct.config(config.reconstruct)?;
                config.data.train_samples = 0;
                let (mut config, mut inputs) = open(config)?;
                config.data.train_samples = inputs.train_samples();
                config.finetune = self.finetune(&mut inputs, config.data.layout, monitor)?.or(config.finetune);
                config.task = Some(inputs.objective.task);
                Ok((config, inputs))
            }
            (None, None, Some(kept)) => open(kept.clone()),
            (None, None, None) => {
                bail!("there is no run to resume in `{}`: it has no {CONFIG}", self.output.shown())
            }
        }
    }

    /// How the network is to be trained, where that is asked for.
    fn finetune(
        &self,
        inputs: &mut Inputs,
        layout: Option<DataLayout>,
        monitor: &Monitor,
    ) -> anyhow::Result<Option<FinetuneConfig>> {
        self.finetune.map(|epochs| self.tune.config(epochs, inputs, layout, monitor)).transpose()
    }

    /// How finalists are trained, where they are.
    fn trial(&self, finetune: Option<&FinetuneConfig>, is_given: bool) -> anyhow::Result<FinetuneConfig> {
        match finetune {
            _ if is_given => {
                Err(usage("--judge tuned chooses among what a search finds, and --policy searches nothing"))
            }
            Some(finetune) => Ok(FinetuneConfig { epochs: 1, patience: None, unlabelled: None, ..finetune.clone() }),
            None => Err(usage("--judge tuned trains finalists as --finetune says: give that too")),
        }
    }

    /// The settings that the flags say, checked against the network and the data.
    fn new_config(&self, model: &Path, monitor: &Monitor) -> anyhow::Result<(RunConfig, Inputs)> {
        let platform = self.target.required(self.search.needs_no_budget())?;
        let reconstruct = self.reconstruct.config(None)?;
        let preprocess = self.preprocess.read()?;
        let train = self.train.as_deref().ok_or_else(|| usage("say which data to calibrate with: --train DATA"))?;
        let input_shape = self.model_input.input_shape();
        let layout = self.data.data_layout;
        let task = self.task.asked();
        let sources = Sources {
            model,
            train: Some(train),
            val: self.val.as_deref(),
            preprocess: &preprocess,
            task,
            layout,
            input_shape,
        };
        let mut inputs = Inputs::open(sources, monitor)?;
        let mut search = self.search.config(&inputs.model)?;
        let finetune = self.finetune(&mut inputs, layout, monitor)?;
        if self.judge == "tuned" {
            search.trial = Some(self.trial(finetune.as_ref(), search.policy.is_some())?);
        }
        let platform = {
            let policy = search.policy.as_deref();
            self.target.settled(platform, &inputs.model, &search.constraints, policy, monitor)?
        };
        let config = RunConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            results_version: RESULTS_VERSION,
            seed: self.calibration.seed,
            task: Some(inputs.objective.task),
            model: ModelConfig {
                path: absolute(model)?,
                sha256: inputs.model.sha256.clone(),
                input_shape: input_shape.cloned().map(Into::into),
            },
            data: DataConfig {
                train: absolute(train)?,
                train_samples: inputs.train_samples(),
                val: self.val.as_deref().map(absolute).transpose()?,
                layout,
            },
            preprocess,
            calibration: self.calibration.config(&inputs.objective),
            target: Some(platform.name),
            search: Some(search),
            reconstruct,
            finetune,
            package: PackageConfig { name: self.name.clone() },
            verify: VerifyConfig { host_samples: self.host_samples, qemu_samples: self.qemu_samples },
        };
        Ok((config, inputs))
    }
}

/// A failure after a search of more than one episode, or of several budgets, after probes, or after something was
/// learned, keeps what resuming needs: it may have taken hours. One episode takes no time, and a failure then leaves
/// nothing, as an earlier one does.
fn keep_search(error: anyhow::Error, folder: &mut RunFolder) -> anyhow::Error {
    let lines = |name: &str| {
        files::read(&folder.join(name)).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
    };
    let learned = [RECONSTRUCTION, TUNING].iter().any(|name| folder.join(name).is_file());
    let searched = lines(DIARY) >= 2 || lines(PARETO_POINTS) >= 1 || lines(PROBES) >= 1 || learned;
    if error.is::<Interrupted>() || folder.is_kept() || !searched {
        return error;
    }
    folder.keep();
    error.context(format!(
        "the search so far is kept: mend what is named here and go on with `bitesize fit --resume -o {}`",
        folder.path().shown()
    ))
}
