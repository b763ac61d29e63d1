//! One array in NumPy's format (NEP 1, versions 1.0 to 3.0): a header, then the elements.

use super::places::{Part, Places};
use std::io::Read;

/// The longest header that is read: NumPy's own takes 128 bytes for an array of numbers.
const MAX_HEADER_BYTES: usize = 1 << 14;

/// The most axes of an array, as in NumPy 1.
const MAX_AXES: usize = 32;

/// The types of elements that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
}

use Kind::{Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};

/// As NumPy writes it in a header, as NumPy calls it, and its bytes.
const KINDS: [(&str, Kind, &str, usize); 12] = [
    ("b1", Bool, "bool", 1),
    ("u1", U8, "uint8", 1),
    ("u2", U16, "uint16", 2),
    ("u4", U32, "uint32", 4),
    ("u8", U64, "uint64", 8),
    ("i1", I8, "int8", 1),
    ("i2", I16, "int16", 2),
    ("i4", I32, "int32", 4),
    ("i8", I64, "int64", 8),
    ("f2", F16, "float16", 2),
    ("f4", F32, "float32", 4),
    ("f8", F64, "float64", 8),
];

impl Kind {
    fn row(self) -> &'static (&'static str, Kind, &'static str, usize) {
        KINDS.iter().find(|(_, kind, ..)| *kind == self).expect("every kind has a row")
    }

    /// As NumPy calls it.
    pub(super) fn name(self) -> &'static str {
        self.row().2
    }

    fn bytes(self) -> usize {
        self.row().3
    }

    /// Whether it holds floating-point numbers.
    pub(super) fn is_real(self) -> bool {
        matches!(self, F16 | F32 | F64)
    }
}

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) kind: Kind,
    is_big_endian: bool,
}

/// What a header announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    element: Option<Element>,
    /// The type of the elements as the header says it.
    descriptor: String,
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
    let (_, kind, ..) = KINDS.iter().find(|(name, ..)| *name == kind)?;
    Some(Element { kind: *kind, is_big_endian })
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
            && (header.count as u64).checked_mul(element.kind.bytes() as u64) != Some(data)
        {
            let Self { shape, .. } = header;
            return Err(format!(
                "its header announces the shape {shape:?} with elements of {} bytes, but {data} bytes follow it",
                element.kind.bytes()
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
        Ok(Self { element: element(descriptor), descriptor: descriptor.to_owned(), shape, count, is_fortran })
    }

    /// What the elements are.
    ///
    /// # Errors
    /// A sentence: neither truth values nor integers or floats of 8 to 64 bits.
    pub(super) fn kind(&self) -> Result<Kind, String> {
        self.element.map(|element| element.kind).ok_or_else(|| {
            format!("its elements are of the type `{}`, not numbers that are read", self.descriptor.escape_debug())
        })
    }

    /// Hands the elements over as they are stored, each with its place; `axes` say where each axis leads.
    ///
    /// # Errors
    /// Bytes that cannot be read, or what `put` says of an element.
    pub(super) fn each<const N: usize>(
        &self,
        bytes: &mut impl Read,
        axes: &[Vec<Part>],
        mut put: impl FnMut(usize, [u8; N]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut places = Places::new(axes, self.is_fortran);
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

    /// As [`Self::each`], the elements turned to reals: those of 16 bits and fewer, and floats, without a loss.
    ///
    /// # Errors
    /// As [`Self::each`]; elements of another type.
    pub(super) fn each_real(
        &self,
        bytes: &mut impl Read,
        axes: &[Vec<Part>],
        mut put: impl FnMut(usize, f64) -> Result<(), String>,
    ) -> Result<(), String> {
        macro_rules! reals {
            ($type:ty) => {
                self.each(bytes, axes, |place, word| put(place, f64::from(<$type>::from_le_bytes(word))))
            };
        }
        match self.kind()? {
            U8 => reals!(u8),
            I8 => reals!(i8),
            U16 => reals!(u16),
            I16 => reals!(i16),
            F16 => reals!(half::f16),
            F32 => reals!(f32),
            F64 => reals!(f64),
            other => Err(format!("its elements are {}, no reals", other.name())),
        }
    }

    /// As [`Self::each`], the elements turned to integers.
    ///
    /// # Errors
    /// As [`Self::each`]; elements of another type, or an integer of more than 63 bits.
    pub(super) fn each_integer(
        &self,
        bytes: &mut impl Read,
        axes: &[Vec<Part>],
        mut put: impl FnMut(usize, i64) -> Result<(), String>,
    ) -> Result<(), String> {
        macro_rules! integers {
            ($type:ty) => {
                self.each(bytes, axes, |place, word| {
                    let number = <$type>::from_le_bytes(word);
                    put(
                        place,
                        i64::try_from(number).map_err(|_| {
                            format!("element {place} is {number}, which is too large for 64 bits with a sign")
                        })?,
                    )
                })
            };
        }
        match self.kind()? {
            // NumPy takes every byte but 0 as true.
            Bool => self.each(bytes, axes, |place, [byte]| put(place, i64::from(byte != 0))),
            U8 => integers!(u8),
            U16 => integers!(u16),
            U32 => integers!(u32),
            U64 => integers!(u64),
            I8 => integers!(i8),
            I16 => integers!(i16),
            I32 => integers!(i32),
            I64 => integers!(i64),
            other => Err(format!("its elements are {}, no integers", other.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements, the shape, and whether the order is Fortran's.
    type Parsed = (Option<Kind>, Vec<usize>, bool);

    fn parsed(text: &str) -> Result<Parsed, String> {
        let header = Header::parse(text)?;
        Ok((header.element.map(|e| e.kind), header.shape, header.is_fortran))
    }

    #[test]
    fn headers_are_what_numpy_writes() {
        let check = |text: &str, expected| assert_eq!(parsed(text), Ok(expected), "{text}");
        check("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", (Some(F32), vec![2, 3], false));
        check("{'descr': '|u1', 'fortran_order': True, 'shape': (7,)}", (Some(U8), vec![7], true));
        check("{\"shape\": (), 'descr': '>i8', 'fortran_order': False}", (Some(I64), vec![], false));
        check("{'descr': '<i8', 'fortran_order': False, 'shape': (2L, 3L), }", (Some(I64), vec![2, 3], false));
        check("{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", (Some(F16), vec![1], false));
        check("{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }", (Some(Bool), vec![1], false));
        check("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", (None, vec![1], false));
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

    fn header(descriptor: &str, count: usize) -> Header {
        Header::parse(&format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({count},), }}")).unwrap()
    }

    #[test]
    fn numbers_are_turned_without_a_loss() {
        let reals = |descriptor: &str, bytes: &[u8], expected: &[f64]| {
            let (header, mut found) = (header(descriptor, expected.len()), Vec::new());
            let axes = Places::row_major(&header.shape);
            let put = |_, value| {
                found.push(value);
                Ok(())
            };
            header.each_real(&mut &bytes[..], &axes, put).unwrap();
            assert_eq!(found, expected, "{descriptor}");
        };
        reals("|i1", &[0x80, 0x7f, 0xff], &[-128.0, 127.0, -1.0]);
        reals("<i2", &[0x00, 0x80, 0xff, 0x7f], &[-32768.0, 32767.0]);
        reals(">i2", &[0x80, 0x00, 0x7f, 0xff], &[-32768.0, 32767.0]);
        reals("<u2", &[0xff, 0xff, 0x01, 0x00], &[65535.0, 1.0]);
        // One, a third rounded to 11 bits, the greatest, the least above zero.
        let third = 0.333_251_953_125;
        reals("<f2", &[0x00, 0x3c, 0x55, 0x35, 0xff, 0x7b, 0x01, 0x00], &[1.0, third, 65504.0, 2f64.powi(-24)]);
        reals(">f2", &[0x3c, 0x00], &[1.0]);
        reals(">f4", &1.5f32.to_be_bytes(), &[1.5]);
        reals("<f8", &0.1f64.to_le_bytes(), &[0.1]);
    }

    #[test]
    fn integers_of_every_width_and_sign() {
        let check = |descriptor: &str, bytes: &[u8], expected: Result<&[i64], &str>| {
            let header = header(descriptor, bytes.len() / header(descriptor, 1).kind().unwrap().bytes());
            let (axes, mut found) = (Places::row_major(&header.shape), Vec::new());
            let put = |_, value| {
                found.push(value);
                Ok(())
            };
            let read = header.each_integer(&mut &bytes[..], &axes, put);
            match expected {
                Ok(expected) => assert_eq!((read, found.as_slice()), (Ok(()), expected), "{descriptor}"),
                Err(words) => assert!(read.unwrap_err().contains(words), "{descriptor}"),
            }
        };
        check("|b1", &[0, 1, 2], Ok(&[0, 1, 1]));
        check("|i1", &[0xff, 0x80], Ok(&[-1, -128]));
        check("|u1", &[0xff], Ok(&[255]));
        check("<i2", &[0xfe, 0xff], Ok(&[-2]));
        check(">u2", &[0xff, 0xfe], Ok(&[65534]));
        check("<u4", &[0xff; 4], Ok(&[4_294_967_295]));
        check(">i4", &[0xff, 0xff, 0xff, 0xfd], Ok(&[-3]));
        check("<i8", &[0xff; 8], Ok(&[-1]));
        check("<u8", &[0xff; 8], Err("element 0 is 18446744073709551615"));
        check("<f4", &[0; 4], Err("float32, no integers"));
    }
}
