//! Warnings where a network is hardly better than guessing.

use super::opened::Opened;

/// Whether `accuracy`, in 0..=1, is hardly above that of guessing classes: by a tenth of what there is above it at most.
fn is_guessing(accuracy: f64, opened: &Opened) -> bool {
    let network = &opened.inputs.model.network;
    let chance = 1.0 / network.shape(network.output).elements() as f64;
    accuracy < chance + 0.1 * (1.0 - chance)
}

/// A network that was good and is delivered knowing nothing has too few bits, or was quantized by the wrong samples:
/// `at_widest` says how good it is with the widest widths that are allowed, `None` where it cannot be had so.
///
/// # Errors
/// Those of `at_widest`.
pub fn warn_of_delivered(
    accuracy: f64,
    float: f64,
    opened: &Opened,
    at_widest: impl FnOnce() -> anyhow::Result<Option<f64>>,
) -> anyhow::Result<()> {
    if !is_guessing(accuracy, opened) || is_guessing(float, opened) {
        return Ok(());
    }
    let cause = match at_widest()? {
        Some(widest) if is_guessing(widest, opened) => format!(
            "more bits do not help, it classifies {:.1} % with the widest that are allowed. Most likely the samples that \
             calibrated it are not like those held out, or some tensor's values do not suit the range that was found for it: \
             the warnings name such samples and tensors; try more --calibration-samples, and --ranges min-error",
            100.0 * widest
        ),
        Some(widest) => format!(
            "with the widest bits that are allowed it classifies {:.1} %, so this network needs more bits than these",
            100.0 * widest
        ),
        None => "and with the widest bits that are allowed it cannot be made integer-only".into(),
    };
    opened.monitor.warn(format_args!(
        "what is delivered classifies {:.1} % of held-out samples, hardly better than guessing (float: {:.1} %): {cause}",
        100.0 * accuracy,
        100.0 * float
    ));
    Ok(())
}

/// A network that is not better than guessing in float has most likely been fed wrongly.
pub fn warn_of_float(accuracy: f64, opened: &Opened) {
    if is_guessing(accuracy, opened) {
        opened.monitor.warn(format_args!(
            "the float network classifies {:.1} % of held-out samples, hardly better than guessing: check the \
             preprocessing ({}), the channel order and the class order",
            100.0 * accuracy,
            opened.inputs.preprocess.describe()
        ));
    }
}
