//! Makes a trained convolutional network *bite-sized*: 2, 4 or 8 bits for every tensor, within the FLASH and RAM of a
//! microcontroller, as integer-only C that is proven to compute what the host says.
//!
//! The library is the command line without its flags:
//!
//! ```no_run
//! # fn run(config: bitesize::run::RunConfig) -> anyhow::Result<()> {
//! use bitesize::console::{Console, Verbosity};
//! use bitesize::inputs::Inputs;
//! use bitesize::run::RunFolder;
//!
//! let console = Console::new(Verbosity::Normal);
//! let inputs = Inputs::of_run(&config, config.data.val.as_deref(), &console)?;
//! let mut folder = RunFolder::create("out".as_ref())?;
//! let ending = bitesize::fit(&config, &inputs, &mut folder, &console)?;
//! # Ok(()) }
//! ```
//!
//! It joins the other crates and does no maths of its own: `bitesize-import` reads the network, `bitesize-ir` rewrites it
//! and counts bytes, `bitesize-train` calibrates and quantizes, `bitesize-search` chooses, `bitesize-integer` lowers and
//! interprets, `bitesize-codegen` emits, `bitesize-verify` proves.
//!
//! In reading order: [`fit()`] (the pipeline on a page), [`stages`], [`inputs`], [`data`], [`model`], [`platform`], [`quantize`],
//! [`measure`], [`judge`], [`choose`], [`pareto`], [`plot`], [`package`], [`sqnr`], [`report`], [`run`] (the run folder), [`inspect`], [`console`].
#![forbid(unsafe_code)]

pub mod choose;
pub mod console;
pub mod data;
mod fit;
pub mod inputs;
pub mod inspect;
pub mod judge;
pub mod measure;
pub mod model;
pub mod package;
pub mod pareto;
pub mod platform;
pub mod plot;
pub mod quantize;
pub mod report;
pub mod run;
pub mod sqnr;
pub mod stages;

pub use fit::fit;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All is well. Exit code 0.
    Done,
    /// The network does not fit. Exit code 3.
    DoesNotFit,
    /// The package does not compute what the host says. Exit code 4.
    Mismatch,
    /// The package could not be built for verification, which says nothing about what it computes. Exit code 1.
    NotBuilt,
}

/// Wrong usage: the command line cannot mean anything. Exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// [`Usage`] as an error of the binary.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}
