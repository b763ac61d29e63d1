//! MNasNet-B1 (Tan et al. 2019, figure 7 without squeeze-and-excitation), as torchvision's `mnasnet1_0` has it.

use super::builder::{Builder, InvertedResidual, Kernel, POINTWISE, divisible};
use bitesize_ir::op::Clamp;

/// Expansion, size of the kernel, channels, number of blocks and stride of the first of them.
const STAGES: [(usize, usize, usize, usize, usize); 6] =
    [(3, 3, 24, 3, 2), (3, 5, 40, 3, 2), (6, 5, 80, 3, 2), (6, 3, 96, 2, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)];

/// Everything up to the pool. Numbers of channels are multiples of 8, and the last is 1280 whatever the width.
pub(super) fn stack(builder: &mut Builder, width: f64) {
    let activation = Clamp::RELU;
    let scaled = |channels: usize| divisible(channels as f64 * width);
    builder.conv("conv0", Kernel { size: 3, stride: 2 }, scaled(32), activation);
    builder.depthwise("separable.depthwise", Kernel { size: 3, stride: 1 }, activation);
    builder.conv("separable.pointwise", POINTWISE, scaled(16), Clamp::NONE);
    let mut number = 0;
    for (expansion, size, channels, blocks, first_stride) in STAGES {
        for block in 0..blocks {
            number += 1;
            let kernel = Kernel { size, stride: if block == 0 { first_stride } else { 1 } };
            let block = InvertedResidual { expansion, kernel, channels: scaled(channels), activation };
            builder.inverted_residual(&format!("block{number}"), block);
        }
    }
    builder.conv("last", POINTWISE, 1280, activation);
}
