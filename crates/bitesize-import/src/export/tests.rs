use super::*;
use crate::import_onnx;
use bitesize_ir::op::{Conv2d, DepthwiseConv2d, FullyConnected};
use bitesize_ir::reference::run_float;
use bitesize_ir::{Tensor, TensorId};

/// Numbers that differ from one another.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 29) as f32 / 29.0 - 0.4).collect()
}

/// Every form that is written: grouped and depthwise convolutions with and without normalization, each clamp, an addition.
fn network() -> (Network, Vec<Option<BatchNorm>>) {
    let shapes = [(5, 6, 4), (3, 3, 6), (3, 3, 6), (3, 3, 6), (1, 1, 6), (1, 1, 3)];
    let tensors: Vec<Tensor> = shapes
        .iter()
        .enumerate()
        .map(|(i, (h, w, c))| Tensor { name: format!("t{i}"), shape: Shape::new(*h, *w, *c) })
        .collect();
    let window =
        |size: usize, stride: usize| Window { stride: [stride; 2], pads: Pads::all(size / 2), ..Window::of([size; 2]) };
    let conv = Conv2d {
        window: window(3, 2),
        groups: 2,
        weights: numbers(6 * 9 * 2, 1),
        bias: vec![0.0; 6],
        clamp: Clamp::RELU6,
    };
    let depthwise =
        DepthwiseConv2d { window: window(3, 1), weights: numbers(9 * 6, 2), bias: vec![0.0; 6], clamp: Clamp::RELU };
    let pool = AveragePool { window: Window::of([3, 3]), count_include_pad: false, clamp: Clamp::NONE };
    let layer = FullyConnected { weights: numbers(18, 3), bias: numbers(3, 4), clamp: Clamp::NONE };
    let ops = [
        (Op::Conv2d(conv), vec![0]),
        (Op::DepthwiseConv2d(depthwise), vec![1]),
        (Op::Add(Clamp::NONE), vec![1, 2]),
        (Op::AveragePool(pool), vec![3]),
        (Op::FullyConnected(layer), vec![4]),
    ];
    let node = |(i, (op, inputs)): (usize, (Op, Vec<usize>))| Node {
        name: format!("n{i}"),
        op,
        inputs: inputs.into_iter().map(TensorId).collect(),
        output: TensorId(i + 1),
    };
    let nodes: Vec<Node> = ops.into_iter().enumerate().map(node).collect();
    let network = Network {
        name: "net".into(),
        tensors,
        nodes,
        input: TensorId(0),
        output: TensorId(5),
        input_encoding: InputEncoding::Real,
        tail: None,
    };
    network.validate().unwrap();
    let norm = |seed| BatchNorm {
        gamma: numbers(6, seed),
        beta: numbers(6, seed + 1),
        mean: numbers(6, seed + 2),
        variance: numbers(6, seed + 3).iter().map(|x| x + 0.5).collect(),
        epsilon: 1e-5,
    };
    (network, vec![Some(norm(5)), Some(norm(9)), None, None, None])
}

#[test]
fn what_is_written_is_read_and_computes_the_same() {
    let (network, norms) = network();
    let no_other_files = |_: &str, _: u64, _: usize| Err(std::io::ErrorKind::NotFound.into());
    for norms in [norms, vec![None; 5]] {
        let bytes = export_onnx(&network, &norms).unwrap();
        let imported = import_onnx(&bytes, &no_other_files, "net").unwrap();
        let expected = BatchNorm::folded(&network, &norms);
        let input = numbers(120, 7);
        let found = run_float(&imported.network, &input).swap_remove(imported.network.output.0);
        let expected = run_float(&expected, &input).swap_remove(5);
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{found:?} {expected:?}");
        }
    }
}

#[test]
fn what_is_not_written_is_named() {
    let (mut network, norms) = network();
    network.nodes[3].op = Op::MaxPool(Window::of([3, 3]));
    let error = export_onnx(&network, &norms).unwrap_err();
    assert_eq!(error, ExportError::Operator { node: "n3".into(), op: "max_pool" });
    network.input_encoding = InputEncoding::Pixels { offset: vec![0.0; 4] };
    assert_eq!(export_onnx(&network, &norms), Err(ExportError::Pixels));
}
