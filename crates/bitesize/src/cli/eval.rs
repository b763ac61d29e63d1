//! `bitesize eval`.

use crate::args::{ModelArgs, PreprocessArgs};
use crate::console::out_line;
use crate::open::config_of;
use anyhow::Context as _;
use bitesize::deliver::accuracy::{Accuracies, accuracies};
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::deliver::{Chosen, Delivered};
use bitesize::input::{Inputs, PreprocessFile, Sources, class_order};
use bitesize::observe::Monitor;
use bitesize::report;
use bitesize::run::RunFolder;
use bitesize::{Ending, usage};
use clap::Args;
use std::path::{Path, PathBuf};

/// Measures accuracy.
#[derive(Args)]
pub(crate) struct EvalArgs {
    /// A network (float ONNX), or a run folder
    path: PathBuf,
    #[command(flatten)]
    model_input: ModelArgs,
    /// Data to measure on [default: the validation data of the run]
    #[arg(long, value_name = "DATA")]
    val: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

impl EvalArgs {
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        if self.path.is_dir() {
            self.of_run(monitor)?;
        } else {
            self.of_model(monitor)?;
        }
        Ok(Ending::Done)
    }

    fn tell(&self, measured: &Accuracies) -> anyhow::Result<()> {
        if self.json {
            let json = serde_json::json!({
                "metric": "top1", "samples": measured.samples, "float": measured.float,
                "integer": measured.integer.first(),
            });
            out_line!("{}", serde_json::to_string_pretty(&json)?);
            return Ok(());
        }
        out_line!("top-1 on {} samples", measured.samples);
        let rows = [("float", measured.float), ("integer", measured.integer.first().copied())];
        for (name, value) in rows.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            out_line!("{name:<8} {:.2} %", 100.0 * value);
        }
        Ok(())
    }

    fn of_model(&self, monitor: &Monitor) -> anyhow::Result<()> {
        let val = self.val.as_deref().ok_or_else(|| usage("say which data to measure on: --val DATA"))?;
        let preprocess = self.preprocess.read()?;
        let input_shape = self.model_input.input_shape();
        let sources = Sources { model: &self.path, input_shape, train: None, val: Some(val), preprocess: &preprocess };
        let inputs = Inputs::open(sources, monitor)?;
        let data = inputs.val.as_ref().context("the validation data were not opened")?;
        let measured = accuracies(data, Some(&inputs.model.network), &[], monitor)?;
        inputs.tell_skipped(monitor);
        self.tell(&measured)
    }

    fn of_run(&self, monitor: &Monitor) -> anyhow::Result<()> {
        if self.model_input.input_shape().is_some() {
            return Err(usage("the input shape of a run is in its config.toml and cannot be given again"));
        }
        if self.preprocess.read()? != PreprocessFile::default() {
            return Err(usage("the preprocessing of a run is in its config.toml and cannot be given again"));
        }
        let folder = RunFolder::open_to_read(&self.path)?;
        let config = config_of(&folder)?;
        let val: &Path = self
            .val
            .as_deref()
            .or(config.data.val.as_deref())
            .ok_or_else(|| usage("the run has no validation data: say which data to measure on with --val DATA"))?;
        // The class order of folders is that of both, as long as the training data are there.
        let holds_classes = |path: &&Path| class_order(&[path]).is_ok_and(|classes| classes.is_some());
        let train = Some(config.data.train.as_path()).filter(holds_classes);
        let inputs = inputs_of(&config, train, Some(val), monitor)?;
        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        let platform = opened.platform()?;
        let delivered = Delivered::kept(&opened, &Chosen::made_from_settings(&opened, &platform), &platform.core)?;
        delivered.refuse_other_widths(&opened)?;
        let data = inputs.val.as_ref().context("the validation data were not opened")?;
        let measured = accuracies(data, Some(&inputs.model.network), &[&delivered.candidate], monitor)?;
        inputs.tell_skipped(monitor);
        self.tell(&measured)?;
        let report = report::files::read(&folder)?.filter(|report| report.accuracy.is_none());
        if let (Some(mut report), Some(float)) = (report, measured.float) {
            if folder.is_writable() {
                report.set_accuracy(measured.samples, float, measured.integer.first().copied());
                let mut commit = folder.begin()?;
                report::files::put(&mut report, &opened, None, &mut commit)?;
                commit.finish()?;
            } else {
                monitor.warn(format_args!(
                    "the run folder `{}` cannot be written to, so its report does not get these figures",
                    self.path.display()
                ));
            }
        }
        Ok(())
    }
}
