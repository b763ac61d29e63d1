//! MobileNetV2: inverted residuals (Sandler et al. 2018, table 2).

use super::builder::{Builder, InvertedResidual, Kernel, POINTWISE, divisible};
use bitesize_ir::op::Clamp;

/// Expansion, channels, number of blocks and stride of the first of them.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// Everything up to the pool. Numbers of channels are multiples of 8, and the last is 1280 at least, as in torchvision.
pub(super) fn stack(builder: &mut Builder, width: f64) {
    let activation = Clamp::RELU6;
    builder.conv("conv0", Kernel { size: 3, stride: 2 }, divisible(32.0 * width), activation);
    let mut number = 0;
    for (expansion, channels, blocks, first_stride) in STAGES {
        for block in 0..blocks {
            number += 1;
            let kernel = Kernel { size: 3, stride: if block == 0 { first_stride } else { 1 } };
            let channels = divisible(channels as f64 * width);
            let block = InvertedResidual { expansion, kernel, channels, activation };
            builder.inverted_residual(&format!("block{number}"), block);
        }
    }
    builder.conv("last", POINTWISE, divisible(1280.0 * width.max(1.0)), activation);
}
