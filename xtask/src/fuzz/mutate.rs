//! Changes of bytes and texts, by chance that a seed determines.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Numbers at which sizes, signs and products go wrong.
const NUMBERS: &[i64] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    255,
    256,
    1000,
    1024,
    4096,
    32767,
    32768,
    65535,
    65536,
    1 << 20,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 40,
    i64::MAX,
    i64::MIN,
    -1,
    -2,
    -128,
    -32768,
];

/// Pieces of the texts that are read.
const WORDS: &[&str] = &[
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "18446744073709551616",
    "1e-320",
    "true",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "=",
    ",",
    ":",
    "\n",
    "[[a]]",
    ".",
    "\\u0000",
    "\u{202e}",
    "\u{1b}[2J",
    "(",
    ")",
    "null",
    "\\",
    "#",
    "2",
    "4",
    "8",
];

/// The longest input that is made, in bytes.
const LONGEST: usize = 1 << 16;

/// Where chance comes from.
pub(super) struct Mutator(ChaCha8Rng);

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Whether something happens that does once in `of` times.
    pub(super) fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// One of `choices`.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A number at which something may go wrong, or any.
    pub(super) fn number(&mut self) -> i64 {
        if self.once_in(4) { self.0.random() } else { *self.pick(NUMBERS) }
    }

    /// Some changes of `bytes`; pieces of `others` may get into them.
    pub(super) fn bytes(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let changes = 1 << self.below(4);
        for _ in 0..1 + self.below(changes) {
            self.change(bytes, others);
        }
        bytes.truncate(LONGEST);
    }

    fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        if bytes.is_empty() {
            bytes.push(self.below(256) as u8);
            return;
        }
        let at = self.below(bytes.len());
        let length = 1 + self.below(bytes.len() - at).min(1 << self.below(10));
        match self.below(10) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.below(256) as u8,
            2 => bytes[at] = *self.pick(&[0, 0x7f, 0x80, 0xff]),
            3 | 4 => {
                let number = self.number();
                let width = *self.pick(&[1, 2, 4, 8]);
                let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
                let digits = if self.once_in(4) { &big[8 - width..] } else { &little[..width] };
                for (byte, digit) in bytes[at..].iter_mut().zip(digits) {
                    *byte = *digit;
                }
            }
            5 => drop(bytes.drain(at..at + length)),
            6 => {
                let piece = bytes[at..at + length].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            7 => bytes.truncate(at),
            8 => {
                let fill = vec![*self.pick(&[0, 0x20, 0x5b, 0xff]); length];
                bytes.splice(at..at, fill);
            }
            _ => {
                if let Some(other) = (!others.is_empty()).then(|| self.pick(others)).filter(|other| !other.is_empty()) {
                    let from = self.below(other.len());
                    let end = from + 1 + self.below(other.len() - from);
                    bytes.splice(at..at, other[from..end].iter().copied());
                }
            }
        }
    }

    /// Some changes of a text that leave most of its words whole.
    pub(super) fn text(&mut self, text: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..1 + self.below(4) {
            let number = self.number().to_string();
            let digits: Vec<usize> = (0..text.len()).filter(|at| text[*at].is_ascii_digit()).collect();
            let at = self.below(text.len() + 1);
            match self.below(6) {
                0 if !digits.is_empty() => {
                    let first = *self.pick(&digits);
                    let end = (first..text.len()).find(|at| !text[*at].is_ascii_digit()).unwrap_or(text.len());
                    text.splice(first..end, number.bytes());
                }
                1 | 2 => {
                    let word = *self.pick(WORDS);
                    let end = (at + self.below(4)).min(text.len());
                    text.splice(at..end, word.bytes());
                }
                3 => {
                    // A line more, or less.
                    let start = text[..at].iter().rposition(|b| *b == b'\n').map_or(0, |line| line + 1);
                    let end = text[at..].iter().position(|b| *b == b'\n').map_or(text.len(), |line| at + line + 1);
                    let line = text[start..end].to_vec();
                    text.splice(start..end, if self.once_in(2) { [line.clone(), line].concat() } else { Vec::new() });
                }
                4 => {
                    let word = *self.pick(WORDS);
                    let many = word.repeat(1 << self.below(12));
                    text.splice(at..at, many.bytes());
                }
                _ => self.bytes(text, others),
            }
        }
        text.truncate(LONGEST);
    }
}
