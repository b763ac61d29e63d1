//! A batch-norm (or other affine map per channel) after a layer with weights goes into its weights and bias.
//!
//! Exact for factors of either sign, as long as nothing clamps in between and nobody else reads the layer's output.

use super::edit;
use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::Op;
use crate::requantize::WeightLayout;

pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let Op::ChannelAffine(affine) = &graph.node(id).op else { return Outcome::NoMatch };
    let affine = affine.clone();
    let tensor = graph.node(id).inputs[0];
    if let Some(producer) = graph.producer(tensor).map(|p| graph.node(p)) {
        if producer.op.parameters().is_none() {
            return Outcome::Refused(format!(
                "`{}` before it is {} without weights",
                producer.name,
                producer.op.name()
            ));
        }
        if !producer.op.clamp().is_none() {
            return Outcome::Refused(format!("`{}` before it clamps its output", producer.name));
        }
    }
    let producer = match graph.sole_producer(id) {
        Ok(producer) => producer,
        Err(reason) => return Outcome::Refused(reason),
    };
    let mut op = graph.node(producer).op.clone();
    let layout = WeightLayout::of(&op).expect("an operator with parameters has a weight layout");
    let (weights, bias) = op.parameters_mut().expect("checked above");
    for (index, weight) in weights.iter_mut().enumerate() {
        *weight = (f64::from(*weight) * f64::from(affine.scale[layout.out_channel(index)])) as f32;
    }
    for (c, bias) in bias.iter_mut().enumerate() {
        *bias = (f64::from(*bias) * f64::from(affine.scale[c]) + f64::from(affine.shift[c])) as f32;
    }
    if !edit::finite(weights) || !edit::finite(bias) {
        return Outcome::Refused("the product with the weights leaves the range of single precision".into());
    }
    if let Some(clamp) = op.clamp_mut() {
        *clamp = affine.clamp;
    }
    let done = Outcome::Applied(format!("into `{}`", graph.node(producer).name));
    *graph.op_mut(producer) = op;
    graph.merge_into_producer(producer, id);
    done
}
