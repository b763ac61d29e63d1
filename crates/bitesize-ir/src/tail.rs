//! What a network's source does to its output last and the integer network leaves out.

use std::fmt;

/// The function at a network's end that was left out: firmware reads its argument, the scores or values before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tail {
    /// `exp(x_c) / sum exp(x)` over the channels of a pixel.
    Softmax,
    /// The logarithm of [`Self::Softmax`].
    LogSoftmax,
    /// `1 / (1 + exp(-x))` of each value.
    Sigmoid,
    /// The hyperbolic tangent of each value.
    Tanh,
    /// The index of the highest channel of a pixel.
    ArgMax,
}

impl Tail {
    /// Every tail.
    pub const ALL: [Self; 5] = [Self::Softmax, Self::LogSoftmax, Self::Sigmoid, Self::Tanh, Self::ArgMax];

    /// As ONNX calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Softmax => "Softmax",
            Self::LogSoftmax => "LogSoftmax",
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::ArgMax => "ArgMax",
        }
    }

    /// The tail that ONNX calls `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tail| tail.name() == name)
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
