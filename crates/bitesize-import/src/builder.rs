//! The network under construction.

use crate::budget::Budget;
use crate::constant::Constant;
use crate::error::{Reason, Refusal};
use crate::layout::Layout;
use bitesize_ir::{InputEncoding, Network, Node, Op, Shape, Tail, Tensor, TensorId};
use std::collections::HashMap;
use std::rc::Rc;

/// The largest activation, in elements, that is accepted: at 2 bits it takes 4 MiB, more than any microcontroller's RAM, and
/// 64 MiB as floats, of which several are kept at once for each sample.
pub(crate) const MAX_ELEMENTS: usize = 1 << 24;

/// What an ONNX tensor is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// The same for every image.
    Constant(Rc<Constant>),
    /// Depends on the image.
    Activation(Activation),
    /// What a refused node, constant or input stands for: neither its shape nor its numbers are known.
    Unknown {
        /// Whether it depends on the image.
        of_image: bool,
    },
}

impl Value {
    /// Whether it depends on the image.
    pub(crate) fn is_of_image(&self) -> bool {
        matches!(self, Self::Activation(_) | Self::Unknown { of_image: true })
    }
}

/// A tensor of the network, and how the ONNX tensor's axes run over it.
#[derive(Clone, Debug)]
pub(crate) struct Activation {
    pub(crate) tensor: TensorId,
    pub(crate) layout: Layout,
    /// What is still to be done to the tensor's elements before they are the ONNX tensor's.
    pub(crate) pending: Option<Rc<PerElement>>,
}

impl Activation {
    /// A tensor as it is.
    pub(crate) fn new(tensor: TensorId, layout: Layout) -> Self {
        Self { tensor, layout, pending: None }
    }

    /// The same elements with other axes over them.
    pub(crate) fn with_layout(&self, layout: Layout) -> Self {
        Self { layout, ..self.clone() }
    }
}

/// `x * scale + shift` with numbers of its own for each element of an activation, in its NHWC order. No operator of the
/// network does that, but the weights of a dense layer that sums over all elements can take it up.
#[derive(Clone, Debug)]
pub(crate) struct PerElement {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
    /// What is told where anything else follows.
    pub(crate) refusal: Refusal,
}

/// A function that left no node: the network must end with it.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// Which.
    pub(crate) tail: Tail,
    /// The node's name.
    pub(crate) place: String,
    /// What ONNX calls its output.
    pub(crate) output: String,
    /// What goes into it.
    pub(crate) tensor: TensorId,
    /// How the node's input runs over `tensor`.
    pub(crate) layout: Layout,
}

/// Adds nodes and tensors with unique names.
pub(crate) struct Builder {
    pub(crate) network: Network,
    /// The functions that were left out, in order; nothing but changes of layout may follow.
    pub(crate) left_out: Vec<LeftOut>,
    /// What was found wrong without its keeping the walk from going on.
    pub(crate) refusals: Vec<Refusal>,
    /// What may still be made.
    pub(crate) budget: Budget,
    /// The dimensions to which the input is reshaped.
    pub(crate) input_forms: Vec<Vec<usize>>,
    tensor_names: HashMap<String, usize>,
    node_names: HashMap<String, usize>,
}

impl Builder {
    /// A network of nothing but its input.
    pub(crate) fn new(name: &str, input: &str, shape: Shape, budget: Budget) -> Self {
        let mut builder = Self {
            network: Network {
                name: name.into(),
                tensors: Vec::new(),
                nodes: Vec::new(),
                input: TensorId(0),
                output: TensorId(0),
                input_encoding: InputEncoding::Real,
                tail: None,
            },
            left_out: Vec::new(),
            refusals: Vec::new(),
            budget,
            input_forms: Vec::new(),
            tensor_names: HashMap::new(),
            node_names: HashMap::new(),
        };
        builder.add_tensor(input, shape);
        builder
    }

    /// The tensor's shape.
    pub(crate) fn shape(&self, tensor: TensorId) -> Shape {
        self.network.shape(tensor)
    }

    fn add_tensor(&mut self, name: &str, shape: Shape) -> TensorId {
        let name = unique(&mut self.tensor_names, name);
        self.network.tensors.push(Tensor { name, shape });
        TensorId(self.network.tensors.len() - 1)
    }

    /// Adds a node and the tensor that it writes. Shapes that [`Network::validate`] would refuse later are refused here,
    /// where the ONNX node is known.
    pub(crate) fn add_node(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<TensorId>,
        output: &str,
    ) -> Result<TensorId, Reason> {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.shape(*id)).collect();
        let shape = op.output_shape(&shapes)?;
        let elements = [shape.h, shape.w, shape.c].iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if elements.is_none_or(|n| n == 0 || n > MAX_ELEMENTS) {
            return Err(Reason::new(format!("its output would have the shape {shape}"))
                .hint(format!("an activation has 1 to {MAX_ELEMENTS} elements: make the network's input smaller")));
        }
        let output = self.add_tensor(output, shape);
        let name = unique(&mut self.node_names, name);
        self.network.nodes.push(Node { name, op, inputs, output });
        Ok(output)
    }
}

/// Whether all numbers of an operator are finite.
pub(crate) fn is_finite(op: &Op) -> bool {
    let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
    match op {
        Op::ChannelAffine(op) => finite(&op.scale) && finite(&op.shift),
        op => op.parameters().is_none_or(|p| finite(p.weights) && finite(p.bias)),
    }
}

/// `name`, or with the first free number behind where it is taken, or `node` where it is empty. `taken` holds for each
/// name the number to try next.
fn unique(taken: &mut HashMap<String, usize>, name: &str) -> String {
    let base = if name.is_empty() { "node" } else { name };
    let mut candidate = base.to_owned();
    while taken.contains_key(&candidate) {
        let number = taken.entry(base.to_owned()).or_insert(1);
        *number += 1;
        candidate = format!("{base}_{number}");
    }
    taken.insert(candidate.clone(), 1);
    candidate
}
