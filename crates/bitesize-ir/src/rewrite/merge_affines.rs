//! Two affine maps in a row become one.

use super::edit;
use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::{ChannelAffine, Op};

pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let Op::ChannelAffine(second) = &graph.node(id).op else { return Outcome::NoMatch };
    let Some(producer) = graph.producer(graph.node(id).inputs[0]) else { return Outcome::NoMatch };
    let Op::ChannelAffine(first) = &graph.node(producer).op else { return Outcome::NoMatch };
    let name = &graph.node(producer).name;
    if !first.clamp.is_none() {
        return Outcome::Refused(format!("`{name}` before it clamps its output"));
    }
    if let Err(reason) = graph.sole_producer(id) {
        return Outcome::Refused(reason);
    }
    let merge = |c: usize| {
        let (scale, shift) = (f64::from(second.scale[c]), f64::from(second.shift[c]));
        let merged_shift = f64::from(first.shift[c]) * scale + shift;
        ((f64::from(first.scale[c]) * scale) as f32, merged_shift as f32)
    };
    let (scale, shift): (Vec<f32>, Vec<f32>) = (0..first.scale.len()).map(merge).unzip();
    if !edit::finite(&scale) || !edit::finite(&shift) {
        return Outcome::Refused("the product leaves the range of single precision".into());
    }
    let done = Outcome::Applied(format!("into `{name}`"));
    let merged = ChannelAffine { scale, shift, clamp: second.clamp };
    *graph.op_mut(producer) = Op::ChannelAffine(merged);
    graph.merge_into_producer(producer, id);
    done
}
