//! What an operator's import sees: the node's inputs as values, its attributes by name and type, and the network
//! under construction.

use crate::budget::Budget;
use crate::builder::{Activation, Builder, Value, is_finite};
use crate::constant::{Constant, MAX_AXES, read_tensor};
use crate::error::Reason;
use crate::external::ExternalFiles;
use crate::layout::Layout;
use crate::proto::{AttributeProto, NodeProto, attribute_kind};
use bitesize_ir::shown;
use bitesize_ir::{Op, Shape};
use std::rc::Rc;

/// The largest value of an attribute that counts pixels or groups.
const MAX_COUNT: i64 = 1 << 20;

/// A node being imported.
pub(crate) struct NodeContext<'a> {
    pub(crate) proto: &'a NodeProto,
    pub(crate) opset: i64,
    /// `None` where an optional input is left out.
    pub(crate) inputs: Vec<Option<Value>>,
    pub(crate) builder: &'a mut Builder,
}

impl NodeContext<'_> {
    /// The node's name, or its output's where it has none.
    pub(crate) fn place(&self) -> String {
        place(self.proto)
    }

    /// What may still be made.
    pub(crate) fn budget(&self) -> &Budget {
        &self.builder.budget
    }

    /// The input's value, `None` where it is left out.
    pub(crate) fn input(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// Refuses what only follows from an earlier refusal: where an input is not known.
    pub(crate) fn known(&self) -> Result<(), Reason> {
        let unknown = self.inputs.iter().flatten().any(|value| matches!(value, Value::Unknown { .. }));
        if unknown { Err(Reason::follows()) } else { Ok(()) }
    }

    /// How many inputs depend on the image.
    pub(crate) fn images(&self) -> usize {
        self.inputs.iter().flatten().filter(|value| value.is_of_image()).count()
    }

    /// An input that depends on the image, with what is still to be done to its elements.
    pub(crate) fn pending_activation(&self, index: usize) -> Result<Activation, Reason> {
        match self.input(index) {
            Some(Value::Activation(activation)) => Ok(activation.clone()),
            Some(Value::Unknown { .. }) => Err(Reason::follows()),
            Some(Value::Constant(_)) => Err(Reason::new(format!("input {index} is a constant"))),
            None => Err(Reason::new(format!("input {index} is missing"))),
        }
    }

    /// An input that depends on the image.
    pub(crate) fn activation(&self, index: usize) -> Result<Activation, Reason> {
        let activation = self.pending_activation(index)?;
        match &activation.pending {
            Some(pending) => Err(Reason::elsewhere(pending.refusal.clone())),
            None => Ok(activation),
        }
    }

    /// A constant input.
    pub(crate) fn constant(&self, index: usize, what: &str) -> Result<Rc<Constant>, Reason> {
        self.optional_constant(index, what)?
            .ok_or_else(|| Reason::new(format!("the {what} (input {index}) is missing")))
    }

    /// A constant input that may be left out.
    pub(crate) fn optional_constant(&self, index: usize, what: &str) -> Result<Option<Rc<Constant>>, Reason> {
        match self.input(index) {
            Some(Value::Constant(constant)) => Ok(Some(constant.clone())),
            Some(Value::Unknown { of_image: false }) => Err(Reason::follows()),
            Some(Value::Activation(_) | Value::Unknown { of_image: true }) => {
                Err(Reason::new(format!("the {what} (input {index}) is not a constant"))
                    .hint("it depends on the image; only constants are supported there"))
            }
            None => Ok(None),
        }
    }

    /// An input that is a batch of images `[N, C, H, W]` or rows `[N, C, W]`.
    pub(crate) fn image(&self, index: usize) -> Result<(Activation, Shape), Reason> {
        let activation = self.activation(index)?;
        let shape = self.builder.shape(activation.tensor);
        let rank = activation.layout.rank();
        if Layout::channels_first(rank, shape).as_ref() == Some(&activation.layout) {
            return Ok((activation, shape));
        }
        let dims = activation.layout.dims(shape);
        Err(Reason::new(format!("its input {dims:?} is not an image of [batch, channels, height, width]"))
            .hint("an earlier Reshape or Transpose moved the channels or exchanged height and width"))
    }

    fn attribute(&self, name: &str, kind: i32) -> Result<Option<&AttributeProto>, Reason> {
        let Some(attribute) = self.proto.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        // Files of the first versions leave the kind out.
        if attribute.kind != kind && attribute.kind != 0 {
            return Err(Reason::new(format!("its attribute `{name}` has an unexpected type")));
        }
        Ok(Some(attribute))
    }

    /// Whether the node has the attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == name)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64, Reason> {
        Ok(self.attribute(name, attribute_kind::INT)?.map_or(default, |a| a.i))
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32, Reason> {
        Ok(self.attribute(name, attribute_kind::FLOAT)?.map_or(default, |a| a.f))
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, Reason> {
        Ok(self.attribute(name, attribute_kind::FLOATS)?.map(|a| a.floats.clone()))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Reason> {
        Ok(self.attribute(name, attribute_kind::INTS)?.map(|a| a.ints.clone()))
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> Result<String, Reason> {
        let attribute = self.attribute(name, attribute_kind::STRING)?;
        Ok(attribute.map_or(default.into(), |a| shown::name(&String::from_utf8_lossy(&a.s)).into_owned()))
    }

    /// A tensor in an attribute; it cannot lie in another file.
    pub(crate) fn tensor(&self, name: &str) -> Result<Option<Constant>, Reason> {
        let Some(attribute) = self.attribute(name, attribute_kind::TENSOR)? else {
            return Ok(None);
        };
        let tensor = attribute.t.as_ref().ok_or_else(|| Reason::new(format!("its attribute `{name}` is empty")))?;
        let no_files =
            |_: &str, _: u64, _: usize| Err(std::io::Error::other("a constant of a node lies inside the model"));
        read_tensor(tensor, &mut ExternalFiles::new(&no_files), self.budget()).map(Some)
    }

    /// An attribute of small counts.
    pub(crate) fn counts(&self, name: &str) -> Result<Option<Vec<usize>>, Reason> {
        let Some(values) = self.ints(name)? else { return Ok(None) };
        let count = |v: &i64| usize::try_from(*v).ok().filter(|_| *v <= MAX_COUNT);
        let counts: Option<Vec<usize>> = values.iter().map(count).collect();
        let short = counts.filter(|counts| counts.len() <= MAX_AXES);
        short.map(Some).ok_or_else(|| {
            let shown = &values[..values.len().min(MAX_AXES)];
            Reason::new(format!("its attribute `{name}` of {} numbers is {shown:?}", values.len()))
        })
    }

    /// A constant input that holds something for each axis.
    pub(crate) fn short_ints(&self, index: usize, what: &str) -> Result<Option<Vec<i64>>, Reason> {
        let Some(constant) = self.optional_constant(index, what)? else { return Ok(None) };
        match constant.as_ints()? {
            values if values.len() <= 2 * MAX_AXES => Ok(Some(values.to_vec())),
            values => Err(Reason::new(format!("its {what} (input {index}) are {} numbers", values.len()))),
        }
    }

    /// Axes given as attribute `axes`, or from opset `since` on as input `index`; made positive below `rank`.
    pub(crate) fn axes(&self, since: i64, index: usize, rank: usize) -> Result<Option<Vec<usize>>, Reason> {
        let axes = if self.opset < since { self.ints("axes")? } else { self.short_ints(index, "axes")? };
        if let Some(many) = axes.as_ref().map(Vec::len).filter(|count| *count > MAX_AXES) {
            return Err(Reason::new(format!("it names {many} axes")));
        }
        axes.map(|axes| axes.iter().map(|axis| positive_axis(*axis, rank)).collect()).transpose()
    }

    /// Adds a node to the network that makes this node's (first) output.
    pub(crate) fn emit(&mut self, op: Op, inputs: &[&Activation]) -> Result<bitesize_ir::TensorId, Reason> {
        let output = &self.proto.output[0];
        let inputs = inputs.iter().map(|a| a.tensor).collect();
        let name = self.place();
        if !is_finite(&op) {
            let reason = Reason::new("its weights hold a NaN or an infinite value")
                .hint("the training diverged or the file is damaged; export a healthy checkpoint");
            self.builder.refusals.push(reason.at(&name, &self.proto.op_type));
        }
        self.builder.add_node(&name, op, inputs, output)
    }

    /// As [`Self::emit`], the output keeping the layout of `layout`.
    pub(crate) fn emit_like(&mut self, op: Op, inputs: &[&Activation], layout: Layout) -> Result<Value, Reason> {
        let tensor = self.emit(op, inputs)?;
        Ok(Value::Activation(Activation::new(tensor, layout)))
    }

    /// As [`Self::emit`], the output being an image of the layout that the first input has.
    pub(crate) fn emit_image(&mut self, op: Op, input: &Activation) -> Result<Value, Reason> {
        let tensor = self.emit(op, &[input])?;
        let layout = Layout::channels_first(input.layout.rank(), self.builder.shape(tensor))
            .ok_or_else(|| Reason::new("its output is not an image"))?;
        Ok(Value::Activation(Activation::new(tensor, layout)))
    }
}

/// `axis` counted from the front.
pub(crate) fn positive_axis(axis: i64, rank: usize) -> Result<usize, Reason> {
    let positive = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(positive)
        .ok()
        .filter(|a| *a < rank)
        .ok_or_else(|| Reason::new(format!("axis {axis} does not exist in a tensor of {rank} axes")))
}

/// A node's name, or its output's where it has none.
pub(crate) fn place(proto: &NodeProto) -> String {
    if proto.name.is_empty() { proto.output.first().cloned().unwrap_or_default() } else { proto.name.clone() }
}
