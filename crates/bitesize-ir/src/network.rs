//! The float network: tensors, and nodes in an order in which they can run.

use crate::op::Op;
use crate::shape::{Axis, Shape};
use crate::tail::Tail;
use std::collections::HashSet;
use std::fmt::{self, Write as _};

/// Index of a tensor in [`Network::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Index of a node in [`Network::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// An activation tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Unique, not empty.
    pub name: String,
    /// Without the batch.
    pub shape: Shape,
}

/// One application of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique, not empty: the source's node name, or the output tensor's where it has none.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads, in the operator's order.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
}

/// What the input tensor's real value is, given what the caller feeds.
#[derive(Clone, Debug, PartialEq)]
pub enum InputEncoding {
    /// Real values; the integer network quantizes them per tensor to 8 bits.
    Real,
    /// Raw pixels `x` in 0..=255: the tensor's real value in channel `c` is `x - offset[c]` (scale 1). The rest of
    /// the preprocessing is in the weights of the input's consumers.
    Pixels {
        /// `mean[c] / scale` of the preprocessing, one for each channel.
        offset: Vec<f64>,
    },
}

/// A network with one input and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// A short name for reports and emitted files.
    pub name: String,
    /// Every activation tensor.
    pub tensors: Vec<Tensor>,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// What the caller feeds.
    pub input: TensorId,
    /// What the caller reads.
    pub output: TensorId,
    /// How fed values become the input tensor's.
    pub input_encoding: InputEncoding,
    /// What the source does to the output last and was left out (the output is its input).
    pub tail: Option<Tail>,
}

/// A network that breaks a rule of [`Network::validate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct InvalidNetwork {
    /// The node or tensor.
    pub place: String,
    /// Which rule, with what was found.
    pub problem: String,
}

impl Network {
    /// The tensor's description.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The tensor's shape.
    pub fn shape(&self, id: TensorId) -> Shape {
        self.tensors[id.0].shape
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All nodes with their ids, in topological order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }

    /// The node that writes `tensor`; `None` for the input.
    pub fn producer(&self, tensor: TensorId) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.output == tensor).map(NodeId)
    }

    /// The nodes that read `tensor`, in order; a node that reads it twice is named once.
    pub fn consumers(&self, tensor: TensorId) -> Vec<NodeId> {
        self.iter().filter(|(_, node)| node.inputs.contains(&tensor)).map(|(id, _)| id).collect()
    }

    /// The layer with weights that makes the network's output, where nobody but the caller reads that: its channels can have
    /// encodings of their own.
    pub fn output_layer(&self) -> Option<NodeId> {
        let producer = self.producer(self.output)?;
        let is_layer = self.node(producer).op.parameters().is_some() && self.consumers(self.output).is_empty();
        is_layer.then_some(producer)
    }

    /// Whether `node` reads the network's raw pixels, whose zero point is another for each channel.
    pub fn reads_pixels(&self, node: &Node) -> bool {
        matches!(self.input_encoding, InputEncoding::Pixels { .. }) && node.inputs.contains(&self.input)
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.nodes.iter().filter_map(|n| n.op.parameters()).map(|p| p.weights.len() + p.bias.len()).sum()
    }

    /// Multiply-accumulates for one image.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|n| n.op.macs(self.shape(n.output))).sum()
    }

    /// The tensor whose encoding (scale, zero point, width) `tensor` has: itself, or what the operators that pass an
    /// encoding on (max-pool, clamp, pad, flatten) made it from.
    pub fn encoding_root(&self, tensor: TensorId) -> TensorId {
        let mut at = tensor;
        // A tensor is written before it is read, so one pass from the end meets every producer in turn.
        for node in self.nodes.iter().rev().filter(|node| node.op.passes_encoding_on()) {
            if node.output == at {
                at = node.inputs[0];
            }
        }
        at
    }

    /// [`Self::encoding_root`] of every tensor, in one walk.
    pub fn encoding_roots(&self) -> Vec<TensorId> {
        let mut roots: Vec<TensorId> = (0..self.tensors.len()).map(TensorId).collect();
        for node in self.nodes.iter().filter(|node| node.op.passes_encoding_on()) {
            roots[node.output.0] = roots[node.inputs[0].0];
        }
        roots
    }

    /// Checks every rule of a legal network:
    ///
    /// 1. tensor and node names are unique and not empty;
    /// 2. every tensor is written by exactly one node, except the input, which is written by none;
    /// 3. a node reads only what was written before it, and the output is written;
    /// 4. each node's output has the shape that its operator computes from its inputs; every window of a pool covers
    ///    at least one pixel of the image;
    /// 5. all weights, biases and affine parameters are finite; no clamp has `lo > hi` or a NaN bound;
    /// 6. the offsets of a pixel input are finite and one for each channel.
    ///
    /// # Errors
    /// The first rule broken, with its place.
    pub fn validate(&self) -> Result<(), InvalidNetwork> {
        let fail = |place: &str, problem: String| Err(InvalidNetwork { place: place.into(), problem });
        let mut names = HashSet::new();
        for tensor in &self.tensors {
            if tensor.name.is_empty() || !names.insert(&tensor.name) {
                return fail(&tensor.name, "a tensor name is empty or used twice".into());
            }
            if tensor.shape.elements() == 0 {
                return fail(&tensor.name, format!("the tensor has no elements ({})", tensor.shape));
            }
        }
        names.clear();
        let mut written = vec![false; self.tensors.len()];
        let count = self.tensors.len();
        if self.input.0 >= count || self.output.0 >= count {
            return fail(&self.name, "the input or output is not a tensor of the network".into());
        }
        written[self.input.0] = true;
        for node in &self.nodes {
            if node.name.is_empty() || !names.insert(&node.name) {
                return fail(&node.name, "a node name is empty or used twice".into());
            }
            if node.inputs.iter().chain([&node.output]).any(|id| id.0 >= count) {
                return fail(&node.name, "it names a tensor that does not exist".into());
            }
            if let Some(input) = node.inputs.iter().find(|id| !written[id.0]) {
                return fail(&node.name, format!("it reads `{}` before it is written", self.tensor(*input).name));
            }
            if std::mem::replace(&mut written[node.output.0], true) {
                return fail(&node.name, format!("`{}` is written twice", self.tensor(node.output).name));
            }
            let inputs: Vec<Shape> = node.inputs.iter().map(|id| self.shape(*id)).collect();
            match node.op.output_shape(&inputs) {
                Err(problem) => return fail(&node.name, problem),
                Ok(shape) if shape != self.shape(node.output) => {
                    let declared = self.shape(node.output);
                    return fail(&node.name, format!("its output is declared {declared} but computes as {shape}"));
                }
                Ok(_) => {}
            }
            let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
            let parameters_finite = match &node.op {
                Op::ChannelAffine(op) => finite(&op.scale) && finite(&op.shift),
                op => op.parameters().is_none_or(|p| finite(p.weights) && finite(p.bias)),
            };
            if !parameters_finite {
                return fail(&node.name, "its weights hold a NaN or an infinity".into());
            }
            let clamp = node.op.clamp();
            if clamp.lo.is_nan() || clamp.hi.is_nan() || clamp.lo > clamp.hi {
                return fail(&node.name, format!("its clamp has bounds {} and {}", clamp.lo, clamp.hi));
            }
        }
        if let Some(tensor) = written.iter().position(|w| !w) {
            return fail(&self.tensors[tensor].name, "no node writes the tensor".into());
        }
        if let InputEncoding::Pixels { offset } = &self.input_encoding
            && (offset.len() != self.shape(self.input).c || offset.iter().any(|v| !v.is_finite()))
        {
            return fail(
                &self.tensor(self.input).name,
                "pixel offsets are not finite or not one for each channel".into(),
            );
        }
        Ok(())
    }

    /// Drops tensors that nothing names any more and nodes whose output nobody reads, keeping order.
    pub fn compact(&mut self) {
        // From the end: whoever reads a tensor comes after the node that writes it.
        let mut read = vec![false; self.tensors.len()];
        read[self.output.0] = true;
        let mut kept = vec![true; self.nodes.len()];
        for (node, kept) in self.nodes.iter().zip(&mut kept).rev() {
            *kept = read[node.output.0];
            if *kept {
                node.inputs.iter().for_each(|input| read[input.0] = true);
            }
        }
        let mut kept = kept.into_iter();
        self.nodes.retain(|_| kept.next().is_none_or(|kept| kept));
        let mut used = vec![false; self.tensors.len()];
        used[self.input.0] = true;
        for node in &self.nodes {
            used[node.output.0] = true;
        }
        let mut new_id = vec![TensorId(0); self.tensors.len()];
        for (new, (old, _)) in used.iter().enumerate().filter(|(_, used)| **used).enumerate() {
            new_id[old] = TensorId(new);
        }
        let mut index = 0;
        self.tensors.retain(|_| {
            index += 1;
            used[index - 1]
        });
        for node in &mut self.nodes {
            node.output = new_id[node.output.0];
            for input in &mut node.inputs {
                *input = new_id[input.0];
            }
        }
        self.input = new_id[self.input.0];
        self.output = new_id[self.output.0];
    }
}

/// One line a node: name, operator, inputs, output shape, clamp, weights and MACs.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoding = match &self.input_encoding {
            InputEncoding::Real => "real values".to_owned(),
            InputEncoding::Pixels { offset } => format!("pixels less {offset:?}"),
        };
        let input = self.tensor(self.input);
        writeln!(f, "network {}: input {} {} ({encoding})", self.name, input.name, input.shape)?;
        for node in &self.nodes {
            let inputs: Vec<&str> = node.inputs.iter().map(|id| self.tensor(*id).name.as_str()).collect();
            let output = self.tensor(node.output);
            let mut line = format!("  {:<24} {:<16} {:<11}", node.name, node.op.name(), output.shape.to_string());
            if let Some(p) = node.op.parameters() {
                write!(line, " weights {:<8} macs {:<10}", p.weights.len(), node.op.macs(output.shape))?;
            }
            let detail = match &node.op {
                Op::Conv2d(op) => describe_window(&op.window, op.groups),
                Op::DepthwiseConv2d(op) => describe_window(&op.window, 1),
                Op::MaxPool(window) => describe_window(window, 1),
                Op::AveragePool(op) => describe_window(&op.window, 1),
                Op::Pad(pads) => format!(" pads {pads}"),
                Op::Flatten(order) => describe_order(order),
                Op::FullyConnected(_) | Op::Add(_) | Op::Concat | Op::Clamp(_) | Op::ChannelAffine(_) => String::new(),
            };
            line.push_str(&detail);
            if !node.op.clamp().is_none() {
                write!(line, " {}", node.op.clamp())?;
            }
            writeln!(f, "{} <- {}", line.trim_end(), inputs.join(", "))?;
        }
        write!(f, "  output {}", self.tensor(self.output).name)
    }
}

/// The axes of a [`Op::Flatten`], as ` c,h,w`.
fn describe_order(order: &[Axis; 3]) -> String {
    let [a, b, c] = order.map(|axis| axis.name().chars().next().unwrap_or_default());
    format!(" {a},{b},{c}")
}

fn describe_window(window: &crate::shape::Window, groups: usize) -> String {
    let mut text = format!(" k{}x{}", window.kernel[0], window.kernel[1]);
    if window.stride != [1, 1] {
        let _ = write!(text, " s{}x{}", window.stride[0], window.stride[1]);
    }
    if window.dilation != [1, 1] {
        let _ = write!(text, " d{}x{}", window.dilation[0], window.dilation[1]);
    }
    if window.pads != Default::default() {
        let _ = write!(text, " p{}", window.pads);
    }
    if groups != 1 {
        let _ = write!(text, " g{groups}");
    }
    text
}
