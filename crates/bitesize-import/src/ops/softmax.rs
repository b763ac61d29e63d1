//! `Softmax` and `LogSoftmax`, at the end of a network only.

use crate::builder::{DroppedSoftmax, Value};
use crate::error::Reason;
use crate::layout::Axis;
use crate::node::{NodeContext, positive_axis};

/// Leaves no node: the order of the scores is the order of their probabilities. That nothing but changes of layout
/// follows is checked when the network is complete.
pub(super) fn softmax(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    let rank = input.layout.rank();
    let over: Vec<Axis> = if node.opset >= 13 {
        let axis = positive_axis(node.int("axis", -1)?, rank)?;
        input.layout.axes()[axis].clone()
    } else {
        let axis = positive_axis(node.int("axis", 1)?, rank)?;
        input.layout.axes()[axis..].concat()
    };
    let shape = node.builder.shape(input.tensor);
    if shape.c > 1 && over != [Axis::C] || shape.c == 1 && !over.is_empty() {
        return Err(Reason::new("it does not normalise over the classes (channels)")
            .hint("only a final Softmax over the classes can be left out"));
    }
    let dropped = DroppedSoftmax { operator: node.proto.op_type.clone(), place: node.place(), tensor: input.tensor };
    if node.builder.softmax.replace(dropped).is_some() {
        return Err(Reason::new("it is not the only Softmax of the network"));
    }
    Ok(Value::Activation(input))
}
