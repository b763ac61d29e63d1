//! One array in NumPy's format (NEP 1, versions 1.0 to 3.0): a header, then the elements.

use std::io::Read;

/// The longest header that is read: NumPy's own takes 128 bytes for an array of numbers.
const MAX_HEADER_BYTES: usize = 1 << 14;

/// The most axes of an array, as in NumPy 1.
const MAX_AXES: usize = 32;

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// `u`nsigned, `i`nteger or `f`loat.
    pub(super) kind: char,
    /// 1, 2, 4 or 8.
    pub(super) bytes: usize,
    is_big_endian: bool,
}

/// What a header announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// `None` where elements are no integers or floats of 8 to 64 bits.
    pub(super) element: Option<Element>,
    pub(super) shape: Vec<usize>,
    /// Number of elements.
    pub(super) count: usize,
    /// Whether the first axis runs fastest.
    is_fortran: bool,
}

/// A header's dictionary, a Python literal, cut into its parts. Values nest in nothing but the shape's tuple.
struct Literal<'a> {
    left: &'a str,
}

impl<'a> Literal<'a> {
    fn takes(&mut self, token: char) -> bool {
        self.left = self.left.trim_start();
        let rest = self.left.strip_prefix(token);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    /// A quoted text.
    fn text(&mut self) -> Option<&'a str> {
        let quote = ['\'', '"'].into_iter().find(|quote| self.takes(*quote))?;
        let (text, rest) = self.left.split_once(quote)?;
        self.left = rest;
        Some(text)
    }

    /// A word or number, without its parting signs.
    fn word(&mut self) -> Option<&'a str> {
        self.left = self.left.trim_start();
        let end = self.left.find(|c: char| !c.is_ascii_alphanumeric())?;
        let (word, rest) = self.left.split_at(end);
        self.left = rest;
        (!word.is_empty()).then_some(word)
    }

    /// `(1, 2, 3)`, `(1,)` or `()`.
    fn sizes(&mut self) -> Option<Vec<usize>> {
        let mut sizes = Vec::new();
        if !self.takes('(') {
            return None;
        }
        while !self.takes(')') {
            // Python 2 wrote long integers with an L.
            sizes.push(self.word()?.trim_end_matches('L').parse().ok()?);
            if sizes.len() > MAX_AXES || !self.takes(',') && !self.left.trim_start().starts_with(')') {
                return None;
            }
        }
        Some(sizes)
    }
}

fn element(descriptor: &str) -> Option<Element> {
    let (order, kind) = descriptor.split_at_checked(1)?;
    let is_big_endian = match order {
        "<" | "|" | "=" => false,
        ">" => true,
        _ => return None,
    };
    let (kind, bytes) = match kind {
        "u1" => ('u', 1),
        "u2" => ('u', 2),
        "u4" => ('u', 4),
        "u8" => ('u', 8),
        "i1" => ('i', 1),
        "i2" => ('i', 2),
        "i4" => ('i', 4),
        "i8" => ('i', 8),
        "f4" => ('f', 4),
        "f8" => ('f', 8),
        _ => return None,
    };
    Some(Element { kind, bytes, is_big_endian })
}

impl Header {
    /// Reads the header of an array that takes `size` bytes with it. What it announces is what the rest of those bytes
    /// hold, so that whoever goes by it allocates no more.
    ///
    /// # Errors
    /// A sentence: no such header, or one that announces another size.
    pub(super) fn read(bytes: &mut impl Read, size: u64) -> Result<Self, String> {
        let mut take = |length: usize| {
            let mut taken = vec![0; length];
            bytes.read_exact(&mut taken).map(|()| taken).map_err(|e| format!("its header cannot be read: {e}"))
        };
        let start = take(8)?;
        if !start.starts_with(b"\x93NUMPY") {
            return Err("it does not begin as NumPy's arrays do".into());
        }
        let width = match start[6..] {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            _ => return Err(format!("it is of the version {}.{}", start[6], start[7])),
        };
        let length = take(width)?.iter().rev().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        if length > MAX_HEADER_BYTES {
            return Err(format!("it announces a header of {length} bytes; at most {MAX_HEADER_BYTES} are read"));
        }
        let text = String::from_utf8(take(length)?).map_err(|_| "its header is no text")?;
        let header = Self::parse(&text)?;
        let data = size - (8 + width + length) as u64;
        if let Some(element) = header.element
            && (header.count as u64).checked_mul(element.bytes as u64) != Some(data)
        {
            let Self { shape, .. } = header;
            return Err(format!(
                "its header announces the shape {shape:?} with elements of {} bytes, but {data} bytes follow it",
                element.bytes
            ));
        }
        Ok(header)
    }

    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("its header is damaged ({what}): `{}`", text.trim_end().escape_debug());
        let mut literal = Literal { left: text };
        let (mut descriptor, mut is_fortran, mut shape) = (None, None, None);
        if !literal.takes('{') {
            return Err(wrong("no dictionary"));
        }
        while !literal.takes('}') {
            let key = literal.text().filter(|_| literal.takes(':')).ok_or_else(|| wrong("no key"))?;
            match key {
                // A record's descriptor is a list.
                "descr" => {
                    descriptor = Some(literal.text().ok_or("its elements are records, not numbers")?);
                }
                "fortran_order" => {
                    is_fortran = match literal.word() {
                        Some("True") => Some(true),
                        Some("False") => Some(false),
                        _ => return Err(wrong("fortran_order")),
                    };
                }
                "shape" => shape = Some(literal.sizes().ok_or_else(|| wrong("shape"))?),
                _ => return Err(wrong("an unknown key")),
            }
            if !literal.takes(',') && !literal.left.trim_start().starts_with('}') {
                return Err(wrong("no comma"));
            }
        }
        let (Some(descriptor), Some(is_fortran), Some(shape)) = (descriptor, is_fortran, shape) else {
            return Err(wrong("a key is missing"));
        };
        let product = shape.iter().try_fold(1usize, |product, size| product.checked_mul((*size).max(1)));
        let count = product.ok_or_else(|| format!("its header announces the impossible shape {shape:?}"))?;
        let count = if shape.contains(&0) { 0 } else { count };
        Ok(Self { element: element(descriptor), shape, count, is_fortran })
    }

    /// Hands the elements over as they are stored, each with its place in row-major order.
    ///
    /// # Errors
    /// Bytes that cannot be read, or what `put` says of an element.
    pub(super) fn each<const N: usize>(
        &self,
        bytes: &mut impl Read,
        mut put: impl FnMut(usize, [u8; N]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut places = Places::of(self);
        let mut buffer = vec![0; 1 << 16];
        let mut left = self.count;
        while left > 0 {
            let count = left.min(buffer.len() / N);
            let chunk = &mut buffer[..count * N];
            bytes.read_exact(chunk).map_err(|e| e.to_string())?;
            for word in chunk.as_chunks_mut::<N>().0 {
                if self.element.is_some_and(|e| e.is_big_endian) {
                    word.reverse();
                }
                put(places.next(), *word)?;
            }
            left -= count;
        }
        Ok(())
    }
}

/// Where stored elements lie in row-major order, one after the other.
enum Places {
    Running(usize),
    Fortran { shape: Vec<usize>, strides: Vec<usize>, at: Vec<usize>, place: usize },
}

impl Places {
    fn of(header: &Header) -> Self {
        if !header.is_fortran {
            return Self::Running(0);
        }
        let shape = header.shape.clone();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        Self::Fortran { at: vec![0; shape.len()], shape, strides, place: 0 }
    }

    fn next(&mut self) -> usize {
        match self {
            Self::Running(place) => {
                *place += 1;
                *place - 1
            }
            Self::Fortran { shape, strides, at, place } => {
                let current = *place;
                for axis in 0..shape.len() {
                    at[axis] += 1;
                    *place += strides[axis];
                    if at[axis] < shape[axis] {
                        break;
                    }
                    at[axis] = 0;
                    *place -= strides[axis] * shape[axis];
                }
                current
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and width of the elements, the shape, and whether the order is Fortran's.
    type Parsed = (Option<(char, usize)>, Vec<usize>, bool);

    fn parsed(text: &str) -> Result<Parsed, String> {
        let header = Header::parse(text)?;
        Ok((header.element.map(|e| (e.kind, e.bytes)), header.shape, header.is_fortran))
    }

    #[test]
    fn headers_are_what_numpy_writes() {
        let check = |text: &str, expected| assert_eq!(parsed(text), Ok(expected), "{text}");
        check("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", (Some(('f', 4)), vec![2, 3], false));
        check("{'descr': '|u1', 'fortran_order': True, 'shape': (7,)}", (Some(('u', 1)), vec![7], true));
        check("{\"shape\": (), 'descr': '>i8', 'fortran_order': False}", (Some(('i', 8)), vec![], false));
        check("{'descr': '<i8', 'fortran_order': False, 'shape': (2L, 3L), }", (Some(('i', 8)), vec![2, 3], false));
        check("{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", (None, vec![1], false));
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let nested = format!("{{'descr': {}", "[".repeat(1 << 13));
        for text in [
            "",
            "{",
            "{'descr'",
            &nested,
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 0, 4294967296)}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fortran_order_is_turned_to_row_major() {
        let header = Header { element: element("<u1"), shape: vec![2, 3], count: 6, is_fortran: true };
        let mut found = vec![0; 6];
        let mut bytes: &[u8] = &[0, 3, 1, 4, 2, 5];
        header
            .each(&mut bytes, |place, [byte]: [u8; 1]| {
                found[place] = byte;
                Ok(())
            })
            .unwrap();
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
    }
}
