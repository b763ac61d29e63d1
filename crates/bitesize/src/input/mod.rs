//! What a run is made from: the network, the data, and how stored values become the network's.
//!
//! In reading order: [`inputs`] (everything, opened and checked against each other), [`model`], [`zoo`] (networks without a file), [`dataset`] (labelled
//! samples, whatever they are stored as) with [`batch`], [`preprocess`], [`pixels`], `decode`, [`split`] (which samples serve what).
//! `layout` says where channels are. [`formats`] finds out what a path holds; a file of it for each.

pub mod batch;
pub mod dataset;
mod decode;
pub mod error;
pub mod formats;
pub mod inputs;
pub(crate) mod labels;
mod layout;
pub mod model;
pub mod pixels;
pub mod preprocess;
pub mod split;
mod webp;
pub mod zoo;

pub use batch::{Batch, Values};
pub use dataset::Dataset;
pub use error::DataError;
pub use formats::{Request, Role, class_order};
pub use inputs::{Inputs, Sources};
pub use layout::DataLayout;
pub use model::Model;
pub use preprocess::{Channels, PerChannel, Preprocess, PreprocessFile};
pub use split::{Shares, Split};
