//! Post-training quantization: weight levels, scales and corrected biases for any policy.

mod bias;
mod checks;
mod layer;
mod moments;
mod nearest;
mod prepare;
mod rounding;
mod sequential;
mod settings;
mod statistics;
mod tiles;

pub(crate) use checks::check;
pub use nearest::quantize_nearest;
pub use prepare::{PrepareRequest, PreparedLayer, Ptq, Variant};
pub use settings::{PtqSettings, Rounding};
