//! `bitesize eval`.

use crate::args::{DataArgs, ModelArgs, PreprocessArgs, TaskArgs, trained};
use crate::console::out_line;
use crate::open::config_of;
use anyhow::Context as _;
use bitesize::deliver::measured::{Figures, figures};
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::deliver::{Delivered, Tuned};
use bitesize::input::{Inputs, PreprocessFile, Sources, class_order};
use bitesize::observe::Monitor;
use bitesize::report;
use bitesize::report::assemble::{fidelity_report, metric_rows};
use bitesize::report::by_output;
use bitesize::report::schema::ON_VALIDATION;
use bitesize::run::RunFolder;
use bitesize::task::metric::shown_number;
use bitesize::{Ending, usage};
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::path::{Path, PathBuf};

/// Measures.
#[derive(Args)]
pub(crate) struct EvalArgs {
    /// A network (float ONNX), or a run folder
    #[arg(value_parser = trained())]
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
    task: TaskArgs,
    #[command(flatten)]
    data: DataArgs,
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

    fn tell(&self, figures: &Figures) -> anyhow::Result<()> {
        let integer = figures.integer.first();
        let rows = metric_rows(figures.float.as_ref(), integer.and_then(|found| found.measured.as_ref()));
        let fidelity = integer.map(|found| fidelity_report(ON_VALIDATION, &figures.objective, found.fidelity.clone()));
        if self.json {
            let first = rows.first();
            let json = serde_json::json!({
                "task": figures.objective.task,
                "metric": first.map(|row| &row.name), "samples": figures.samples,
                "float": first.and_then(|row| row.float), "integer": first.and_then(|row| row.integer),
                "metrics": rows, "fidelity": fidelity,
            });
            out_line!("{}", serde_json::to_string_pretty(&json)?);
            return Ok(());
        }
        for row in &rows {
            out_line!("{} on {} samples", row.title(), row.samples);
            out_line!("{:<8} {}", "float", row.shown(row.float));
            if integer.is_some() {
                out_line!("{:<8} {}", "integer", row.shown(row.integer));
            }
        }
        for line in by_output::table(&rows, "what --json gives") {
            out_line!("{line}");
        }
        if let Some(fidelity) = fidelity {
            let agreement = fidelity.agreement.map(|share| format!("same answer {:.2} %, ", 100.0 * share));
            let rmse = fidelity.rmse.map(|rmse| format!("RMSE {}, ", shown_number(rmse)));
            out_line!(
                "against float on {} samples: {}loss {} ({})",
                fidelity.samples,
                agreement.or(rmse).unwrap_or_default(),
                shown_number(fidelity.loss),
                fidelity.form
            );
        } else if rows.is_empty() {
            return Err(usage("no labels are looked at, so there is nothing to measure the float network by"));
        }
        Ok(())
    }

    fn of_model(&self, monitor: &Monitor) -> anyhow::Result<()> {
        let val = self.val.as_deref().ok_or_else(|| usage("say which data to measure on: --val DATA"))?;
        let preprocess = self.preprocess.read()?;
        let input_shape = self.model_input.input_shape();
        let layout = self.data.data_layout;
        let sources = Sources {
            model: &self.path,
            train: None,
            val: Some(val),
            preprocess: &preprocess,
            task: self.task.asked(),
            layout,
            input_shape,
        };
        let inputs = Inputs::open(sources, monitor)?;
        let data = inputs.val.as_ref().context("the validation data were not opened")?;
        let measured = figures(data, (&inputs.model.network, inputs.objective), &[], monitor)?;
        inputs.tell_skipped(monitor);
        self.tell(&measured)
    }

    fn of_run(&self, monitor: &Monitor) -> anyhow::Result<()> {
        if self.model_input.input_shape().is_some() {
            return Err(usage("the input shape of a run is in its config.toml and cannot be given again"));
        }
        if self.task.asked().is_some() {
            return Err(usage("the task of a run is in its config.toml and cannot be given again"));
        }
        if self.preprocess.read()? != PreprocessFile::default() {
            return Err(usage("the preprocessing of a run is in its config.toml and cannot be given again"));
        }
        let folder = RunFolder::open_to_read(&self.path)?;
        let mut config = config_of(&folder)?;
        config.data.layout = self.data.data_layout.or(config.data.layout);
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
        let delivered = Delivered::kept(&opened, &Tuned::made_from_settings(&opened, &platform), &platform.core)?;
        delivered.refuse_other_widths(&opened)?;
        let data = inputs.val.as_ref().context("the validation data were not opened")?;
        let judged = (&inputs.model.network, inputs.objective);
        let measured = figures(data, judged, &[&delivered.candidate], monitor)?;
        inputs.tell_skipped(monitor);
        self.tell(&measured)?;
        let report = report::files::read(&folder)?.filter(|report| !report.is_validated());
        if let Some(mut report) = report {
            if folder.is_writable() {
                report.set_figures(&measured, measured.integer.first());
                let mut commit = folder.begin()?;
                report::files::put(&mut report, &opened, None, &mut commit)?;
                commit.finish()?;
            } else {
                monitor.warn(format_args!(
                    "the run folder `{}` cannot be written to, so its report does not get these figures",
                    self.path.shown()
                ));
            }
        }
        Ok(())
    }
}
