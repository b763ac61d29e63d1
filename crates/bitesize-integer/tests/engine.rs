//! The fast engine against the golden interpreter: single operators of any geometry and any legal numbers, with every
//! instruction set of this machine, alone and in batches.

use bitesize_integer::engine::{Engine, InstructionSet, PackCache};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Interpreter, Rescale};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{BitWidth, Shape, TensorId};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Draws networks.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.0.random_range(0..values.len())]
    }

    fn width(&mut self) -> BitWidth {
        self.one_of(&BitWidth::ALL)
    }

    fn tensor(&mut self, name: &str, shape: Shape, bits: BitWidth) -> IntTensor {
        IntTensor { name: name.into(), shape, bits, zero: self.0.random_range(0..=bits.max_code()) }
    }

    fn window(&mut self) -> Window {
        let kernel = [self.one_of(&[1, 1, 2, 3, 3, 4, 5]), self.one_of(&[1, 1, 2, 3, 3, 5])];
        let pad = |r: &mut Self, size: usize| r.0.random_range(0..=size / 2 + 1);
        Window {
            kernel,
            stride: [self.one_of(&[1, 1, 2, 3]), self.one_of(&[1, 1, 2])],
            dilation: [self.one_of(&[1, 1, 1, 2]), self.one_of(&[1, 1, 1, 2])],
            pads: Pads {
                top: pad(self, kernel[0]),
                bottom: pad(self, kernel[0]),
                left: pad(self, kernel[1]),
                right: pad(self, kernel[1]),
            },
        }
    }

    /// A multiplier that brings sums of about `sum` to codes, seldom 0 or anything that is legal.
    fn multiplier(&mut self, sum: i64) -> Multiplier {
        let m = self.0.random_range(1 << 30..=i32::MAX);
        let m = if self.0.random_bool(0.2) { -m } else { m };
        let typical = (31 + sum.max(1).ilog2() as i32 - 7).clamp(1, 62) as u8;
        match self.0.random_range(0..20) {
            0 => Multiplier::ZERO,
            1 => Multiplier { m, n: self.0.random_range(1..=62) },
            _ => Multiplier { m, n: (typical + self.0.random_range(0..3u8)).min(62) },
        }
    }

    fn levels(&mut self, bits: BitWidth, count: usize) -> IntWeights {
        let grid = WeightGrid::of(bits);
        let levels = (0..count).map(|_| self.0.random_range(grid.lowest()..=grid.highest())).collect();
        IntWeights { bits, levels }
    }

    /// Anything legal for sums of at most `largest`, of each channel the magnitude.
    fn rescale(&mut self, largest: &[i64], output: &IntTensor) -> Rescale {
        let most = largest.iter().copied().max().unwrap_or(0).max(1);
        let room = (i64::from(i32::MAX >> 1) / most).max(1).ilog2() as u8;
        let acc_shift = self.0.random_range(0..=room.min(15));
        // Clamps that differ from sums of one kind are drawn so that most codes are inside.
        let same = self.0.random_bool(0.8);
        let shared = self.multiplier(most << acc_shift >> 2).n;
        let bias = largest.iter().map(|&sum| {
            let reach = (sum << acc_shift).max(1);
            let limit = if self.0.random_bool(0.1) { 1 << 30 } else { reach.min(1 << 30) };
            self.0.random_range(-limit..=limit) as i32
        });
        let bias: Vec<i32> = bias.collect();
        let multipliers = largest.iter().map(|&sum| {
            let multiplier = self.multiplier(sum << acc_shift >> 2);
            if same && multiplier.m != 0 { Multiplier { n: shared, ..multiplier } } else { multiplier }
        });
        let multipliers = multipliers.collect();
        let (a, b) = (self.0.random_range(0..=output.bits.max_code()), self.0.random_range(0..=output.bits.max_code()));
        let whole = self.0.random_bool(0.5);
        let (lo, hi) = if whole { (0, output.bits.max_code()) } else { (a.min(b), a.max(b)) };
        Rescale { acc_shift, bias, multipliers, lo, hi }
    }
}

/// The most that the sums of each channel can be.
fn largest(weights: &IntWeights, channels: usize, input: BitWidth, channel_of: impl Fn(usize) -> usize) -> Vec<i64> {
    let mut sums = vec![0; channels];
    for (i, &level) in weights.levels.iter().enumerate() {
        sums[channel_of(i)] += i64::from(level.unsigned_abs()) * i64::from(input.max_code());
    }
    sums
}

/// A network of the nodes, the tensors between them with these shapes; the last is brought to 8 bits by its width.
fn network(tensors: Vec<IntTensor>, nodes: Vec<(IntOp, Vec<usize>)>) -> IntNetwork {
    let outputs = tensors.len() - nodes.len();
    let nodes = nodes.into_iter().enumerate().map(|(i, (op, inputs))| IntNode {
        name: format!("node{i}"),
        op,
        inputs: inputs.into_iter().map(TensorId).collect(),
        output: TensorId(outputs + i),
    });
    let network = IntNetwork {
        name: "random".into(),
        nodes: nodes.collect(),
        input: TensorId(0),
        output: TensorId(tensors.len() - 1),
        tensors,
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        input_is_pixels: false,
        softmax_dropped: false,
    };
    network.validate().unwrap_or_else(|error| panic!("the drawn network is not legal: {error}\n{network}"));
    network
}

/// The kinds of layers that have weights.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Conv,
    Depthwise,
    FullyConnected,
}

/// A layer, between requantizations from 8 bits to its input's width and back, done by average pools of one pixel.
fn layer(kind: Kind, seed: u64) -> Option<IntNetwork> {
    let mut draw = Draw::new(seed);
    let shape = Shape::new(draw.0.random_range(1..9), draw.0.random_range(1..9), draw.one_of(&[1, 2, 3, 4, 7, 16, 33]));
    let groups = draw.one_of(&[1, 1, 1, 2, 3]);
    let out_c = groups * draw.one_of(&[1, 3, 8, 10, 16, 17, 32, 40, 70]);
    let (window, input_c) = (draw.window(), shape.c * groups);
    let (shape, output) = match kind {
        Kind::Conv => (Shape { c: input_c, ..shape }, out_c),
        Kind::Depthwise => {
            let c = draw.one_of(&[1, 3, 8, 15, 16, 24, 32, 48, 64, 65, 96, 130, 200]);
            (Shape { c, ..shape }, c)
        }
        Kind::FullyConnected => (Shape::vector(input_c), out_c),
    };
    let output = match kind {
        Kind::FullyConnected => Shape::vector(output),
        Kind::Conv | Kind::Depthwise => window.output(shape).map(|[h, w]| Shape::new(h, w, output))?,
    };
    let [bits, input_bits, output_bits] = [draw.width(), draw.width(), draw.width()];
    let mut tensors = vec![draw.tensor("in", shape, BitWidth::B8), draw.tensor("a", shape, input_bits)];
    tensors.extend([draw.tensor("b", output, output_bits), draw.tensor("out", output, BitWidth::B8)]);
    let padding = vec![draw.0.random_range(0..=input_bits.max_code())];
    let taps = window.area();
    let op = match kind {
        Kind::Conv => {
            let per_channel = taps * shape.c / groups;
            let weights = draw.levels(bits, output.c * per_channel);
            let rescale = draw.rescale(&largest(&weights, output.c, input_bits, |i| i / per_channel), &tensors[2]);
            IntOp::Conv2d { window, groups, weights, rescale, padding }
        }
        Kind::Depthwise => {
            let weights = draw.levels(bits, taps * shape.c);
            let rescale = draw.rescale(&largest(&weights, output.c, input_bits, |i| i % shape.c), &tensors[2]);
            IntOp::DepthwiseConv2d { window, weights, rescale, padding }
        }
        Kind::FullyConnected => {
            let weights = draw.levels(bits, output.c * shape.c);
            let rescale = draw.rescale(&largest(&weights, output.c, input_bits, |i| i / shape.c), &tensors[2]);
            IntOp::FullyConnected { weights, rescale }
        }
    };
    let ratio = |from: BitWidth, to: BitWidth| f64::from(to.max_code()) / f64::from(from.max_code());
    let pool = |from: BitWidth, to: BitWidth| IntOp::AveragePool {
        window: Window::of([1, 1]),
        count_include_pad: false,
        multipliers: vec![(1, Multiplier::from_real(ratio(from, to)).unwrap())],
        lo: 0,
        hi: to.max_code(),
    };
    let nodes =
        vec![(pool(BitWidth::B8, input_bits), vec![0]), (op, vec![1]), (pool(output_bits, BitWidth::B8), vec![2])];
    Some(network(tensors, nodes))
}

/// Every instruction set gives the interpreter's bytes for each of `count` random images, alone and as a batch.
fn check(network: &IntNetwork, count: usize, seed: u64) {
    let mut draw = Draw::new(seed);
    let size = network.tensor(network.input).shape.elements();
    let extreme = draw.0.random_bool(0.2);
    let code = |_| if extreme { draw.one_of(&[0, 255]) } else { draw.0.random() };
    let images: Vec<u8> = (0..count * size).map(code).collect();
    let interpreter = Interpreter::new(network);
    let expected: Vec<u8> = images.chunks(size).flat_map(|image| interpreter.run(image)).collect();
    for set in InstructionSet::available() {
        let engine = Engine::with(network, set, None);
        assert_eq!(engine.instruction_set(), set);
        assert!(engine.run_batch(&images) == expected, "{count} images with {set}\n{network}");
        let alone: Vec<u8> = images.chunks(size).flat_map(|image| engine.run(image)).collect();
        assert!(alone == expected, "one by one with {set}\n{network}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn convolutions_equal_the_interpreters(seed: u64, count in 1usize..4) {
        layer(Kind::Conv, seed).iter().for_each(|network| check(network, count, seed));
    }

    #[test]
    fn depthwise_convolutions_equal_the_interpreters(seed: u64, count in 1usize..4) {
        layer(Kind::Depthwise, seed).iter().for_each(|network| check(network, count, seed));
    }

    #[test]
    fn fully_connected_layers_equal_the_interpreters(seed: u64, count in 1usize..40) {
        layer(Kind::FullyConnected, seed).iter().for_each(|network| check(network, count, seed));
    }

    #[test]
    fn operators_without_weights_equal_the_interpreters(seed: u64, count in 1usize..20) {
        check(&without_weights(seed), count, seed);
    }
}

/// A residual net of pool, pad, clamp, concatenation and addition.
fn without_weights(seed: u64) -> IntNetwork {
    let mut draw = Draw::new(seed);
    let c = draw.one_of(&[1, 2, 5, 16, 31, 40]);
    let shape = Shape::new(draw.0.random_range(2..8), draw.0.random_range(2..8), c);
    let input = draw.tensor("in", shape, BitWidth::B8);
    let largest = IntTensor { name: "largest".into(), ..input.clone() };
    let sum = draw.tensor("sum", shape, BitWidth::B8);
    let clamped = IntTensor { name: "clamped".into(), ..sum.clone() };
    let bits = draw.width();
    let joined = draw.tensor("joined", Shape { c: 3 * c, ..shape }, bits);
    let padded_shape = Shape::new(shape.h + 3, shape.w + 1, 3 * c);
    let padded = IntTensor { name: "padded".into(), shape: padded_shape, ..joined.clone() };
    let window = Window { pads: Pads::all(1), stride: [2, 1], ..Window::of([3, 2]) };
    let [h, w] = window.output(padded_shape).unwrap();
    let mean = draw.tensor("mean", Shape::new(h, w, 3 * c), BitWidth::B8);
    let n = draw.0.random_range(1..=21);
    let factor = |draw: &mut Draw| draw.0.random_range(0..1 << 21);
    let (ma, mb) = (factor(&mut draw), factor(&mut draw));
    let any = |draw: &mut Draw| {
        let sum = 1 << draw.0.random_range(6..10);
        draw.multiplier(sum)
    };
    let counts: std::collections::BTreeSet<usize> = (0..h)
        .flat_map(|y| (0..w).map(move |x| (y, x)))
        .map(|(y, x)| {
            let rows = (0..3).filter(|&t| window.source(0, y, t, padded_shape.h).is_some()).count();
            rows * (0..2).filter(|&t| window.source(1, x, t, padded_shape.w).is_some()).count()
        })
        .collect();
    let count_include_pad = draw.0.random_bool(0.5);
    let multipliers = if count_include_pad { vec![6] } else { counts.into_iter().collect() };
    let multipliers = multipliers.into_iter().map(|count| (count, any(&mut draw))).collect();
    let same = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
    let [lo, hi] = [draw.0.random_range(0..100), draw.0.random_range(100..=255)];
    let nodes = vec![
        (IntOp::MaxPool { window: same }, vec![0]),
        (IntOp::Add { integers: AddIntegers { ma, mb, n }, lo, hi }, vec![0, 1]),
        (IntOp::Clamp { lo: lo / 2, hi }, vec![2]),
        (IntOp::Concat { multipliers: (0..3).map(|_| any(&mut draw)).collect() }, vec![3, 0, 3]),
        (IntOp::Pad { pads: Pads { top: 1, bottom: 2, left: 1, right: 0 } }, vec![4]),
        (IntOp::AveragePool { window, count_include_pad, multipliers, lo: 0, hi: 255 }, vec![5]),
    ];
    network(vec![input, largest, sum, clamped, joined, padded, mean], nodes)
}

#[test]
fn a_batch_gives_the_same_bytes_on_any_number_of_threads() {
    let network = layer(Kind::Conv, 3).expect("a window that fits");
    let size = network.tensor(network.input).shape.elements();
    let images: Vec<u8> = (0..100 * size as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let engine = Engine::new(&network);
    let one_by_one: Vec<u8> = images.chunks(size).flat_map(|image| engine.run(image)).collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| engine.run_batch(&images)), one_by_one, "{threads} threads");
    }
    assert!(engine.run_batch(&[]).is_empty());
}

#[test]
fn a_batch_reports_every_image_and_can_be_cancelled() {
    let network = without_weights(1);
    let engine = Engine::new(&network);
    let size = network.tensor(network.input).shape.elements();
    let images = vec![7; 50 * size];
    let (calls, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |done| {
        calls.fetch_add(1, Ordering::Relaxed);
        most.fetch_max(done, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    assert!(engine.run_batch_with(&images, &count).is_some());
    assert_eq!((calls.into_inner(), most.into_inner()), (50, 50));
    assert_eq!(engine.run_batch_with(&images, &|_| ControlFlow::Break(())), None);
    assert_eq!(engine.run_batch_with(&images[..size], &|_| ControlFlow::Break(())), None);
}

#[test]
fn an_output_that_later_nodes_follow_keeps_its_codes() {
    let tensor = |name: &str, size: usize| IntTensor {
        name: name.into(),
        shape: Shape::new(size, size, 4),
        bits: BitWidth::B8,
        zero: 0,
    };
    let clamp = |lo: u8, hi: u8| IntOp::Clamp { lo, hi };
    // All in one span, and with the output alone in the first.
    for size in [8, 64] {
        let tensors = vec![tensor("t0", size), tensor("t1", size), tensor("t2", 8), tensor("t3", 8), tensor("t4", 8)];
        let shrink = Window { stride: [size / 8; 2], ..Window::of([size / 8; 2]) };
        let nodes = vec![
            (clamp(10, 200), vec![0]),
            (IntOp::MaxPool { window: shrink }, vec![1]),
            (clamp(20, 150), vec![2]),
            (clamp(30, 100), vec![3]),
        ];
        let mut network = network(tensors, nodes);
        for output in 0..5 {
            network.output = TensorId(output);
            network.validate().expect("an output in the middle is legal");
            let images: Vec<u8> = (0..20 * size * size * 4).map(|i| (i * 37 / 5) as u8).collect();
            let expected = Interpreter::new(&network).run_batch(&images);
            for set in InstructionSet::available() {
                let found = Engine::with(&network, set, None).run_batch(&images);
                assert!(found == expected, "output {output} of images of {size} with {set}");
            }
        }
    }
}

#[test]
fn packed_weights_are_taken_from_the_cache_only_where_the_levels_are_the_same() {
    let mut network = layer(Kind::Conv, 3).expect("a window that fits");
    let cache = PackCache::new();
    let size = network.tensor(network.input).shape.elements();
    let image: Vec<u8> = (0..size).map(|i| (i * 37) as u8).collect();
    for round in 0..3 {
        let expected = Interpreter::new(&network).run(&image);
        for set in InstructionSet::available() {
            assert_eq!(Engine::with(&network, set, Some(&cache)).run(&image), expected, "round {round} with {set}");
        }
        if round == 1 {
            let IntOp::Conv2d { weights, .. } = &mut network.nodes[1].op else { panic!("node 1 is the layer") };
            let smaller = |level: &i8| if *level < 0 { 0 } else { *level - 1 };
            weights.levels = weights.levels.iter().map(smaller).collect();
            network.validate().expect("smaller levels are legal");
        }
    }
}
