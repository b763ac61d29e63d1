//! How many threads take images through a network at once: each needs buffers of its own.

/// Bytes that the buffers of all threads have together, unless those of a single thread have more.
const BYTES: usize = 512 << 20;

/// How many threads may run where the buffers of each have `bytes`; at least 1.
pub(crate) fn lanes_of(bytes: usize) -> usize {
    (BYTES / bytes.max(1)).max(1)
}

/// How many of `parts` one thread takes at least, one after another, so that at most `lanes` threads have some.
pub(crate) fn in_a_row(parts: usize, lanes: usize) -> usize {
    parts.div_ceil(lanes).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn buffers_of_all_threads_have_bounded_bytes() {
        assert_eq!(lanes_of(0), BYTES);
        assert_eq!([BYTES / 3, BYTES, BYTES + 1, usize::MAX].map(lanes_of), [3, 1, 1, 1]);
        for bytes in [1, 1000, 7 << 20, 300 << 20] {
            assert!(lanes_of(bytes) * bytes <= BYTES, "{bytes}");
        }
    }

    #[test]
    fn no_more_threads_run_than_there_are_lanes() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
        for (parts, lanes) in [(1, 1), (40, 1), (40, 3), (41, 4), (7, 6), (40, 1000)] {
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let part = |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(1, Ordering::SeqCst);
            };
            pool.install(|| (0..parts).into_par_iter().with_min_len(in_a_row(parts, lanes)).for_each(part));
            assert!(most.into_inner() <= lanes, "{parts} parts in {lanes} lanes");
        }
    }
}
