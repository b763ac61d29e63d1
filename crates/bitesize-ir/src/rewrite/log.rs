//! What the rewrites did and where they could not, for people.

use std::collections::HashMap;
use std::fmt;

/// A rewrite at a node: what was done, or why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The rewrite's name.
    pub rewrite: &'static str,
    /// The node's name.
    pub node: String,
    /// Whether the network was changed.
    pub applied: bool,
    /// What was done, or why not.
    pub detail: String,
}

/// What the rewrites did, in order, and where they could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteLog {
    /// In the order of events. Of the refusals of one rewrite at one node only the latest reason is kept, and none
    /// where it succeeded later.
    pub entries: Vec<LogEntry>,
}

/// A log that is being written.
#[derive(Default)]
pub(super) struct Events {
    /// In order; `None` for a refusal that later events replaced.
    entries: Vec<Option<LogEntry>>,
    /// Where the latest refusal of a rewrite at a node lies.
    refusals: HashMap<(&'static str, String), usize>,
}

impl Events {
    pub(super) fn record(&mut self, rewrite: &'static str, node: String, applied: bool, detail: String) {
        let key = (rewrite, node);
        if let Some(earlier) = self.refusals.get(&key).copied() {
            if !applied && self.entries[earlier].as_ref().is_some_and(|entry| entry.detail == detail) {
                return;
            }
            self.entries[earlier] = None;
            self.refusals.remove(&key);
        }
        if !applied {
            self.refusals.insert(key.clone(), self.entries.len());
        }
        self.entries.push(Some(LogEntry { rewrite, node: key.1, applied, detail }));
    }

    pub(super) fn into_log(self) -> RewriteLog {
        RewriteLog { entries: self.entries.into_iter().flatten().collect() }
    }
}

/// One line an entry: `fold_batch_norm at bn1: into conv1`, `fold_pad did not fire at pad1 because ...`.
impl fmt::Display for RewriteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, entry) in self.entries.iter().enumerate() {
            let end = if i + 1 == self.entries.len() { "" } else { "\n" };
            let verb = if entry.applied { "at" } else { "did not fire at" };
            let join = if entry.applied { ": " } else { " because " };
            write!(f, "{} {verb} `{}`{join}{}{end}", entry.rewrite, entry.node, entry.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_refusal_counts_until_the_rewrite_succeeds() {
        let mut events = Events::default();
        let mut record = |node: &str, applied, detail: &str| events.record("r", node.into(), applied, detail.into());
        record("a", false, "one");
        record("b", false, "one");
        record("a", false, "one");
        record("b", false, "two");
        record("c", false, "one");
        record("c", true, "done");
        record("c", true, "done");
        let shown =
            "r did not fire at `a` because one\nr did not fire at `b` because two\nr at `c`: done\nr at `c`: done";
        assert_eq!(events.into_log().to_string(), shown);
    }
}
