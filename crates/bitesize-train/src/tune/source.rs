//! Where samples come from, and what is done to them on the way, in a thread of its own.

use super::augment::augment;
use super::settings::Augmentation;
use super::targets::Targets;
use crate::TrainError;
use crate::engine::Boundary;
use bitesize_ir::Shape;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::sync::mpsc::sync_channel;

/// Labelled samples, loaded as they are asked for.
pub trait Source: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples `indices`, in that order, less those that cannot be had.
    ///
    /// # Errors
    /// A sentence, where nothing can be had any more.
    fn load(&self, indices: &[usize]) -> Result<Loaded, String>;
}

/// Some samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What the network reads, NHWC.
    pub values: LoadedValues,
    /// What is known of them.
    pub targets: Targets,
}

/// The values of [`Loaded`].
#[derive(Clone, Debug, PartialEq)]
pub enum LoadedValues {
    /// Raw pixels.
    Pixels(Vec<u8>),
    /// Preprocessed values.
    Reals(Vec<f32>),
}

impl LoadedValues {
    /// How many numbers they are.
    pub fn len(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.len(),
            Self::Reals(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Loaded {
    /// As the engine takes it.
    pub(super) fn boundary(&self) -> Boundary<'_> {
        match &self.values {
            LoadedValues::Pixels(pixels) => Boundary::Codes(pixels),
            LoadedValues::Reals(values) => Boundary::Values(values),
        }
    }

    /// How many samples of `input` elements there are.
    pub(crate) fn len(&self, input: Shape) -> usize {
        self.values.len() / input.elements()
    }
}

/// Batches that are ready before they are asked for, at most.
const AHEAD: usize = 2;

/// An epoch's samples, batch after batch.
pub(crate) struct Feed<'a> {
    pub(crate) source: &'a dyn Source,
    /// A whole number of batches.
    pub(crate) order: &'a [usize],
    pub(crate) batch: usize,
    pub(crate) augmentation: Augmentation,
    /// What lies outside of an image, for each channel.
    pub(crate) border: Vec<f32>,
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
}

impl Feed<'_> {
    /// Calls `take` with each batch; the next ones are loaded meanwhile.
    ///
    /// # Errors
    /// [`TrainError::Source`]; what `take` answers.
    pub(crate) fn for_each(&self, mut take: impl FnMut(&Loaded) -> Result<(), TrainError>) -> Result<(), TrainError> {
        std::thread::scope(|scope| {
            let (give, given) = sync_channel(AHEAD);
            scope.spawn(move || {
                for (number, indices) in self.order.chunks_exact(self.batch).enumerate() {
                    let loaded = self.source.load(indices).map(|loaded| self.augmented(loaded, number));
                    let failed = loaded.is_err();
                    // Nobody takes it any more where taking failed.
                    if give.send(loaded).is_err() || failed {
                        return;
                    }
                }
            });
            for loaded in given {
                take(&loaded.map_err(|problem| TrainError::Source { problem })?)?;
            }
            Ok(())
        })
    }

    fn augmented(&self, loaded: Loaded, number: usize) -> Loaded {
        if self.augmentation.is_none() {
            return loaded;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ number as u64);
        let size = self.shape.elements();
        let values = match loaded.values {
            LoadedValues::Pixels(pixels) => {
                let border: Vec<u8> = self.border.iter().map(|x| *x as u8).collect();
                let mut out = Vec::with_capacity(pixels.len());
                for image in pixels.chunks_exact(size) {
                    augment(&self.augmentation, (image, self.shape), &border, &mut rng, &mut out);
                }
                LoadedValues::Pixels(out)
            }
            LoadedValues::Reals(values) => {
                let mut out = Vec::with_capacity(values.len());
                for image in values.chunks_exact(size) {
                    augment(&self.augmentation, (image, self.shape), &self.border, &mut rng, &mut out);
                }
                LoadedValues::Reals(out)
            }
        };
        Loaded { values, ..loaded }
    }
}
