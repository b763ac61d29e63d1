//! Sums of two tensors, arithmetic with constants, batch normalization, and what does nothing.

use crate::builder::{Activation, Value};
use crate::constant::Constant;
use crate::error::Reason;
use crate::layout::Layout;
use crate::node::NodeContext;
use crate::proto::data_type;
use bitesize_ir::op::{ChannelAffine, Clamp};
use bitesize_ir::{Axis, Op};
use std::rc::Rc;

/// The operands of an elementwise operator of which one is a constant.
enum Operands {
    /// `x ? c`.
    ActivationFirst(Activation, PerChannel),
    /// `c ? x`.
    ConstantFirst(PerChannel, Activation),
}

/// A constant as one value for each channel, and the layout of the result of joining it with the activation.
struct PerChannel {
    values: Vec<f64>,
    layout: Layout,
}

pub(super) fn add(node: &mut NodeContext) -> Result<Value, Reason> {
    if let [Some(Value::Activation(a)), Some(Value::Activation(b))] = node.inputs.as_slice() {
        let (a, b) = (a.clone(), b.clone());
        same_tensor_form(node, &a, &b)?;
        return node.emit_like(Op::Add(Clamp::NONE), &[&a, &b], a.layout.clone());
    }
    let (Operands::ActivationFirst(input, constant) | Operands::ConstantFirst(constant, input)) = operands(node)?;
    affine(node, &input, constant, |c| (1.0, c))
}

pub(super) fn sub(node: &mut NodeContext) -> Result<Value, Reason> {
    match operands(node)? {
        Operands::ActivationFirst(input, constant) => affine(node, &input, constant, |c| (1.0, -c)),
        Operands::ConstantFirst(constant, input) => affine(node, &input, constant, |c| (-1.0, c)),
    }
}

pub(super) fn mul(node: &mut NodeContext) -> Result<Value, Reason> {
    let (Operands::ActivationFirst(input, constant) | Operands::ConstantFirst(constant, input)) = operands(node)?;
    affine(node, &input, constant, |c| (c, 0.0))
}

pub(super) fn div(node: &mut NodeContext) -> Result<Value, Reason> {
    match operands(node)? {
        Operands::ActivationFirst(_, constant) if constant.values.contains(&0.0) => Err(Reason::new("it divides by 0")),
        Operands::ActivationFirst(input, constant) => affine(node, &input, constant, |c| (1.0 / c, 0.0)),
        Operands::ConstantFirst(..) => {
            Err(Reason::new("it divides by an activation").hint("only division by a constant is supported"))
        }
    }
}

pub(super) fn neg(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    node.budget().spend(node.builder.shape(input.tensor).c, 8)?;
    let zeros = vec![0.0; node.builder.shape(input.tensor).c];
    let constant = PerChannel { values: zeros, layout: input.layout.clone() };
    affine(node, &input, constant, |_| (-1.0, 0.0))
}

/// Two activations have to agree in every dimension: nothing is broadcast between activations.
fn same_tensor_form(node: &NodeContext, a: &Activation, b: &Activation) -> Result<(), Reason> {
    let (shape_a, shape_b) = (node.builder.shape(a.tensor), node.builder.shape(b.tensor));
    let (dims_a, dims_b) = (a.layout.dims(shape_a), b.layout.dims(shape_b));
    if dims_a != dims_b {
        return Err(Reason::new(format!("its inputs have the shapes {dims_a:?} and {dims_b:?}"))
            .hint("activations are not broadcast; both need the same shape"));
    }
    if a.layout != b.layout || shape_a != shape_b {
        return Err(Reason::new("its inputs have height, width and channels in different orders")
            .hint("a Transpose or Reshape before one of them has no counterpart before the other"));
    }
    Ok(())
}

fn operands(node: &NodeContext) -> Result<Operands, Reason> {
    match node.inputs.as_slice() {
        [Some(Value::Activation(input)), Some(Value::Constant(constant))] => {
            Ok(Operands::ActivationFirst(input.clone(), per_channel(node, input, constant)?))
        }
        [Some(Value::Constant(constant)), Some(Value::Activation(input))] => {
            Ok(Operands::ConstantFirst(per_channel(node, input, constant)?, input.clone()))
        }
        [Some(Value::Activation(_)), Some(Value::Activation(_))] => {
            Err(Reason::new("both inputs are activations, neither is a constant")
                .hint("gates and attention are not supported; only a constant can be the other operand"))
        }
        _ => Err(Reason::new(format!("it has {} inputs instead of two", node.inputs.len()))),
    }
}

/// A constant broadcast to `input`: it may vary over the axis that is the channels, and over no other.
fn per_channel(node: &NodeContext, input: &Activation, constant: &Constant) -> Result<PerChannel, Reason> {
    let values = constant.as_floats()?;
    let shape = node.builder.shape(input.tensor);
    let rank = input.layout.rank().max(constant.dims.len());
    let layout = input.layout.extended_to(rank);
    let sizes = layout.dims(shape);
    let before = rank - constant.dims.len();
    let mut varies = false;
    for (axis, dim) in constant.dims.iter().enumerate().filter(|(_, dim)| **dim != 1) {
        let axis = axis + before;
        if *dim != sizes[axis] {
            return Err(Reason::new(format!("a constant of shape {:?} does not fit {sizes:?}", constant.dims))
                .hint("a constant may be a number, or one value for each channel"));
        }
        if layout.axes()[axis] != [Axis::C] {
            return Err(Reason::new(format!("its constant of shape {:?} varies from pixel to pixel", constant.dims))
                .hint("a constant may be a number, or one value for each channel"));
        }
        varies = true;
    }
    // These, and the scales and shifts that come of them.
    node.budget().spend(shape.c, 8)?;
    let values = (0..shape.c).map(|c| f64::from(values[if varies { c } else { 0 }])).collect();
    Ok(PerChannel { values, layout })
}

/// `x * scale + shift`, both from the constant.
fn affine(
    node: &mut NodeContext,
    input: &Activation,
    constant: PerChannel,
    scale_and_shift: impl Fn(f64) -> (f64, f64),
) -> Result<Value, Reason> {
    let (scale, shift) = constant.values.iter().map(|c| scale_and_shift(*c)).map(|(a, b)| (a as f32, b as f32)).unzip();
    node.emit_like(Op::ChannelAffine(ChannelAffine { scale, shift, clamp: Clamp::NONE }), &[input], constant.layout)
}

/// `scale * (x - mean) / sqrt(var + epsilon) + bias` over axis 1, in f64.
pub(super) fn batch_normalization(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    if node.int("training_mode", 0)? != 0 {
        return Err(Reason::new("it is in training mode").hint("export the model in inference mode (`model.eval()`)"));
    }
    if node.int("spatial", 1)? != 1 {
        return Err(Reason::new("it normalises each pixel by itself (spatial = 0)"));
    }
    let shape = node.builder.shape(input.tensor);
    let channels: Vec<Axis> = if shape.c > 1 { vec![Axis::C] } else { vec![] };
    if input.layout.rank() < 2 || input.layout.axes()[1] != channels {
        return Err(Reason::new("its axis 1 is not the channels").hint(
            "batch normalization of a flattened image, or of one transposed to channels-last, is not supported",
        ));
    }
    let parameter = |index, what| {
        let constant = node.constant(index, what)?;
        let values: Vec<f64> = constant.as_floats()?.iter().map(|v| f64::from(*v)).collect();
        match values.len() == shape.c {
            true => Ok(values),
            false => Err(Reason::new(format!("its {what} has {} values for {} channels", values.len(), shape.c))),
        }
    };
    let (gamma, beta) = (parameter(1, "scale")?, parameter(2, "bias")?);
    let (mean, variance) = (parameter(3, "mean")?, parameter(4, "variance")?);
    node.budget().spend(shape.c, 8)?;
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift = (0..shape.c).map(|c| (beta[c] - mean[c] * scale[c]) as f32).collect();
    let scale = scale.into_iter().map(|s| s as f32).collect();
    let op = Op::ChannelAffine(ChannelAffine { scale, shift, clamp: Clamp::NONE });
    node.emit_like(op, &[&input], input.layout.clone())
}

/// The same value; leaves no node.
pub(super) fn identity(node: &mut NodeContext) -> Result<Value, Reason> {
    node.activation(0).map(Value::Activation)
}

/// The type of an activation is float, so a constant cast to it becomes floats.
pub(super) fn cast_like(node: &mut NodeContext) -> Result<Value, Reason> {
    match node.input(0) {
        Some(Value::Constant(constant)) => Ok(Value::Constant(Rc::new(constant.converted(true, node.budget())?))),
        _ => identity(node),
    }
}

pub(super) fn dropout(node: &mut NodeContext) -> Result<Value, Reason> {
    let training = node.optional_constant(2, "training_mode")?;
    if training.is_some_and(|t| t.as_ints().is_ok_and(|v| v.iter().any(|v| *v != 0))) {
        return Err(Reason::new("it is in training mode").hint("export the model in inference mode (`model.eval()`)"));
    }
    identity(node)
}

/// A change of float type changes nothing here: everything is computed in one.
pub(super) fn cast(node: &mut NodeContext) -> Result<Value, Reason> {
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    if [data_type::FLOAT, data_type::DOUBLE].contains(&to) {
        return identity(node);
    }
    Err(Reason::new(format!("it turns an activation into {}", data_type::name(to)))
        .hint("the network has to compute in float32 throughout"))
}
