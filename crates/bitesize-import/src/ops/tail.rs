//! Functions at the end of a network, and only there: they are left out, and leave no node.

use crate::builder::{Activation, LeftOut, Value};
use crate::error::Reason;
use crate::node::{NodeContext, positive_axis};
use crate::output_order::is_flattened;
use bitesize_ir::{Axis, Tail};

pub(super) fn softmax(node: &mut NodeContext) -> Result<Value, Reason> {
    normalise(node, Tail::Softmax)
}

pub(super) fn log_softmax(node: &mut NodeContext) -> Result<Value, Reason> {
    normalise(node, Tail::LogSoftmax)
}

pub(super) fn sigmoid(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    Ok(leave_out(node, Tail::Sigmoid, input))
}

pub(super) fn tanh(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    Ok(leave_out(node, Tail::Tanh, input))
}

/// What comes out has no classes any more, so that nothing that follows can mistake it for its input.
pub(super) fn arg_max(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    let axis = positive_axis(node.int("axis", 0)?, input.layout.rank())?;
    check_classes(node, &input, &input.layout.axes()[axis], "it does not choose among the classes (channels)")?;
    if node.int("select_last_index", 0)? != 0 {
        return Err(Reason::new("of equal scores it takes the last; the lowest index is the class here"));
    }
    let kept = node.int("keepdims", 1)? != 0;
    let Value::Activation(Activation { tensor, layout, .. }) = leave_out(node, Tail::ArgMax, input) else {
        unreachable!("what is left out is an activation")
    };
    let layout = layout.with_axis(axis, Vec::new());
    let layout = if kept { layout } else { layout.without_axis(axis) };
    Ok(Value::Activation(Activation::new(tensor, layout)))
}

fn normalise(node: &mut NodeContext, tail: Tail) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    let rank = input.layout.rank();
    let over: Vec<Axis> = if node.opset >= 13 {
        let axis = positive_axis(node.int("axis", -1)?, rank)?;
        input.layout.axes()[axis].clone()
    } else {
        let axis = positive_axis(node.int("axis", 1)?, rank)?;
        input.layout.axes()[axis..].concat()
    };
    check_classes(node, &input, &over, "it does not normalise over the classes (channels)")?;
    Ok(leave_out(node, tail, input))
}

/// Refuses what goes over anything but the classes: the channels, or all elements where they are flattened.
fn check_classes(node: &NodeContext, input: &Activation, over: &[Axis], otherwise: &str) -> Result<(), Reason> {
    let shape = node.builder.shape(input.tensor);
    if is_flattened(&input.layout) && over == input.layout.axes().concat() {
        return Ok(());
    }
    if shape.c > 1 && over != [Axis::C] || shape.c == 1 && !over.is_empty() {
        return Err(Reason::new(otherwise).hint("only what goes over the classes can be left out at the end"));
    }
    Ok(())
}

/// That nothing but changes of layout follows is checked when the network is complete.
fn leave_out(node: &mut NodeContext, tail: Tail, input: Activation) -> Value {
    let (place, output) = (node.place(), node.proto.output[0].clone());
    let (tensor, layout) = (input.tensor, input.layout.clone());
    node.builder.left_out.push(LeftOut { tail, place, output, tensor, layout });
    Value::Activation(input)
}
