//! How much a compressed file may unpack to, and how many samples there may be.
//!
//! What a header announces is checked against these before anything is made of it: zeros compress a thousandfold, so
//! the size of a compressed file bounds nothing.

/// How many bytes more than the file that holds them compressed samples may take: CIFAR-10 as float32 takes 614 MB.
const BEYOND_THE_FILE: u64 = 768 << 20;

/// The most samples of a data set. Each takes a label in memory even where it has no pixels.
const MAX_SAMPLES: usize = 1 << 24;

/// Refuses `unpacked` bytes from a file of `file_bytes`.
///
/// # Errors
/// A sentence: the sizes, and what to do.
pub(super) fn check_unpacked(unpacked: u64, file_bytes: u64) -> Result<(), String> {
    if unpacked <= file_bytes.saturating_add(BEYOND_THE_FILE) {
        return Ok(());
    }
    Err(format!(
        "it unpacks to {unpacked} bytes from a file of {file_bytes}; at most {} MiB more than the file are unpacked: store \
         it uncompressed, or take fewer samples",
        BEYOND_THE_FILE >> 20
    ))
}

/// Refuses to keep `count` numbers of `bytes` bytes each beside `others` bytes from a file of `file_bytes`: they may take
/// more than they are stored in.
///
/// # Errors
/// A sentence: the sizes, and what to do.
pub(super) fn check_kept(count: usize, bytes: usize, others: u64, file_bytes: u64) -> Result<(), String> {
    let kept = (count as u64).saturating_mul(bytes as u64).saturating_add(others);
    if kept <= file_bytes.saturating_add(BEYOND_THE_FILE) {
        return Ok(());
    }
    let beside = if others > 0 { " with the labels" } else { "" };
    Err(format!(
        "its {count} numbers take {kept} bytes in memory{beside}, from a file of {file_bytes}; at most {} MiB more than the \
         file are taken: take fewer samples",
        BEYOND_THE_FILE >> 20
    ))
}

/// Refuses a number of samples that no data set has.
///
/// # Errors
/// A sentence.
pub(super) fn check_samples(samples: usize) -> Result<(), String> {
    match samples {
        0..=MAX_SAMPLES => Ok(()),
        _ => Err(format!("it announces {samples} samples; at most {MAX_SAMPLES} are read")),
    }
}
