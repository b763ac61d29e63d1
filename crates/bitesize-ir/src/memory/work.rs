//! How often each loop of a kernel or stage turns for a layer: what its instructions are counted by.
//!
//! Instructions of a layer are a sum over the code that it calls, and of each over what that code does: so many for each
//! call, each window, each word of weights. How often these happen follows from shapes and widths alone and is worked out
//! here, from the loops in `runtime/*.h`; how many instructions each takes on a core is measured (`cargo xtask
//! instruction-costs`) and stands in the core's file under `[instructions]`, in the order of
//! [`work_names`](crate::work_names::work_names).

use super::layer_shape::{CallWidths, LayerShape};
use super::scratch::{COLUMNS, LANES, scratch_of_layer};
use crate::code::{Code, Implementation, KernelKey, Stage, StageKind};
use crate::grid::BitWidth;
use crate::op::KernelKind;
use crate::shape::{Shape, Window};

/// Output channels that are multiplied before their codes are packed; `runtime/stages.h` has the same number.
const TILE: usize = 32;

/// What the code of one call does, by piece of code: numbers in the order of
/// [`work_names`](crate::work_names::work_names). `input` is the number of the input
/// that a concatenation's call copies; 0 of all others. The layer is computed in so many `turns`: 1 where it is computed at once.
pub fn work(
    layer: &LayerShape,
    implementation: Implementation,
    input: usize,
    widths: CallWidths,
    turns: usize,
) -> Vec<(Code, Vec<f64>)> {
    let rows = implementation == Implementation::Rows;
    match (layer.kind, rows, widths.second) {
        (KernelKind::Conv2d, true, Some(bits)) => conv2d_rows(layer, widths, bits, turns),
        (KernelKind::DepthwiseConv2d, true, Some(bits)) => depthwise_rows(layer, widths, bits, turns),
        (KernelKind::FullyConnected, true, Some(bits)) => fully_connected_rows(layer, widths, bits),
        _ => {
            let key = KernelKey { kind: layer.kind, input: widths.input, second: widths.second, output: widths.output };
            let mut counts = whole(layer, input, widths);
            // It is called as often; nothing else that it does is done more often.
            counts[0] *= turns as f64;
            vec![(Code::Kernel(key), counts)]
        }
    }
}

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

/// What a gather stage does for windows one by one, and for two of them at once.
#[derive(Default)]
struct Gather {
    alone: Gathered,
    paired: Gathered,
}

#[derive(Default)]
struct Gathered {
    calls: usize,
    rows: usize,
    runs: usize,
    words: usize,
    codes: usize,
}

/// Where the codes of a call lie: so many rows of so many runs of `count` codes, the first of them code `first` of its pixel, after
/// `lanes` codes of the same window.
#[derive(Clone, Copy)]
struct Runs {
    rows: usize,
    runs: usize,
    count: usize,
    first: usize,
    lanes: usize,
}

impl Gather {
    /// `times` calls for one window each.
    fn one(&mut self, times: usize, bits: BitWidth, runs: Runs) {
        self.alone.calls += times;
        self.alone.add(times, bits, runs);
    }

    /// `times` calls for two windows each. Where runs do not start on a byte, one window follows the other.
    fn two(&mut self, times: usize, bits: BitWidth, runs: Runs) {
        let per_word = 32 / usize::from(bits.bits());
        if !(runs.first * usize::from(bits.bits())).is_multiple_of(8) {
            self.alone.calls += times;
            self.alone.add(2 * times, bits, runs);
            return;
        }
        self.paired.calls += times;
        self.paired.rows += times * runs.rows;
        let all = times * runs.rows * runs.runs;
        self.paired.runs += all;
        let words = if bits == BitWidth::B8 || runs.count.is_multiple_of(per_word) { runs.count / per_word } else { 0 };
        self.paired.words += all * words;
        self.paired.codes += all * (runs.count - words * per_word);
    }

    fn counts(&self) -> [usize; 10] {
        let of = |g: &Gathered| [g.calls, g.rows, g.runs, g.words, g.codes];
        let ([a, b, c, d, e], [f, g, h, i, j]) = (of(&self.alone), of(&self.paired));
        [a, b, c, d, e, f, g, h, i, j]
    }
}

impl Gathered {
    fn add(&mut self, times: usize, bits: BitWidth, runs: Runs) {
        let per_word = 32 / usize::from(bits.bits());
        let whole_byte = (runs.first * usize::from(bits.bits())).is_multiple_of(8);
        self.rows += times * runs.rows;
        let all = runs.rows * runs.runs;
        let by_words = match whole_byte {
            _ if bits == BitWidth::B8 => all,
            true => starting_low(all, runs.lanes, runs.count),
            false => 0,
        };
        let words = by_words * (runs.count / per_word);
        self.runs += times * all;
        self.words += times * words;
        self.codes += times * (all * runs.count - words * per_word);
    }
}

/// How many of `count` pieces start in a low lane, the first after `lanes` codes and each `length` after the one before.
fn starting_low(count: usize, lanes: usize, length: usize) -> usize {
    match (lanes.is_multiple_of(2), length.is_multiple_of(2)) {
        (true, true) => count,
        (false, true) => 0,
        (true, false) => count.div_ceil(2),
        (false, false) => count / 2,
    }
}

fn conv2d_rows(layer: &LayerShape, widths: CallWidths, weights: BitWidth, turns: usize) -> Vec<(Code, Vec<f64>)> {
    // A pointwise window computed at once has one row of all pixels.
    let image = layer.inputs[0];
    let one_row = turns == 1 && layer.window.is_pointwise() && image.pixels() <= usize::from(u16::MAX);
    let flat = |shape: Shape| if one_row { Shape::new(1, shape.pixels(), shape.c) } else { shape };
    let (window, image, output) = (&layer.window, flat(image), flat(layer.output));
    let kernel_w = window.kernel[1];
    let in_per_group = image.c / layer.groups;
    let is_whole_bytes = (image.c * usize::from(widths.input.bits())).is_multiple_of(8);
    let joined = layer.groups == 1 && window.dilation[1] == 1 && is_whole_bytes;
    let columns: Vec<Taps> = taps(window, 1, output.w, image.w).collect();
    let rows: Vec<Taps> = taps(window, 0, output.h, image.h).collect();
    let neighbours = tally(&columns.chunks(2).map(|pair| (pair[0], pair.get(1).copied())).collect::<Vec<_>>());

    let mut gather = Gather::default();
    let (mut pairs, mut inner, mut edges, mut edge_rows, mut paddings, mut padding_codes) = (0, 0, 0, 0, 0, 0);
    for (rows, rows_times) in tally(&rows) {
        let mut one = |columns: Taps, times: usize, gather: &mut Gather| {
            for group in 0..layer.groups {
                let (first, lanes) = (group * in_per_group, rows.before * kernel_w * in_per_group);
                paddings += times * (usize::from(rows.before > 0) + usize::from(rows.after > 0));
                let outside = rows.outside() * kernel_w + rows.inside * columns.outside();
                padding_codes += times * outside * in_per_group;
                let runs = |rows, columns: usize, lanes| match joined {
                    true => Runs { rows: 1, runs: rows, count: columns * in_per_group, first, lanes },
                    false => Runs { rows, runs: columns, count: in_per_group, first, lanes },
                };
                if rows.inside == 0 {
                } else if columns.outside() == 0 {
                    inner += times;
                    gather.one(times, widths.input, runs(rows.inside, kernel_w, lanes));
                } else {
                    edges += times;
                    edge_rows += times * rows.inside;
                    paddings += 2 * times * rows.inside;
                    if columns.inside > 0 {
                        // Of where a row starts only the lane counts.
                        let at = lanes + columns.before * in_per_group;
                        let low = starting_low(rows.inside, at, kernel_w * in_per_group);
                        gather.one(times * low, widths.input, runs(1, columns.inside, 0));
                        gather.one(times * (rows.inside - low), widths.input, runs(1, columns.inside, 1));
                    }
                }
            }
        };
        for (pair, times) in &neighbours {
            let times = times * rows_times;
            match *pair {
                (left, Some(right)) if rows.outside() + left.outside() + right.outside() == 0 => {
                    pairs += times * layer.groups;
                    for group in 0..layer.groups {
                        let (first, lanes) = (group * in_per_group, 0);
                        let runs = match joined {
                            true => Runs { rows: 1, runs: rows.inside, count: kernel_w * in_per_group, first, lanes },
                            false => Runs { rows: rows.inside, runs: kernel_w, count: in_per_group, first, lanes },
                        };
                        gather.two(times, widths.input, runs);
                    }
                }
                (left, right) => {
                    one(left, times, &mut gather);
                    right.into_iter().for_each(|right| one(right, times, &mut gather));
                }
            }
        }
    }

    // An output of 8 bits without a clamp is written at once: clamps that leave all codes are the usual ones.
    let at_once = widths.output == BitWidth::B8;
    let blocks = output.h * output.w.div_ceil(2) * layer.groups;
    let out = layer.out_per_group();
    let tiles = if at_once { 1 } else { out.div_ceil(TILE) };
    let packs = if at_once { 0 } else { blocks };
    let cleared = layer.length().next_multiple_of(LANES);
    let (words, last) = (out / 4, usize::from(!out.is_multiple_of(4)));
    let loops = [
        turns,
        turns * cleared,
        output.h,
        blocks,
        pairs,
        inner,
        edges,
        edge_rows,
        paddings,
        padding_codes,
        blocks * tiles,
    ];
    vec![
        piece(StageKind::Conv2dRows, None, &loops),
        piece(StageKind::GatherLanes, Some(widths.input), &gather.counts()),
        piece(
            StageKind::MultiplyPixels,
            Some(weights),
            &multiply([blocks, blocks, tiles], out, layer.length(), weights),
        ),
        piece(StageKind::Pack, Some(widths.output), &[packs * tiles, packs * words, packs * last]),
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

/// Work of a multiplication of `blocks` (pairs of pixels, or vectors) by `channels` channels in `tiles` calls each, `starts` of
/// which sum up their lanes first.
fn multiply([blocks, starts, tiles]: [usize; 3], channels: usize, length: usize, bits: BitWidth) -> [usize; 5] {
    let per_word = 32 / usize::from(bits.bits());
    let words = length.div_ceil(per_word);
    let summed = if bits == BitWidth::B8 { 0 } else { starts * words * per_word / 2 };
    let pairs = blocks * channels.div_ceil(2);
    [blocks * tiles, summed, pairs, pairs * words, blocks * (channels % 2)]
}

/// What a spread stage does.
#[derive(Default)]
struct Spread {
    calls: usize,
    runs: usize,
    two: usize,
    four: usize,
    fewer: usize,
}

fn depthwise_rows(layer: &LayerShape, widths: CallWidths, weights: BitWidth, turns: usize) -> Vec<(Code, Vec<f64>)> {
    let (image, output, window) = (layer.inputs[0], layer.output, &layer.window);
    let [kernel_h, kernel_w] = window.kernel;
    let pairs = kernel_h.div_ceil(2);
    // Strips of four channels, and one of fewer.
    let (strips, narrow) = (output.c.div_ceil(4), usize::from(!output.c.is_multiple_of(4)));
    let chunks: Vec<usize> = (0..output.w).step_by(COLUMNS).map(|x| (output.w - x).min(COLUMNS)).collect();

    // Two output rows share one spread where a window is three rows high.
    let together = if kernel_h == 3 && window.stride[0] == 1 && window.dilation[0] == 1 { 2 } else { 1 };
    let bands = output.h.div_ceil(together);
    let mut spread = Spread::default();
    for y in (0..output.h).step_by(together) {
        let mut left = kernel_h + (output.h - y).min(together) - 1;
        let mut down = (y * window.stride[0]) as i64 - window.pads.top as i64;
        while left > 0 {
            let count = if pairs == 2 { 4 } else { 2 };
            let mut inside = 0;
            for _ in 0..count {
                inside += usize::from((0..image.h as i64).contains(&down));
                left = left.saturating_sub(1);
                down += if left > 0 { window.dilation[0] as i64 } else { 0 };
            }
            let all_four = count == 4 && inside % 4 == 0;
            for (chunk, pixels) in chunks.iter().enumerate() {
                let start = (chunk * COLUMNS * window.stride[1]) as i64 - window.pads.left as i64;
                let end = start + ((pixels - 1) * window.stride[1] + (kernel_w - 1) * window.dilation[1] + 1) as i64;
                let columns = (end - start) as usize;
                let in_image = (end.min(image.w as i64) - start.max(0)).max(0) as usize;
                let outside = columns - in_image;
                spread.calls += strips;
                spread.runs +=
                    strips * (usize::from(start < 0) + usize::from(in_image > 0) + usize::from(end > image.w as i64));
                let fewer = if widths.input == BitWidth::B2 { 0 } else { narrow };
                let words = if pairs == 2 { 2 } else { 1 };
                spread.fewer += fewer * in_image * words;
                match (all_four, pairs == 2) {
                    (true, _) => spread.four += (strips - fewer) * in_image,
                    (false, _) => spread.two += (strips - fewer) * in_image * words,
                }
                match pairs == 2 {
                    true => spread.four += strips * outside,
                    false => spread.two += strips * outside,
                }
            }
        }
    }

    let is_3x3 = pairs == 2 && kernel_w == 3 && window.dilation[1] == 1;
    let windows = output.pixels() * output.c;
    let by_two = output.h * output.c * chunks.iter().map(|pixels| pixels.div_ceil(2)).sum::<usize>();
    let of_windows = match (is_3x3, window.stride[1] == 1) {
        (true, true) => [0, by_two, 0, 0, 0],
        (true, false) => [windows, 0, 0, 0, 0],
        (false, _) => [0, 0, windows, windows * kernel_w, windows * kernel_w * pairs],
    };
    let runs = output.h * chunks.len();
    let loops = [
        turns,
        turns * strips,
        bands * strips,
        spread.calls,
        runs * strips,
        runs * output.c,
        of_windows[0],
        of_windows[1],
        of_windows[2],
        of_windows[3],
        of_windows[4],
    ];
    let pixels = output.pixels();
    let Spread { calls, runs: spread_runs, two, four, fewer } = spread;
    vec![
        piece(StageKind::DepthwiseConv2dRows, None, &loops),
        piece(StageKind::Spread, Some(widths.input), &[calls, spread_runs, two, four, fewer]),
        piece(StageKind::Levels, Some(weights), &[turns * strips, turns * strips * kernel_w * pairs]),
        piece(StageKind::PackStrip, Some(widths.output), &[runs * strips, pixels * (strips - narrow), pixels * narrow]),
    ]
}

fn fully_connected_rows(layer: &LayerShape, widths: CallWidths, weights: BitWidth) -> Vec<(Code, Vec<f64>)> {
    let (length, out) = (layer.inputs[0].c, layer.output.c);
    let tiles = out.div_ceil(TILE);
    let (words, last) = (out / 4, usize::from(!out.is_multiple_of(4)));
    let mut gather = Gather::default();
    gather.one(1, widths.input, Runs { rows: 1, runs: 1, count: length, first: 0, lanes: 0 });
    vec![
        piece(StageKind::FullyConnectedRows, None, &[1, length.next_multiple_of(LANES) / 2, tiles]),
        piece(StageKind::GatherLanes, Some(widths.input), &gather.counts()),
        piece(StageKind::MultiplyVector, Some(weights), &multiply([1, tiles, tiles], out, length, weights)),
        piece(StageKind::Pack, Some(widths.output), &[tiles, words, last]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Pads;
    use crate::work_names::work_names;
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
    fn pieces_that_start_in_a_low_lane() {
        for (count, lanes, length) in
            [(0usize, 0usize, 1usize), (5, 0, 3), (5, 1, 3), (4, 1, 3), (4, 2, 6), (4, 3, 6), (1, 1, 1)]
        {
            let low = (0..count).filter(|piece| (lanes + piece * length).is_multiple_of(2)).count();
            assert_eq!(starting_low(count, lanes, length), low, "{count} pieces of {length} after {lanes}");
        }
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
                for (code, counts) in work(&layer, implementation, 0, widths, 1) {
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
            let work = work(&layer, Implementation::Rows, 0, CallWidths { input, second: Some(second), output }, 1);
            let gather = |name| count(&work, StageKind::GatherLanes, name);
            let per_word = f64::from(32 / input.bits());
            let alone = gather("word") * per_word + gather("code alone");
            let codes = alone + 2.0 * (gather("word of two windows") * per_word + gather("code alone of two windows"));
            let padding = count(&work, StageKind::Conv2dRows, "padding code");
            let windows = (layer.output.pixels() * groups) as f64;
            prop_assert_eq!(codes + padding, windows * layer.length() as f64);
            let words = count(&work, StageKind::MultiplyPixels, "word");
            let pairs = count(&work, StageKind::MultiplyPixels, "pair of channels");
            prop_assert_eq!(words, pairs * layer.length().div_ceil(32 / usize::from(second.bits())) as f64);
        }
    }
}
