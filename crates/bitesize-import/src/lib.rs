//! Reads trained networks: the bytes of an ONNX file become a [`Network`](bitesize_ir::Network).
//!
//! ```no_run
//! let bytes = std::fs::read("model.onnx")?;
//! let beside_the_model = |location: &str| std::fs::read(location);
//! let imported = bitesize_import::import_onnx(&bytes, &beside_the_model, "model")?;
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
//!   of weights. A Gemm after a Flatten of `CxHxW` becomes a convolution with an `HxW` kernel.
//! - Names can be shown anywhere: what cannot be seen in them is written as its number ([`bitesize_ir::shown::name`]).
//! - The file is not trusted: no input makes it panic, or allocate more than the file's own size warrants.
//!
//! The network is as the file has it: batch-norms and clamps are separate nodes. `bitesize_ir::rewrite` joins them.
//!
//! In reading order: `proto` (the schema), `names` (how they are shown), `graph` (what holds a graph together), `layout`, `import` (the walk over
//! the nodes), `ops` (one row for each operator), `constant`.
#![forbid(unsafe_code)] // The file is untrusted.

mod builder;
mod constant;
mod error;
mod graph;
mod import;
mod imported;
mod layout;
mod names;
mod node;
mod ops;
mod proto;
#[cfg(test)]
mod tests;

pub use error::{ImportError, Refusal};
pub use imported::{Imported, ImportedTensor};
pub use layout::{Axis, Layout};

use std::io;

/// Reads an ONNX model of opset 7 to 22.
///
/// `external` gives the bytes of a file that holds weights beside the model; it gets the location as the model writes
/// it, a relative path that stays inside the model's folder. `name` becomes the network's name.
///
/// # Errors
/// [`ImportError`]. None of its texts names the file: the caller knows it.
pub fn import_onnx(
    bytes: &[u8],
    external: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    name: &str,
) -> Result<Imported, ImportError> {
    import::import(&graph::read(bytes)?, external, name)
}

/// The names of the ONNX operators that are understood, sorted.
pub fn supported_operators() -> impl Iterator<Item = &'static str> {
    import::operators()
}
