//! How often each loop of a kernel or stage turns for a layer: what its instructions are counted by.
//!
//! Instructions of a layer are a sum over the code that it calls, and of each over what that code does: so many for each
//! call, each window, each word of weights. How often these happen follows from shapes and widths alone and is worked out
//! here, from the loops in `runtime/*.h`; how many instructions each takes on a core is measured (`cargo xtask
//! instruction-costs`) and stands in the core's file under `[instructions]`, in the order of [`work_names`].

use super::ram::{COLUMNS, scratch_of_layer};
use crate::code::{Code, Implementation, KernelKey, Role, Stage, StageKind};
use crate::grid::BitWidth;
use crate::network::{Network, Node};
use crate::op::{KernelKind, Op};
use crate::shape::{Shape, Window};

/// Output channels that are multiplied before their codes are packed; `runtime/stages.h` has the same number.
const TILE: usize = 32;

/// A layer as its loops see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// What it computes.
    pub kind: KernelKind,
    /// The window that slides over the input; one pixel where none does.
    pub window: Window,
    /// Groups of channels; 1 where there are none.
    pub groups: usize,
    /// Its inputs.
    pub inputs: Vec<Shape>,
    /// Its output.
    pub output: Shape,
}

impl LayerShape {
    /// That of `node`; `None` where it has no kernel.
    pub fn of(network: &Network, node: &Node) -> Option<Self> {
        let (window, groups) = match &node.op {
            Op::Conv2d(op) => (op.window, op.groups),
            Op::DepthwiseConv2d(op) => (op.window, 1),
            Op::MaxPool(window) => (*window, 1),
            Op::AveragePool(op) => (op.window, 1),
            Op::FullyConnected(_)
            | Op::Add(_)
            | Op::Concat
            | Op::Clamp(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::ChannelAffine(_) => (Window::of([1, 1]), 1),
        };
        Some(Self {
            kind: node.op.kernel_kind()?,
            window,
            groups,
            inputs: node.inputs.iter().map(|input| network.shape(*input)).collect(),
            output: network.shape(node.output),
        })
    }

    /// Codes under one window of one group.
    fn length(&self) -> usize {
        self.window.area() * (self.inputs[0].c / self.groups)
    }

    fn out_per_group(&self) -> usize {
        self.output.c / self.groups
    }
}

/// The widths of a layer's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallWidths {
    /// Of the input that the call reads first.
    pub input: BitWidth,
    /// Of the weights, or of the second input of an addition; `None` where there is neither.
    pub second: Option<BitWidth>,
    /// Of the output.
    pub output: BitWidth,
}

/// What the code of one call does, by piece of code: numbers in the order of [`work_names`]. `input` is the number of the input
/// that a concatenation's call copies; 0 of all others.
pub fn work(
    layer: &LayerShape,
    implementation: Implementation,
    input: usize,
    widths: CallWidths,
) -> Vec<(Code, Vec<f64>)> {
    let rows = implementation == Implementation::Rows;
    match (layer.kind, rows, widths.second) {
        (KernelKind::Conv2d, true, Some(bits)) => conv2d_rows(layer, widths, bits),
        (KernelKind::DepthwiseConv2d, true, Some(bits)) => depthwise_rows(layer, widths, bits),
        (KernelKind::FullyConnected, true, Some(bits)) => fully_connected_rows(layer, widths, bits),
        _ => {
            let key = KernelKey { kind: layer.kind, input: widths.input, second: widths.second, output: widths.output };
            vec![(Code::Kernel(key), whole(layer, input, widths))]
        }
    }
}

/// What the numbers of [`work`] count for the code of a role.
pub fn work_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Kernel(KernelKind::Conv2d) => &CONV2D,
        Role::Kernel(KernelKind::DepthwiseConv2d) => &DEPTHWISE,
        Role::Kernel(KernelKind::FullyConnected) => &FULLY_CONNECTED,
        Role::Kernel(KernelKind::Add | KernelKind::Clamp | KernelKind::Concat) => &["call", "pixel", "code"],
        Role::Kernel(KernelKind::Pad) => &["call", "pixel", "code", "padding code"],
        Role::Kernel(KernelKind::Flatten) => &["call", "row", "code"],
        Role::Kernel(KernelKind::MaxPool | KernelKind::AveragePool) => &["call", "pixel", "code", "row", "tap"],
        Role::Stage(StageKind::Conv2dRows) => &CONV2D_ROWS,
        Role::Stage(StageKind::DepthwiseConv2dRows) => &DEPTHWISE_ROWS,
        Role::Stage(StageKind::FullyConnectedRows) => &["call", "word cleared", "tile"],
        Role::Stage(StageKind::GatherLanes) => &["call", "run", "word", "code alone"],
        Role::Stage(StageKind::MultiplyPixels | StageKind::MultiplyVector) => &MULTIPLY,
        Role::Stage(StageKind::Pack) => &["call", "word", "last codes"],
        Role::Stage(StageKind::Spread) => &SPREAD,
        Role::Stage(StageKind::Levels) => &["call", "word"],
        Role::Stage(StageKind::PackStrip) => &["call", "pixel", "pixel of fewer channels"],
    }
}

const CONV2D: [&str; 10] = [
    "call",
    "window",
    "tap",
    "code gathered",
    "padding code",
    "code summed",
    "pair of channels",
    "step of a pair",
    "last code of a pair",
    "output code",
];
const DEPTHWISE: [&str; 7] = ["call", "pixel", "strip", "run of taps", "tap", "tap of one channel", "output code"];
const FULLY_CONNECTED: [&str; 7] = [
    "call",
    "code gathered",
    "code summed",
    "pair of channels",
    "step of a pair",
    "last code of a pair",
    "output code",
];
const CONV2D_ROWS: [&str; 10] = [
    "call",
    "word cleared",
    "row",
    "pair of pixels",
    "window",
    "tap apart",
    "padding",
    "padding code",
    "tile",
    "pixel packed",
];
const DEPTHWISE_ROWS: [&str; 10] = [
    "call",
    "strip",
    "row",
    "run of pixels",
    "channel",
    "window of 3x3",
    "pair of windows of 3x3",
    "window",
    "column of a window",
    "tap pair",
];
const MULTIPLY: [&str; 5] = ["call", "lane summed", "pair of channels", "word", "channel alone"];
const SPREAD: [&str; 5] = ["call", "run", "column of two rows", "column of three rows", "column of fewer channels"];

/// How the taps along one axis fall at one position: before the image, inside, behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taps {
    before: usize,
    inside: usize,
    after: usize,
}

impl Taps {
    fn outside(self) -> usize {
        self.before + self.after
    }
}

/// The taps along `axis` (0 vertical, 1 horizontal) at each of `positions`, over an image of `size`.
fn taps(window: &Window, axis: usize, positions: usize, size: usize) -> impl Iterator<Item = Taps> {
    (0..positions).map(move |at| {
        let inside = |tap: &usize| window.source(axis, at, *tap, size).is_some();
        let kernel = window.kernel[axis];
        let count = (0..kernel).filter(inside).count();
        let before =
            (0..kernel).take_while(|tap| at * window.stride[axis] + tap * window.dilation[axis] < pad(window, axis));
        // A dilated window may step over a small image: what is not inside then counts as before it.
        let before = if count == 0 { kernel } else { before.count() };
        Taps { before, inside: count, after: kernel - before - count }
    })
}

fn pad(window: &Window, axis: usize) -> usize {
    if axis == 0 { window.pads.top } else { window.pads.left }
}

/// Work of a kernel of the layer's widths.
fn whole(layer: &LayerShape, input: usize, widths: CallWidths) -> Vec<f64> {
    let (shape, output) = (layer.inputs[input], layer.output);
    let pixels = output.pixels();
    let inside = || {
        let rows = taps(&layer.window, 0, output.h, shape.h).map(|taps| taps.inside).sum::<usize>();
        let columns = taps(&layer.window, 1, output.w, shape.w).map(|taps| taps.inside).sum::<usize>();
        (rows, columns)
    };
    // Of `vectors` of `length` codes: what is summed up for 2-bit weights, pairs of output channels, and the steps of their
    // inner loop, of which each takes a byte of weights, but for the last codes.
    let products = |vectors: usize, per_group: usize, length: usize| {
        let per_step = widths.second.map_or(1, |bits| 8 / usize::from(bits.bits()));
        let summed = if widths.second == Some(BitWidth::B2) { vectors * length } else { 0 };
        let pairs = vectors * per_group.div_ceil(2);
        [summed, pairs, pairs * (length / per_step), pairs * (length % per_step)]
    };
    let counts = match layer.kind {
        KernelKind::Conv2d => {
            let windows = pixels * layer.groups;
            let gathers = scratch_of_layer(layer, Implementation::Whole, widths.input) > 0;
            let (rows, columns) = inside();
            let codes = rows * columns * shape.c;
            let taps = windows * layer.window.area();
            let [taps, codes, padding] = if gathers { [taps, codes, windows * layer.length() - codes] } else { [0; 3] };
            let counts = vec![1, windows, taps, codes, padding];
            let products = products(windows, layer.out_per_group(), layer.length());
            counts.into_iter().chain(products).chain([pixels * output.c]).collect()
        }
        KernelKind::DepthwiseConv2d => {
            let (strips, alone) = (output.c / 4, output.c % 4);
            let taps_at = |axis| taps(&layer.window, axis, [output.h, output.w][axis], [shape.h, shape.w][axis]);
            // Rows in the image have a run of taps in it and one or two in the padding beside it.
            let runs = |taps: Taps| 1 + usize::from(taps.before > 0) + usize::from(taps.after > 0);
            let columns: Vec<Taps> = taps_at(1).collect();
            let of_inside = columns.iter().map(|taps| if taps.inside > 0 { runs(*taps) } else { 1 }).sum::<usize>();
            let runs = taps_at(0).map(|rows| rows.inside * of_inside + rows.outside() * columns.len()).sum::<usize>();
            let taps = pixels * layer.window.area();
            vec![1, pixels, pixels * strips, runs * (strips + alone), taps * strips, taps * alone, pixels * output.c]
        }
        KernelKind::FullyConnected => {
            let gathered = if widths.input == BitWidth::B8 { 0 } else { shape.c };
            [1, gathered].into_iter().chain(products(1, output.c, shape.c)).chain([output.c]).collect()
        }
        KernelKind::Add | KernelKind::Clamp | KernelKind::Concat => vec![1, shape.pixels(), shape.elements()],
        KernelKind::Pad => vec![1, pixels, shape.elements(), output.elements() - shape.elements()],
        // The usual order goes along the rows of each channel.
        KernelKind::Flatten => vec![1, shape.c * shape.h, output.elements()],
        KernelKind::MaxPool | KernelKind::AveragePool => {
            let (rows, columns) = inside();
            vec![1, pixels, pixels * output.c, rows * output.w * output.c, rows * columns * output.c]
        }
    };
    counts.into_iter().map(|count| count as f64).collect()
}

/// One stage with what it does.
fn piece(kind: StageKind, bits: Option<BitWidth>, counts: &[usize]) -> (Code, Vec<f64>) {
    (Code::Stage(Stage { kind, bits }), counts.iter().map(|count| *count as f64).collect())
}

/// What a gather stage does: runs of codes, and where in their word they start.
#[derive(Default)]
struct Gather {
    calls: usize,
    runs: usize,
    words: usize,
    alone: usize,
}

impl Gather {
    /// `times` calls of `runs` runs of `count` codes of `bits`, the first of them code `first` of its row, after `lanes`
    /// codes of the same window.
    fn call(&mut self, times: usize, bits: BitWidth, [runs, count, first, lanes]: [usize; 4]) {
        self.calls += times;
        self.runs += times * runs;
        for run in 0..runs {
            let per_word = 32 / usize::from(bits.bits());
            let whole_byte = (first * usize::from(bits.bits())).is_multiple_of(8);
            let even = (lanes + run * count).is_multiple_of(2);
            let words = if bits == BitWidth::B8 || whole_byte && even { count / per_word } else { 0 };
            self.words += times * words;
            self.alone += times * (count - words * per_word);
        }
    }
}

fn conv2d_rows(layer: &LayerShape, widths: CallWidths, weights: BitWidth) -> Vec<(Code, Vec<f64>)> {
    // A pointwise window has one row of all pixels.
    let image = layer.inputs[0];
    let one_row = layer.window.is_pointwise() && image.pixels() <= usize::from(u16::MAX);
    let flat = |shape: Shape| if one_row { Shape::new(1, shape.pixels(), shape.c) } else { shape };
    let (window, image, output) = (&layer.window, flat(image), flat(layer.output));
    let kernel_w = window.kernel[1];
    let in_per_group = image.c / layer.groups;
    let is_whole_bytes = (image.c * usize::from(widths.input.bits())).is_multiple_of(8);
    let joined = layer.groups == 1 && window.dilation[1] == 1 && is_whole_bytes;

    let mut gather = Gather::default();
    let (mut apart, mut paddings, mut padding_codes) = (0, 0, 0);
    let columns: Vec<Taps> = taps(window, 1, output.w, image.w).collect();
    let rows: Vec<Taps> = taps(window, 0, output.h, image.h).collect();
    for (rows, rows_times) in tally(&rows) {
        for (columns, columns_times) in tally(&columns) {
            let times = rows_times * columns_times;
            for group in 0..layer.groups {
                let first = group * in_per_group;
                let mut lanes = rows.before * kernel_w * in_per_group;
                paddings += times * (usize::from(rows.before > 0) + usize::from(rows.after > 0));
                if joined && columns.outside() == 0 {
                    if rows.inside > 0 {
                        gather.call(times, widths.input, [rows.inside, kernel_w * in_per_group, first, lanes]);
                    }
                } else {
                    for _ in 0..rows.inside {
                        lanes += columns.before * in_per_group;
                        for _ in 0..columns.inside {
                            gather.call(times, widths.input, [1, in_per_group, first, lanes]);
                            lanes += in_per_group;
                        }
                        lanes += columns.after * in_per_group;
                    }
                    apart += times * rows.inside * kernel_w;
                    paddings += times * rows.inside * columns.outside();
                }
                let outside = rows.outside() * kernel_w + rows.inside * columns.outside();
                padding_codes += times * outside * in_per_group;
            }
        }
    }

    // An output of 8 bits without a clamp is written at once: clamps that leave all codes are the usual ones.
    let at_once = widths.output == BitWidth::B8;
    let (pairs_of_pixels, pixels) = (output.h * output.w.div_ceil(2) * layer.groups, output.pixels() * layer.groups);
    let out = layer.out_per_group();
    let tiles = if at_once { 1 } else { out.div_ceil(TILE) };
    let packs = if at_once { 0 } else { tiles };
    let cleared = layer.length().next_multiple_of(super::LANES);
    let (words, last) = pack_words(out);
    vec![
        piece(
            StageKind::Conv2dRows,
            None,
            &[
                1,
                cleared,
                output.h,
                pairs_of_pixels,
                pixels,
                apart,
                paddings,
                padding_codes,
                pairs_of_pixels * tiles,
                pixels * packs,
            ],
        ),
        piece(StageKind::GatherLanes, Some(widths.input), &[gather.calls, gather.runs, gather.words, gather.alone]),
        piece(
            StageKind::MultiplyPixels,
            Some(weights),
            &multiply(pairs_of_pixels, tiles, out, layer.length(), weights),
        ),
        piece(
            StageKind::Pack,
            Some(widths.output),
            &if at_once { [0; 3] } else { [pixels * packs, pixels * words, pixels * last] },
        ),
    ]
}

/// Values with how often they occur.
fn tally<T: PartialEq + Copy>(values: &[T]) -> Vec<(T, usize)> {
    let mut tally: Vec<(T, usize)> = Vec::new();
    for value in values {
        match tally.iter_mut().find(|(other, _)| other == value) {
            Some((_, times)) => *times += 1,
            None => tally.push((*value, 1)),
        }
    }
    tally
}

/// Words of four codes, and codes in a last one of fewer, that `channels` are packed in, tile by tile.
fn pack_words(channels: usize) -> (usize, usize) {
    (channels.div_ceil(4), usize::from(!channels.is_multiple_of(4)))
}

/// Work of a multiplication of `blocks` (pairs of pixels, or vectors) by `channels` channels in `tiles` calls.
fn multiply(blocks: usize, tiles: usize, channels: usize, length: usize, bits: BitWidth) -> [usize; 5] {
    let per_word = 32 / usize::from(bits.bits());
    let words = length.div_ceil(per_word);
    let calls = blocks * tiles;
    let summed = if bits == BitWidth::B8 { 0 } else { calls * words * per_word / 2 };
    let pairs = blocks * channels.div_ceil(2);
    [calls, summed, pairs, pairs * words, blocks * (channels % 2)]
}

fn depthwise_rows(layer: &LayerShape, widths: CallWidths, weights: BitWidth) -> Vec<(Code, Vec<f64>)> {
    let (image, output, window) = (layer.inputs[0], layer.output, &layer.window);
    let [kernel_h, kernel_w] = window.kernel;
    let pairs = kernel_h.div_ceil(2);
    let strips = output.c.div_ceil(4);
    // Of the strips, those of fewer than four channels.
    let narrow = usize::from(!output.c.is_multiple_of(4));
    let chunks = output.w.div_ceil(COLUMNS);
    let runs = strips * output.h * chunks;

    let is_3x3 = pairs == 2 && kernel_w == 3 && window.dilation[1] == 1;
    let by_two = is_3x3 && window.stride[1] == 1;
    let windows = output.pixels() * output.c;
    let windows_by_two = (0..chunks).map(|chunk| (output.w - chunk * COLUMNS).min(COLUMNS).div_ceil(2)).sum::<usize>();
    let of_windows = match (is_3x3, by_two) {
        (true, true) => [0, output.h * windows_by_two * output.c, 0, 0, 0],
        (true, false) => [windows, 0, 0, 0, 0],
        (false, _) => [0, 0, windows, windows * kernel_w, windows * kernel_w * pairs],
    };

    // Three rows are spread at once where a window of three ends with them, others two by two.
    let three = kernel_h % 2 == 1 && kernel_h >= 3 && pairs == 2;
    let (spreads_of_two, spreads_of_three) = if three { (0, 1) } else { (kernel_h.div_ceil(2), 0) };
    let (mut columns, mut segments) = (0, 0);
    for chunk in 0..chunks {
        let count = (output.w - chunk * COLUMNS).min(COLUMNS);
        let first = (chunk * COLUMNS * window.stride[1]) as i64 - window.pads.left as i64;
        let width = (count - 1) * window.stride[1] + (kernel_w - 1) * window.dilation[1] + 1;
        let end = first + width as i64;
        columns += width;
        segments += usize::from(first < 0) + 1 + usize::from(end > image.w as i64);
    }
    let calls_of_row = strips * output.h;
    let spreads = spreads_of_two + spreads_of_three;
    let levels = strips * kernel_w * pairs;
    let pixels = output.pixels();
    let narrow_at_8 = if widths.input == BitWidth::B8 { narrow } else { 0 };
    vec![
        piece(
            StageKind::DepthwiseConv2dRows,
            None,
            &[
                1,
                strips,
                calls_of_row,
                runs * spreads,
                output.h * chunks * output.c,
                of_windows[0],
                of_windows[1],
                of_windows[2],
                of_windows[3],
                of_windows[4],
            ],
        ),
        piece(
            StageKind::Spread,
            Some(widths.input),
            &[
                runs * spreads,
                calls_of_row * segments * spreads,
                calls_of_row * columns * spreads_of_two,
                calls_of_row * columns * spreads_of_three,
                narrow_at_8 * output.h * columns * spreads,
            ],
        ),
        piece(StageKind::Levels, Some(weights), &[strips, levels]),
        piece(StageKind::PackStrip, Some(widths.output), &[runs, pixels * strips, pixels * narrow]),
    ]
}

fn fully_connected_rows(layer: &LayerShape, widths: CallWidths, weights: BitWidth) -> Vec<(Code, Vec<f64>)> {
    let (length, out) = (layer.inputs[0].c, layer.output.c);
    let tiles = out.div_ceil(TILE);
    let (words, last) = pack_words(out);
    let mut gather = Gather::default();
    gather.call(1, widths.input, [1, length, 0, 0]);
    vec![
        piece(StageKind::FullyConnectedRows, None, &[1, length.next_multiple_of(super::LANES) / 2, tiles]),
        piece(StageKind::GatherLanes, Some(widths.input), &[gather.calls, gather.runs, gather.words, gather.alone]),
        piece(StageKind::MultiplyVector, Some(weights), &multiply(1, tiles, out, length, weights)),
        piece(StageKind::Pack, Some(widths.output), &[tiles, words, last]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Pads;
    use proptest::prelude::*;

    fn layer(kind: KernelKind, window: Window, groups: usize, input: Shape, out: usize) -> Option<LayerShape> {
        let [h, w] = window.output(input)?;
        Some(LayerShape { kind, window, groups, inputs: vec![input], output: Shape::new(h, w, out) })
    }

    fn count(work: &[(Code, Vec<f64>)], kind: StageKind, name: &str) -> f64 {
        let is_kind = |code: &Code| matches!(code, Code::Stage(stage) if stage.kind == kind);
        let (code, counts) = work.iter().find(|(code, _)| is_kind(code)).expect("the layer has such a stage");
        let at = work_names(code.role()).iter().position(|of| *of == name).expect("it counts that");
        counts[at]
    }

    #[test]
    fn every_piece_of_code_is_counted_by_as_many_numbers_as_it_has_names() {
        let window = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
        for kind in KernelKind::ALL {
            let (groups, input) = (1, Shape::new(5, 5, 6));
            let layer = layer(kind, window, groups, input, 6).expect("the window fits");
            let second = matches!(
                kind,
                KernelKind::Conv2d | KernelKind::DepthwiseConv2d | KernelKind::FullyConnected | KernelKind::Add
            );
            for implementation in [Implementation::Whole, Implementation::Rows] {
                let widths =
                    CallWidths { input: BitWidth::B4, second: second.then_some(BitWidth::B2), output: BitWidth::B4 };
                for (code, counts) in work(&layer, implementation, 0, widths) {
                    assert_eq!(counts.len(), work_names(code.role()).len(), "{}", code.name());
                }
            }
        }
    }

    proptest! {
        /// What is gathered and what the padding brings fill the windows, whatever the geometry; and every word of weights
        /// is taken once for each pair of pixels.
        #[test]
        fn windows_are_filled(
            kernel in prop::array::uniform2(1..5usize), stride in prop::array::uniform2(1..4usize),
            dilation in prop::array::uniform2(1..3usize), pads in prop::array::uniform4(0..4usize),
            size in prop::array::uniform2(1..12usize), per_group in 1..20usize, groups in 1..3usize, out in 1..5usize,
            input in 0..3usize, weights in 0..3usize, output in 0..3usize,
        ) {
            let [top, left, bottom, right] = pads;
            let window = Window { kernel, stride, dilation, pads: Pads { top, left, bottom, right } };
            let image = Shape::new(size[0], size[1], per_group * groups);
            let Some(layer) = layer(KernelKind::Conv2d, window, groups, image, 4 * out * groups) else { return Ok(()) };
            let [input, second, output] = [input, weights, output].map(|i| BitWidth::ALL[i]);
            let work = work(&layer, Implementation::Rows, 0, CallWidths { input, second: Some(second), output });
            let gather = |name| count(&work, StageKind::GatherLanes, name);
            let codes = gather("word") * f64::from(32 / input.bits()) + gather("code alone");
            let padding = count(&work, StageKind::Conv2dRows, "padding code");
            let windows = (layer.output.pixels() * groups) as f64;
            prop_assert_eq!(codes + padding, windows * layer.length() as f64);
            let words = count(&work, StageKind::MultiplyPixels, "word");
            let pairs = count(&work, StageKind::MultiplyPixels, "pair of channels");
            prop_assert_eq!(words, pairs * layer.length().div_ceil(32 / usize::from(second.bits())) as f64);
        }
    }
}
