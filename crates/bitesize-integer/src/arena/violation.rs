//! What a plan can do wrong.

use std::fmt;

/// The first thing that a plan does wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step}, {place}: {problem}")]
pub struct Violation {
    /// The number of the step: of what is read, computed and written together.
    pub step: usize,
    /// The node that is computed, by name; the input or the output where these are written and read.
    pub place: String,
    /// What is wrong.
    pub problem: Box<Problem>,
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no plan of this network.
    #[error("the plan is not one of this network: {0}")]
    Disagrees(String),
    /// Something lies behind the arena's end.
    #[error("{piece} lies at byte {byte} of an arena of {arena_bytes}")]
    Outside {
        /// What.
        piece: Piece,
        /// Its first byte.
        byte: usize,
        /// Bytes of the arena.
        arena_bytes: usize,
    },
    /// Something is written over that is still to be read, or to be written by others.
    #[error("{writes} is written over byte {byte} of {holds}, which is still needed")]
    Overwrites {
        /// The byte.
        byte: usize,
        /// What is written.
        writes: Piece,
        /// What is there.
        holds: Piece,
    },
    /// What is read is not there: not written yet, dead already, or moved.
    #[error("{reads} is read at byte {byte}, where {} is", or_nothing(holds.as_ref()))]
    Missing {
        /// The byte.
        byte: usize,
        /// What is read.
        reads: Piece,
        /// What is there.
        holds: Option<Piece>,
    },
    /// A row gives way to others of its tensor.
    #[error("{piece} gives way to a later row, but is still needed")]
    Dropped {
        /// The row's first pixel that is still needed.
        piece: Piece,
    },
}

/// What bytes of an arena hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A pixel of a row of a tensor.
    Pixel {
        /// The tensor's name.
        tensor: String,
        /// The row.
        row: usize,
        /// The pixel in it.
        column: usize,
    },
    /// The scratch of a node.
    Scratch {
        /// The node's name.
        node: String,
    },
    /// The state of a chain.
    State,
}

fn or_nothing(piece: Option<&Piece>) -> String {
    piece.map_or_else(|| "nothing".into(), ToString::to_string)
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixel { tensor, row, column } => write!(f, "pixel {column} of row {row} of `{tensor}`"),
            Self::Scratch { node } => write!(f, "the scratch of `{node}`"),
            Self::State => f.write_str("the state of a chain"),
        }
    }
}
