//! What something was made from: the named inputs of a stage, each with its value or the SHA-256 of its contents.

use crate::hash::Hasher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Raised where the same inputs lead to other results than before, and not with every release: files of a run that were
/// made by another version are not gone on with.
pub const RESULTS_VERSION: u32 = 6;

/// The name under which [`RESULTS_VERSION`] stands among inputs.
const RESULTS: &str = "results_version";

/// What the names of inputs begin with whose value is the SHA-256 of what they contain.
const CONTENTS: &str = "contents of ";

/// Named inputs with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Provenance(BTreeMap<String, String>);

impl Provenance {
    /// No input but the results version.
    pub fn new() -> Self {
        Self(BTreeMap::from([(RESULTS.to_owned(), RESULTS_VERSION.to_string())]))
    }

    /// These inputs, and `name` with `value`.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// These inputs, and what `name` contains, by its SHA-256.
    pub fn with_contents(self, name: &str, sha256: impl Into<String>) -> Self {
        self.with(format!("{CONTENTS}{name}"), sha256)
    }

    /// These inputs, and all of `values`.
    pub fn with_all(mut self, values: impl IntoIterator<Item = (String, String)>) -> Self {
        self.0.extend(values);
        self
    }

    /// The SHA-256 of all inputs.
    pub fn hash(&self) -> String {
        let mut hasher = Hasher::default();
        for (name, value) in &self.0 {
            hasher.add(name.as_bytes());
            hasher.add(value.as_bytes());
        }
        hasher.finish()
    }

    /// The first input that is another one in `now`, settings before contents. Where `now` lacks an input that `self` has,
    /// or the other way round, that is a difference too.
    pub fn first_difference(&self, now: &Self) -> Option<Difference> {
        let names = self.0.keys().chain(now.0.keys().filter(|name| !self.0.contains_key(*name)));
        let differing = names.filter(|name| self.0.get(*name) != now.0.get(*name));
        // The results version decides whether comparing the others means anything.
        let rank = |name: &&String| (name.as_str() != RESULTS, name.starts_with(CONTENTS), (*name).clone());
        let name = differing.min_by_key(rank)?;
        Some(Difference { name: name.clone(), then: self.0.get(name).cloned(), now: now.0.get(name).cloned() })
    }

    /// As [`Self::first_difference`], among the settings of the table `table`.
    pub fn first_difference_of(&self, table: &str, now: &Self) -> Option<Difference> {
        let of_table = |inputs: &Self| {
            let is_in = |name: &str| name.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
            Self(inputs.0.iter().filter(|(name, _)| is_in(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
        };
        of_table(self).first_difference(&of_table(now))
    }

    /// As [`Self::first_difference`], among the inputs that `now` has.
    pub fn first_difference_within(&self, now: &Self) -> Option<Difference> {
        let known = self.0.iter().filter(|(name, _)| now.0.contains_key(*name));
        Self(known.map(|(name, value)| (name.clone(), value.clone())).collect()).first_difference(now)
    }
}

/// An input that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    name: String,
    then: Option<String>,
    now: Option<String>,
}

/// One sentence without its full stop: the input, and both values.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        let (then, now) = (value(&self.then), value(&self.now));
        if self.name == RESULTS {
            return write!(f, "it was made by results version {then} of bitesize, and this is version {now}");
        }
        match self.name.strip_prefix(CONTENTS) {
            Some(what) => {
                let short = |hash: &str| hash.chars().take(12).collect::<String>();
                write!(
                    f,
                    "the contents of {what} are others now (SHA-256 {}... then, {}... now)",
                    short(&then),
                    short(&now)
                )
            }
            None => write!(f, "`{}` was {then} then and is {now} now", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_a_setting_and_named_with_both_values() {
        let then = Provenance::new().with("seed", "0").with_contents("the model", "aaaa").with("a", "1");
        assert_eq!(then.first_difference(&then), None);
        let check = |now: Provenance, expected: &str| {
            assert_ne!(then.hash(), now.hash());
            assert_eq!(then.first_difference(&now).map(|d| d.to_string()).as_deref(), Some(expected));
        };
        check(then.clone().with("seed", "7").with_contents("the model", "bbbb"), "`seed` was 0 then and is 7 now");
        check(
            then.clone().with_contents("the model", "bbbb"),
            "the contents of the model are others now (SHA-256 aaaa... then, bbbb... now)",
        );
        check(then.clone().with("more", "x"), "`more` was nothing then and is x now");
        check(
            then.clone().with(RESULTS, "0").with("a", "2"),
            &format!("it was made by results version {RESULTS_VERSION} of bitesize, and this is version 0"),
        );
        let learned = then.clone().with("reconstruct.minutes", "1.0");
        let of_table = |then: &Provenance, now: &Provenance| {
            then.first_difference_of("reconstruct", now).map(|difference| difference.to_string())
        };
        assert_eq!(of_table(&learned, &learned.clone().with("seed", "7").with("reconstructed", "x")), None);
        let gone = "`reconstruct.minutes` was 1.0 then and is nothing now";
        assert_eq!(of_table(&learned, &then).as_deref(), Some(gone));
        assert!(of_table(&then, &learned).is_some() && learned.first_difference_within(&then).is_none());
        let part = Provenance::new().with("seed", "0");
        assert_eq!(then.first_difference_within(&part), None);
        assert!(then.first_difference_within(&part.with("seed", "1")).is_some());
    }
}
