//! What a reader of one format is told and hands over.

use crate::input::labels::StoredLabels;
use crate::input::layout::DataLayout;
use crate::input::preprocess::Preprocess;
use bitesize_import::Layout;
use bitesize_ir::Shape;
use std::path::PathBuf;

/// What a folder that holds both halves of a data set is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calibration, reward, training.
    Train,
    /// The final accuracy.
    Val,
}

/// What the network needs of its data.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Shape of the network's input.
    pub shape: Shape,
    /// How stored values become the network's.
    pub preprocess: &'a Preprocess,
    /// Class names in order, for class folders; `None` takes the order of the folder itself.
    pub classes: Option<&'a [String]>,
    /// How the file's own input runs over `shape`: samples may be stored so too. `None` takes channels last only.
    pub input: Option<&'a Layout>,
    /// Where the channels of an `.npz` are; told by its shape where `None`.
    pub layout: Option<DataLayout>,
}

impl<'a> Request<'a> {
    /// Samples of `shape`, channels last, classes in the order of the folder itself.
    pub fn new(shape: Shape, preprocess: &'a Preprocess) -> Self {
        Self { shape, preprocess, classes: None, input: None, layout: None }
    }
}

/// Where samples come from.
pub(crate) enum Source {
    /// Images of one shape, HWC, in memory.
    Images { shape: Shape, pixels: Vec<u8> },
    /// Preprocessed values in memory.
    Reals(Vec<f32>),
    /// Image files, decoded on demand.
    Files(Vec<PathBuf>),
}

/// What a reader of one format hands over.
pub(crate) struct Raw {
    /// The format's name.
    pub(crate) format: &'static str,
    /// The samples.
    pub(crate) source: Source,
    /// How many.
    pub(crate) samples: usize,
    /// As stored, without the offset; `None` where nothing is.
    pub(crate) labels: Option<StoredLabels>,
    /// How many classes there are.
    pub(crate) class_count: usize,
    /// What a user should know of what was not read, or not as it might be.
    pub(crate) warnings: Vec<String>,
}
