//! The tasks there are.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes, the highest output.
    Classify,
    /// Yes or no: one output, a logit.
    Binary,
    /// Yes or no, several times over: a logit each.
    Multilabel,
    /// Real values; an autoencoder's reconstruction too.
    Regress,
    /// A class for each pixel.
    Map,
    /// Whatever it is: as near to the float network as can be.
    Fidelity,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 6] =
        [Self::Classify, Self::Binary, Self::Multilabel, Self::Regress, Self::Map, Self::Fidelity];

    /// The name given to `--task`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Binary => "binary",
            Self::Multilabel => "multilabel",
            Self::Regress => "regress",
            Self::Map => "map",
            Self::Fidelity => "fidelity",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is none of auto, {names}")
        })
    }
}
