use super::*;
use crate::tune::{Augmentation, Targets};
use crate::{FloatModel, Samples};
use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected, Op};
use bitesize_ir::rewrite::Normalization;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{InputEncoding, Node, Shape, Tensor, TensorId};
use rand::RngExt as _;
use std::ops::ControlFlow;

fn numbers(count: usize, size: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-size..=size)).collect()
}

const INPUT: Shape = Shape { h: 7, w: 6, c: 3 };
const CLASSES: usize = 3;

/// Every operator that is trained: a strided convolution, a depthwise one whose input and output are added, pointwise ones, and a strided
/// depthwise one.
fn network() -> Network {
    let window =
        |size: usize, stride: usize| Window { stride: [stride; 2], pads: Pads::all(size / 2), ..Window::of([size; 2]) };
    let conv = |size, stride, input: usize, output: usize, clamp| {
        let weights = numbers(size * size * input * output, (2.0 / (size * size * input) as f32).sqrt(), 1);
        Op::Conv2d(Conv2d { window: window(size, stride), groups: 1, weights, bias: vec![0.0; output], clamp })
    };
    let depthwise = |stride, c: usize, clamp| {
        let weights = numbers(9 * c, 0.6, 2);
        Op::DepthwiseConv2d(DepthwiseConv2d { window: window(3, stride), weights, bias: vec![0.0; c], clamp })
    };
    let pool = AveragePool { window: Window::of([2, 2]), count_include_pad: false, clamp: Clamp::NONE };
    let last = FullyConnected { weights: numbers(12 * CLASSES, 0.5, 3), bias: vec![0.1; CLASSES], clamp: Clamp::NONE };
    let nodes = [
        (conv(3, 2, 3, 10, Clamp::RELU), vec![0]),
        (depthwise(1, 10, Clamp::RELU6), vec![1]),
        (Op::Add(Clamp::NONE), vec![1, 2]),
        (conv(1, 1, 10, 12, Clamp::NONE), vec![3]),
        (depthwise(2, 12, Clamp::RELU), vec![4]),
        (Op::AveragePool(pool), vec![5]),
        (Op::FullyConnected(last), vec![6]),
    ];
    let mut tensors = vec![Tensor { name: "x".into(), shape: INPUT }];
    let mut all = Vec::new();
    for (i, (op, inputs)) in nodes.into_iter().enumerate() {
        let inputs: Vec<TensorId> = inputs.into_iter().map(TensorId).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|id| tensors[id.0].shape).collect();
        tensors.push(Tensor { name: format!("t{i}"), shape: op.output_shape(&shapes).unwrap() });
        all.push(Node { name: format!("n{i}"), op, inputs, output: TensorId(i + 1) });
    }
    let output = TensorId(all.len());
    let input_encoding = InputEncoding::Real;
    Network { name: "net".into(), tensors, nodes: all, input: TensorId(0), output, input_encoding, tail: None }
}

fn settings() -> ScratchSettings {
    let normalization = Normalization { scale: 1.0 / 64.0, mean: vec![2.0; 3], std: vec![1.0; 3] };
    let augmentation = Augmentation { shift: 1, flip: true, jitter: 0.1 };
    ScratchSettings { batch: 16, augmentation, ..ScratchSettings::new(3, normalization) }
}

/// Images whose brightest channel is their class.
struct Coloured(usize);

impl Source for Coloured {
    fn len(&self) -> usize {
        self.0
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, String> {
        let mut pixels = Vec::new();
        for index in indices {
            let mut rng = ChaCha8Rng::seed_from_u64(*index as u64);
            for i in 0..INPUT.elements() {
                let is_bright = i % 3 == index % CLASSES;
                pixels.push(rng.random_range(0..180u8) + if is_bright { 70 } else { 0 });
            }
        }
        let targets = Targets::Classes(indices.iter().map(|index| Some(index % CLASSES)).collect());
        Ok(Loaded { values: LoadedValues::Pixels(pixels), targets })
    }
}

fn go_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn learned(epochs: usize) -> Scratch {
    let mut trainer = Scratch::new(network(), settings()).unwrap();
    for _ in 0..epochs {
        trainer.learn_epoch(&Coloured(80), &mut go_on).unwrap();
    }
    trainer
}

/// Along a direction of all parameters of a kind in a layer the loss changes as the gradient says.
#[test]
fn gradients_are_the_slopes() {
    let loaded = Coloured(21).load(&(0..21).collect::<Vec<_>>()).unwrap();
    let by = LabelLoss::CrossEntropy { classes: CLASSES, smoothing: 0.1 };
    let mut trainer = Scratch::new(network(), settings()).unwrap();
    // Away from where all factors are 1.
    for (i, norm) in trainer.norms.iter_mut().flatten().enumerate() {
        norm.gamma = numbers(norm.gamma.len(), 0.5, i as u64).iter().map(|x| 1.2 + x).collect();
        norm.beta = numbers(norm.beta.len(), 0.5, 10 + i as u64);
    }
    trainer.gradients(&loaded, by).unwrap();
    let found = trainer.backward.layers.clone();
    for (node, found) in found.iter().enumerate() {
        for (kind, gradient) in [&found.weights, &found.shift, &found.factor].into_iter().enumerate() {
            if gradient.is_empty() {
                continue;
            }
            let direction = numbers(gradient.len(), 1.0, 100 + node as u64);
            let size = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
            let step = 3e-3 / size;
            let at = |step: f32| {
                let mut moved = Scratch::new(trainer.network.clone(), settings()).unwrap();
                moved.norms.clone_from(&trainer.norms);
                // Biases of convolutions are not kept, those of the last layer are.
                let (weights, bias) = moved.network.nodes[node].op.parameters_mut().unwrap();
                let list = match (kind, &mut moved.norms[node]) {
                    (0, _) => weights,
                    (1, Some(norm)) => &mut norm.beta,
                    (1, None) => bias,
                    (_, norm) => &mut norm.as_mut().unwrap().gamma,
                };
                list.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
                moved.gradients(&loaded, by).unwrap().0
            };
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            let expected: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            // Clamps bend the loss, and the numbers have 24 bits.
            let allowed = 0.02 * slope.abs() + 5e-4 * f64::from(size);
            assert!((slope - expected).abs() < allowed, "node {node}, kind {kind}: {expected} instead of {slope}");
        }
    }
}

#[test]
fn it_learns() {
    let mut trainer = learned(0);
    let first = trainer.learn_epoch(&Coloured(240), &mut go_on).unwrap();
    let mut last = first;
    while !trainer.is_done() {
        last = trainer.learn_epoch(&Coloured(240), &mut go_on).unwrap();
    }
    assert!(last.loss < 0.5 * first.loss && last.loss < 0.6, "{first:?} {last:?}");
    assert_eq!(last.rate, 0.0);
}

/// What is delivered computes what was learned.
#[test]
fn the_folded_network_gives_the_same_answers() {
    let mut trainer = learned(2);
    let real = numbers(9 * INPUT.elements(), 2.0, 5);
    let found = trainer.answers(&LoadedValues::Reals(real.clone())).unwrap();
    let network = trainer.network();
    let expected = FloatModel::new(&network).forward(&Samples::real(INPUT, &real), &mut go_on).unwrap();
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| learned(2).state())
    };
    let one = on(1);
    assert_eq!(one.steps, 10);
    assert!(one == on(2) && one == on(5));
}

#[test]
fn a_training_goes_on_to_the_same_numbers() {
    let whole = learned(3).state();
    let state = learned(1).state();
    let mut rest = Scratch::new(network(), settings()).unwrap().resume(state.clone()).unwrap();
    while !rest.is_done() {
        rest.learn_epoch(&Coloured(80), &mut go_on).unwrap();
    }
    assert!(rest.state() == whole);
    let mut other = state;
    other.lists.pop();
    let refused = Scratch::new(network(), settings()).unwrap().resume(other);
    assert_eq!(refused.err(), Some(TrainError::OtherModel));
}

#[test]
fn what_comes_to_no_number_is_told() {
    let wild = ScratchSettings { rate: 1e30, warm_up: 0.0, ..settings() };
    let mut trainer = Scratch::new(network(), wild).unwrap();
    let error = trainer.learn_epoch(&Coloured(160), &mut go_on).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { epoch: 1, .. }), "{error:?}");
    let mut stopped = Scratch::new(network(), settings()).unwrap();
    let error = stopped.learn_epoch(&Coloured(80), &mut |_, _| ControlFlow::Break(())).unwrap_err();
    assert_eq!(error, TrainError::Stopped);
}

#[test]
fn what_is_not_trained_is_named() {
    let mut network = network();
    network.nodes[2].op = Op::Add(Clamp::RELU);
    let error = Scratch::new(network, settings()).err().unwrap().to_string();
    assert!(error.contains("`n2`, a add"), "{error}");
}
