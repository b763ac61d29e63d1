//! Which widths a network has to be given, and a choice of them.

use crate::grid::BitWidth;
use crate::network::{Network, NodeId, TensorId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use toml_writer::{ToTomlKey as _, TomlKeyBuilder};

/// The widths that a network asks for: one row for each operator that has weights or owns an output width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpace {
    /// In topological order of the operators.
    pub rows: Vec<SpaceRow>,
}

/// One row of a [`PolicySpace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceRow {
    /// The node's name, unique.
    pub name: String,
    /// The node.
    pub node: NodeId,
    /// Whether it has weights to give a width to.
    pub weights: bool,
    /// Whether its output's width is free: false for the network's output and for what is passed on to it unchanged,
    /// which have 8 bits.
    pub activations: bool,
}

impl PolicySpace {
    /// The rows of `network`, which must be rewritten (no `ChannelAffine` left).
    pub fn of(network: &Network) -> Self {
        let fixed = network.encoding_root(network.output);
        let rows = network
            .iter()
            .filter_map(|(id, node)| {
                let weights = node.op.parameters().is_some();
                let activations = !node.op.passes_encoding_on() && node.output != fixed;
                (weights || activations).then(|| SpaceRow { name: node.name.clone(), node: id, weights, activations })
            })
            .collect();
        Self { rows }
    }

    /// Number of free widths.
    pub fn choices(&self) -> usize {
        self.rows.iter().map(|r| usize::from(r.weights) + usize::from(r.activations)).sum()
    }
}

/// One row of a [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyRow {
    /// The node's name.
    pub name: String,
    /// Width of the weights, where there are any.
    pub weights: Option<BitWidth>,
    /// Width of the output, where it is free.
    pub activations: Option<BitWidth>,
}

/// A width for every choice of a [`PolicySpace`], row by row in its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// As many as the space has, in its order.
    pub rows: Vec<PolicyRow>,
}

/// A policy text that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or not of the form of a policy.
    #[error("not a policy file: {0}")]
    Syntax(String),
    /// Rows that the network does not have, or lacks, or that name a width where none is free; all of them.
    #[error("the policy does not match the network:\n  {}", .0.join("\n  "))]
    Mismatch(Vec<String>),
}

impl Policy {
    /// Every weight at `weights` bits and every free activation at `activations`.
    pub fn uniform(space: &PolicySpace, weights: BitWidth, activations: BitWidth) -> Self {
        let row = |row: &SpaceRow| PolicyRow {
            name: row.name.clone(),
            weights: row.weights.then_some(weights),
            activations: row.activations.then_some(activations),
        };
        Self { rows: space.rows.iter().map(row).collect() }
    }

    /// Width of the weights of `node`, `None` where it has none.
    pub fn weight_bits(&self, space: &PolicySpace, node: NodeId) -> Option<BitWidth> {
        space.rows.iter().position(|r| r.node == node).and_then(|i| self.rows[i].weights)
    }

    /// Width of every tensor of `network`: input and output have 8 bits, passed-on encodings follow their root.
    pub fn tensor_bits(&self, network: &Network, space: &PolicySpace) -> Vec<BitWidth> {
        let mut bits = vec![BitWidth::B8; network.tensors.len()];
        for (row, choice) in space.rows.iter().zip(&self.rows) {
            if let Some(width) = choice.activations {
                bits[network.node(row.node).output.0] = width;
            }
        }
        for node in network.nodes.iter().filter(|n| n.op.passes_encoding_on()) {
            bits[node.output.0] = bits[node.inputs[0].0];
        }
        bits
    }

    /// Reads a policy file and checks it against the network's space.
    ///
    /// The form is one line a row: `"name" = { weights = 4, activations = 8 }` under `[layers]`.
    ///
    /// # Errors
    /// [`PolicyError`], naming every row that does not match.
    pub fn from_toml(text: &str, space: &PolicySpace) -> Result<Self, PolicyError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            layers: BTreeMap<String, Row>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Row {
            weights: Option<BitWidth>,
            activations: Option<BitWidth>,
        }
        let mut file: File = toml::from_str(text).map_err(|e| PolicyError::Syntax(e.to_string()))?;
        let mut problems = Vec::new();
        let mut rows = Vec::new();
        for row in &space.rows {
            let Some(given) = file.layers.remove(&row.name) else {
                problems.push(format!("`{}` is missing", row.name));
                continue;
            };
            let mut check = |what: &str, free: bool, given: Option<BitWidth>| match (free, given) {
                (true, None) => problems.push(format!("`{}` lacks `{what}`", row.name)),
                (false, Some(_)) => problems.push(format!("`{}` has `{what}`, which is not free there", row.name)),
                _ => {}
            };
            check("weights", row.weights, given.weights);
            check("activations", row.activations, given.activations);
            rows.push(PolicyRow { name: row.name.clone(), weights: given.weights, activations: given.activations });
        }
        problems.extend(file.layers.keys().map(|name| format!("`{name}` is not a row of the network")));
        if problems.is_empty() { Ok(Self { rows }) } else { Err(PolicyError::Mismatch(problems)) }
    }

    /// The policy file's text, in the network's order.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("[layers]\n");
        for row in &self.rows {
            let fields: Vec<String> = [("weights", row.weights), ("activations", row.activations)]
                .into_iter()
                .filter_map(|(name, width)| width.map(|w| format!("{name} = {w}")))
                .collect();
            let key = TomlKeyBuilder::new(&row.name).as_basic().to_toml_key();
            let _ = writeln!(text, "{key} = {{ {} }}", fields.join(", "));
        }
        text
    }
}

/// One line a row: name, weight bits, activation bits, `-` where there is none.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |w: Option<BitWidth>| w.map_or("-".to_owned(), |w| w.to_string());
        for (i, row) in self.rows.iter().enumerate() {
            let end = if i + 1 == self.rows.len() { "" } else { "\n" };
            write!(f, "{:<32} W{} A{}{end}", row.name, width(row.weights), width(row.activations))?;
        }
        Ok(())
    }
}

/// The tensors whose width is fixed at 8 bits: the input, the output and what is passed on unchanged between.
pub fn fixed_tensors(network: &Network) -> Vec<TensorId> {
    let roots = network.encoding_roots();
    let is_fixed = |t: &TensorId| roots[t.0] == network.input || roots[t.0] == roots[network.output.0];
    (0..network.tensors.len()).map(TensorId).filter(is_fixed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The policy of rows with these names comes back from its text.
    #[track_caller]
    fn check(names: &[&str]) {
        let row = |(at, name): (usize, &&str)| SpaceRow {
            name: (*name).to_owned(),
            node: NodeId(at),
            weights: true,
            activations: at % 2 == 0,
        };
        let space = PolicySpace { rows: names.iter().enumerate().map(row).collect() };
        let bits = |at: usize| BitWidth::ALL[at % 3];
        let row = |(at, row): (usize, &SpaceRow)| PolicyRow {
            name: row.name.clone(),
            weights: Some(bits(at)),
            activations: row.activations.then(|| bits(at + 1)),
        };
        let policy = Policy { rows: space.rows.iter().enumerate().map(row).collect() };
        let text = policy.to_toml();
        assert_eq!(Policy::from_toml(&text, &space).as_ref(), Ok(&policy), "{text}");
        assert_eq!(text.lines().count(), 1 + names.len(), "one line a row: {text}");
    }

    #[test]
    fn any_name_is_a_key_that_can_be_read_back() {
        check(&["a\"b'c", "'", "\"", "'''", "\"\"\"", "a\\", "\\\"", "\\u{1b}", "\\u001b"]);
        check(&["", " ", ".", "a.b.c", "[layers]", "layers", "#", "=", "a = 1", "größe", "\u{202e}", "\u{1F600}"]);
        check(&["\n", "\r\n", "a\nb = { weights = 2 }\n", &"x\"'".repeat(3400)]);
        let controls: Vec<String> = (0..=0xa0).filter_map(char::from_u32).map(|c| format!("a{c}b")).collect();
        check(&controls.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn usual_keys_stand_in_double_quotes() {
        let rows = vec![PolicyRow { name: "/a/Conv.1".into(), weights: Some(BitWidth::B4), activations: None }];
        assert_eq!(Policy { rows }.to_toml(), "[layers]\n\"/a/Conv.1\" = { weights = 4 }\n");
    }

    proptest! {
        #[test]
        fn random_names_are_keys_that_can_be_read_back(a in any::<String>(), b in "[\\\\\"'\n\r\t.#=\\[\\]a ]{0,12}") {
            check(&[&a]);
            check(&[&b]);
        }
    }
}
