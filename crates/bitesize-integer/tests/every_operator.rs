//! One small network with every operator: its text form, the rules that it keeps and that damage breaks, batches.

use bitesize_integer::{
    IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Interpreter, LayerCache, Rescale, lower, lower_with, top1,
};
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected};
use bitesize_ir::requantize::{Multiplier, WeightLayout, most_summed_by_code};
use bitesize_ir::shape::{Axis, Pads, Window};
use bitesize_ir::{
    ActivationQuant, BitWidth, InputEncoding, Network, Node, Op, Policy, PolicySpace, QuantizedModel, Shape, Tail,
    TensorId, WeightQuant,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn push(network: &mut Network, name: &str, op: Op, inputs: &[TensorId]) -> TensorId {
    let shapes: Vec<Shape> = inputs.iter().map(|id| network.shape(*id)).collect();
    let shape = op.output_shape(&shapes).unwrap();
    network.tensors.push(Tensor { name: format!("{name}_out"), shape });
    network.output = TensorId(network.tensors.len() - 1);
    network.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), output: network.output });
    network.output
}

fn every_operator() -> QuantizedModel {
    let mut network = Network {
        name: "every_operator".into(),
        tensors: vec![Tensor { name: "image".into(), shape: Shape::new(5, 4, 2) }],
        nodes: Vec::new(),
        input: TensorId(0),
        output: TensorId(0),
        input_encoding: InputEncoding::Pixels { offset: vec![127.25, -3.0] },
        tail: Some(Tail::Softmax),
    };
    let net = &mut network;
    let window = Window { pads: Pads { top: 1, left: 0, bottom: 1, right: 2 }, ..Window::of([3, 3]) };
    let conv = Conv2d { window, groups: 1, weights: vec![0.0; 54], bias: vec![0.0; 3], clamp: Clamp::RELU };
    let a = push(net, "conv", Op::Conv2d(conv), &[TensorId(0)]);
    let window = Window { dilation: [2, 1], pads: Pads { top: 2, bottom: 2, left: 1, right: 0 }, ..Window::of([3, 2]) };
    let depthwise = DepthwiseConv2d { window, weights: vec![0.0; 18], bias: vec![0.0; 3], clamp: Clamp::NONE };
    let b = push(net, "depthwise", Op::DepthwiseConv2d(depthwise), &[a]);
    let sum = push(net, "sum", Op::Add(Clamp::RELU6), &[a, b]);
    let clamped = push(net, "clip", Op::Clamp(Clamp { lo: 0.5, hi: 4.0 }), &[sum]);
    let both = push(net, "both", Op::Concat, &[b, clamped]);
    let padded = push(net, "border", Op::Pad(Pads::all(1)), &[both]);
    let pooled = push(net, "largest", Op::MaxPool(Window { stride: [2, 2], ..Window::of([2, 2]) }), &[padded]);
    let window = Window { pads: Pads::all(1), stride: [2, 2], ..Window::of([3, 3]) };
    let average = AveragePool { window, count_include_pad: false, clamp: Clamp::NONE };
    let mean = push(net, "mean", Op::AveragePool(average), &[pooled]);
    let grouped = Conv2d {
        window: Window::of([2, 2]),
        groups: 2,
        weights: vec![0.0; 48],
        bias: vec![0.0; 4],
        clamp: Clamp::NONE,
    };
    let vector = push(net, "grouped", Op::Conv2d(grouped), &[mean]);
    let dense = FullyConnected { weights: vec![0.0; 12], bias: vec![0.0; 3], clamp: Clamp::NONE };
    push(net, "dense", Op::FullyConnected(dense), &[vector]);

    let widths = [("conv", Some(8), 8), ("depthwise", Some(2), 4), ("sum", None, 4), ("both", None, 2)];
    let widths = [&widths[..], &[("mean", None, 8), ("grouped", Some(4), 4), ("dense", Some(8), 8)]].concat();
    let mut policy = Policy::uniform(&PolicySpace::of(&network), BitWidth::B8, BitWidth::B8);
    for (row, (name, weights, activations)) in policy.rows.iter_mut().zip(widths) {
        assert_eq!(row.name, name);
        row.weights = weights.map(|bits: u8| bits.try_into().unwrap());
        row.activations = row.activations.map(|_| BitWidth::try_from(activations).unwrap());
    }
    let space = PolicySpace::of(&network);
    let encoding = |bits: BitWidth| ActivationQuant { bits, scale: 8.0 / f64::from(bits.max_code()), zero: 1 };
    let mut activations: Vec<ActivationQuant> =
        policy.tensor_bits(&network, &space).into_iter().map(encoding).collect();
    activations[0] = ActivationQuant { bits: BitWidth::B8, scale: 1.0, zero: 0 };
    let draw = |(node, row): (&Node, Option<BitWidth>)| {
        let bits = row?;
        let channels = WeightLayout::of(&node.op)?.out_channels();
        let levels: Vec<i8> = bitesize_ir::grid::WeightGrid::of(bits).levels().collect();
        let level = |i: usize| levels[(i * 7 + 3) % levels.len()];
        Some(WeightQuant {
            bits,
            levels: (0..node.op.parameters()?.weights.len()).map(level).collect(),
            scales: (0..channels).map(|c| 0.002 * (c + 1) as f64).collect(),
            bias: (0..channels).map(|c| c as f64 - 1.0).collect(),
        })
    };
    let rows = network.iter().map(|(id, node)| (node, policy.weight_bits(&space, id)));
    let weights = rows.map(draw).collect();
    QuantizedModel {
        network: network.into(),
        policy,
        activations,
        output_channels: None,
        weights,
        equalized: Vec::new(),
    }
}

#[test]
fn text_form() {
    let expected = "\
integer network every_operator: input image 5x4x2 (pixels)
  conv                     conv2d           5x4x3       8/8>8    k3x3 p1,0,1,2 f6 zero 1 in 1..=255 <- image
  depthwise                depthwise_conv2d 5x4x3       8/2>4    k3x2 d2x1 p2,1,2,0 f0 zero 1 in 0..=15 <- conv_out
  sum                      add              5x4x3       8/4>4    *1973790,33554432 >>25 zero 1 in 1..=12 <- conv_out, depthwise_out
  clip                     clamp            5x4x3       4>4      zero 1 in 2..=9 <- sum_out
  both                     concat           5x4x6       4/4>2    zero 1 <- depthwise_out, clip_out
  border                   pad              7x6x6       2>2      p1,1,1,1 zero 1 <- both_out
  largest                  max_pool         3x3x6       2>2      k2x2 s2x2 zero 1 <- border_out
  mean                     average_pool     2x2x6       2>8      k3x3 s2x2 p1,1,1,1 /4 zero 1 in 0..=255 <- largest_out
  grouped                  conv2d           1x1x4       8/4>4    k2x2 g2 f0 zero 1 in 0..=15 <- mean_out
  dense                    fully_connected  1x1x3       4/8>8    f5 zero 1 in 0..=255 <- grouped_out
  output dense_out";
    assert_eq!(lower(&every_operator()).unwrap().to_string(), expected);
}

/// Damages the lowered network and expects `validate` to name `place` and say something with `words`.
fn check_rule(damage: impl FnOnce(&mut IntNetwork), place: &str, words: &str) {
    let mut network = lower(&every_operator()).unwrap();
    damage(&mut network);
    let error = network.validate().expect_err(words);
    assert_eq!(error.place, place, "{error}");
    assert!(error.problem.contains(words), "{error}");
}

fn rescale(network: &mut IntNetwork, node: usize) -> &mut Rescale {
    match &mut network.nodes[node].op {
        IntOp::Conv2d { rescale, .. }
        | IntOp::DepthwiseConv2d { rescale, .. }
        | IntOp::FullyConnected { rescale, .. } => rescale,
        other => panic!("{other:?} has no weights"),
    }
}

fn levels(network: &mut IntNetwork, node: usize) -> &mut Arc<[i8]> {
    match &mut network.nodes[node].op {
        IntOp::Conv2d { weights, .. }
        | IntOp::DepthwiseConv2d { weights, .. }
        | IntOp::FullyConnected { weights, .. } => &mut weights.levels,
        other => panic!("{other:?} has no weights"),
    }
}

#[test]
fn every_rule_is_checked() {
    check_rule(|n| n.tensors[3].name = "image".into(), "image", "not unique");
    check_rule(|n| n.nodes[3].name = "conv".into(), "conv", "not unique");
    check_rule(|n| n.tensors[10].bits = BitWidth::B4, "every_operator", "instead of 8");
    check_rule(|n| n.output = TensorId(99), "every_operator", "not one of its tensors");
    check_rule(|n| n.tensors[0].zero = 3, "every_operator", "pixel input");
    check_rule(|n| n.tensors[2].zero = 16, "depthwise_out", "zero point 16");
    check_rule(|n| n.nodes.swap(0, 1), "depthwise", "not written yet");
    check_rule(|n| n.nodes[1].output = TensorId(1), "depthwise", "written already");
    check_rule(|n| n.nodes[1].output = TensorId(99), "depthwise", "does not exist");
    check_rule(|n| n.tensors[1].shape.h = 6, "conv", "computes as 5x4x3");
    check_rule(|n| n.nodes[2].inputs.push(TensorId(1)), "sum", "takes two inputs, found 3");
    check_rule(|n| n.nodes.truncate(9), "dense_out", "no node writes");
    check_rule(|n| *levels(n, 0) = levels(n, 0)[..53].into(), "conv", "53 values instead of 54");
    check_rule(|n| Arc::make_mut(levels(n, 1))[0] = 2, "depthwise", "not a level");
    check_rule(|n| Arc::make_mut(levels(n, 9))[0] = -128, "dense", "not a level");
    check_rule(|n| rescale(n, 9).multipliers.truncate(2), "dense", "2 multipliers");
    check_rule(|n| rescale(n, 9).multipliers[0].m = 1 << 29, "dense", "not normalised");
    check_rule(|n| rescale(n, 9).multipliers[0].n = 63, "dense", "not normalised");
    check_rule(|n| rescale(n, 9).multipliers[0] = Multiplier { m: 0, n: 2 }, "dense", "not normalised");
    check_rule(|n| rescale(n, 9).acc_shift = 16, "dense", "accumulator shift");
    check_rule(|n| rescale(n, 0).bias[1] = i32::MAX, "conv", "past 32 bits");
    check_rule(|n| rescale(n, 0).acc_shift = 15, "conv", "past 32 bits");
    check_rule(|n| rescale(n, 8).hi = 16, "grouped", "clamps to 0..=16");
    check_rule(|n| rescale(n, 8).lo = 16, "grouped", "clamps to 16..=15");
    check_rule(|n| n.tensors[4].zero = 0, "clip", "another width or zero point");
    let op = |n: &mut IntNetwork, node: usize, op: IntOp| n.nodes[node].op = op;
    check_rule(|n| op(n, 5, IntOp::Pad { pads: Pads::all(2) }), "border", "computes as 9x8x6");
    check_rule(|n| op(n, 4, IntOp::Concat { multipliers: vec![] }), "both", "one multiplier for each input");
    let flatten = |order| IntOp::Flatten { order };
    check_rule(|n| op(n, 5, flatten([Axis::C, Axis::H, Axis::W])), "border", "computes as 1x1x120");
    check_rule(|n| op(n, 5, flatten([Axis::C, Axis::H, Axis::H])), "border", "lacks W");
    let far = Window { pads: Pads::all(5), stride: [6, 6], ..Window::of([2, 2]) };
    check_rule(|n| op(n, 6, IntOp::MaxPool { window: far }), "largest", "nothing but padding");
    check_rule(
        |n| match &mut n.nodes[0].op {
            IntOp::Conv2d { padding, .. } => padding.truncate(1),
            other => panic!("{other:?}"),
        },
        "conv",
        "padding codes",
    );
    check_rule(
        |n| match &mut n.nodes[2].op {
            IntOp::Add { integers, .. } => integers.ma = 1 << 28,
            other => panic!("{other:?}"),
        },
        "sum",
        "can leave 32 bits",
    );
    check_rule(
        |n| match &mut n.nodes[7].op {
            IntOp::AveragePool { multipliers, .. } => multipliers[0].0 = 9,
            other => panic!("{other:?}"),
        },
        "mean",
        "divides by [9]",
    );
}

/// Damages the model and expects an error that says `words`.
fn check_lowering(damage: impl FnOnce(&mut QuantizedModel), words: &str) {
    let mut model = every_operator();
    damage(&mut model);
    let error = lower(&model).expect_err(words).to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_cannot_be_lowered_is_named() {
    let weights = |m: &mut QuantizedModel, node: usize, change: &dyn Fn(&mut WeightQuant)| {
        change(m.weights[node].as_mut().unwrap());
    };
    check_lowering(|m| Arc::make_mut(&mut m.network).nodes[3].name = "conv".into(), "not legal: conv");
    check_lowering(|m| m.policy.rows[0].name = "other".into(), "those of another network");
    check_lowering(|m| m.activations[2].bits = BitWidth::B8, "`depthwise_out`: 8 bits where the policy says 4");
    check_lowering(|m| m.activations[3].scale = 0.0, "`sum_out`: scale 0");
    check_lowering(|m| m.activations[3].scale = f64::NAN, "`sum_out`: scale NaN");
    check_lowering(|m| m.activations[0].zero = 5, "a pixel input has scale 1");
    check_lowering(|m| m.activations[4].scale *= 2.0, "`clip`: it passes its input's encoding on");
    check_lowering(|m| Arc::make_mut(&mut m.network).nodes[2].inputs[0] = TensorId(0), "sum");
    check_lowering(|m| m.weights[0] = None, "`conv`: quantized weights are missing");
    check_lowering(|m| weights(m, 0, &|w| w.bits = BitWidth::B4), "`conv`: weights of 4 bits");
    check_lowering(|m| weights(m, 0, &|w| w.levels = w.levels[..1].into()), "`conv`: 1 levels, not 54");
    check_lowering(|m| weights(m, 0, &|w| w.scales[1] = -1.0), "`conv`: the scale of channel 1 is -1");
    check_lowering(|m| weights(m, 9, &|w| w.bias[2] = f64::INFINITY), "`dense`: the bias of channel 2 is inf");
    check_lowering(
        |m| weights(m, 1, &|w| Arc::make_mut(&mut w.levels)[4] = 2),
        "`depthwise`: the weight 2 is not a level",
    );
    check_lowering(|m| weights(m, 8, &|w| w.scales[0] = 1e18), "layer `grouped`");
    let far = InputEncoding::Pixels { offset: vec![1e12, 0.0] };
    check_lowering(|m| Arc::make_mut(&mut m.network).input_encoding = far, "`conv`");
}

/// Models that differ from one another in a few numbers, some of which cannot be lowered: with a cache as without.
#[test]
fn kept_layers_are_those_of_the_model() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let base = every_operator();
    for capacity in [0, 3, 1000] {
        let mut cache = LayerCache::new(capacity);
        let mut model = base.clone();
        for round in 0..200 {
            let node = [0, 1, 8, 9][rng.random_range(0..4usize)];
            let weights = model.weights[node].as_mut().unwrap();
            match rng.random_range(0..7) {
                0 => weights.bias[0] += 0.25,
                1 => weights.scales[0] *= 1.5,
                2 => Arc::make_mut(&mut weights.levels)[0] = 0,
                3 => weights.levels = Arc::from(&*weights.levels),
                4 => {
                    // Tensors whose encoding is not passed on to others.
                    let tensor = [1, 2, 8, 9, 10][rng.random_range(0..5usize)];
                    model.activations[tensor].scale *= rng.random_range(0.5..2.0);
                    model.activations[tensor].zero = rng.random_range(0..=2);
                }
                5 => model = base.clone(),
                _ => {
                    let Op::Conv2d(op) = &mut Arc::make_mut(&mut model.network).nodes[0].op else { panic!() };
                    op.clamp = Clamp { lo: 0.0, hi: rng.random_range(0.1..1.0) };
                }
            }
            assert_eq!(lower_with(&model, &mut cache), lower(&model), "round {round}");
        }
    }
    let mut cache = LayerCache::new(1000);
    lower_with(&base, &mut cache).unwrap();
    let mut broken = base.clone();
    broken.weights[8].as_mut().unwrap().scales[0] = 1e18;
    assert_eq!(lower_with(&broken, &mut cache), lower(&broken));
    assert_eq!(lower_with(&base, &mut cache), lower(&base));
}

#[test]
fn a_batch_gives_the_same_bytes_on_any_number_of_threads() {
    let network = lower(&every_operator()).unwrap();
    let interpreter = Interpreter::new(&network);
    let images: Vec<u8> = (0..40u32 * 7).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let one_by_one: Vec<u8> = images.chunks(40).flat_map(|image| interpreter.run(image)).collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| interpreter.run_batch(&images)), one_by_one, "{threads} threads");
    }
    assert!(interpreter.run_batch(&[]).is_empty());
}

#[test]
fn a_batch_reports_progress_and_can_be_cancelled() {
    let network = lower(&every_operator()).unwrap();
    let interpreter = Interpreter::new(&network);
    let most = AtomicUsize::new(0);
    let count = |done| {
        most.fetch_max(done, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    assert_eq!(interpreter.run_batch_with(&[7; 200], &count).unwrap().len(), 15);
    assert_eq!(most.into_inner(), 5);
    assert_eq!(interpreter.run_batch_with(&[7; 200], &|_| ControlFlow::Break(())), None);
}

#[test]
fn the_class_is_the_lowest_index_of_the_highest_code() {
    for (output, expected) in [(&[3, 9, 1, 9][..], 1), (&[0, 0], 0), (&[255], 0), (&[], 0), (&[1, 2, 3], 2)] {
        assert_eq!(top1(output), expected, "{output:?}");
    }
}

/// A fully connected layer of 2-bit weights on as many inputs of 8 bits as kernels may sum by code, and on one more.
#[test]
fn the_sum_of_codes_of_2_bit_weights_stays_in_32_bits() {
    let most = most_summed_by_code(255);
    let problem = |inputs: usize, bits| {
        let tensor =
            |name: &str, c| IntTensor { name: name.into(), shape: Shape::vector(c), bits: BitWidth::B8, zero: 0 };
        let rescale = Rescale { acc_shift: 0, bias: vec![0], multipliers: vec![Multiplier::ZERO], lo: 0, hi: 255 };
        let weights = IntWeights { bits, levels: vec![0; inputs].into() };
        let network = IntNetwork {
            name: "wide".into(),
            tensors: vec![tensor("image", inputs), tensor("logits", 1)],
            nodes: vec![IntNode {
                name: "dense".into(),
                op: IntOp::FullyConnected { weights, rescale },
                inputs: vec![TensorId(0)],
                output: TensorId(1),
            }],
            input: TensorId(0),
            output: TensorId(1),
            input_scale: Multiplier::ZERO,
            output_scale: Multiplier::ZERO,
            output_channels: Vec::new(),
            input_is_pixels: false,
            tail: None,
        };
        network.validate().err().map(|error| error.to_string())
    };
    assert_eq!(problem(most, BitWidth::B2), None);
    let told = problem(most + 1, BitWidth::B2).unwrap();
    assert!(
        told.contains("`dense`") && told.contains("2-bit weight codes") && told.contains(&most.to_string()),
        "{told}"
    );
    assert_eq!(problem(most + 1, BitWidth::B4), None);
}
