//! In which order the kernels read and write: what the rules of placement rely on.

use bitesize_ir::code::Implementation;
use bitesize_ir::memory::LayerShape;
use bitesize_ir::op::KernelKind;
use std::ops::Range;

/// Pixels that 1x1 convolutions by rows compute together.
const PAIR: usize = 2;

/// The output pixels of `layer` that are computed together where it is computed alone, in order. Of a depthwise
/// convolution by rows these are `at_once` rows: its loop over the channels is the outer one.
pub(super) fn units(layer: &LayerShape, implementation: Implementation, at_once: usize) -> Vec<Range<usize>> {
    let (pixels, width) = (layer.output.pixels(), layer.output.w);
    let by_rows = implementation == Implementation::Rows;
    let together = match layer.kind {
        KernelKind::FullyConnected | KernelKind::Flatten | KernelKind::Concat => pixels,
        KernelKind::Add | KernelKind::Clamp => 1,
        KernelKind::Conv2d if layer.window.is_pointwise() => {
            if by_rows {
                PAIR
            } else {
                1
            }
        }
        KernelKind::DepthwiseConv2d if by_rows => at_once * width,
        KernelKind::Conv2d
        | KernelKind::DepthwiseConv2d
        | KernelKind::MaxPool
        | KernelKind::AveragePool
        | KernelKind::Pad => width,
    };
    (0..pixels).step_by(together.max(1)).map(|first| first..(first + together.max(1)).min(pixels)).collect()
}

/// Whether each of the [`units`] has read all it reads of an input, of `input` bytes a pixel, before it writes over
/// it an output of `output` bytes a pixel.
///
/// An elementwise layer reads a code and then writes one: where pixels of the output are no wider, a byte is written
/// after the codes of the input that lie there or before it were read. A 1x1 convolution by rows of one group has its
/// pixels as lanes before it writes.
pub(super) fn reads_first(layer: &LayerShape, implementation: Implementation, input: usize, output: usize) -> bool {
    match layer.kind {
        KernelKind::Add | KernelKind::Clamp => output <= input,
        KernelKind::Conv2d => {
            layer.window.is_pointwise() && implementation == Implementation::Rows && layer.groups == 1
        }
        KernelKind::DepthwiseConv2d
        | KernelKind::FullyConnected
        | KernelKind::Concat
        | KernelKind::MaxPool
        | KernelKind::AveragePool
        | KernelKind::Flatten
        | KernelKind::Pad => false,
    }
}

/// The pixels of an input of `layer`, numbered `input`, that its output `pixels` are computed from, ascending.
pub(super) fn reads(layer: &LayerShape, input: usize, pixels: Range<usize>) -> Vec<usize> {
    let (from, window, width) = (layer.inputs[input], &layer.window, layer.output.w);
    if matches!(layer.kind, KernelKind::FullyConnected | KernelKind::Flatten) {
        return (0..from.pixels()).collect();
    }
    let mut read = Vec::new();
    for (y, x) in pixels.map(|pixel| (pixel / width, pixel % width)) {
        for row in (0..window.kernel[0]).filter_map(|tap| window.source(0, y, tap, from.h)) {
            let columns = (0..window.kernel[1]).filter_map(|tap| window.source(1, x, tap, from.w));
            read.extend(columns.map(|column| row * from.w + column));
        }
    }
    read.sort_unstable();
    read.dedup();
    read
}
