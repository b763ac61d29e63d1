//! Some samples, loaded.

use crate::task::Labels;
use bitesize_ir::Shape;

/// Values of some samples, one after the other in NHWC order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Raw pixels, for networks whose first layer holds the preprocessing.
    Pixels(Vec<u8>),
    /// Preprocessed values.
    Reals(Vec<f32>),
}

/// Some samples, loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Their values, `labels.len() * shape.elements()` of them.
    pub values: Values,
    /// Their labels.
    pub labels: Labels,
    /// Shape of one sample.
    pub shape: Shape,
}

impl Batch {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The samples of `range` (which must lie within).
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let n = self.shape.elements();
        let values = match &self.values {
            Values::Pixels(v) => Values::Pixels(v[range.start * n..range.end * n].to_vec()),
            Values::Reals(v) => Values::Reals(v[range.start * n..range.end * n].to_vec()),
        };
        Self { values, labels: self.labels.slice(range), shape: self.shape }
    }

    /// All but the samples of which `is_left_out` says so.
    pub fn without(&self, is_left_out: impl Fn(usize) -> bool) -> Self {
        let n = self.shape.elements();
        let kept: Vec<usize> = (0..self.len()).filter(|sample| !is_left_out(*sample)).collect();
        let values = match &self.values {
            Values::Pixels(v) => Values::Pixels(kept.iter().flat_map(|i| &v[i * n..(i + 1) * n]).copied().collect()),
            Values::Reals(v) => Values::Reals(kept.iter().flat_map(|i| &v[i * n..(i + 1) * n]).copied().collect()),
        };
        Self { values, labels: self.labels.pick(kept.iter().copied()), shape: self.shape }
    }
}
