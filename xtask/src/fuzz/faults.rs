//! Readers that fail on purpose, one for each way to fail, to see that the harness notices. They run only where they are named.

use super::limits::MEMORY_KIB;
use super::mutate::Mutator;
use super::reader::Reader;
use super::scratch::Scratch;
use std::time::Duration;

/// Every planted fault; each fails at inputs of odd length only.
pub(super) const FAULTS: &[Reader] = &[
    Reader { name: "fault-panic", seeds, mutate, read: panics },
    Reader { name: "fault-abort", seeds, mutate, read: aborts },
    Reader { name: "fault-stack", seeds, mutate, read: fills_the_stack },
    Reader { name: "fault-memory", seeds, mutate, read: fills_the_memory },
    Reader { name: "fault-time", seeds, mutate, read: takes_too_long },
];

fn seeds(_: &Scratch) -> Result<Vec<Vec<u8>>, String> {
    Ok(vec![b"an input".to_vec()])
}

fn mutate(mutator: &mut Mutator, _: &[Vec<u8>]) -> Vec<u8> {
    vec![b'x'; 16 + mutator.below(8)]
}

fn fails_at(input: &[u8]) -> bool {
    input.len() % 2 == 1
}

fn panics(_: &Scratch, input: &[u8]) {
    assert!(!fails_at(input), "planted");
}

fn aborts(_: &Scratch, input: &[u8]) {
    if fails_at(input) {
        std::process::abort();
    }
}

fn fills_the_stack(_: &Scratch, input: &[u8]) {
    /// Not a loop: each call keeps what the one below it needs.
    fn down(left: u64) -> u64 {
        let kept = std::hint::black_box([left; 64]);
        if left == 0 { 0 } else { down(left - 1) + kept[1] }
    }
    if fails_at(input) {
        std::hint::black_box(down(1 << 40));
    }
}

fn fills_the_memory(_: &Scratch, input: &[u8]) {
    if fails_at(input) {
        std::hint::black_box(vec![1u8; MEMORY_KIB as usize * 1024]);
    }
}

fn takes_too_long(_: &Scratch, input: &[u8]) {
    if fails_at(input) {
        std::thread::sleep(Duration::from_secs(1 << 20));
    }
}
