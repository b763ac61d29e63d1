//! The alignment of everything that is counted.

/// `bytes` rounded up to a word of 4.
pub fn word(bytes: usize) -> usize {
    bytes.next_multiple_of(4)
}
