//! `strategies.jsonl`: what is known so far.

use super::job::Done;
use super::subject::Failure;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// A line of the results.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// What a network is compared with.
    Reference(Reference),
    /// A search.
    Done(Box<Done>),
}

/// A network without a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) network: String,
    /// Accuracies on the whole test set: float, and uniform 8 bits.
    pub(super) float: f64,
    pub(super) uniform: f64,
    /// Of uniform 8 bits.
    pub(super) flash_bytes: u64,
    pub(super) ram_bytes: u64,
}

/// What is known so far, and where it is kept.
pub(super) struct Results {
    pub(super) references: Vec<Reference>,
    pub(super) done: Vec<Done>,
    file: File,
}

impl Results {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
        let file = File::options().create(true).append(true).open(path)?;
        file.set_len(complete.len() as u64)?;
        let mut results = Self { references: Vec::new(), done: Vec::new(), file };
        for line in complete.lines() {
            match serde_json::from_str(line).map_err(|e| format!("{}: {e}", path.display()))? {
                Line::Reference(reference) => results.references.push(reference),
                Line::Done(done) => results.done.push(*done),
            }
        }
        Ok(results)
    }

    pub(super) fn add(&mut self, line: &Line) -> Result<(), Failure> {
        writeln!(self.file, "{}", serde_json::to_string(line)?)?;
        match line.clone() {
            Line::Reference(reference) => self.references.push(reference),
            Line::Done(done) => self.done.push(*done),
        }
        Ok(())
    }

    pub(super) fn reference(&self, network: &str) -> Option<&Reference> {
        self.references.iter().find(|reference| reference.network == network)
    }
}
