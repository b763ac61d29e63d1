//! Layers on which instructions are measured.

use crate::counted::{Measured, conv, plain, window, windowed};
use bitesize_ir::BitWidth;
use bitesize_ir::code::{Implementation, KernelKey};
use bitesize_ir::memory::{CallWidths, LayerShape};
use bitesize_ir::op::KernelKind;
use bitesize_ir::shape::{Pads, Window};

/// The shapes that stand for a kind: what they do differs in as many ways as there are figures to find, and resembles what
/// networks have.
fn shapes(kind: KernelKind) -> Vec<LayerShape> {
    let tall = Window { stride: [2, 2], pads: Pads { top: 4, left: 1, bottom: 5, right: 1 }, ..Window::of([10, 4]) };
    let wide = Window { dilation: [2, 2], pads: Pads::all(2), ..Window::of([3, 3]) };
    match kind {
        KernelKind::Conv2d => vec![
            conv(window([1, 1], 1, 0), 1, [12, 12, 16], 32),
            conv(window([1, 1], 1, 0), 1, [6, 6, 64], 48),
            conv(window([1, 1], 1, 0), 1, [4, 4, 128], 20),
            conv(window([1, 1], 1, 0), 1, [9, 9, 10], 7),
            conv(window([1, 1], 1, 0), 1, [16, 16, 8], 40),
            conv(window([1, 1], 2, 0), 1, [12, 12, 24], 36),
            conv(window([3, 3], 1, 1), 1, [10, 10, 16], 16),
            conv(window([3, 3], 2, 1), 1, [24, 24, 3], 8),
            conv(window([3, 3], 2, 1), 1, [16, 16, 3], 32),
            conv(window([3, 3], 1, 1), 1, [5, 5, 32], 33),
            conv(window([3, 3], 1, 0), 1, [12, 12, 1], 16),
            conv(window([5, 5], 1, 2), 1, [8, 8, 4], 12),
            conv(tall, 1, [25, 5, 1], 64),
            conv(tall, 1, [49, 10, 1], 16),
            conv(wide, 1, [8, 8, 6], 12),
            conv(window([3, 3], 1, 1), 2, [8, 8, 16], 16),
            conv(window([1, 1], 1, 0), 4, [8, 8, 32], 16),
        ],
        KernelKind::DepthwiseConv2d => {
            let depthwise = |window, [h, w, c]: [usize; 3]| windowed(kind, window, 1, [h, w, c], c);
            vec![
                depthwise(window([3, 3], 1, 1), [12, 12, 16]),
                depthwise(window([3, 3], 1, 1), [3, 3, 64]),
                depthwise(window([3, 3], 1, 1), [6, 6, 32]),
                depthwise(window([3, 3], 1, 1), [40, 20, 8]),
                depthwise(window([3, 3], 2, 1), [24, 24, 8]),
                depthwise(window([3, 3], 2, 1), [6, 6, 48]),
                depthwise(window([3, 3], 2, 1), [48, 48, 4]),
                depthwise(window([3, 3], 1, 1), [9, 9, 14]),
                depthwise(window([3, 3], 1, 1), [9, 9, 5]),
                depthwise(window([5, 5], 1, 2), [10, 10, 8]),
                depthwise(window([5, 5], 2, 2), [8, 8, 24]),
                depthwise(window([7, 7], 1, 3), [7, 7, 8]),
                depthwise(wide, [10, 10, 8]),
                depthwise(window([2, 2], 2, 0), [12, 12, 12]),
                depthwise(window([1, 1], 1, 0), [16, 16, 16]),
            ]
        }
        KernelKind::FullyConnected => [(64, 10), (256, 16), (100, 33), (37, 64), (512, 8), (20, 150), (10, 12)]
            .map(|(input, out)| plain(kind, &[[1, 1, input]], [1, 1, out]))
            .to_vec(),
        KernelKind::Add => [[8, 8, 16], [4, 4, 61], [16, 16, 3], [20, 20, 8]].map(|s| plain(kind, &[s, s], s)).to_vec(),
        KernelKind::Clamp => [[8, 8, 16], [4, 4, 61], [16, 16, 3]].map(|s| plain(kind, &[s], s)).to_vec(),
        KernelKind::Concat => [[8, 8, 16], [4, 4, 61], [16, 16, 3]].map(|s| plain(kind, &[s], s)).to_vec(),
        KernelKind::Flatten => {
            [[8, 8, 16], [4, 4, 61], [16, 16, 3]].map(|[h, w, c]| plain(kind, &[[h, w, c]], [1, 1, h * w * c])).to_vec()
        }
        KernelKind::Pad => [[8, 8, 16], [4, 4, 61], [16, 16, 3], [5, 9, 8]]
            .map(|[h, w, c]| plain(kind, &[[h, w, c]], [h + 2, w + 2, c]))
            .to_vec(),
        KernelKind::MaxPool | KernelKind::AveragePool => {
            let pool = |window, [h, w, c]: [usize; 3]| windowed(kind, window, 1, [h, w, c], c);
            vec![
                pool(window([2, 2], 2, 0), [12, 12, 8]),
                pool(window([3, 3], 1, 1), [6, 6, 17]),
                pool(window([8, 8], 8, 0), [8, 8, 64]),
                pool(window([4, 4], 4, 0), [16, 16, 10]),
                pool(window([3, 3], 2, 0), [15, 15, 4]),
                pool(window([25, 5], 5, 0), [25, 5, 32]),
            ]
        }
    }
}

/// The combinations of widths that a kind has a kernel for.
fn combinations(kind: KernelKind) -> Vec<CallWidths> {
    KernelKey::all()
        .into_iter()
        .filter(|key| key.kind == kind)
        .map(|key| CallWidths { input: key.input, second: key.second, output: key.output })
        .collect()
}

/// Layers of a kind as kernels of their widths, at every combination.
pub(super) fn whole(kind: KernelKind) -> Vec<Vec<Measured>> {
    let of_widths = |widths| {
        let measured = |layer| Measured { layer, widths, implementation: Implementation::Whole };
        shapes(kind).into_iter().map(measured).collect()
    };
    combinations(kind).into_iter().map(of_widths).collect()
}

/// Layers of a kind by rows, at every combination of two of the three widths: stages know one.
pub(super) fn rows(kind: KernelKind) -> Vec<Measured> {
    let latin = |widths: &CallWidths| {
        let second = widths.second.map_or(0, BitWidth::index);
        (widths.input.index() + second + widths.output.index()).is_multiple_of(3)
    };
    let shapes = shapes(kind).into_iter().filter(|layer| layer.groups == 1 || layer.output.c / layer.groups % 4 == 0);
    let of_shape = |layer: LayerShape| {
        combinations(kind).into_iter().filter(latin).map(move |widths| Measured {
            layer: layer.clone(),
            widths,
            implementation: Implementation::Rows,
        })
    };
    shapes.flat_map(of_shape).collect()
}
