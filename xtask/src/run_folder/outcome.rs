//! What a part of the trial found.

/// A table and what is wrong.
pub(super) struct Outcome {
    /// Markdown.
    pub(super) table: String,
    /// A line for each check that failed.
    pub(super) failures: Vec<String>,
}

impl Outcome {
    /// The table with all that failed below it.
    pub(super) fn markdown(&self) -> String {
        let failures: String = self.failures.iter().map(|failure| format!("- {failure}\n")).collect();
        match self.failures.len() {
            0 => format!("{}\nNothing failed.\n", self.table),
            count => format!("{}\n{count} failed:\n\n{failures}", self.table),
        }
    }
}
