//! What reading a file gives.

use crate::layout::Layout;
use bitesize_ir::Network;

/// A network that was read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Validated; its input is [`bitesize_ir::InputEncoding::Real`].
    pub network: Network,
    /// The file's input.
    pub input: ImportedTensor,
    /// The file's output.
    pub output: ImportedTensor,
    /// What a user should know, a sentence each: as that a final Softmax is left out.
    pub notes: Vec<String>,
}

/// An input or output of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedTensor {
    /// As the file calls it.
    pub name: String,
    /// How its axes run over the network's NHWC tensor; the batch is 1.
    pub layout: Layout,
}
