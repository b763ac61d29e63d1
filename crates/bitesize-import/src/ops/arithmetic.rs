//! Sums of activations, arithmetic with constants, and what does nothing.

use super::affine::{Operands, Spread, affine, operands, scaled};
use crate::builder::{Activation, Value};
use crate::error::Reason;
use crate::node::NodeContext;
use crate::proto::{NodeProto, data_type};
use bitesize_ir::Op;
use bitesize_ir::op::Clamp;
use std::rc::Rc;

pub(super) fn add(node: &mut NodeContext) -> Result<Value, Reason> {
    if node.inputs.len() == 2 && node.images() == 2 {
        let (a, b) = (node.activation(0)?, node.activation(1)?);
        same_tensor_form(node, &a, &b)?;
        return node.emit_like(Op::Add(Clamp::NONE), &[&a, &b], a.layout.clone());
    }
    let (Operands::ActivationFirst(input, constant) | Operands::ConstantFirst(constant, input)) = operands(node)?;
    affine(node, &input, &constant, |c| (1.0, c))
}

/// The sum of any number of inputs, as a chain of Add.
pub(super) fn sum(node: &mut NodeContext) -> Result<Value, Reason> {
    let inputs = std::mem::take(&mut node.inputs);
    let last = inputs.len().saturating_sub(1);
    // Constants come after what they are added to.
    let (images, constants): (Vec<_>, Vec<_>) =
        inputs.into_iter().partition(|input| input.as_ref().is_some_and(Value::is_of_image));
    let mut terms = images.into_iter().chain(constants);
    let mut sum = terms.next().flatten().ok_or_else(|| Reason::new("it has no inputs"))?;
    for (number, term) in (1..).zip(terms) {
        let (mut name, mut output) = (node.place(), node.proto.output[0].clone());
        if number < last {
            name += &format!("_{number}");
            output += &format!("_{number}");
        }
        let op_type = node.proto.op_type.clone();
        let proto = NodeProto { name, op_type, output: vec![output], ..NodeProto::default() };
        let inputs = vec![Some(sum), term];
        sum = add(&mut NodeContext { proto: &proto, opset: node.opset, inputs, builder: node.builder })?;
    }
    match sum {
        Value::Unknown { .. } => Err(Reason::follows()),
        sum => Ok(sum),
    }
}

pub(super) fn sub(node: &mut NodeContext) -> Result<Value, Reason> {
    match operands(node)? {
        Operands::ActivationFirst(input, constant) => affine(node, &input, &constant, |c| (1.0, -c)),
        Operands::ConstantFirst(constant, input) => affine(node, &input, &constant, |c| (-1.0, c)),
    }
}

pub(super) fn mul(node: &mut NodeContext) -> Result<Value, Reason> {
    let (Operands::ActivationFirst(input, constant) | Operands::ConstantFirst(constant, input)) = operands(node)?;
    affine(node, &input, &constant, |c| (c, 0.0))
}

pub(super) fn div(node: &mut NodeContext) -> Result<Value, Reason> {
    if node.inputs.len() == 2 && node.input(1).is_some_and(Value::is_of_image) && node.images() == 1 {
        return Err(Reason::new("it divides by an activation").hint("only division by a constant is supported"));
    }
    let (Operands::ActivationFirst(input, constant) | Operands::ConstantFirst(constant, input)) = operands(node)?;
    if constant.values.contains(&0.0) {
        return Err(Reason::new("it divides by 0"));
    }
    affine(node, &input, &constant, |c| (1.0 / c, 0.0))
}

pub(super) fn neg(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.pending_activation(0)?;
    scaled(node, &input, &Spread::number(&input), |_| (-1.0, 0.0))
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

/// The same value; leaves no node.
pub(super) fn identity(node: &mut NodeContext) -> Result<Value, Reason> {
    node.pending_activation(0).map(Value::Activation)
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
    use data_type::*;
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    if [FLOAT, DOUBLE, FLOAT16, BFLOAT16].contains(&to) {
        return identity(node);
    }
    Err(Reason::new(format!("it turns an activation into {}", data_type::name(to)))
        .hint("the network has to compute in float32 throughout"))
}
