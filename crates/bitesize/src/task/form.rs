//! What outputs are, for comparing them.

/// What outputs are, for comparing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Scores of a distribution: Kullback-Leibler divergence of the softmax from float's, in nats, mean over pixels.
    Softmax,
    /// Logits: the same of the two outcomes of each, a sum over the outputs of a pixel, mean over pixels.
    Sigmoid,
    /// Values: squared error over the variance of the float network's output, channel by channel, mean over channels and
    /// pixels.
    Real,
}

impl Form {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::Real => "real",
        }
    }
}

/// Logarithms of the softmax of `row`.
pub(super) fn log_softmax(row: &mut [f64]) {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - highest).exp()).sum();
    row.iter_mut().for_each(|x| *x -= highest + sum.ln());
}
