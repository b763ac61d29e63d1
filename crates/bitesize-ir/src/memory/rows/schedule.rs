//! Which layers are computed at once, and which in turns.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// What a run may do with rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduling {
    /// Layer by layer, or in rolling chains where that takes less; tensors may overlap where no row is written over that is
    /// still read.
    #[default]
    Auto,
    /// Layer by layer, and tensors may overlap in the same way.
    InPlace,
    /// Layer by layer, and no tensors overlap that are alive at the same layer.
    Layers,
}

impl Scheduling {
    /// All, as they are named.
    pub const ALL: [Self; 3] = [Self::Auto, Self::InPlace, Self::Layers];

    /// `auto`, `in-place`, `layers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::InPlace => "in-place",
            Self::Layers => "layers",
        }
    }
}

/// How the network's input comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputRows {
    /// As a whole, in the arena.
    #[default]
    Image,
    /// Row by row.
    #[serde(rename = "rows")]
    Pushed,
}

impl InputRows {
    /// All, as they are named.
    pub const ALL: [Self; 2] = [Self::Image, Self::Pushed];

    /// `image`, `rows`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Pushed => "rows",
        }
    }
}

/// Nodes that are computed together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Which.
    pub nodes: Range<usize>,
    /// Whether they take turns; otherwise it is one node.
    pub is_rolling: bool,
}

/// The order in which a network is computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// In order; all nodes are in one of them.
    pub segments: Vec<Segment>,
    /// Whether tensors may overlap.
    pub in_place: bool,
    /// How the input comes. Where it is pushed, the first segment rolls.
    pub input: InputRows,
}

impl Schedule {
    /// Layer by layer over `nodes` nodes.
    pub fn layers(nodes: usize, in_place: bool) -> Self {
        let segments = (0..nodes).map(|node| Segment { nodes: node..node + 1, is_rolling: false }).collect();
        Self { segments, in_place, input: InputRows::Image }
    }

    /// Makes the input come as `input` says. Pushed, all of it comes before the first layer.
    pub fn take_input(&mut self, input: InputRows) {
        if input == InputRows::Pushed && self.input == InputRows::Image {
            self.segments.insert(0, Segment { nodes: 0..0, is_rolling: true });
        }
        self.input = input;
    }

    /// Whether layers take turns, or rows are pushed.
    pub fn rolls(&self) -> bool {
        self.input == InputRows::Pushed || self.scheduling() == Scheduling::Auto
    }

    /// Which of the ways it is.
    pub fn scheduling(&self) -> Scheduling {
        if self.segments.iter().any(|segment| segment.is_rolling && !segment.nodes.is_empty()) {
            Scheduling::Auto
        } else if self.in_place {
            Scheduling::InPlace
        } else {
            Scheduling::Layers
        }
    }
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheduling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|way| way.name() == text).ok_or(format!("`{text}` is none of {all}"))
    }
}
