//! Writes networks as ONNX: what training made, batch normalizations beside their layers, for other programs to read.

use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_kind, data_type,
};
use bitesize_ir::op::{AveragePool, Clamp, Op};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{BatchNorm, InputEncoding, Network, Node, Shape};
use prost::Message as _;

/// The operator set that is written.
const OPSET: i64 = 17;

/// The version of the file's form that came with it.
const IR_VERSION: i64 = 8;

/// The name of the number of images, which stays open.
const BATCH: &str = "batch";

/// A network that is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// An operator, or a form of one, that training has no need of.
    #[error("`{node}`, a {op}, is not written as ONNX")]
    Operator {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
    },
    /// The network takes pixels as they are: its first layer holds a preprocessing, whose borders ONNX cannot express.
    #[error("a network that takes raw pixels is not written as ONNX")]
    Pixels,
}

/// The bytes of an ONNX file of opset 17 with `network`, whose node `i` is followed by the batch normalization `norms[i]` where there is one,
/// before its clamp. The input is `[batch, channels, height, width]`, float32, the output of a fully connected end `[batch, outputs]`; the batch
/// is open.
///
/// # Errors
/// [`ExportError`].
pub fn export_onnx(network: &Network, norms: &[Option<BatchNorm>]) -> Result<Vec<u8>, ExportError> {
    if network.input_encoding != InputEncoding::Real {
        return Err(ExportError::Pixels);
    }
    let mut writer = Writer::default();
    for (index, node) in network.nodes.iter().enumerate() {
        writer.node(network, node, norms.get(index).and_then(Option::as_ref))?;
    }
    let value = |tensor| {
        let Shape { h, w, c } = network.shape(tensor);
        let is_flat = network.nodes.iter().any(|node| node.output == tensor && is_flat(&node.op));
        let sizes = if is_flat { vec![c] } else { vec![c, h, w] };
        let name = network.tensor(tensor).name.clone();
        ValueInfoProto { name, r#type: Some(of_floats(&sizes)) }
    };
    let graph = GraphProto {
        name: "bitesize".into(),
        input: vec![value(network.input)],
        output: vec![value(network.output)],
        ..writer.graph
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
    Ok(ModelProto { ir_version: IR_VERSION, graph: Some(graph), opset_import }.encode_to_vec())
}

/// The type of a float tensor of the open batch and `sizes`.
fn of_floats(sizes: &[usize]) -> TypeProto {
    let batch = DimensionProto { dim_param: BATCH.into(), ..Default::default() };
    let known = sizes.iter().map(|size| DimensionProto { dim_value: Some(*size as i64), ..Default::default() });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(known).collect() };
    TypeProto { tensor_type: Some(TensorTypeProto { elem_type: data_type::FLOAT, shape: Some(shape) }) }
}

/// Whether an operator gives vectors, without height and width.
fn is_flat(op: &Op) -> bool {
    matches!(op, Op::FullyConnected(_))
}

/// Gathers nodes and constants.
#[derive(Default)]
struct Writer {
    graph: GraphProto,
}

/// A node under construction.
struct Written<'a> {
    op: &'a str,
    name: String,
    inputs: Vec<String>,
    attributes: Vec<AttributeProto>,
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, kind: attribute_kind::INT, ..Default::default() }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|value| *value as i64).collect();
    AttributeProto { name: name.into(), ints, kind: attribute_kind::INTS, ..Default::default() }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, kind: attribute_kind::FLOAT, ..Default::default() }
}

fn window_attributes(window: &Window, groups: usize) -> Vec<AttributeProto> {
    let Pads { top, left, bottom, right } = window.pads;
    vec![
        ints("kernel_shape", &window.kernel),
        ints("strides", &window.stride),
        ints("pads", &[top, left, bottom, right]),
        ints("dilations", &window.dilation),
        int("group", groups as i64),
    ]
}

impl Writer {
    /// Adds a constant of `dims`.
    fn constant(&mut self, name: String, dims: &[usize], values: impl Iterator<Item = f32>) -> String {
        let dims = dims.iter().map(|size| *size as i64).collect();
        let raw_data = values.flat_map(f32::to_le_bytes).collect();
        let tensor =
            TensorProto { name: name.clone(), dims, data_type: data_type::FLOAT, raw_data, ..Default::default() };
        self.graph.initializer.push(tensor);
        name
    }

    /// Adds `written`, which writes the tensor `output`.
    fn push(&mut self, written: Written<'_>, output: &str) {
        self.graph.node.push(NodeProto {
            op_type: written.op.into(),
            name: written.name,
            input: written.inputs,
            output: vec![output.into()],
            attribute: written.attributes,
            ..Default::default()
        });
    }

    fn node(&mut self, network: &Network, node: &Node, norm: Option<&BatchNorm>) -> Result<(), ExportError> {
        let refuse = || ExportError::Operator { node: node.name.clone(), op: node.op.name() };
        let (name, output) = (&node.name, &network.tensor(node.output).name);
        let inputs: Vec<String> = node.inputs.iter().map(|tensor| network.tensor(*tensor).name.clone()).collect();
        let shape = network.shape(node.inputs[0]);
        let mut steps = vec![self.layer(network, node, inputs, norm.is_none()).ok_or_else(refuse)?];
        if let Some(norm) = norm {
            let BatchNorm { gamma, beta, mean, variance, epsilon } = norm;
            let mut inputs = vec![String::new()];
            for (part, values) in [("scale", gamma), ("shift", beta), ("mean", mean), ("variance", variance)] {
                inputs.push(self.constant(format!("{name}.{part}"), &[values.len()], values.iter().copied()));
            }
            let attributes = vec![float("epsilon", *epsilon)];
            steps.push(Written { op: "BatchNormalization", name: format!("{name}.norm"), inputs, attributes });
        }
        let clamp = node.op.clamp();
        if clamp == Clamp::RELU {
            let inputs = vec![String::new()];
            steps.push(Written { op: "Relu", name: format!("{name}.relu"), inputs, attributes: Vec::new() });
        } else if !clamp.is_none() {
            let mut inputs = vec![String::new()];
            for (part, bound) in [("lowest", clamp.lo), ("highest", clamp.hi)] {
                inputs.push(self.constant(format!("{name}.{part}"), &[], std::iter::once(bound)));
            }
            steps.push(Written { op: "Clip", name: format!("{name}.clip"), inputs, attributes: Vec::new() });
        }
        if is_flat(&node.op) && !network.nodes.iter().any(|other| other.output == node.inputs[0] && is_flat(&other.op))
        {
            if shape.pixels() != 1 {
                return Err(refuse());
            }
            let inputs = std::mem::take(&mut steps[0].inputs[0]);
            let attributes = vec![int("axis", 1)];
            let flatten = Written { op: "Flatten", name: format!("{name}.flatten"), inputs: vec![inputs], attributes };
            steps.insert(0, flatten);
        }
        let last = steps.len() - 1;
        let mut before = String::new();
        for (i, mut step) in steps.into_iter().enumerate() {
            if i > 0 {
                step.inputs[0] = before;
            }
            // A tensor of a name of its own between two nodes.
            before = if i == last { output.clone() } else { format!("{output}.{i}") };
            self.push(step, &before);
        }
        Ok(())
    }

    /// What `node` is without normalization and clamp; its bias where it `has_bias`.
    fn layer(
        &mut self,
        network: &Network,
        node: &Node,
        mut inputs: Vec<String>,
        has_bias: bool,
    ) -> Option<Written<'static>> {
        let name = &node.name;
        let input = network.shape(node.inputs[0]);
        let (op, attributes) = match &node.op {
            Op::Conv2d(op) => {
                let ([kh, kw], out_c) = (op.window.kernel, op.bias.len());
                let channels = input.c / op.groups;
                let at = |i: usize| {
                    // OIHW from OHWI.
                    let (x, y, c, o) = (i % kw, i / kw % kh, i / (kw * kh) % channels, i / (kw * kh * channels));
                    op.weights[((o * kh + y) * kw + x) * channels + c]
                };
                let values = (0..op.weights.len()).map(at);
                inputs.push(self.constant(format!("{name}.weight"), &[out_c, channels, kh, kw], values));
                ("Conv", window_attributes(&op.window, op.groups))
            }
            Op::DepthwiseConv2d(op) => {
                let ([kh, kw], c) = (op.window.kernel, op.bias.len());
                let values = (0..op.weights.len()).map(|i| op.weights[i % (kh * kw) * c + i / (kh * kw)]);
                inputs.push(self.constant(format!("{name}.weight"), &[c, 1, kh, kw], values));
                ("Conv", window_attributes(&op.window, c))
            }
            Op::FullyConnected(op) => {
                let dims = [op.bias.len(), input.c];
                inputs.push(self.constant(format!("{name}.weight"), &dims, op.weights.iter().copied()));
                ("Gemm", vec![int("transB", 1)])
            }
            Op::Add(_) => ("Add", Vec::new()),
            Op::AveragePool(AveragePool { window, .. }) if *window == Window::of([input.h, input.w]) => {
                ("GlobalAveragePool", Vec::new())
            }
            _ => return None,
        };
        if let (Some(parameters), true) = (node.op.parameters(), has_bias) {
            let bias = parameters.bias;
            inputs.push(self.constant(format!("{name}.bias"), &[bias.len()], bias.iter().copied()));
        }
        Some(Written { op, name: name.clone(), inputs, attributes })
    }
}

#[cfg(test)]
mod tests;
