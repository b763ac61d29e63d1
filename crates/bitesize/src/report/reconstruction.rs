//! What the report says of reconstruction: what was asked for, what came of each part, and what it did to the network.

use super::schema::{ReconstructionReport, Report, UnitReport};
use crate::deliver::tuned::{Reconstructed, Tuned};
use crate::task::Metric;
use crate::task::metric::shown_number;
use bitesize_ir::shown::{markdown, markdown_name};
use std::fmt::Write as _;

impl Report {
    /// Adds what came of the reconstruction, where there was one, judged on `held_out` samples.
    pub fn add_reconstruction(&mut self, tuned: &Tuned, held_out: usize) {
        self.reconstruction = tuned.reconstructed.as_ref().map(|reconstructed| {
            let Reconstructed { asked, images, units, before, after, failed, seconds } = reconstructed;
            let finite = |value: f64| value.is_finite().then_some(value);
            ReconstructionReport {
                minutes: asked.minutes,
                samples_asked: asked.samples,
                samples: *images,
                held_out_samples: held_out,
                loss_before: finite(*before),
                loss_after: after.and_then(finite),
                kept: reconstructed.is_kept(),
                metric_before: None,
                seconds: *seconds,
                failed: failed.clone(),
                units: units
                    .iter()
                    .map(|unit| UnitReport {
                        name: Some(unit.name.clone()).filter(|name| !name.is_empty()),
                        before: finite(unit.before),
                        after: finite(unit.after),
                        kept: unit.kept,
                    })
                    .collect(),
            }
        });
    }
}

impl ReconstructionReport {
    /// What came of it, a sentence without its full stop.
    pub(super) fn outcome(&self) -> String {
        if let Some(problem) = &self.failed {
            return format!("Not reconstructed: {}", markdown(problem));
        }
        let shown = |loss: Option<f64>| loss.map_or("-".into(), shown_number);
        let kept = if self.kept { "which is delivered" } else { "which is not delivered" };
        format!(
            "Reconstructed from {} training images without labels: loss on {} held-out samples {} as it was rounded, {} as it was \
             learned, {kept}",
            self.samples,
            self.held_out_samples,
            shown(self.loss_before),
            shown(self.loss_after)
        )
    }

    /// As a section of Markdown; `metric` is the task's.
    pub(super) fn section(&self, metric: Option<Metric>) -> String {
        let mut text = format!("## Reconstruction\n\n{}.\n\n", self.outcome());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "Asked for: {} minutes, at most {} images. It took {:.1} s.",
            self.minutes, self.samples_asked, self.seconds
        );
        if let (Some(metric), true) = (metric, self.metric_before.is_some()) {
            let (name, value) = (metric.title(), metric.shown(self.metric_before));
            let _ = write!(text, " As it was rounded, the network's {name} on the validation data was {value}.");
        }
        text += " Everything else that is told of other policies and other budgets is before reconstruction.\n\n";
        if self.units.is_empty() {
            return text;
        }
        text += "| part, up to | error before | after | kept |\n|---|---|---|---|\n";
        for unit in &self.units {
            let name = unit.name.as_ref().map_or("the whole network".into(), |name| markdown_name(name));
            let [before, after] = [unit.before, unit.after].map(|error| error.map_or("-".into(), shown_number));
            let kept = if unit.kept { "yes" } else { "no" };
            let _ = writeln!(text, "| {name} | {before} | {after} | {kept} |");
        }
        text + "\nErrors are of one in eight of the images: of a block the square distance from float of what it hands on, of the \
                network how far its output is from float.\n\n"
    }
}
