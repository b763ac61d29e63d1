use super::*;
use crate::network::{InputEncoding, Node, Tensor, TensorId};
use crate::op::{AveragePool, ChannelAffine, Clamp, Conv2d, DepthwiseConv2d, FullyConnected, Op};
use crate::reference::run_float;
use crate::shape::{Axis, Pads, Shape, Window};
use proptest::prelude::*;

/// Small reproducible numbers in -1..1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Writes networks as sequences of calls.
struct Build {
    network: Network,
    numbers: Numbers,
}

impl Build {
    fn new(shape: Shape, seed: u64) -> Self {
        let network = Network {
            name: "test".into(),
            tensors: vec![Tensor { name: "x".into(), shape }],
            nodes: vec![],
            input: TensorId(0),
            output: TensorId(0),
            input_encoding: InputEncoding::Real,
            tail: None,
        };
        Self { network, numbers: Numbers(seed) }
    }

    /// Adds a node called `name` whose output is the network's, unless its operator does not fit its inputs.
    fn try_add(&mut self, name: &str, op: Op, inputs: &[TensorId]) -> Option<TensorId> {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.network.shape(*id)).collect();
        let shape = op.output_shape(&shapes).ok()?;
        self.network.tensors.push(Tensor { name: name.into(), shape });
        let output = TensorId(self.network.tensors.len() - 1);
        self.network.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), output });
        self.network.output = output;
        Some(output)
    }

    fn add(&mut self, name: &str, op: Op, inputs: &[TensorId]) -> TensorId {
        self.try_add(name, op, inputs).expect("the test's operator fits its inputs")
    }

    fn conv_op(&mut self, from: TensorId, out_c: usize, window: Window) -> Op {
        let taps = window.area();
        let weights = self.numbers.take(out_c * taps * self.network.shape(from).c);
        Op::Conv2d(Conv2d { window, groups: 1, weights, bias: self.numbers.take(out_c), clamp: Clamp::NONE })
    }

    fn conv(&mut self, name: &str, from: TensorId, out_c: usize, window: Window) -> TensorId {
        let op = self.conv_op(from, out_c, window);
        self.add(name, op, &[from])
    }

    fn depthwise_op(&mut self, from: TensorId, window: Window) -> Op {
        let c = self.network.shape(from).c;
        let weights = self.numbers.take(window.area() * c);
        Op::DepthwiseConv2d(DepthwiseConv2d { window, weights, bias: self.numbers.take(c), clamp: Clamp::NONE })
    }

    fn affine_op(&mut self, from: TensorId) -> Op {
        let c = self.network.shape(from).c;
        let (scale, shift) = (self.numbers.take(c), self.numbers.take(c));
        Op::ChannelAffine(ChannelAffine { scale, shift, clamp: Clamp::NONE })
    }

    fn affine(&mut self, name: &str, from: TensorId) -> TensorId {
        let op = self.affine_op(from);
        self.add(name, op, &[from])
    }

    fn relu(&mut self, name: &str, from: TensorId) -> TensorId {
        self.add(name, Op::Clamp(Clamp::RELU), &[from])
    }
}

const X: TensorId = TensorId(0);

fn padded(kernel: [usize; 2], n: usize) -> Window {
    Window { pads: Pads::all(n), ..Window::of(kernel) }
}

fn average(window: Window, count_include_pad: bool) -> Op {
    Op::AveragePool(AveragePool { window, count_include_pad, clamp: Clamp::NONE })
}

/// Checks that both networks give the same output on some inputs, within `1e-4` of the largest value anywhere in the
/// first: folding rounds weights to single precision, and a later layer may subtract what an earlier one made large.
fn assert_same_output(before: &Network, after: &Network, inputs: &[Vec<f32>]) {
    for input in inputs {
        let expected = run_float(before, input);
        let found = &run_float(after, input)[after.output.0];
        let largest = expected.iter().flatten().fold(0f32, |m, v| m.max(v.abs()));
        for (a, b) in expected[before.output.0].iter().zip(found) {
            assert!((a - b).abs() <= 1e-4 * largest, "{a} became {b}\n{before}\n{after}");
        }
    }
}

fn some_inputs(network: &Network, seed: u64) -> Vec<Vec<f32>> {
    let mut numbers = Numbers(seed);
    (0..2).map(|_| numbers.take(network.shape(network.input).elements())).collect()
}

/// Rewrites what `build` makes of a 6x5x3 input; checks that it computes the same, has the operators `ops` afterwards
/// (name and operator, clamp where there is one), and that the log mentions each of `log`.
fn check(ops: &[&str], log: &[&str], build: impl Fn(&mut Build)) {
    let mut b = Build::new(Shape::new(6, 5, 3), 7);
    build(&mut b);
    b.network.validate().unwrap();
    let (rewritten, found_log) = rewrite(b.network.clone()).unwrap();
    assert_same_output(&b.network, &rewritten, &some_inputs(&b.network, 1));
    let describe = |node: &Node| match node.op.clamp() {
        clamp if clamp.is_none() => format!("{} {}", node.name, node.op.name()),
        clamp => format!("{} {} {clamp}", node.name, node.op.name()),
    };
    let found: Vec<String> = rewritten.nodes.iter().map(describe).collect();
    assert_eq!(found, ops, "{found_log}");
    let text = found_log.to_string();
    for line in log {
        assert!(text.contains(line), "the log lacks {line:?}:\n{text}");
    }
}

#[test]
fn batch_norm_and_activation_go_into_the_layer_before() {
    let log = ["fold_batch_norm at `bn`: into `conv`", "fuse_activation at `relu`: into `conv`"];
    check(&["conv conv2d relu"], &log, |b| {
        let x = b.conv("conv", X, 4, padded([3, 3], 1));
        let x = b.affine("bn", x);
        b.relu("relu", x);
    });
    check(&["dw depthwise_conv2d clamp[0,0.5]"], &[], |b| {
        let op = b.depthwise_op(X, padded([3, 3], 1));
        let x = b.add("dw", op, &[X]);
        let x = b.affine("bn1", x);
        let x = b.affine("bn2", x);
        let x = b.relu("relu", x);
        b.add("clip", Op::Clamp(Clamp { lo: -1.0, hi: 0.5 }), &[x]);
    });
    check(&["pool average_pool", "fc fully_connected relu"], &[], |b| {
        let x = b.add("pool", average(Window::of([6, 5]), false), &[X]);
        let fc = FullyConnected { weights: b.numbers.take(6), bias: b.numbers.take(2), clamp: Clamp::NONE };
        let x = b.add("fc", Op::FullyConnected(fc), &[x]);
        let x = b.affine("bn", x);
        b.relu("relu", x);
    });
}

#[test]
fn batch_norm_that_cannot_go_back_says_why() {
    let log = ["fold_batch_norm did not fire at `bn` because `add` reads `conv` too"];
    check(&["conv conv2d", "bn depthwise_conv2d", "add add"], &log, |b| {
        let x = b.conv("conv", X, 3, padded([3, 3], 1));
        let y = b.affine("bn", x);
        b.add("add", Op::Add(Clamp::NONE), &[x, y]);
    });
    let log = ["because `add` before it is add without weights", "because `end` after it pads with zeros"];
    check(&["conv conv2d", "add add", "bn depthwise_conv2d", "end conv2d"], &log, |b| {
        let x = b.conv("conv", X, 3, padded([3, 3], 1));
        let x = b.add("add", Op::Add(Clamp::NONE), &[x, X]);
        let x = b.affine("bn", x);
        b.conv("end", x, 2, padded([3, 3], 1));
    });
    let log = ["because `conv` before it clamps its output", "because its output is the network's output"];
    check(&["conv conv2d relu", "bn depthwise_conv2d"], &log, |b| {
        let x = b.conv("conv", X, 3, padded([3, 3], 1));
        let x = b.relu("relu", x);
        b.affine("bn", x);
    });
    check(
        &["bn depthwise_conv2d relu"],
        &["because `x` is the network's input", "because it clamps its output"],
        |b| {
            let x = b.affine("bn", X);
            b.relu("relu", x);
        },
    );
}

#[test]
fn batch_norm_goes_forward_where_that_is_exact() {
    let log = ["fold_affine_forward at `bn`: into `a`, `b`"];
    check(&["a conv2d", "b depthwise_conv2d", "join concat"], &log, |b| {
        let x = b.affine("bn", X);
        let a = b.conv("a", x, 4, Window::of([2, 2]));
        let op = b.depthwise_op(x, Window::of([2, 2]));
        let x = b.add("b", op, &[x]);
        b.add("join", Op::Concat, &[a, x]);
    });
    // Without summands padding does no harm, and groups keep their channels.
    check(&["conv conv2d"], &[], |b| {
        let scale = b.numbers.take(3);
        let affine = ChannelAffine { scale, shift: vec![0.0; 3], clamp: Clamp::NONE };
        let x = b.add("mul", Op::ChannelAffine(affine), &[X]);
        let (weights, bias) = (b.numbers.take(6 * 9), b.numbers.take(6));
        let conv = Conv2d { window: padded([3, 3], 1), groups: 3, weights, bias, clamp: Clamp::NONE };
        b.add("conv", Op::Conv2d(conv), &[x]);
    });
}

#[test]
fn activations_pass_pools_and_pads() {
    check(&["conv conv2d relu", "pool max_pool", "end conv2d"], &["fuse_activation at `relu`: into `conv`"], |b| {
        let x = b.conv("conv", X, 4, padded([3, 3], 1));
        let x = b.add("pool", Op::MaxPool(Window::of([2, 2])), &[x]);
        let x = b.add("pad", Op::Pad(Pads::all(1)), &[x]);
        let x = b.relu("relu", x);
        b.conv("end", x, 2, Window::of([3, 3]));
    });
    check(&["add add relu6", "average average_pool clamp[0.25,inf]"], &[], |b| {
        let x = b.add("add", Op::Add(Clamp::NONE), &[X, X]);
        let x = b.add("relu6", Op::Clamp(Clamp::RELU6), &[x]);
        let x = b.add("average", average(Window::of([2, 2]), false), &[x]);
        b.add("max", Op::Clamp(Clamp { lo: 0.25, hi: f32::INFINITY }), &[x]);
    });
}

#[test]
fn activations_that_cannot_be_fused_say_why() {
    let log = ["fuse_activation did not fire at `relu` because `add` reads `conv` too"];
    check(&["conv conv2d", "relu clamp relu", "add add"], &log, |b| {
        let x = b.conv("conv", X, 3, padded([3, 3], 1));
        let y = b.relu("relu", x);
        b.add("add", Op::Add(Clamp::NONE), &[x, y]);
    });
    let log = ["because `join` before it is concat, which has no clamp"];
    check(&["join concat", "relu clamp relu"], &log, |b| {
        let x = b.add("join", Op::Concat, &[X, X]);
        b.relu("relu", x);
    });
    check(&["relu clamp relu"], &["because `x` is the network's input"], |b| {
        b.relu("relu", X);
    });
    let log = ["because it would change the zeros that `pad` pads with"];
    check(&["conv conv2d", "pad pad", "clip clamp clamp[0.5,1]"], &log, |b| {
        let x = b.conv("conv", X, 3, Window::of([1, 1]));
        let x = b.add("pad", Op::Pad(Pads::all(1)), &[x]);
        b.add("clip", Op::Clamp(Clamp { lo: 0.5, hi: 1.0 }), &[x]);
    });
}

#[test]
fn the_networks_output_counts_as_a_reader() {
    let mut b = Build::new(Shape::new(4, 4, 2), 3);
    let conv = b.conv("conv", X, 2, Window::of([1, 1]));
    b.relu("relu", conv);
    b.network.output = conv;
    let x = b.network.nodes[1].output;
    assert_eq!(Graph::of(b.network.clone()).sole_producer(NodeId(1)), Err("`conv` is the network's output too".into()));
    // What nobody reads goes.
    let (rewritten, _) = rewrite(b.network).unwrap();
    assert_eq!((rewritten.nodes.len(), x), (1, TensorId(2)));
}

#[test]
fn a_change_of_order_lets_a_clamp_pass_and_is_dropped_where_nothing_moves() {
    let order = Op::Flatten([Axis::C, Axis::H, Axis::W]);
    check(&["conv conv2d relu", "order flatten"], &["fuse_activation at `relu`: into `conv`"], |b| {
        let x = b.conv("conv", X, 2, Window::of([3, 3]));
        let x = b.add("order", order.clone(), &[x]);
        b.relu("relu", x);
    });
    check(&["conv conv2d"], &["drop_identity at `order`: its input is a vector"], |b| {
        let x = b.conv("conv", X, 7, Window::of([6, 5]));
        b.add("order", order.clone(), &[x]);
    });
    // What follows counts its channels by element.
    check(
        &["conv conv2d", "order flatten", "scale depthwise_conv2d"],
        &["`order` before it is flatten without weights"],
        |b| {
            let x = b.conv("conv", X, 2, Window::of([3, 3]));
            let x = b.add("order", order.clone(), &[x]);
            b.affine("scale", x);
        },
    );
}

#[test]
fn pads_go_into_windows_where_that_is_exact() {
    let pads = Pads { top: 1, left: 0, bottom: 2, right: 1 };
    check(&["conv conv2d"], &["fold_pad at `conv`: takes `pad2`"], |b| {
        let x = b.add("pad1", Op::Pad(pads), &[X]);
        let x = b.add("pad2", Op::Pad(Pads::all(1)), &[x]);
        b.conv("conv", x, 2, padded([3, 3], 1));
    });
    check(&["a depthwise_conv2d", "b average_pool", "sum add"], &[], |b| {
        let x = b.add("pad", Op::Pad(pads), &[X]);
        let op = b.depthwise_op(x, Window::of([3, 3]));
        let a = b.add("a", op, &[x]);
        let x = b.add("b", average(Window::of([3, 3]), false), &[x]);
        b.add("sum", Op::Add(Clamp::NONE), &[a, x]);
    });
    check(&["conv conv2d relu", "pool max_pool"], &["fold_pad at `pool`: takes `pad`"], |b| {
        let x = b.conv("conv", X, 2, Window::of([1, 1]));
        let x = b.relu("relu", x);
        let x = b.add("pad", Op::Pad(pads), &[x]);
        b.add("pool", Op::MaxPool(Window::of([3, 3])), &[x]);
    });
}

#[test]
fn pads_that_stay_say_why() {
    let log = ["fold_pad did not fire at `pool` because its input can be below the zeros"];
    check(&["conv conv2d", "pad pad", "pool max_pool"], &log, |b| {
        let x = b.conv("conv", X, 2, Window::of([1, 1]));
        let x = b.add("pad", Op::Pad(Pads::all(1)), &[x]);
        b.add("pool", Op::MaxPool(Window::of([3, 3])), &[x]);
    });
    check(&["conv conv2d relu", "pad pad", "pool max_pool"], &["would see nothing but padding"], |b| {
        let x = b.conv("conv", X, 2, Window::of([1, 1]));
        let x = b.relu("relu", x);
        let x = b.add("pad", Op::Pad(Pads::all(2)), &[x]);
        b.add("pool", Op::MaxPool(Window::of([2, 2])), &[x]);
    });
    check(&["pad pad", "pool average_pool"], &["padding of its own that it leaves out of its divisor"], |b| {
        let x = b.add("pad", Op::Pad(Pads::all(1)), &[X]);
        b.add("pool", average(padded([3, 3], 1), false), &[x]);
    });
    check(&["pad pad", "pool average_pool"], &["would see nothing but padding"], |b| {
        let x = b.add("pad", Op::Pad(Pads::all(2)), &[X]);
        b.add("pool", average(Window::of([2, 2]), false), &[x]);
    });
    check(&["pad pad", "sum add"], &["because add has no padding to put `pad` into"], |b| {
        let x = b.add("pad", Op::Pad(Pads::all(1)), &[X]);
        b.add("sum", Op::Add(Clamp::NONE), &[x, x]);
    });
}

#[test]
fn what_does_nothing_goes() {
    check(&["conv conv2d relu6"], &["drop_identity at `pad`: a pad of nothing"], |b| {
        let x = b.add("pad", Op::Pad(Pads::default()), &[X]);
        let x = b.add("pool", average(Window::of([1, 1]), true), &[x]);
        let one = ChannelAffine { scale: vec![1.0; 3], shift: vec![0.0; 3], clamp: Clamp::NONE };
        let x = b.add("one", Op::ChannelAffine(one), &[x]);
        let x = b.conv("conv", x, 2, Window::of([2, 2]));
        let x = b.add("relu6", Op::Clamp(Clamp::RELU6), &[x]);
        let x = b.relu("relu", x);
        b.add("max", Op::MaxPool(Window::of([1, 1])), &[x]);
    });
    // The clamp's input is read elsewhere, so that it could not be fused, but lies within its bounds.
    check(
        &["conv conv2d relu6", "sum add"],
        &["drop_identity at `relu`: its input lies within 0..=inf already"],
        |b| {
            let x = b.conv("conv", X, 2, Window::of([2, 2]));
            let x = b.add("relu6", Op::Clamp(Clamp::RELU6), &[x]);
            let y = b.relu("relu", x);
            b.add("sum", Op::Add(Clamp::NONE), &[x, y]);
        },
    );
    let mut b = Build::new(Shape::new(2, 2, 1), 1);
    b.add("pad", Op::Pad(Pads::default()), &[X]);
    let (rewritten, log) = rewrite(b.network).unwrap();
    assert_eq!(rewritten.nodes.len(), 1);
    assert!(log.to_string().contains("nothing would be left"), "{log}");
}

#[test]
fn weights_out_of_range_are_left_alone() {
    let mut b = Build::new(Shape::new(2, 2, 1), 1);
    let x = b.conv("conv", X, 1, Window::of([1, 1]));
    let large = ChannelAffine { scale: vec![3e38], shift: vec![0.0], clamp: Clamp::NONE };
    b.add("bn", Op::ChannelAffine(large), &[x]);
    let Op::Conv2d(conv) = &mut b.network.nodes[0].op else { unreachable!() };
    conv.weights[0] = 10.0;
    let (rewritten, log) = rewrite(b.network).unwrap();
    assert_eq!(rewritten.nodes.len(), 2);
    assert!(log.to_string().contains("leaves the range of single precision"), "{log}");
}

/// A chain of clamps, the fastest of some rewrites in seconds: rewriting 100,000 takes a twentieth of the limit on a machine that
/// does nothing else, and took minutes where each change was paid for with all nodes.
#[test]
fn time_grows_with_the_changes() {
    let make: [fn(usize) -> Op; 3] = [
        |_| Op::Clamp(Clamp::RELU),
        |i| {
            Op::ChannelAffine(ChannelAffine {
                scale: vec![if i % 2 == 0 { -1.0 } else { 1.0 }],
                shift: vec![0.0],
                clamp: Clamp::NONE,
            })
        },
        |i| if i % 2 == 0 { Op::Pad(Pads::default()) } else { Op::Clamp(Clamp::RELU6) },
    ];
    for make in make {
        let mut b = Build::new(Shape::new(1, 1, 1), 1);
        let mut x = b.conv("conv", X, 1, Window::of([1, 1]));
        for i in 0..100_000 {
            x = b.add(&format!("n{i}"), make(i), &[x]);
        }
        let mut fastest = f64::INFINITY;
        for _ in 0..3 {
            let network = b.network.clone();
            let start = std::time::Instant::now();
            assert_eq!(rewrite(network).unwrap().0.nodes.len(), 1);
            fastest = fastest.min(start.elapsed().as_secs_f64());
            if fastest < 5.0 {
                break;
            }
        }
        assert!(fastest < 5.0, "{fastest} s");
    }
}

#[test]
fn a_pass_that_breaks_the_network_is_named() {
    let breaks = Rewrite {
        name: "breaks",
        at: |graph, id| {
            *graph.op_mut(id) = Op::Clamp(Clamp { lo: 1.0, hi: 0.0 });
            Outcome::Applied(String::new())
        },
    };
    let mut b = Build::new(Shape::new(2, 2, 1), 1);
    b.relu("relu", X);
    let error = rewrite_with(b.network, &[breaks]).unwrap_err().to_string();
    assert!(error.contains("after the rewrite breaks"), "{error}");
}

fn normalization() -> Normalization {
    Normalization { scale: 1.0 / 255.0, mean: vec![0.5, 0.4, 0.3], std: vec![0.2, 0.25, 0.3] }
}

/// Checks that a network over pixels, with `normalization` folded in, computes what the original computes over
/// preprocessed values, and has the operators `names` first.
fn check_pixels(names: &[&str], build: impl Fn(&mut Build)) -> Network {
    let mut b = Build::new(Shape::new(6, 5, 3), 11);
    build(&mut b);
    let (before, _) = rewrite(b.network).unwrap();
    let map = normalization();
    let after = fold_normalization(before.clone(), &map).unwrap();
    after.validate().unwrap();
    let mut numbers = Numbers(5);
    let pixels: Vec<f32> = numbers.take(90).iter().map(|v| ((v + 1.0) * 127.5).floor()).collect();
    let value = |(i, x): (usize, &f32)| ((f64::from(*x) * map.scale - map.mean[i % 3]) / map.std[i % 3]) as f32;
    let values: Vec<f32> = pixels.iter().enumerate().map(value).collect();
    let expected = run_float(&before, &values).swap_remove(before.output.0);
    let found = run_float(&after, &pixels).swap_remove(after.output.0);
    let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (a, b) in expected.iter().zip(found) {
        assert!((a - b).abs() <= 1e-5 * largest.max(1.0), "{a} became {b}\n{after}");
    }
    let found: Vec<&str> = after.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(found, names);
    after
}

#[test]
fn preprocessing_goes_into_the_first_weights() {
    let after = check_pixels(&["conv"], |b| {
        let x = b.add("pad", Op::Pad(Pads::all(1)), &[X]);
        b.conv("conv", x, 4, Window::of([3, 3]));
    });
    assert_eq!(after.input_encoding, InputEncoding::Pixels { offset: vec![127.5, 102.0, 76.5] });
    check_pixels(&["a", "b", "join"], |b| {
        let a = b.conv("a", X, 4, padded([3, 3], 1));
        let op = b.depthwise_op(X, padded([3, 3], 1));
        let x = b.add("b", op, &[X]);
        b.add("join", Op::Concat, &[a, x]);
    });
    check_pixels(&["preprocessing", "conv", "sum"], |b| {
        let x = b.conv("conv", X, 3, padded([3, 3], 1));
        b.add("sum", Op::Add(Clamp::NONE), &[x, X]);
    });
    check_pixels(&["preprocessing", "pool"], |b| {
        b.add("pool", Op::MaxPool(Window::of([2, 2])), &[X]);
    });
}

#[test]
fn preprocessing_inside_the_network_is_joined() {
    let affine = |shift: f32| ChannelAffine { scale: vec![2.0, -1.0, 0.5], shift: vec![shift; 3], clamp: Clamp::NONE };
    let add = |shift: f32, pads: usize| {
        move |b: &mut Build| {
            let x = b.add("norm", Op::ChannelAffine(affine(shift)), &[X]);
            b.conv("conv", x, 4, padded([3, 3], pads));
        }
    };
    check_pixels(&["conv"], add(0.1, 1));
    // Padding could not hold a pixel that stands for 0.
    check_pixels(&["norm", "conv"], add(9.0, 1));
    check_pixels(&["conv"], add(9.0, 0));
}

/// Joining 20,000 layers took seconds where each was paid for with all nodes.
#[test]
fn preprocessing_is_joined_in_time_that_grows_with_the_layers() {
    let mut b = Build::new(Shape::new(1, 1, 3), 1);
    let mut x = X;
    for i in 0..20_000 {
        let bias = if i % 2 == 0 { 0.01 } else { -0.01 };
        let (weights, bias) = (vec![1.0; 3], vec![bias; 3]);
        let op = DepthwiseConv2d { window: Window::of([1, 1]), weights, bias, clamp: Clamp::NONE };
        x = b.add(&format!("n{i}"), Op::DepthwiseConv2d(op), &[x]);
    }
    let x = b.conv("conv", x, 1, Window::of([1, 1]));
    b.conv("last", x, 1, Window::of([1, 1]));
    let mut fastest = f64::INFINITY;
    for _ in 0..3 {
        let network = b.network.clone();
        let start = std::time::Instant::now();
        let folded = fold_normalization(network, &normalization()).unwrap();
        fastest = fastest.min(start.elapsed().as_secs_f64());
        let names: Vec<&str> = folded.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!((names.as_slice(), folded.tensors.len()), (["conv", "last"].as_slice(), 3));
        folded.validate().unwrap();
    }
    assert!(fastest < 0.5, "{fastest} s");
}

#[test]
fn preprocessing_that_makes_no_sense_is_refused() {
    let mut b = Build::new(Shape::new(2, 2, 3), 1);
    b.conv("conv", X, 1, Window::of([1, 1]));
    let refuse = |change: fn(&mut Normalization)| {
        let mut map = normalization();
        change(&mut map);
        fold_normalization(b.network.clone(), &map).unwrap_err().to_string()
    };
    assert!(refuse(|p| p.std[1] = 0.0).contains("scale and std not 0"));
    assert!(refuse(|p| p.scale = 0.0).contains("scale and std not 0"));
    assert!(refuse(|p| p.mean[0] = f64::NAN).contains("NaN"));
    assert!(refuse(|p| p.mean.truncate(1)).contains("1 means and 3 standard deviations for 3 channels"));
    assert!(refuse(|p| p.std[0] = 1e-300).contains("`conv` leave the range"));
    let once = fold_normalization(b.network.clone(), &normalization()).unwrap();
    assert_eq!(fold_normalization(once, &normalization()), Err(NormalizationError::Twice));
}

#[test]
fn the_text_form_of_a_network() {
    let mut b = Build::new(Shape::new(8, 8, 3), 1);
    let x = b.conv("conv", X, 4, Window { stride: [2, 2], ..padded([3, 3], 1) });
    let x = b.affine("bn", x);
    let y = b.add("relu6", Op::Clamp(Clamp::RELU6), &[x]);
    let op = b.depthwise_op(y, padded([3, 3], 1));
    let x = b.add("dw", op, &[y]);
    let x = b.add("add", Op::Add(Clamp::NONE), &[x, y]);
    b.add("mean", average(Window::of([4, 4]), false), &[x]);
    let (network, log) = rewrite(b.network).unwrap();
    let lines = [
        "network test: input x 8x8x3 (real values)",
        "  conv                     conv2d           4x4x4       weights 108      macs 1728       k3x3 s2x2 p1,1,1,1 relu6 <- x",
        "  dw                       depthwise_conv2d 4x4x4       weights 36       macs 576        k3x3 p1,1,1,1 <- relu6",
        "  add                      add              4x4x4 <- dw, relu6",
        "  mean                     average_pool     1x1x4       k4x4 <- add",
        "  output mean",
    ];
    assert_eq!(network.to_string(), lines.join("\n"));
    assert_eq!(log.to_string(), "fold_batch_norm at `bn`: into `conv`\nfuse_activation at `relu6`: into `conv`");
}

/// A random network: each choice adds one operator over one or two tensors made so far.
fn random_network(choices: &[(u8, u8, u8)], seed: u64) -> Network {
    let mut b = Build::new(Shape::new(7, 6, 3), seed);
    for (i, (kind, from, detail)) in choices.iter().enumerate() {
        // Mostly the latest tensor, so that networks become deep.
        let last = b.network.tensors.len() - 1;
        let from = TensorId(if *from < 180 { last } else { usize::from(*from) % (last + 1) });
        let detail = usize::from(*detail);
        let stride = [1 + detail / 8 % 2, 1 + detail / 16 % 2];
        let window = Window { stride, ..padded([1 + detail % 3, 1 + detail / 3 % 3], detail % 2) };
        let clamps = [Clamp::RELU, Clamp::RELU6, Clamp { lo: -0.25, hi: 0.5 }, Clamp { lo: 0.1, hi: 0.2 }];
        let op = match kind % 9 {
            0 => b.conv_op(from, 1 + detail % 4, window),
            1 => b.depthwise_op(from, window),
            2 | 3 => b.affine_op(from),
            4 => Op::Clamp(clamps[detail % 4]),
            5 => Op::Pad(Pads { top: detail % 2, left: detail / 2 % 2, bottom: detail / 4 % 2, right: 0 }),
            6 => Op::MaxPool(Window { pads: Pads::default(), ..window }),
            7 => average(Window { pads: Pads::default(), ..window }, detail % 2 == 0),
            _ => Op::Add(Clamp::NONE),
        };
        let other = TensorId(detail % (last + 1));
        let inputs = if matches!(op, Op::Add(_)) { vec![from, other] } else { vec![from] };
        let _ = b.try_add(&format!("n{i}"), op, &inputs);
    }
    b.network
}

proptest! {
    #[test]
    fn rewritten_networks_compute_the_same(
        choices in prop::collection::vec(any::<(u8, u8, u8)>(), 1..24),
        seed in any::<u64>(),
    ) {
        let network = random_network(&choices, seed);
        prop_assume!(network.output != network.input);
        let (rewritten, _) = rewrite(network.clone()).unwrap();
        prop_assert!(!rewritten.nodes.iter().any(|n| matches!(n.op, Op::ChannelAffine(_))));
        assert_same_output(&network, &rewritten, &some_inputs(&network, seed));
        // A second run finds nothing more to do.
        let (again, log) = rewrite(rewritten.clone()).unwrap();
        prop_assert_eq!(&again, &rewritten);
        prop_assert!(log.entries.iter().all(|e| !e.applied));
    }
}
