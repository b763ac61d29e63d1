//! Why a file was not imported.

use std::collections::HashMap;
use std::fmt;

/// A file that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes are no ONNX model, or only a part of one.
    #[error("not an ONNX model, or a damaged one ({0}): export or copy it again")]
    NotOnnx(String),
    /// The model contradicts itself or lies outside what any network here can be (opset, no input, no output, cycles).
    #[error("{0}")]
    Model(String),
    /// Inputs, outputs and nodes that are not supported and constants that cannot be read: all of them. As text they are
    /// grouped by operator and reason.
    #[error("the model cannot be imported{}", listed(.0))]
    Unsupported(Vec<Refusal>),
}

/// One thing in a model that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The node's name, its output's where it has none, or the constant's, input's or output's.
    pub place: String,
    /// The ONNX operator, or `constant`, `input`, `output`.
    pub operator: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it; empty where nothing sensible can be said.
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.operator, self.place, self.reason)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

/// How many names of a group are told.
const NAMES: usize = 3;

/// The number of refusals and a line for each group of them.
fn listed(refusals: &[Refusal]) -> String {
    let groups = grouped(refusals);
    let kinds = if groups.len() < refusals.len() { format!(" of {} kinds", groups.len()) } else { String::new() };
    let kinds = if groups.len() == 1 { String::new() } else { kinds };
    let count = if refusals.len() == 1 { String::new() } else { format!(", for {} reasons{kinds}", refusals.len()) };
    let lines: String = groups.iter().map(|group| format!("\n  {}", line_of(group))).collect();
    format!("{count}:{lines}")
}

/// The refusals that say the same of the same operator, numbers and names in the reason aside; groups and members in order.
fn grouped(refusals: &[Refusal]) -> Vec<Vec<&Refusal>> {
    let mut groups: Vec<Vec<&Refusal>> = Vec::new();
    let mut known: HashMap<(&str, String, &str), usize> = HashMap::new();
    for refusal in refusals {
        let key = (refusal.operator.as_str(), without_particulars(&refusal.reason), refusal.hint.as_str());
        let group = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(refusal),
            None => groups.push(vec![refusal]),
        }
    }
    groups
}

/// A reason with `#` for what differs between nodes of one kind: numbers, lists of them, and names in backquotes.
fn without_particulars(reason: &str) -> String {
    let mut text = String::new();
    let mut chars = reason.chars();
    while let Some(c) = chars.next() {
        let closing = match c {
            '[' => Some(']'),
            '`' => Some('`'),
            _ => None,
        };
        if let Some(closing) = closing {
            chars.by_ref().take_while(|c| *c != closing).for_each(drop);
        }
        if closing.is_none() && !c.is_ascii_digit() {
            text.push(c);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

/// One line for a group: where all say the same, the names before it.
fn line_of(group: &[&Refusal]) -> String {
    let [first, others @ ..] = group else { return String::new() };
    let names = |refusals: &[&Refusal], most: usize| {
        let told: Vec<String> = refusals.iter().take(most).map(|r| format!("`{}`", r.place)).collect();
        let more = match refusals.len().saturating_sub(most) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        told.join(", ") + &more
    };
    if others.is_empty() {
        first.to_string()
    } else if others.iter().all(|other| other.reason == first.reason) {
        let hint = if first.hint.is_empty() { String::new() } else { format!(" ({})", first.hint) };
        format!("{} {}: {}{hint}", first.operator, names(group, NAMES), first.reason)
    } else {
        format!("{first}; the same, with other numbers, at {}", names(others, NAMES - 1))
    }
}

/// Reason and hint of a refusal, before the place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    reason: String,
    hint: String,
    blame: Blame,
}

/// Where a reason belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Blame {
    /// To what is at hand.
    Here,
    /// To something before, which is told.
    Elsewhere(Box<Refusal>),
    /// To something before, which has been told.
    Told,
}

impl Reason {
    /// A reason without a hint.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: String::new(), blame: Blame::Here }
    }

    /// What only follows from an earlier refusal, and is not told.
    pub(crate) fn follows() -> Self {
        Self { blame: Blame::Told, ..Self::new("an input was refused") }
    }

    /// What shows only now that something before is not supported.
    pub(crate) fn elsewhere(refusal: Refusal) -> Self {
        Self { blame: Blame::Elsewhere(Box::new(refusal)), ..Self::new("an input is refused") }
    }

    /// With what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Whether it only follows from an earlier refusal.
    pub(crate) fn is_told(&self) -> bool {
        self.blame == Blame::Told
    }

    /// With the place and the operator, where it belongs there.
    pub(crate) fn at(self, place: &str, operator: &str) -> Refusal {
        match self.blame {
            Blame::Elsewhere(refusal) => *refusal,
            Blame::Here | Blame::Told => {
                Refusal { place: place.into(), operator: operator.into(), reason: self.reason, hint: self.hint }
            }
        }
    }
}

impl From<String> for Reason {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}

impl From<&str> for Reason {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(operator: &str, place: &str, reason: &str, hint: &str) -> Refusal {
        Reason::new(reason).hint(hint).at(place, operator)
    }

    #[test]
    fn refusals_of_one_kind_are_one_line() {
        let mut refusals: Vec<Refusal> =
            (0..154).map(|i| refusal("Mul", &format!("m{i}"), "both inputs are activations", "no gates")).collect();
        refusals.insert(1, refusal("Reshape", "r0", "it mixes axes: [1, 8, 4] becomes [2, 16]", ""));
        refusals.push(refusal("Reshape", "r1", "it mixes axes: [1, 16] becomes [4, 2, 2]", ""));
        refusals.push(refusal("LSTM", "l", "the operator is not supported", "use a convolution"));
        let text = ImportError::Unsupported(refusals).to_string();
        let expected = [
            "the model cannot be imported, for 157 reasons of 3 kinds:",
            "  Mul `m0`, `m1`, `m2` and 151 more: both inputs are activations (no gates)",
            "  Reshape `r0`: it mixes axes: [1, 8, 4] becomes [2, 16]; the same, with other numbers, at `r1`",
            "  LSTM `l`: the operator is not supported (use a convolution)",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let one = ImportError::Unsupported(vec![refusal("LSTM", "l", "no", "")]).to_string();
        assert_eq!(one, "the model cannot be imported:\n  LSTM `l`: no");
    }

    #[test]
    fn what_differs_between_nodes_is_left_out_of_their_kind() {
        let check = |reason: &str, kind: &str| assert_eq!(without_particulars(reason), kind);
        check("its input [1, 2] has 35 of `a b`", "its input # has # of #");
        check("an open [1, 2", "an open #");
        check("5", "#");
        check("", "");
    }
}
