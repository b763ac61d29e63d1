//! What moves weights beside their gradients.

/// What moves weights, beside their gradients and rates; nothing else by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pull {
    /// What is taken off a weight in a step, as a share of it and of the rate.
    pub(crate) decay: f32,
    /// How strongly a weight is drawn to the level that it rounds to: the rate at which its distance falls, as a share of the rate.
    pub(crate) dampening: f32,
    /// From which frequency on a weight that goes to and fro is frozen.
    pub(crate) threshold: Option<f32>,
}
