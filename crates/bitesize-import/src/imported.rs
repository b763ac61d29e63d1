//! What reading a file gives.

use crate::layout::Layout;
use crate::output_order::OutputOrder;
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
    /// In which order the file has its output, and whether the network's output has it too.
    pub output_order: OutputOrder,
    /// What a user should know, a sentence each: as that a final Softmax is left out.
    pub notes: Vec<String>,
}

/// An input or output of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedTensor {
    /// As the file calls it.
    pub name: String,
    /// How its axes run over the network's NHWC tensor; the batch is 1. An output that was put into the file's order
    /// ([`OutputOrder`]) is one axis, whatever the file has.
    pub layout: Layout,
}
