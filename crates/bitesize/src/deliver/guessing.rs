//! Warnings where a network is hardly better than guessing.

use super::opened::Opened;
use crate::task::loss::Fidelity;
use crate::task::{Form, Measured, Metric, Task};

/// What a network reaches, as far as one can tell whether it guesses.
struct Reached {
    /// 0 for guessing, 1 for being right always.
    skill: f64,
    /// In words.
    what: String,
}

/// Above it a network is hardly better than guessing: a tenth of what there is between guessing and being right.
const LEAST_SKILL: f64 = 0.1;

/// By labels: how far above the commonest answer the share of right ones is, or how much of the labels' variance is
/// explained. `None` where labels do not tell.
fn by_labels(measured: &Measured) -> Option<Reached> {
    if let Some(r2) = measured.of(Metric::R2) {
        return Some(Reached {
            skill: r2,
            what: format!("explains {:.1} % of the labels' variance", 100.0 * r2.max(0.0)),
        });
    }
    let (share, chance) = (measured.fraction()?, measured.chance?);
    // One answer that is always right leaves nothing to tell.
    (chance < 1.0).then(|| Reached {
        skill: (share - chance) / (1.0 - chance),
        what: format!("is right in {:.1} % of cases", 100.0 * share),
    })
}

/// By the float network: values that are as far from its own as their mean is. Of scores nothing is told so.
fn by_float(form: Form, fidelity: &Fidelity) -> Option<Reached> {
    (form == Form::Real).then(|| Reached {
        skill: 1.0 - fidelity.loss,
        what: format!("gives {:.1} % of the float output's variance", 100.0 * (1.0 - fidelity.loss).max(0.0)),
    })
}

fn reached(form: Form, (measured, fidelity): &(Option<Measured>, Fidelity)) -> Option<Reached> {
    match measured {
        Some(measured) => by_labels(measured),
        None => by_float(form, fidelity),
    }
}

/// A network that was good and is delivered knowing nothing has too few bits, or was quantized by the wrong samples:
/// `delivered` is what was found of it and `float` of the float network, `at_widest` says that of the widest widths that are
/// allowed, `None` where it cannot be had so.
///
/// # Errors
/// Those of `at_widest`.
pub fn warn_of_delivered(
    delivered: &(Option<Measured>, Fidelity),
    float: Option<&Measured>,
    opened: &Opened,
    at_widest: impl FnOnce() -> anyhow::Result<Option<(Option<Measured>, Fidelity)>>,
) -> anyhow::Result<()> {
    let form = opened.inputs.objective.form();
    let float = float.and_then(by_labels);
    let Some(reached_now) = reached(form, delivered).filter(|reached| reached.skill < LEAST_SKILL) else {
        return Ok(());
    };
    if float.as_ref().is_some_and(|float| float.skill < LEAST_SKILL) {
        return Ok(());
    }
    let cause = match at_widest()?.and_then(|widest| reached(form, &widest)) {
        Some(widest) if widest.skill < LEAST_SKILL => format!(
            "more bits do not help, it {} with the widest that are allowed. Most likely the samples that calibrated it are \
             not like those held out, or some tensor's values do not suit the range that was found for it: the warnings \
             name such samples and tensors; try more --calibration-samples, and --ranges min-error",
            widest.what
        ),
        Some(widest) => format!(
            "with the widest bits that are allowed it {}, so this network needs more bits than these",
            widest.what
        ),
        None => "and with the widest bits that are allowed it cannot be made integer-only".into(),
    };
    let float = float.map_or(String::new(), |float| format!(" (float {})", float.what));
    opened.monitor.warn(format_args!(
        "what is delivered {} on held-out samples, hardly better than guessing{float}: {cause}",
        reached_now.what
    ));
    Ok(())
}

/// A network that is not better than guessing in float has most likely been fed wrongly.
pub fn warn_of_float(float: Option<&Measured>, opened: &Opened) {
    let Some(float) = float.and_then(by_labels).filter(|float| float.skill < LEAST_SKILL) else { return };
    let has_classes = matches!(opened.inputs.objective.task, Task::Classify | Task::Map);
    let classes = if has_classes { " and the class order" } else { "" };
    opened.monitor.warn(format_args!(
        "the float network {} on held-out samples, hardly better than guessing: check the preprocessing ({}), the channel \
         order{classes}",
        float.what,
        opened.inputs.preprocess.describe()
    ));
}
