//! The run folder: what lies in it, who may write it, and what each stage's files were made from.
//!
//! In reading order: [`names`], [`folder`] with its [`lock`], [`commit`] (changes that happen together), [`provenance`]
//! and [`ledger`] (what was made from what), [`journal`] (files that grow), [`config`] with [`learning`],
//! [`prepared_layers`], [`weights`], [`training`], [`events`].

pub mod commit;
pub mod config;
pub mod events;
pub mod folder;
pub mod journal;
pub mod learning;
pub mod ledger;
pub mod lock;
mod moves;
pub mod names;
pub mod prepared_layers;
pub mod provenance;
pub(crate) mod tensors;
pub mod training;
pub mod weights;

pub use commit::Commit;
pub use config::RunConfig;
pub use folder::RunFolder;
pub use journal::Journal;
pub use learning::{FinetuneConfig, ReconstructConfig};
pub use ledger::{Ledger, Stage};
pub use provenance::{Provenance, RESULTS_VERSION};
