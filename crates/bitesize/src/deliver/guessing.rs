//! Warnings where a network is hardly better than guessing.

use super::opened::Opened;

/// Whether `accuracy`, in 0..=1, is hardly above that of guessing classes: by a tenth of what there is above it at most.
fn is_guessing(accuracy: f64, opened: &Opened) -> bool {
    let network = &opened.inputs.model.network;
    let chance = 1.0 / network.shape(network.output).elements() as f64;
    accuracy < chance + 0.1 * (1.0 - chance)
}

/// Few bits may leave a network that fits and knows nothing.
pub fn warn_of_delivered(accuracy: f64, float: f64, opened: &Opened) {
    if is_guessing(accuracy, opened) && !is_guessing(float, opened) {
        opened.monitor.warn(format_args!(
            "what is delivered classifies {:.1} % of held-out samples, hardly better than guessing (float: {:.1} %): this \
             network needs more bits than these",
            100.0 * accuracy,
            100.0 * float
        ));
    }
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
