//! What the fast engine promises beyond the interpreter's bytes: any number of threads, progress, shared weights, outputs in
//! the middle. The bytes themselves are compared in `conformance`, on cases and on random layers and networks.

use bitesize_integer::engine::{Engine, InstructionSet, PackCache};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Interpreter, Rescale};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{BitWidth, Shape, TensorId};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        output_channels: Vec::new(),
        input_is_pixels: false,
        tail: None,
    };
    network.validate().unwrap_or_else(|error| panic!("the drawn network is not legal: {error}\n{network}"));
    network
}

/// A padded convolution with strides, pooled to one pixel.
fn convolution() -> IntNetwork {
    let tensor = |name: &str, shape: Shape| IntTensor { name: name.into(), shape, bits: BitWidth::B8, zero: 3 };
    let tensors = vec![
        tensor("in", Shape::new(9, 7, 3)),
        tensor("layer", Shape::new(5, 7, 20)),
        tensor("largest", Shape::new(1, 1, 20)),
    ];
    let levels: Vec<i8> = (0..20 * 9 * 3).map(|i| (i * 37 % 255 - 127) as i8).collect();
    let multipliers = vec![Multiplier { m: 1 << 30, n: 40 }; 20];
    let rescale = Rescale { acc_shift: 1, bias: (0..20).map(|i| i * 900).collect(), multipliers, lo: 0, hi: 255 };
    let window = Window { pads: Pads::all(1), stride: [2, 1], ..Window::of([3, 3]) };
    let weights = IntWeights { bits: BitWidth::B8, levels: levels.into() };
    let nodes = vec![
        (IntOp::Conv2d { window, groups: 1, weights, rescale, padding: vec![3] }, vec![0]),
        (IntOp::MaxPool { window: Window::of([5, 7]) }, vec![1]),
    ];
    network(tensors, nodes)
}

/// Images of noise.
fn images(network: &IntNetwork, count: usize) -> Vec<u8> {
    let codes = count * network.tensor(network.input).shape.elements();
    (0..codes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_batch_gives_the_same_bytes_on_any_number_of_threads() {
    let network = convolution();
    let size = network.tensor(network.input).shape.elements();
    let images = images(&network, 100);
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
    let network = convolution();
    let engine = Engine::new(&network);
    let size = network.tensor(network.input).shape.elements();
    let images = images(&network, 50);
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
    let mut network = convolution();
    let cache = PackCache::new();
    let image = images(&network, 1);
    for round in 0..3 {
        let expected = Interpreter::new(&network).run(&image);
        for set in InstructionSet::available() {
            assert_eq!(Engine::with(&network, set, Some(&cache)).run(&image), expected, "round {round} with {set}");
        }
        if round == 1 {
            let IntOp::Conv2d { weights, .. } = &mut network.nodes[0].op else { panic!("node 0 is the layer") };
            let smaller = |level: &i8| if *level < 0 { 0 } else { *level - 1 };
            weights.levels = weights.levels.iter().map(smaller).collect();
            network.validate().expect("smaller levels are legal");
        }
    }
}
