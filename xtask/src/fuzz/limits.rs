//! What a child may take.

/// What a child's address space may take, in KiB: 1 GiB for the reader, the rest for the program and its threads.
pub(super) const MEMORY_KIB: u64 = (1024 + 256) << 10;
