//! Ways in which a file changes between two commands.

use super::workshop::Failure;
use std::fs;
use std::path::Path;

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alteration {
    /// One bit is another: in a text the lowest of a digit near the middle, so that it stays a text of its kind. Lines with
    /// paths are passed over, whose digits differ from trial to trial.
    Flipped,
    /// The last tenth is gone.
    Truncated,
    /// It is the file of the same name from another run.
    Another,
    /// The first of these texts is replaced by the second, with the name of the change.
    Replaced(&'static str, &'static str, &'static str),
    /// The first number behind this word is one more.
    Raised(&'static str),
    /// One pixel of every image of an IDX file is another.
    Pixels,
    /// Two samples of an IDX file of labels have each other's: the first and the next of another class.
    Relabelled,
    /// Every sample of an IDX file of labels has that of the one before.
    AllRelabelled,
    /// A field that nothing reads is added to an ONNX file.
    Appended,
}

impl Alteration {
    /// In a few words.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Flipped => "one bit flipped".into(),
            Self::Truncated => "the end cut off".into(),
            Self::Another => "another run's".into(),
            Self::Replaced(_, _, what) => what.into(),
            Self::Raised(word) => format!("`{word}` one more"),
            Self::Pixels => "a pixel of each image".into(),
            Self::Relabelled => "two labels exchanged".into(),
            Self::AllRelabelled => "labels moved by one".into(),
            Self::Appended => "other bytes, the same network".into(),
        }
    }

    /// Alters `file`; `other` is the other run's. Whether there was something to alter.
    pub(super) fn apply(self, file: &Path, other: &Path) -> Result<bool, Failure> {
        let before = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let after = match self {
            Self::Another if !other.is_file() => return Ok(false),
            Self::Another => fs::read(other)?,
            _ => self.altered(&before),
        };
        fs::write(file, &after)?;
        Ok(before != after)
    }

    fn altered(self, before: &[u8]) -> Vec<u8> {
        let mut bytes = before.to_vec();
        match self {
            Self::Flipped => {
                let middle = bytes.len() / 2;
                let digit = std::str::from_utf8(before).ok().and_then(|text| digit_near(text, middle));
                if let Some(byte) = bytes.get_mut(digit.unwrap_or(middle)) {
                    *byte ^= 1;
                }
            }
            Self::Truncated => bytes.truncate(bytes.len() - bytes.len().div_ceil(10)),
            Self::Another => {}
            Self::Replaced(from, to, _) => {
                bytes = String::from_utf8_lossy(before).replacen(from, to, 1).into_bytes();
            }
            Self::Raised(word) => {
                let text = String::from_utf8_lossy(before).into_owned();
                let begin = text.find(word).map(|at| at + word.len());
                let digit = begin.and_then(|begin| Some(begin + text[begin..].find(|c: char| c.is_ascii_digit())?));
                if let Some(byte) = digit.and_then(|digit| bytes.get_mut(digit)) {
                    *byte = if *byte == b'9' { b'8' } else { *byte + 1 };
                }
            }
            Self::Pixels => {
                // Head: magic number, count, height, width, 4 bytes each, the highest first.
                let number = |at: usize| bytes[at..at + 4].iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
                let image = number(8) * number(12);
                for pixel in (16 + image / 2..bytes.len()).step_by(image) {
                    bytes[pixel] ^= 0x40;
                }
            }
            Self::Relabelled => {
                let labels = &mut bytes[8..];
                if let Some(other) = labels.iter().position(|label| *label != labels[0]) {
                    labels.swap(0, other);
                }
            }
            Self::AllRelabelled => bytes[8..].rotate_right(1),
            // A `domain` (field 14) of no letters.
            Self::Appended => bytes.extend([0x72, 0x00]),
        }
        bytes
    }
}

/// Where the next digit after `middle` is, or the first of all, in a line without a path.
fn digit_near(text: &str, middle: usize) -> Option<usize> {
    let mut digits = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        if !line.contains('/') {
            digits.extend(line.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| begin + at));
        }
        begin += line.len();
    }
    digits.iter().find(|at| **at >= middle).or(digits.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(alteration: Alteration, before: &str, after: &str) {
        assert_eq!(String::from_utf8_lossy(&alteration.altered(before.as_bytes())), after);
    }

    #[test]
    fn texts_stay_texts_of_their_kind() {
        check(Alteration::Flipped, r#"{"a": 11, "b": 4}"#, r#"{"a": 11, "b": 5}"#);
        check(Alteration::Flipped, "no digit", "no dhgit");
        check(Alteration::Flipped, "a = 0\npath = \"/tmp/1234567890\"", "a = 1\npath = \"/tmp/1234567890\"");
        check(Alteration::Truncated, "0123456789", "012345678");
        check(Alteration::Raised("episodes"), "seed = 1\nepisodes = 40", "seed = 1\nepisodes = 50");
        check(Alteration::Replaced("a = 1", "a = 2", ""), "a = 1\na = 1", "a = 2\na = 1");
        check(Alteration::Raised("absent"), "a = 1", "a = 1");
    }

    #[test]
    fn samples_stay_as_many() {
        let head = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let images = [&head[..], &[1, 2, 3, 4]].concat();
        assert_eq!(Alteration::Pixels.altered(&images)[16..], [1, 66, 3, 68]);
        assert_eq!(Alteration::Relabelled.altered(&[0, 0, 8, 1, 0, 0, 0, 3, 5, 5, 7])[8..], [7, 5, 5]);
        assert_eq!(Alteration::AllRelabelled.altered(&[0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7])[8..], [7, 5, 6]);
    }
}
