//! What a network's output means, and how a network is judged by it.
//!
//! A [`Task`] is asked for or follows from the network's tail and the labels ([`resolve`]). With the shape of the output it is
//! an [`Objective`]: the [`loss`] that a search minimises, against the float network and without labels, and the
//! [`metric`] that is told, against [`labels`].

mod figure;
mod form;
pub mod labels;
pub mod loss;
pub mod metric;
mod objective;
pub mod resolve;

pub use figure::Metric;
pub use form::Form;
pub use labels::Labels;
pub use metric::{Measured, Meter};
pub use objective::{Objective, Task};
