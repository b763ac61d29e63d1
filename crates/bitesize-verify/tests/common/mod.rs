//! A small network as the product makes one, and its package.

use bitesize_codegen::{EmitOptions, emit};
use bitesize_integer::{IntNetwork, lower};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::memory::{RamUse, Widths, flash, ram};
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{Clamp, Conv2d, DepthwiseConv2d};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{
    ActivationQuant, BitWidth, InputEncoding, Network, Node, Op, Policy, PolicySpace, QuantizedModel, Shape, TensorId,
    WeightQuant,
};
use bitesize_verify::{Job, Package, Prediction, Runner, boards};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use tempfile::TempDir;

/// A lowered network with what the memory model counts.
pub(crate) struct Example {
    pub(crate) network: Network,
    pub(crate) widths: Widths,
    pub(crate) integer: IntNetwork,
}

impl Example {
    /// Convolution, depthwise convolution and a fully connected layer over 8x8 images of 3 channels.
    pub(crate) fn new(weights: BitWidth, activations: BitWidth, seed: u64) -> Self {
        let network = network();
        let space = PolicySpace::of(&network);
        let policy = Policy::uniform(&space, weights, activations);
        let bits = policy.tensor_bits(&network, &space);
        // Real values of the hidden tensors are taken to lie in 0..=6, those of the output in -8..=8.
        let mut encodings = vec![ActivationQuant { bits: BitWidth::B8, scale: 1.0, zero: 0 }];
        encodings.extend(bits[1..3].iter().map(|&bits| ActivationQuant::from_range(0.0, 6.0, bits)));
        encodings.push(ActivationQuant::from_range(-8.0, 8.0, bits[3]));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut quantize = |node: &Node| {
            let layout = WeightLayout::of(&node.op)?;
            let count = node.op.parameters()?.weights.len();
            let grid = WeightGrid::of(weights);
            let levels: Vec<i8> = grid.levels().collect();
            let terms = (count / layout.out_channels()) as f64;
            let input = if node.inputs[0] == network.input { 128.0 } else { 3.0 };
            let scale = 4.0 / (terms.sqrt() * f64::from(grid.highest()) * input);
            Some(WeightQuant {
                bits: weights,
                levels: (0..count).map(|_| levels[rng.random_range(0..levels.len())]).collect(),
                scales: vec![scale; layout.out_channels()],
                bias: (0..layout.out_channels()).map(|_| rng.random_range(0.0..2.0)).collect(),
            })
        };
        let weights = network.nodes.iter().map(&mut quantize).collect();
        let widths = Widths::of(&network, &space, &policy);
        let model = QuantizedModel { network, policy, activations: encodings, weights };
        let integer = lower(&model).unwrap();
        Self { network: model.network, widths, integer }
    }

    /// On `runner`, with the memory model's prediction for its core.
    pub(crate) fn job(&self, runner: Runner, samples: usize) -> Job {
        let Some(core) = runner.core() else { return Job::host(samples) };
        let core = boards::core(core).unwrap();
        let flash = flash(&self.network, &self.widths, &core);
        let prediction = Prediction::new(&flash, &self.ram(&core), &core);
        Job::emulated(runner, samples, &core, Some(prediction))
    }

    fn ram(&self, core: &CoreCosts) -> RamUse {
        ram(&self.network, &self.widths, core)
    }

    /// Writes the package; `edit` is given the name and text of each file.
    pub(crate) fn package(&self, edit: impl Fn(&str, &str) -> String) -> (TempDir, Package) {
        let plan = self.ram(&boards::core("cortex-m4").unwrap()).plan;
        let emitted = emit(&self.integer, &plan, &EmitOptions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in &emitted.files {
            fs::write(folder.path().join(path), edit(path, text)).unwrap();
        }
        let package = Package { folder: folder.path().into(), prefix: "model".into() };
        (folder, package)
    }
}

fn network() -> Network {
    let shapes = [Shape::new(8, 8, 3), Shape::new(4, 4, 8), Shape::new(4, 4, 8), Shape::new(1, 1, 10)];
    let names = ["image", "conv", "depthwise", "logits"];
    let window = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
    let whole = Window::of([4, 4]);
    let zeros = |count: usize| vec![0.0; count];
    let ops = [
        Op::Conv2d(Conv2d {
            window: Window { stride: [2, 2], ..window },
            groups: 1,
            weights: zeros(8 * 27),
            bias: zeros(8),
            clamp: Clamp::RELU,
        }),
        Op::DepthwiseConv2d(DepthwiseConv2d { window, weights: zeros(9 * 8), bias: zeros(8), clamp: Clamp::RELU }),
        Op::Conv2d(Conv2d { window: whole, groups: 1, weights: zeros(10 * 128), bias: zeros(10), clamp: Clamp::NONE }),
    ];
    Network {
        name: "example".into(),
        tensors: names.iter().zip(shapes).map(|(name, shape)| Tensor { name: (*name).into(), shape }).collect(),
        nodes: (ops.into_iter().enumerate())
            .map(|(i, op)| Node { name: names[i + 1].into(), op, inputs: vec![TensorId(i)], output: TensorId(i + 1) })
            .collect(),
        input: TensorId(0),
        output: TensorId(3),
        input_encoding: InputEncoding::Pixels { offset: vec![120.0, 100.5, 90.0] },
        softmax_dropped: false,
    }
}
