//! From nodes to the descriptors and calls of `model.c`.

use crate::error::EmitError;
use crate::kernels::{has_rows, node_code};
use crate::names::PackageNames;
use crate::writer::Value;
use bitesize_integer::{IntNetwork, IntNode, IntOp, Rescale};
use bitesize_ir::TensorId;
use bitesize_ir::code::{Code, Implementation};
use bitesize_ir::memory::{MemoryPlan, PlannedSegment, padding_array_bytes};
use bitesize_ir::shape::{Axis, Pads, Shape, Window};

/// One call of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The number of the node.
    pub(crate) node: usize,
    /// The node, for people.
    pub(crate) comment: String,
    /// Type of the descriptor.
    pub(crate) kind: String,
    /// Name of the descriptor.
    pub(crate) name: String,
    /// The function.
    pub(crate) kernel: String,
    /// Whether the function is told which rows to compute.
    pub(crate) has_rows: bool,
    /// The descriptor.
    pub(crate) fields: Vec<(&'static str, Value)>,
}

/// The calls of a network in order: one for each node, several for a concatenation.
pub(crate) fn layers(network: &IntNetwork, plan: &MemoryPlan, names: &PackageNames) -> Result<Vec<Layer>, EmitError> {
    let mut layers = Vec::new();
    let mut takes_turns = vec![false; network.nodes.len()];
    for segment in &plan.segments {
        if let PlannedSegment::Chain { chain, .. } = segment {
            chain.members.iter().for_each(|member| takes_turns[member.node] = true);
        }
    }
    for (id, node) in network.iter() {
        let context = Context { network, plan, names, index: id.0, node, takes_turns: takes_turns[id.0] };
        let codes: Vec<Code> = node_code(network, id, node, plan).collect();
        let comment = format!("{}: {}", node.name, network.tensor(node.output).shape);
        let (kind, kernels) = (node.op.kernel_kind(), names.kernels());
        if plan.implementations[id.0] == Implementation::Rows {
            // The loop comes first and is what is called; it calls the others.
            layers.push(Layer {
                node: id.0,
                comment,
                kind: kernels.rows_layer_type(kind),
                name: names.layer(id.0, None),
                kernel: kernels.code(codes[0]),
                has_rows: has_rows(kind),
                fields: context.rows_fields(&codes)?,
            });
            continue;
        }
        let several = codes.len() > 1;
        for (part, code) in codes.into_iter().enumerate() {
            layers.push(Layer {
                node: id.0,
                comment: comment.clone(),
                kind: kernels.layer_type(kind),
                name: names.layer(id.0, several.then_some(part)),
                kernel: kernels.code(code),
                has_rows: has_rows(kind),
                fields: context.fields(part)?,
            });
        }
    }
    Ok(layers)
}

/// Whether the node's padding has an array of codes, one for each channel, as the memory model counts it.
pub(crate) fn has_padding_array(network: &IntNetwork, node: &IntNode) -> bool {
    let (IntOp::Conv2d { window, .. } | IntOp::DepthwiseConv2d { window, .. }) = &node.op else { return false };
    padding_array_bytes(window, network.reads_pixels(node), network.tensor(node.inputs[0]).shape.c) > 0
}

/// `value` as a field of 16 bits.
pub(crate) fn field(node: &IntNode, what: &str, value: usize) -> Result<u16, EmitError> {
    u16::try_from(value).map_err(|_| EmitError::TooLarge {
        node: node.name.clone(),
        what: what.into(),
        value,
        limit: usize::from(u16::MAX),
    })
}

/// A node, and what its descriptors are made from.
pub(crate) struct Context<'a> {
    pub(crate) network: &'a IntNetwork,
    pub(crate) plan: &'a MemoryPlan,
    pub(crate) names: &'a PackageNames,
    pub(crate) index: usize,
    pub(crate) node: &'a IntNode,
    /// Whether it is a layer of a chain.
    pub(crate) takes_turns: bool,
}

pub(crate) type Fields = Vec<(&'static str, Value)>;

impl Context<'_> {
    /// The descriptor of call `part` of the node.
    fn fields(&self, part: usize) -> Result<Fields, EmitError> {
        match &self.node.op {
            IntOp::Conv2d { window, groups, rescale, padding, .. } => {
                let (input, output) = (self.input(0), self.output());
                Ok(vec![
                    ("weights", self.weights(rescale)),
                    ("window", self.window(window)?),
                    ("padding", self.padding()),
                    ("input", self.offset(self.node.inputs[0])?),
                    ("output", self.offset(self.node.output)?),
                    ("scratch", self.scratch()?),
                    ("groups", self.number("its groups", *groups)?),
                    ("in_per_group", self.number("its input channels", input.c / groups)?),
                    ("out_per_group", self.number("its output channels", output.c / groups)?),
                    ("padding_code", Value::number(padding[0])),
                ])
            }
            IntOp::DepthwiseConv2d { window, rescale, padding, .. } => Ok(vec![
                ("weights", self.weights(rescale)),
                ("window", self.window(window)?),
                ("padding", self.padding()),
                ("input", self.offset(self.node.inputs[0])?),
                ("output", self.offset(self.node.output)?),
                ("channels", self.number("its channels", self.output().c)?),
                ("padding_code", Value::number(padding[0])),
            ]),
            IntOp::FullyConnected { rescale, .. } => Ok(vec![
                ("weights", self.weights(rescale)),
                ("input", self.offset(self.node.inputs[0])?),
                ("output", self.offset(self.node.output)?),
                ("scratch", self.scratch()?),
                ("in_channels", self.long("its inputs", self.input(0).c)?),
                ("out_channels", self.long("its outputs", self.output().c)?),
            ]),
            IntOp::Add { .. } | IntOp::Concat { .. } | IntOp::Clamp { .. } => self.elementwise(part),
            IntOp::MaxPool { window } => Ok(vec![
                ("window", self.window(window)?),
                ("input", self.offset(self.node.inputs[0])?),
                ("output", self.offset(self.node.output)?),
                ("channels", self.number("its channels", self.output().c)?),
            ]),
            IntOp::AveragePool { window, multipliers, lo, hi, .. } => Ok(vec![
                ("window", self.window(window)?),
                ("factors", Value::name(self.names.array("factors", self.index))),
                ("input", self.offset(self.node.inputs[0])?),
                ("output", self.offset(self.node.output)?),
                ("channels", self.number("its channels", self.output().c)?),
                ("factor_count", self.number("its distinct windows", multipliers.len())?),
                ("zero_in", self.zero(self.node.inputs[0])),
                ("zero", self.zero(self.node.output)),
                ("lowest", Value::number(*lo)),
                ("highest", Value::number(*hi)),
            ]),
            IntOp::Pad { pads } => self.pad(pads),
            IntOp::Flatten { order } => self.flatten(*order),
        }
    }

    fn elementwise(&self, part: usize) -> Result<Fields, EmitError> {
        let output = self.output();
        let mut fields = match &self.node.op {
            IntOp::Add { .. } => {
                vec![("input_a", self.offset(self.node.inputs[0])?), ("input_b", self.offset(self.node.inputs[1])?)]
            }
            _ => vec![("input", self.offset(self.node.inputs[part])?)],
        };
        fields.push(("output", self.offset(self.node.output)?));
        let rows = self.rows_at_a_time();
        fields.push(("pixels", self.long("its pixels", rows * output.w)?));
        let channels = self.number("its channels", self.input(part).c)?;
        match &self.node.op {
            IntOp::Add { integers, lo, hi } => fields.extend([
                ("factor_a", Value::number(integers.ma)),
                ("factor_b", Value::number(integers.mb)),
                ("channels", channels),
                ("shift", Value::number(integers.n)),
                ("zero_a", self.zero(self.node.inputs[0])),
                ("zero_b", self.zero(self.node.inputs[1])),
                ("zero", self.zero(self.node.output)),
                ("lowest", Value::number(*lo)),
                ("highest", Value::number(*hi)),
            ]),
            IntOp::Concat { multipliers } => {
                let first = (0..part).map(|i| self.input(i).c).sum();
                fields.extend([
                    ("multiplier", Value::number(multipliers[part].m)),
                    ("channels", channels),
                    ("out_channels", self.number("its output channels", output.c)?),
                    ("first", self.number("its output channels", first)?),
                    ("shift", Value::number(multipliers[part].n)),
                    ("zero_in", self.zero(self.node.inputs[part])),
                    ("zero", self.zero(self.node.output)),
                ]);
            }
            IntOp::Clamp { lo, hi } => {
                fields.extend([("channels", channels), ("lowest", Value::number(*lo)), ("highest", Value::number(*hi))])
            }
            _ => {}
        }
        Ok(fields)
    }

    fn pad(&self, pads: &Pads) -> Result<Fields, EmitError> {
        let input = self.input(0);
        Ok(vec![
            ("input", self.offset(self.node.inputs[0])?),
            ("output", self.offset(self.node.output)?),
            ("in_h", self.number("its height", input.h)?),
            ("in_w", self.number("its width", input.w)?),
            ("top", self.number("its padding", pads.top)?),
            ("left", self.number("its padding", pads.left)?),
            ("right", self.number("its padding", pads.right)?),
            ("out_h", self.number("its height", self.rows_at_a_time())?),
            ("channels", self.number("its channels", input.c)?),
            ("zero", self.zero(self.node.output)),
        ])
    }

    fn flatten(&self, order: [Axis; 3]) -> Result<Fields, EmitError> {
        let (shape, bits) = (self.input(0), self.network.tensor(self.node.inputs[0]).bits);
        let pixel = 8 * bits.row_bytes(shape.c);
        let step = |axis: Axis| match axis {
            Axis::H => shape.w * pixel,
            Axis::W => pixel,
            Axis::C => usize::from(bits.bits()),
        };
        // Positions are counted in bits.
        self.long("its input's bits", shape.pixels() * pixel)?;
        let axis = |axis: Axis| -> Result<Value, EmitError> {
            Ok(Value::Struct(vec![
                ("step", self.long("its input's bits", step(axis))?),
                ("count", self.number(&format!("its {}", axis.name()), axis.size(shape))?),
            ]))
        };
        Ok(vec![
            ("slow", axis(order[0])?),
            ("middle", axis(order[1])?),
            ("fast", axis(order[2])?),
            ("input", self.offset(self.node.inputs[0])?),
            ("output", self.offset(self.node.output)?),
        ])
    }

    fn window(&self, window: &Window) -> Result<Value, EmitError> {
        self.window_over(window, self.input(0), Shape { h: self.rows_at_a_time(), ..self.output() })
    }

    /// Rows of its output that a call computes: in a chain one after the other.
    pub(crate) fn rows_at_a_time(&self) -> usize {
        if self.takes_turns { 1 } else { self.output().h }
    }

    /// `window` over an image of `input` that gives one of `output`.
    pub(crate) fn window_over(&self, window: &Window, input: Shape, output: Shape) -> Result<Value, EmitError> {
        let fields = [
            ("in_h", "its input's height", input.h),
            ("in_w", "its input's width", input.w),
            ("out_h", "its output's height", output.h),
            ("out_w", "its output's width", output.w),
            ("kernel_h", "its window's height", window.kernel[0]),
            ("kernel_w", "its window's width", window.kernel[1]),
            ("stride_h", "its stride", window.stride[0]),
            ("stride_w", "its stride", window.stride[1]),
            ("dilation_h", "its dilation", window.dilation[0]),
            ("dilation_w", "its dilation", window.dilation[1]),
            ("pad_top", "its padding", window.pads.top),
            ("pad_left", "its padding", window.pads.left),
        ];
        let fields: Result<Fields, EmitError> =
            fields.into_iter().map(|(name, what, value)| Ok((name, self.number(what, value)?))).collect();
        Ok(Value::Struct(fields?))
    }

    fn weights(&self, rescale: &Rescale) -> Value {
        let array = |what| Value::name(self.names.array(what, self.index));
        Value::Struct(vec![
            ("values", array("weights")),
            ("channels", array("channels")),
            ("shifts", array("shifts")),
            ("acc_shift", Value::number(rescale.acc_shift)),
            ("zero", self.zero(self.node.output)),
            ("lowest", Value::number(rescale.lo)),
            ("highest", Value::number(rescale.hi)),
        ])
    }

    pub(crate) fn padding(&self) -> Value {
        let per_channel = has_padding_array(self.network, self.node);
        Value::name(if per_channel { self.names.array("padding", self.index) } else { "0".into() })
    }

    pub(crate) fn scratch(&self) -> Result<Value, EmitError> {
        match self.plan.scratch[self.index] {
            Some(offset) => self.long("its scratch's offset", offset),
            None => Ok(Value::name(self.names.kernels().of_runtime("BITESIZE_NO_SCRATCH"))),
        }
    }

    pub(crate) fn offset(&self, tensor: TensorId) -> Result<Value, EmitError> {
        self.long("an offset in the arena", self.plan.tensors[tensor.0])
    }

    pub(crate) fn zero(&self, tensor: TensorId) -> Value {
        Value::number(self.network.tensor(tensor).zero)
    }

    pub(crate) fn input(&self, i: usize) -> Shape {
        self.network.tensor(self.node.inputs[i]).shape
    }

    pub(crate) fn output(&self) -> Shape {
        self.network.tensor(self.node.output).shape
    }

    pub(crate) fn number(&self, what: &str, value: usize) -> Result<Value, EmitError> {
        field(self.node, what, value).map(Value::number)
    }

    /// A field of 32 bits.
    pub(crate) fn long(&self, what: &str, value: usize) -> Result<Value, EmitError> {
        let limit = i32::MAX as usize;
        let number = i64::try_from(value).ok().filter(|_| value <= limit);
        number.map(Value::Number).ok_or_else(|| EmitError::TooLarge {
            node: self.node.name.clone(),
            what: what.into(),
            value,
            limit,
        })
    }
}
