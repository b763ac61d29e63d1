//! Networks as the Python programs of `benches/pytorch` read them.

use bitesize_ir::op::Clamp;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{Network, Node, Op};
use serde_json::{Map, Value, json};

/// The description of a network, with weights and biases where `weights`.
pub(crate) fn describe(network: &Network, weights: bool) -> Value {
    let shapes: Vec<Value> = network.tensors.iter().map(|t| json!([t.shape.h, t.shape.w, t.shape.c])).collect();
    let nodes: Vec<Value> = network.nodes.iter().map(|node| describe_node(node, weights)).collect();
    json!({ "shapes": shapes, "input": network.input.0, "output": network.output.0, "nodes": nodes })
}

fn describe_node(node: &Node, weights: bool) -> Value {
    let inputs: Vec<usize> = node.inputs.iter().map(|t| t.0).collect();
    let Clamp { lo, hi } = node.op.clamp();
    // Infinite bounds are `null`.
    let bound = |x: f32| if x.is_finite() { json!(x) } else { Value::Null };
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| _ = map.insert(key.into(), value);
    put("op", json!(node.op.name()));
    put("inputs", json!(inputs));
    put("output", json!(node.output.0));
    put("clamp", json!([bound(lo), bound(hi)]));
    let pads = |p: &Pads| json!([p.top, p.left, p.bottom, p.right]);
    let window = match &node.op {
        Op::Conv2d(op) => Some(op.window),
        Op::DepthwiseConv2d(op) => Some(op.window),
        Op::FullyConnected(_) => Some(Window::of([1, 1])),
        Op::MaxPool(window) => Some(*window),
        Op::AveragePool(op) => Some(op.window),
        _ => None,
    };
    if let Some(window) = window {
        put("kernel", json!(window.kernel));
        put("stride", json!(window.stride));
        put("dilation", json!(window.dilation));
        put("pads", pads(&window.pads));
    }
    match &node.op {
        Op::Conv2d(op) => put("groups", json!(op.groups)),
        Op::FullyConnected(_) => put("groups", json!(1)),
        Op::AveragePool(op) => put("count_include_pad", json!(op.count_include_pad)),
        Op::Pad(p) => put("pads", pads(p)),
        Op::Flatten(order) => put("order", json!(order.map(|axis| axis.name()))),
        _ => {}
    }
    if let Some(parameters) = node.op.parameters().filter(|_| weights) {
        put("weights", json!(parameters.weights));
        put("bias", json!(parameters.bias));
    }
    Value::Object(map)
}
