//! What the report says of training: what was asked for, what came of each epoch, and what it did to the network.

use super::schema::{EpochReport, Report, TuneReport};
use crate::deliver::finetuned::Finetuned;
use crate::deliver::tuned::Tuned;
use crate::task::Metric;
use crate::task::metric::shown_number;
use bitesize_ir::shown::markdown;
use std::fmt::Write as _;

impl Report {
    /// Adds what came of the training, where there was one, judged on `held_out` samples.
    pub fn add_training(&mut self, tuned: &Tuned, held_out: usize) {
        self.tune = tuned.finetuned.as_ref().map(|finetuned| {
            let Finetuned { asked, samples, epochs, before, after, is_kept, ended, seconds } = finetuned;
            let finite = |value: f64| value.is_finite().then_some(value);
            TuneReport {
                epochs: epochs.len(),
                epochs_asked: asked.epochs,
                seconds: *seconds,
                before: before.metric,
                after: after.and_then(|after| after.metric),
                loss_before: finite(before.loss),
                loss_after: after.and_then(|after| finite(after.loss)),
                label_loss_before: before.label_loss.and_then(finite),
                label_loss_after: after.and_then(|after| after.label_loss.and_then(finite)),
                samples: *samples,
                held_out_samples: held_out,
                kept: *is_kept,
                metric_before: None,
                ended: ended.clone(),
                losses: epochs
                    .iter()
                    .map(|epoch| EpochReport {
                        loss: finite(epoch.loss),
                        held_out_loss: epoch.held_out_loss.and_then(finite),
                        held_out_label_loss: epoch.held_out_label_loss.and_then(finite),
                        held_out_metric: epoch.held_out_metric,
                        rate: epoch.rate,
                        frozen: epoch.frozen,
                    })
                    .collect(),
            }
        });
    }
}

impl TuneReport {
    /// What came of it, a sentence without its full stop; `metric` is the task's.
    pub(super) fn outcome(&self, metric: Option<Metric>) -> String {
        let of = |loss: Option<f64>, label_loss: Option<f64>, value: Option<f64>| {
            let [loss, by_labels] = [loss, label_loss].map(|loss| loss.map_or("-".into(), shown_number));
            match metric.filter(|_| value.is_some()) {
                Some(metric) => {
                    let (name, value) = (metric.title(), metric.shown(value));
                    format!("{name} {value} (loss {loss}, {by_labels} against labels)")
                }
                None => format!("loss {loss}"),
            }
        };
        let kept = if self.kept { "which is delivered" } else { "which is not delivered" };
        format!(
            "Trained for {} of {} epochs on {} samples: on {} held-out samples {} before, {} after, {kept}",
            self.epochs,
            self.epochs_asked,
            self.samples,
            self.held_out_samples,
            of(self.loss_before, self.label_loss_before, self.before),
            of(self.loss_after, self.label_loss_after, self.after)
        )
    }

    /// As a section of Markdown; `metric` is the task's.
    pub(super) fn section(&self, metric: Option<Metric>) -> String {
        let mut text = format!("## Training\n\n{}. It took {:.1} s.", self.outcome(metric), self.seconds);
        if let Some(ended) = &self.ended {
            // Writing to a String cannot fail.
            let _ = write!(text, " It ended early: {}.", markdown(ended));
        }
        if let (Some(metric), true) = (metric, self.metric_before.is_some()) {
            let (name, value) = (metric.title(), metric.shown(self.metric_before));
            let _ = write!(text, " As it was rounded, the network's {name} on the validation data was {value}.");
        }
        text += " Everything else that is told of other policies and other budgets is before training.\n\n";
        let title = metric.map_or("held-out figure".into(), |metric| format!("held-out {}", metric.title()));
        let _ = write!(
            text,
            "| epoch | loss | held-out loss | against labels | {title} | frozen weights |\n|---|---|---|---|---|---|\n"
        );
        for (i, epoch) in self.losses.iter().enumerate() {
            let [loss, held_out, by_labels] = [epoch.loss, epoch.held_out_loss, epoch.held_out_label_loss]
                .map(|loss| loss.map_or("-".into(), shown_number));
            let value = match metric.filter(|_| epoch.held_out_metric.is_some()) {
                Some(metric) => metric.shown(epoch.held_out_metric),
                None => "-".into(),
            };
            let _ = writeln!(text, "| {} | {loss} | {held_out} | {by_labels} | {value} | {} |", i + 1, epoch.frozen);
        }
        text + "\nThe loss is that of the samples that are learned from, of labels and of the float network's answers; the held-out loss is how \
                far from float the network is.\n\n"
    }
}
