//! An affine map per channel before layers with weights goes into their weights and biases.
//!
//! Exact where the layers do not pad: padding holds zeros, which the map would have left alone. Without summands it
//! is exact with padding too.

use super::edit;
use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::{ChannelAffine, Op};
use crate::requantize::WeightLayout;
use crate::shape::Pads;

pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let Op::ChannelAffine(affine) = &graph.node(id).op else { return Outcome::NoMatch };
    let affine = affine.clone();
    let output = graph.node(id).output;
    if !affine.clamp.is_none() {
        return Outcome::Refused("it clamps its output".into());
    }
    if output == graph.output() {
        return Outcome::Refused("its output is the network's output".into());
    }
    let shifts = affine.shift.iter().any(|s| *s != 0.0);
    let consumers = graph.readers(output).collect::<Vec<_>>();
    let mut folded = Vec::new();
    for consumer in &consumers {
        let consumer = graph.node(*consumer);
        if consumer.op.parameters().is_none() {
            return Outcome::Refused(format!("`{}` after it is {} without weights", consumer.name, consumer.op.name()));
        }
        if shifts && pads(&consumer.op) != Pads::default() {
            return Outcome::Refused(format!("`{}` after it pads with zeros, to which it would add", consumer.name));
        }
        match fold(&affine, &consumer.op) {
            Some(op) => folded.push(op),
            None => {
                return Outcome::Refused("the product with the weights leaves the range of single precision".into());
            }
        }
    }
    let names: Vec<String> = consumers.iter().map(|c| format!("`{}`", graph.node(*c).name)).collect();
    for (consumer, op) in consumers.into_iter().zip(folded) {
        *graph.op_mut(consumer) = op;
    }
    graph.bypass(id);
    Outcome::Applied(format!("into {}", names.join(", ")))
}

fn pads(op: &Op) -> Pads {
    match op {
        Op::Conv2d(op) => op.window.pads,
        Op::DepthwiseConv2d(op) => op.window.pads,
        _ => Pads::default(),
    }
}

/// `op` after `affine` as one operator, `None` where a number is not finite.
fn fold(affine: &ChannelAffine, op: &Op) -> Option<Op> {
    let mut op = op.clone();
    let layout = WeightLayout::of(&op)?;
    let (weights, bias) = op.parameters_mut()?;
    let mut sums: Vec<f64> = bias.iter().map(|b| f64::from(*b)).collect();
    for (index, weight) in weights.iter_mut().enumerate() {
        let channel = layout.in_channel(index);
        sums[layout.out_channel(index)] += f64::from(*weight) * f64::from(affine.shift[channel]);
        *weight = (f64::from(*weight) * f64::from(affine.scale[channel])) as f32;
    }
    *bias = sums.into_iter().map(|s| s as f32).collect();
    (edit::finite(weights) && edit::finite(bias)).then_some(op)
}
