//! What a rewrite is, and what it answers.

use super::graph::Graph;
use crate::network::NodeId;

/// A named change, tried at one node at a time.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite {
    /// As the log names it.
    pub name: &'static str,
    /// Tries it at a node. It may change and remove nodes.
    pub at: fn(&mut Graph, NodeId) -> Outcome,
}

/// What became of a rewrite at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The network has changed; what was done, as "into `conv1`".
    Applied(String),
    /// The node is not what the rewrite is about.
    NoMatch,
    /// The node is what it is about, and this is why it was left.
    Refused(String),
}
