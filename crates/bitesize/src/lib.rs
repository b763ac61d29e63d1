//! Makes a trained convolutional network *bite-sized*: 2, 4 or 8 bits for every tensor, within the FLASH and RAM of a
//! microcontroller, as integer-only C that is proven to compute what the host says.
//!
//! The library is the command line without its flags:
//!
//! ```no_run
//! # fn run(config: bitesize::run::RunConfig) -> anyhow::Result<()> {
//! use bitesize::deliver::opened::{Opened, inputs_of};
//! use bitesize::observe::{Monitor, Unobserved};
//! use bitesize::run::RunFolder;
//! use bitesize::{Until, walk};
//!
//! let monitor = Monitor::new(&Unobserved);
//! let inputs = inputs_of(&config, Some(&config.data.train), config.data.val.as_deref(), &monitor)?;
//! let mut folder = RunFolder::create("out".as_ref())?;
//! let walked = walk(Opened { config: &config, inputs: &inputs, folder: &folder, monitor: &monitor }, Until::Proven)?;
//! folder.keep();
//! println!("{}", walked.report.summary());
//! # Ok(()) }
//! ```
//!
//! It joins the other crates and does no maths of its own: `bitesize-import` reads the network, `bitesize-ir` rewrites it
//! and counts bytes, `bitesize-train` calibrates and quantizes, `bitesize-search` chooses, `bitesize-integer` lowers and
//! interprets, `bitesize-codegen` emits, `bitesize-verify` proves.
//!
//! In reading order: [`walk()`] (the whole road on a page), [`deliver`] (its stages), [`input`] (network and data),
//! [`target`], [`run`] (the run folder), [`report`], [`scratch`] (float networks to begin with), [`finished()`] (whether there is anything left to do), [`try_rates()`] (what training does at other rates), [`observe`]
//! (whom the library tells, and who stops it), [`files`], [`hash`]. The command line is the program `cli/main.rs`.
#![forbid(unsafe_code)]

pub mod deliver;
mod ending;
pub mod files;
mod finished;
mod fit;
pub mod hash;
pub mod input;
pub mod observe;
mod rates;
pub mod report;
pub mod run;
pub mod scratch;
pub mod target;
pub mod task;

pub use ending::{Ending, Usage, usage};
pub use finished::{finished, prove_rest};
pub use fit::{Until, Walked, walk};
pub use rates::{RateTrial, suggested, try_rates};
