//! Reads trained networks: the bytes of an ONNX file become a [`Network`](bitesize_ir::Network); and writes what training made
//! ([`export_onnx`]).
//!
//! ```no_run
//! let bytes = std::fs::read("model.onnx")?;
//! let no_other_files = |_: &str, _: u64, _: usize| Err(std::io::ErrorKind::NotFound.into());
//! let imported = bitesize_import::import_onnx(&bytes, &no_other_files, "model")?;
//! println!("{}", imported.network);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the importer promises:
//!
//! - The network computes what the file says, exactly. Whatever cannot be expressed is refused, all of it at once,
//!   each with the node's name, the operator, the reason and a hint ([`ImportError`]). `docs/import.md` has the table.
//! - ONNX tensors may lie in any order of axes; the network is NHWC with OHWI weights. Transposes, Flatten, Reshape,
//!   Squeeze and Unsqueeze leave no nodes: what they do to the order is tracked ([`Layout`]) and ends up in the order
//!   of weights. A Gemm after a Flatten of `CxHxW` becomes a convolution with an `HxW` kernel. Only an output that the
//!   file flattens is put into the file's order by a node of its own ([`OutputOrder`]).
//! - Names can be shown anywhere: what cannot be seen in them is written as its number ([`bitesize_ir::shown::name`]).
//! - The file is not trusted: no input makes it panic. What decoding takes is counted before (`wire`), and all numbers
//!   that are made are paid for from one budget that grows with the file (`budget`).
//!
//! The network is as the file has it: batch-norms and clamps are separate nodes. `bitesize_ir::rewrite` joins them.
//!
//! In reading order: `proto` (the schema), `wire`, `budget`, `names` (how they are shown), `graph` (what holds one together),
//! `signature` (its inputs and outputs), `layout`, `readings`, `import` (the walk over the nodes), `ops` (one row for each
//! operator), `constant`, `external`.
#![forbid(unsafe_code)] // The file is untrusted.

mod budget;
mod builder;
mod constant;
mod error;
mod export;
mod external;
mod graph;
mod import;
mod imported;
mod input_shape;
mod layout;
mod names;
mod node;
mod ops;
mod output_order;
mod proto;
mod readings;
mod signature;
#[cfg(test)]
mod tests;
mod wire;

pub use bitesize_ir::Axis;
pub use error::{ImportError, Refusal};
pub use export::{ExportError, export_onnx};
pub use external::Read;
pub use imported::{Imported, ImportedTensor};
pub use input_shape::InputShape;
pub use layout::Layout;
pub use output_order::OutputOrder;

/// Reads an ONNX model of opset 7 to 25 whose input has a fixed size.
///
/// `external` gives bytes of a file that holds weights beside the model: it is asked for those of one tensor at a time,
/// by the location as the model writes it (a relative path that stays inside the model's folder), the offset, and the most
/// bytes that are wanted. `name` becomes the network's name.
///
/// # Errors
/// [`ImportError`]. None of its texts names the file: the caller knows it.
pub fn import_onnx(bytes: &[u8], external: &Read, name: &str) -> Result<Imported, ImportError> {
    import_onnx_sized(bytes, external, name, None)
}

/// As [`import_onnx`], the sizes that the file leaves open being those of `input_shape`.
///
/// # Errors
/// As [`import_onnx`]; an `input_shape` that is not the file's.
pub fn import_onnx_sized(
    bytes: &[u8],
    external: &Read,
    name: &str,
    input_shape: Option<&InputShape>,
) -> Result<Imported, ImportError> {
    import::import(graph::read(bytes, input_shape)?, external, name)
}

/// The names of the ONNX operators that are understood, sorted.
pub fn supported_operators() -> impl Iterator<Item = &'static str> {
    import::operators()
}
