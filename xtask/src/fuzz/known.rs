//! What can be fuzzed, by name.

use super::faults::FAULTS;
use super::reader::{READERS, Reader};

/// The reader or planted fault called `name`.
pub(super) fn find(name: &str) -> Option<&'static Reader> {
    READERS.iter().chain(FAULTS).find(|reader| reader.name == name)
}
