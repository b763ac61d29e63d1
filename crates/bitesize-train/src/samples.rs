//! Batches of images as the caller holds them, and what the network's input tensor makes of them.

use crate::TrainError;
use bitesize_ir::{InputEncoding, Network, Shape};
use std::ops::Range;

/// Images in NHWC order, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Of one image.
    pub shape: Shape,
    /// One image after the other.
    pub values: SampleValues<'a>,
}

/// The elements of [`Samples`].
#[derive(Clone, Copy, Debug)]
pub enum SampleValues<'a> {
    /// Raw pixels, for networks whose input is [`InputEncoding::Pixels`].
    Pixels(&'a [u8]),
    /// Preprocessed values, for networks whose input is [`InputEncoding::Real`].
    Real(&'a [f32]),
}

impl<'a> Samples<'a> {
    /// Raw pixels of images of `shape`.
    pub fn pixels(shape: Shape, values: &'a [u8]) -> Self {
        Self { shape, values: SampleValues::Pixels(values) }
    }

    /// Preprocessed values of images of `shape`.
    pub fn real(shape: Shape, values: &'a [f32]) -> Self {
        Self { shape, values: SampleValues::Real(values) }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        let elements = match self.values {
            SampleValues::Pixels(v) => v.len(),
            SampleValues::Real(v) => v.len(),
        };
        elements / self.shape.elements()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The images of `range`.
    ///
    /// # Panics
    /// Where the range passes the end.
    pub fn range(&self, range: Range<usize>) -> Self {
        let size = self.shape.elements();
        let elements = range.start * size..range.end * size;
        let values = match self.values {
            SampleValues::Pixels(v) => SampleValues::Pixels(&v[elements]),
            SampleValues::Real(v) => SampleValues::Real(&v[elements]),
        };
        Self { shape: self.shape, values }
    }

    /// Checks that the images are what `network` takes.
    ///
    /// # Errors
    /// [`TrainError::Samples`] that says what differs.
    pub fn check(&self, network: &Network) -> Result<(), TrainError> {
        let input = network.tensor(network.input);
        let fail = |problem: String| Err(TrainError::Samples { input: input.name.clone(), problem });
        if self.shape != input.shape {
            return fail(format!("the network takes {}, the images are {}", input.shape, self.shape));
        }
        let elements = match self.values {
            SampleValues::Pixels(v) => v.len(),
            SampleValues::Real(v) => v.len(),
        };
        if elements % self.shape.elements() != 0 {
            return fail(format!("{elements} values are not a whole number of images of {}", self.shape));
        }
        match (&network.input_encoding, self.values) {
            (InputEncoding::Pixels { .. }, SampleValues::Real(_)) => {
                fail("the network takes raw pixels, real values were given".into())
            }
            (InputEncoding::Real, SampleValues::Pixels(_)) => {
                fail("the network takes real values, raw pixels were given".into())
            }
            (InputEncoding::Real, SampleValues::Real(values)) if values.iter().any(|v| !v.is_finite()) => {
                fail("a value is NaN or infinite".into())
            }
            _ => Ok(()),
        }
    }

    /// The input tensor's real values.
    pub(crate) fn to_real(self, network: &Network) -> Vec<f32> {
        match (&network.input_encoding, self.values) {
            (InputEncoding::Pixels { offset }, SampleValues::Pixels(pixels)) => {
                let offset: Vec<f32> = offset.iter().map(|o| *o as f32).collect();
                pixels
                    .chunks_exact(offset.len())
                    .flat_map(|p| p.iter().zip(&offset))
                    .map(|(x, o)| f32::from(*x) - o)
                    .collect()
            }
            (_, SampleValues::Pixels(pixels)) => pixels.iter().map(|x| f32::from(*x)).collect(),
            (_, SampleValues::Real(values)) => values.to_vec(),
        }
    }
}

/// The class of each of `outputs` rows of `classes` values: the lowest index of the highest value.
pub fn top1(outputs: &[f32], classes: usize) -> Vec<usize> {
    outputs
        .chunks_exact(classes)
        .map(|row| (1..classes).fold(0, |best, i| if row[i] > row[best] { i } else { best }))
        .collect()
}

/// The share of `outputs` rows whose class is that of `labels`, in 0..=1; 0 where there are none.
pub fn accuracy(outputs: &[f32], classes: usize, labels: &[usize]) -> f64 {
    let hits = top1(outputs, classes).iter().zip(labels).filter(|(class, label)| class == label).count();
    hits as f64 / labels.len().max(1) as f64
}
