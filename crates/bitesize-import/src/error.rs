//! Why a file was not imported.

use std::fmt;

/// A file that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes are no ONNX model, or only a part of one.
    #[error("not an ONNX model, or a damaged one ({0}): export or copy it again")]
    NotOnnx(String),
    /// The model contradicts itself or lies outside what any network here can be (opset, inputs, outputs, sizes).
    #[error("{0}")]
    Model(String),
    /// Nodes that are not supported and constants that cannot be read: all of them.
    #[error("the model cannot be imported{}:{}", count(.0), list(.0))]
    Unsupported(Vec<Refusal>),
}

/// One thing in a model that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The node's name, its output's where it has none, or the constant's.
    pub place: String,
    /// The ONNX operator, or `constant`.
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

fn count(refusals: &[Refusal]) -> String {
    match refusals.len() {
        1 => String::new(),
        n => format!(", for {n} reasons"),
    }
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| format!("\n  {refusal}")).collect()
}

/// Reason and hint of a refusal, before the place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) reason: String,
    pub(crate) hint: String,
}

impl Reason {
    /// A reason without a hint.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: String::new() }
    }

    /// With what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With the place and the operator.
    pub(crate) fn at(self, place: &str, operator: &str) -> Refusal {
        Refusal { place: place.into(), operator: operator.into(), reason: self.reason, hint: self.hint }
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
