//! MobileNetV1: depthwise and pointwise convolutions in turn (Howard et al. 2017, table 1).

use super::builder::{Builder, Kernel, POINTWISE};
use bitesize_ir::op::Clamp;

/// Channels and stride of each pair of a depthwise and a pointwise convolution.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// Everything up to the pool. Numbers of channels are rounded down, and are at least 8, as in TensorFlow's own models.
pub(super) fn stack(builder: &mut Builder, width: f64) {
    let scaled = |channels: usize| ((channels as f64 * width) as usize).max(8);
    builder.conv("conv0", Kernel { size: 3, stride: 2 }, scaled(32), Clamp::RELU);
    for (number, (channels, stride)) in (1..).zip(BLOCKS) {
        builder.depthwise(&format!("block{number}.depthwise"), Kernel { size: 3, stride }, Clamp::RELU);
        builder.conv(&format!("block{number}.pointwise"), POINTWISE, scaled(channels), Clamp::RELU);
    }
}
