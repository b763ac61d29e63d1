//! How many multiply-accumulates a second the interpreter does on a network like MobileNetV1 0.5 for 32x32 images
//! with random weights: `cargo run --release -p bitesize-integer --example throughput`.

use bitesize_integer::{Interpreter, lower};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{
    ActivationQuant, BitWidth, InputEncoding, Network, Node, Op, Policy, PolicySpace, QuantizedModel, Shape, TensorId,
    WeightQuant,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

fn window(kernel: usize, stride: usize) -> Window {
    Window { stride: [stride, stride], pads: Pads::all(kernel / 2), ..Window::of([kernel, kernel]) }
}

fn append(network: &mut Network, op: Op) {
    let input = TensorId(network.tensors.len() - 1);
    let shape = op.output_shape(&[network.shape(input)]).expect("the shapes fit");
    let name = format!("{}_{}", op.name(), network.nodes.len());
    network.tensors.push(Tensor { name: format!("{name}:out"), shape });
    network.output = TensorId(input.0 + 1);
    network.nodes.push(Node { name, op, inputs: vec![input], output: network.output });
}

fn conv(network: &mut Network, kernel: usize, stride: usize, out_c: usize) {
    let in_c = network.shape(network.output).c;
    let weights = vec![0.0; out_c * kernel * kernel * in_c];
    let op = Conv2d { window: window(kernel, stride), groups: 1, weights, bias: vec![0.0; out_c], clamp: Clamp::RELU6 };
    append(network, Op::Conv2d(op));
}

fn depthwise(network: &mut Network, stride: usize) {
    let c = network.shape(network.output).c;
    let (weights, bias) = (vec![0.0; 9 * c], vec![0.0; c]);
    append(
        network,
        Op::DepthwiseConv2d(DepthwiseConv2d { window: window(3, stride), weights, bias, clamp: Clamp::RELU6 }),
    );
}

fn mobilenet() -> Network {
    let mut network = Network {
        name: "mobilenet_v1_05_like".into(),
        tensors: vec![Tensor { name: "input".into(), shape: Shape::new(32, 32, 3) }],
        nodes: Vec::new(),
        input: TensorId(0),
        output: TensorId(0),
        input_encoding: InputEncoding::Real,
        tail: None,
    };
    conv(&mut network, 3, 1, 16);
    let blocks =
        [(1, 32), (2, 64), (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (1, 256), (1, 256), (1, 256), (1, 256)];
    for (stride, out_c) in blocks.into_iter().chain([(2, 512), (1, 512)]) {
        depthwise(&mut network, stride);
        conv(&mut network, 1, 1, out_c);
    }
    let Shape { h, w, c } = network.shape(network.output);
    let pool = AveragePool { window: Window::of([h, w]), count_include_pad: false, clamp: Clamp::NONE };
    append(&mut network, Op::AveragePool(pool));
    let (weights, bias) = (vec![0.0; 10 * c], vec![0.0; 10]);
    append(&mut network, Op::FullyConnected(FullyConnected { weights, bias, clamp: Clamp::NONE }));
    network
}

fn random_model(network: Network, bits: BitWidth, rng: &mut ChaCha8Rng) -> QuantizedModel {
    let policy = Policy::uniform(&PolicySpace::of(&network), bits, BitWidth::B8);
    let activations = vec![ActivationQuant { bits: BitWidth::B8, scale: 6.0 / 255.0, zero: 0 }; network.tensors.len()];
    let levels: Vec<i8> = WeightGrid::of(bits).levels().collect();
    let mut draw = |op: &Op| {
        let channels = WeightLayout::of(op)?.out_channels();
        let count = op.parameters()?.weights.len();
        Some(WeightQuant {
            bits,
            levels: (0..count).map(|_| levels[rng.random_range(0..levels.len())]).collect(),
            scales: vec![2.0 / f64::from(levels[levels.len() - 1]) / (count as f64 / channels as f64).sqrt(); channels],
            bias: (0..channels).map(|_| rng.random_range(-0.5..0.5)).collect(),
        })
    };
    let weights = network.nodes.iter().map(|node| draw(&node.op)).collect();
    QuantizedModel {
        network: network.into(),
        policy,
        activations,
        output_channels: None,
        weights,
        equalized: Vec::new(),
    }
}

fn main() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let network = mobilenet();
    let (macs, size) = (network.macs(), network.shape(network.input).elements());
    for bits in BitWidth::ALL {
        let lowered = lower(&random_model(network.clone(), bits, &mut rng)).expect("the model is legal");
        let images: Vec<u8> = (0..256 * size).map(|_| rng.random()).collect();
        let interpreter = Interpreter::new(&lowered);
        interpreter.run_batch(&images[..16 * size]);
        let start = Instant::now();
        let outputs = interpreter.run_batch(&images);
        let seconds = start.elapsed().as_secs_f64();
        let checksum: u64 = outputs.iter().map(|&code| u64::from(code)).sum();
        println!(
            "weights of {bits} bits: {:.2} GMAC/s on {} threads ({:.1} M MACs an image, 256 images in {seconds:.3} s, checksum {checksum})",
            256.0 * macs as f64 / seconds / 1e9,
            std::thread::available_parallelism().map_or(1, usize::from),
            macs as f64 / 1e6,
        );
    }
}
