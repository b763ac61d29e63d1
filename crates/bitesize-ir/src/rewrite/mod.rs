//! Rewrites that bring an imported network into the form that is quantized.
//!
//! Each rewrite is a named value in [`REWRITES`], tried at one node at a time. It answers that it has changed the
//! network, that it has nothing to do there, or why it could not: the [`RewriteLog`] keeps both for `-v`. The driver
//! [`rewrite`] starts again at the top of the list after every change, so that a rewrite only ever sees what those
//! above it have left, and validates the network after each pass.
//!
//! Every rewrite keeps what the network computes, up to the rounding of weights in single precision.

mod affine_into_consumer;
mod affine_into_producer;
mod affine_to_depthwise;
mod drop_identity;
mod edit;
mod fold_pad;
mod fuse_clamp;
mod graph;
mod log;
mod merge_affines;
mod normalization;
mod ranges;
mod rule;
#[cfg(test)]
mod tests;

pub use graph::Graph;
pub use log::{LogEntry, RewriteLog};
pub use normalization::{Normalization, NormalizationError, fold_normalization};
pub use rule::{Outcome, Rewrite};

use crate::network::{InvalidNetwork, Network, NodeId};
use log::Events;

/// Every rewrite, in the order of preference.
#[rustfmt::skip]
pub const REWRITES: &[Rewrite] = &[
    Rewrite { name: "drop_identity",        at: drop_identity::at },
    Rewrite { name: "merge_affines",        at: merge_affines::at },
    Rewrite { name: "fold_batch_norm",      at: affine_into_producer::at },
    Rewrite { name: "fuse_activation",      at: fuse_clamp::at },
    Rewrite { name: "fold_pad",             at: fold_pad::at },
    Rewrite { name: "fold_affine_forward",  at: affine_into_consumer::at },
    Rewrite { name: "affine_to_depthwise",  at: affine_to_depthwise::at },
];

/// Applies [`REWRITES`] until none changes anything. The result holds no [`crate::Op::ChannelAffine`].
///
/// # Errors
/// A network that is not legal, before or after a pass; the latter is a defect of the rewrite that is named.
pub fn rewrite(network: Network) -> Result<(Network, RewriteLog), InvalidNetwork> {
    rewrite_with(network, REWRITES)
}

/// As [`rewrite`] with other rewrites than [`REWRITES`].
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_with(mut network: Network, rewrites: &[Rewrite]) -> Result<(Network, RewriteLog), InvalidNetwork> {
    let mut events = Events::default();
    network.compact();
    network.validate()?;
    loop {
        let mut graph = Graph::of(network);
        let changed_by = rewrites.iter().find(|rewrite| sweep(&mut graph, rewrite, &mut events));
        network = graph.finish();
        let Some(changed_by) = changed_by else { break };
        network.validate().map_err(|error| InvalidNetwork {
            problem: format!("after the rewrite {}: {}", changed_by.name, error.problem),
            ..error
        })?;
    }
    Ok((network, events.into_log()))
}

/// Tries `rewrite` at every node in order; whether anything changed. After a change that removed nodes up to the one it was tried
/// at, as many behind it are passed over: the next sweep sees them.
fn sweep(graph: &mut Graph, rewrite: &Rewrite, events: &mut Events) -> bool {
    let mut changed = false;
    let mut pass_over = 0;
    for at in (0..graph.places()).map(NodeId) {
        if !graph.is_live(at) {
            continue;
        }
        if pass_over > 0 {
            pass_over -= 1;
            continue;
        }
        let name = graph.node(at).name.clone();
        match (rewrite.at)(graph, at) {
            Outcome::NoMatch => {}
            Outcome::Refused(reason) => events.record(rewrite.name, name, false, reason),
            Outcome::Applied(what) => {
                events.record(rewrite.name, name, true, what);
                pass_over = graph.take_removed().iter().filter(|removed| **removed <= at).count();
                changed = true;
            }
        }
    }
    changed
}
