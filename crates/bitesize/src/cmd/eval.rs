//! `bitesize eval`.

use super::{open_run, read_report};
use crate::args::PreprocessArgs;
use anyhow::Context as _;
use bitesize::console::Console;
use bitesize::data::PreprocessFile;
use bitesize::inputs::{Inputs, Sources};
use bitesize::measure::{Accuracies, accuracies};
use bitesize::stages;
use bitesize::{Ending, usage};
use clap::Args;
use std::path::{Path, PathBuf};

/// Measures accuracy.
#[derive(Args)]
pub(crate) struct EvalArgs {
    /// A network (float ONNX), or a run folder
    path: PathBuf,
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
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let measured = if self.path.is_dir() { self.of_run(console)? } else { self.of_model(console)? };
        if self.json {
            let json = serde_json::json!({
                "metric": "top1", "samples": measured.samples, "float": measured.float,
                "integer": measured.integer.first(),
            });
            bitesize::out_line!("{}", serde_json::to_string_pretty(&json)?);
        } else {
            bitesize::out_line!("top-1 on {} samples", measured.samples);
            let rows = [("float", measured.float), ("integer", measured.integer.first().copied())];
            for (name, value) in rows.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                bitesize::out_line!("{name:<8} {:.2} %", 100.0 * value);
            }
        }
        Ok(Ending::Done)
    }

    fn of_model(&self, console: &Console) -> anyhow::Result<Accuracies> {
        let val = self.val.as_deref().ok_or_else(|| usage("say which data to measure on: --val DATA"))?;
        let preprocess = self.preprocess.read()?;
        let sources = Sources { model: &self.path, train: None, val: Some(val), preprocess: &preprocess };
        let inputs = Inputs::open(sources, console)?;
        let data = inputs.val.as_ref().context("the validation data were not opened")?;
        let measured = accuracies(data, Some(&inputs.model.network), &[], console)?;
        inputs.tell_skipped(console);
        Ok(measured)
    }

    fn of_run(&self, console: &Console) -> anyhow::Result<Accuracies> {
        if self.preprocess.read()? != PreprocessFile::default() {
            return Err(usage("the preprocessing of a run is in its config.toml and cannot be given again"));
        }
        let (folder, config) = open_run(&self.path)?;
        let own = config.data.val.as_deref();
        let val: &Path = self
            .val
            .as_deref()
            .or(own)
            .ok_or_else(|| usage("the run has no validation data: say which data to measure on with --val DATA"))?;
        let inputs = Inputs::of_run_without_training(&config, val, console)?;
        let candidate = stages::delivered_candidate(&inputs, &folder)?;
        let data = inputs.val.as_ref().context("the validation data were not opened")?;
        let measured = accuracies(data, Some(&inputs.model.network), &[&candidate], console)?;
        inputs.tell_skipped(console);
        if let (Some(mut report), Some(float)) =
            (read_report(&folder)?.filter(|r| r.accuracy.is_none()), measured.float)
        {
            report.set_accuracy(measured.samples, float, measured.integer.first().copied());
            stages::write_report(&mut report, &folder, console)?;
        }
        Ok(measured)
    }
}
