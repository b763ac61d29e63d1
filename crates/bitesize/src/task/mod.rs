//! What a network's output means, and how a network is judged by it.
//!
//! A task ([`kind`]) is asked for or follows from the network's tail and the labels ([`resolve`]). With the shape of the output it
//! is an [`objective`]: the [`loss`] that a search minimises, against the float network and without labels, and the figures
//! ([`metric`]) that a [`meter`] finds against [`labels`], whose arrays [`order`] brings to the output's order. [`form`] is what
//! outputs are compared as, [`variation`] how much they vary.

pub mod form;
pub mod kind;
pub mod labels;
pub mod loss;
pub mod meter;
pub mod metric;
pub mod objective;
pub mod order;
pub mod resolve;
mod stored;
pub mod variation;

pub use form::Form;
pub use kind::Task;
pub use labels::Labels;
pub use meter::{Measured, Meter};
pub use metric::Metric;
pub use objective::Objective;
