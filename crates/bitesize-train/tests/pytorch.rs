//! The gradient engine against PyTorch: every operator, in float and fake-quantized with learned scales.
//!
//! `pytorch/gradients.json` holds PyTorch's results; `benches/pytorch/gradients.py` writes it.

use bitesize_ir::network::{InputEncoding, Network, Node, Tensor, TensorId};
use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected, Op};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::{Axis, Pads, Shape, Window};
use bitesize_ir::{ActivationQuant, BitWidth};
use bitesize_train::engine::{Batch, Boundary, Encoding, Engine, LearnedScales, Parameters};
use serde_json::Value;

/// How far a gradient may be from PyTorch's, of the largest of its list.
const CLOSE: f64 = 1e-4;

fn file() -> Value {
    serde_json::from_str(include_str!("pytorch/gradients.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|x| x as f32).collect()
}

fn counts<const N: usize>(value: &Value) -> [usize; N] {
    let counts: Vec<usize> = value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect();
    counts.try_into().unwrap()
}

fn pads(value: &Value) -> Pads {
    let [top, left, bottom, right] = counts(value);
    Pads { top, left, bottom, right }
}

fn op(node: &Value) -> Op {
    let window = || Window {
        kernel: counts(&node["kernel"]),
        stride: counts(&node["stride"]),
        dilation: counts(&node["dilation"]),
        pads: pads(&node["pads"]),
    };
    let [lo, hi] = [0, 1].map(|i| node["clamp"][i].as_f64().map(|x| x as f32));
    let clamp = Clamp { lo: lo.unwrap_or(f32::NEG_INFINITY), hi: hi.unwrap_or(f32::INFINITY) };
    let parameters = || (floats(&node["weights"]), floats(&node["bias"]));
    match node["op"].as_str().unwrap() {
        "conv2d" => {
            let ((weights, bias), groups) = (parameters(), node["groups"].as_u64().unwrap() as usize);
            Op::Conv2d(Conv2d { window: window(), groups, weights, bias, clamp })
        }
        "depthwise_conv2d" => {
            let (weights, bias) = parameters();
            Op::DepthwiseConv2d(DepthwiseConv2d { window: window(), weights, bias, clamp })
        }
        "fully_connected" => {
            let (weights, bias) = parameters();
            Op::FullyConnected(FullyConnected { weights, bias, clamp })
        }
        "add" => Op::Add(clamp),
        "concat" => Op::Concat,
        "max_pool" => Op::MaxPool(window()),
        "average_pool" => {
            let count_include_pad = node["count_include_pad"].as_bool().unwrap();
            Op::AveragePool(AveragePool { window: window(), count_include_pad, clamp })
        }
        "clamp" => Op::Clamp(clamp),
        "pad" => Op::Pad(pads(&node["pads"])),
        "flatten" => {
            let axis = |name: &Value| *Axis::ALL.iter().find(|axis| axis.name() == name).unwrap();
            let order: Vec<Axis> = node["order"].as_array().unwrap().iter().map(axis).collect();
            Op::Flatten(order.try_into().unwrap())
        }
        other => panic!("the file has an operator `{other}`"),
    }
}

fn network(file: &Value) -> Network {
    let description = &file["network"];
    let shape = |(i, shape): (usize, &Value)| {
        let [h, w, c] = counts(shape);
        Tensor { name: format!("t{i}"), shape: Shape::new(h, w, c) }
    };
    let node = |(i, node): (usize, &Value)| Node {
        name: format!("n{i}"),
        op: op(node),
        inputs: node["inputs"].as_array().unwrap().iter().map(|t| TensorId(t.as_u64().unwrap() as usize)).collect(),
        output: TensorId(node["output"].as_u64().unwrap() as usize),
    };
    let network = Network {
        name: "all".into(),
        tensors: description["shapes"].as_array().unwrap().iter().enumerate().map(shape).collect(),
        nodes: description["nodes"].as_array().unwrap().iter().enumerate().map(node).collect(),
        input: TensorId(0),
        output: TensorId(description["output"].as_u64().unwrap() as usize),
        input_encoding: InputEncoding::Real,
        tail: None,
    };
    network.validate().unwrap();
    network
}

fn check(what: &str, found: &[f32], expected: &Value) {
    let expected = numbers(expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let apart = (f64::from(*found) - expected).abs();
        assert!(apart <= CLOSE * largest, "{what}, element {i}: {found}, PyTorch has {expected} (largest {largest})");
    }
}

/// Runs the network and compares everything that both arithmetics have.
fn compare(file: &Value, kind: &str, parameters: &Parameters) -> (bitesize_train::engine::Gradients, Network) {
    let (network, expected, x) = (network(file), &file[kind], floats(&file["x"]));
    let mut engine = Engine::new(&network, 0..network.nodes.len(), &[network.output], true).unwrap();
    let batch = Batch { inputs: &[Boundary::Values(&x)], dropped: None };
    let outputs = engine.forward(parameters, &batch).unwrap();
    check("output", &outputs[0], &expected["output"]);
    let classes = network.shape(network.output).elements();
    let step = engine.step(parameters, &batch, &|images, values, gradients| {
        let first = images.start * classes;
        let mut sum = 0.0;
        for (i, (value, gradient)) in values[0].iter().zip(&mut gradients[0]).enumerate() {
            let factor = ((first + i) % 7) as f32 - 3.0;
            sum += f64::from(factor * value + value * value / 4.0);
            *gradient = factor + value / 2.0;
        }
        sum
    });
    let step = step.unwrap();
    check("loss", &[step.loss as f32], &serde_json::json!([expected["loss"]]));
    let gradients = step.gradients.clone();
    check("input", &engine.input_gradients()[0], &expected["input"]);
    for (index, found) in gradients.layers.iter().enumerate().filter(|(_, layer)| !layer.bias.is_empty()) {
        let expected = &expected["layers"][index.to_string()];
        check(&format!("{kind}, weights of node {index}"), &found.weights, &expected["weights"]);
        check(&format!("{kind}, biases of node {index}"), &found.bias, &expected["bias"]);
    }
    (gradients, network)
}

#[test]
fn gradients_in_float_are_those_of_pytorch() {
    let file = file();
    compare(&file, "float", &Parameters::real(&network(&file)));
}

#[test]
fn fake_quantized_gradients_are_those_of_pytorch() {
    let file = file();
    let network = network(&file);
    let mut parameters = Parameters::real(&network);
    let quant = |root: &Value| {
        let quant = &file["quants"][root.as_u64().unwrap().to_string()];
        let bits = BitWidth::try_from(quant["bits"].as_u64().unwrap() as u8).unwrap();
        let (scale, zero) = (quant["scale"].as_f64().unwrap(), quant["zero"].as_u64().unwrap() as u8);
        ActivationQuant { bits, scale, zero }
    };
    let roots: Vec<Value> = (0..network.tensors.len()).map(|t| file["roots"][t.to_string()].clone()).collect();
    parameters.encodings = roots.iter().map(|root| Encoding::Codes(quant(root))).collect();
    let mut learned = Vec::new();
    for (index, node) in network.nodes.iter().enumerate() {
        let (Some(given), Some(layout)) = (node.op.parameters(), WeightLayout::of(&node.op)) else { continue };
        let description = &file["network"]["nodes"][index];
        let scales = floats(&description["scales"]);
        let weights = LearnedScales::new(given.weights.to_vec(), scales, layout, BitWidth::B4);
        let layer = parameters.layers[index].as_mut().unwrap();
        weights.write(layer);
        layer.bias = numbers(&description["bias"]);
        learned.push((index, weights));
    }
    let (gradients, _) = compare(&file, "codes", &parameters);
    for (tensor, expected) in file["codes"]["scales"].as_object().unwrap() {
        let tensor: usize = tensor.parse().unwrap();
        let found = gradients.scales[tensor] as f32;
        check(&format!("scale of tensor {tensor}"), &[found], &serde_json::json!([expected]));
    }
    for (index, weights) in learned {
        let expected = &file["codes"]["layers"][index.to_string()];
        let (mut by_weights, mut by_scales) = (Vec::new(), Vec::new());
        weights.backward(&gradients.layers[index].weights, [&mut by_weights, &mut by_scales]);
        check(&format!("weights before rounding of node {index}"), &by_weights, &expected["latent"]);
        check(&format!("weight scales of node {index}"), &by_scales, &expected["scales"]);
    }
}
