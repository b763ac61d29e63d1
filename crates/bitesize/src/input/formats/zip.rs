//! The entries of a zip archive, stored or deflated, read as streams.
//!
//! By the central directory at the archive's end (PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16, with its zip64
//! records). Every offset and size is checked against the file before anything is read there, and an entry gives no
//! more bytes than the directory announces for it.

use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom};

/// The most entries that are looked at: an archive of arrays has a handful.
const MAX_ENTRIES: u64 = 1 << 16;

/// The longest central directory that is read, in bytes: an entry takes about a hundred.
const MAX_DIRECTORY: u64 = 16 << 20;

/// An archive.
pub(super) struct Archive {
    file: File,
    size: u64,
    entries: Vec<Entry>,
}

/// What the central directory says of an entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Its size when unpacked, in bytes.
    pub(super) unpacked: u64,
    packed: u64,
    is_deflated: bool,
    crc: u32,
    /// Where its local header begins.
    header: u64,
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// `length` bytes at `offset`.
fn bytes_at(file: &mut File, size: u64, offset: u64, length: u64) -> Result<Vec<u8>, String> {
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err("its directory points behind its end: it is damaged or cut off".into());
    }
    let read = file.seek(SeekFrom::Start(offset)).and_then(|_| crate::files::read_exactly(file, length));
    read.map_err(|e| format!("it cannot be read: {e}"))
}

/// Size and place of the central directory.
fn directory(file: &mut File, size: u64) -> Result<(u64, u64), String> {
    const END: usize = 22;
    const LONGEST_COMMENT: u64 = 0xffff;
    let tail_at = size.saturating_sub(END as u64 + LONGEST_COMMENT);
    let tail = bytes_at(file, size, tail_at, size - tail_at)?;
    let is_end = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06") && number(&tail, at + 20, 2) == Some((tail.len() - at - END) as u64)
    };
    let last = tail.len().checked_sub(END);
    let end = last.and_then(|last| (0..=last).rev().find(is_end)).ok_or("it is no zip archive, or cut off")?;
    let field = |at, width| number(&tail, end + at, width).expect("the record is whole");
    let (mut entries, mut length, mut offset) = (field(10, 2), field(12, 4), field(16, 4));
    if entries == 0xffff || length == 0xffff_ffff || offset == 0xffff_ffff {
        // The locator of the zip64 record lies just before.
        let locator = (tail_at + end as u64).checked_sub(20).ok_or("its zip64 record is missing")?;
        let locator = bytes_at(file, size, locator, 20)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Err("its zip64 record is missing".into());
        }
        let record = bytes_at(file, size, number(&locator, 8, 8).expect("20 bytes"), 56)?;
        if !record.starts_with(b"PK\x06\x06") {
            return Err("its zip64 record is damaged".into());
        }
        let field = |at| number(&record, at, 8).expect("56 bytes");
        (entries, length, offset) = (field(32), field(40), field(48));
    }
    if entries > MAX_ENTRIES {
        return Err(format!("it has {entries} entries; an archive of arrays has a few"));
    }
    if length > MAX_DIRECTORY {
        return Err(format!("its directory has {length} bytes; an archive of arrays has a few entries"));
    }
    Ok((length, offset))
}

/// The entry whose record begins at `at`, and where the next record begins.
fn entry(directory: &[u8], at: usize) -> Result<(Entry, usize), String> {
    let damaged = || "its directory is damaged".to_owned();
    let record = directory.get(at..).filter(|r| r.starts_with(b"PK\x01\x02")).ok_or_else(damaged)?;
    let field = |at, width| number(record, at, width).ok_or_else(damaged);
    let (name, extra, comment) = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
    let (mut packed, mut unpacked, mut header) = (field(20, 4)?, field(24, 4)?, field(42, 4)?);
    let text = record.get(46..46 + name).ok_or_else(damaged)?;
    let name_end = 46 + name;
    let mut extra_fields = record.get(name_end..name_end + extra).ok_or_else(damaged)?;
    while let (Some(id), Some(length)) = (number(extra_fields, 0, 2), number(extra_fields, 2, 2)) {
        let body = extra_fields.get(4..4 + length as usize).ok_or_else(damaged)?;
        if id == 1 {
            // Holds, in this order, those that do not fit in 32 bits.
            let mut at = 0;
            for value in [&mut unpacked, &mut packed, &mut header] {
                if *value == 0xffff_ffff {
                    *value = number(body, at, 8).ok_or_else(damaged)?;
                    at += 8;
                }
            }
        }
        extra_fields = &extra_fields[4 + length as usize..];
    }
    let name = String::from_utf8_lossy(text).into_owned();
    if field(8, 2)? & 1 != 0 {
        return Err(format!("its entry `{name}` is encrypted"));
    }
    let is_deflated = match field(10, 2)? {
        0 => false,
        8 => true,
        other => return Err(format!("its entry `{name}` is compressed by method {other}: store it, or use deflate")),
    };
    let entry = Entry { name, unpacked, packed, is_deflated, crc: field(16, 4)? as u32, header };
    Ok((entry, at + name_end + extra + comment))
}

impl Archive {
    /// Reads the directory of `file`, which has `size` bytes.
    ///
    /// # Errors
    /// A sentence: no zip archive, or a damaged one.
    pub(super) fn open(mut file: File, size: u64) -> Result<Self, String> {
        let (length, offset) = directory(&mut file, size)?;
        let directory = bytes_at(&mut file, size, offset, length)?;
        let (mut entries, mut at) = (Vec::new(), 0);
        while at < directory.len() {
            let (found, next) = entry(&directory, at)?;
            entries.push(found);
            at = next;
            if entries.len() as u64 > MAX_ENTRIES {
                return Err(format!("it has over {MAX_ENTRIES} entries; an archive of arrays has a few"));
            }
        }
        Ok(Self { file, size, entries })
    }

    /// What it holds, in its order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The archive's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of `entry`, exactly as many as it announces.
    ///
    /// # Errors
    /// A sentence: it lies outside the archive, or announces more than its bytes can hold.
    pub(super) fn stream(&mut self, entry: &Entry) -> Result<Stream<'_>, String> {
        // Deflate makes at most 1032 bytes of one (258 of two bits).
        let possible = if entry.is_deflated { entry.packed.saturating_mul(1032) } else { entry.packed };
        if entry.unpacked > possible || !entry.is_deflated && entry.unpacked != entry.packed {
            return Err(format!("it announces {} bytes, which its {} cannot hold", entry.unpacked, entry.packed));
        }
        let local = bytes_at(&mut self.file, self.size, entry.header, 30)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err("its header is damaged".into());
        }
        let field = |at| number(&local, at, 2).expect("30 bytes");
        let start = entry.header + 30 + field(26) + field(28);
        if start.checked_add(entry.packed).is_none_or(|end| end > self.size) {
            return Err("it reaches behind the archive's end: the file is damaged or cut off".into());
        }
        self.file.seek(SeekFrom::Start(start)).map_err(|e| format!("it cannot be read: {e}"))?;
        let packed = BufReader::with_capacity(1 << 16, &mut self.file).take(entry.packed);
        let bytes =
            if entry.is_deflated { Bytes::Deflated(DeflateDecoder::new(packed)) } else { Bytes::Stored(packed) };
        Ok(Stream { bytes, left: entry.unpacked, crc: Crc::new(), expected: entry.crc })
    }
}

enum Bytes<'a> {
    Stored(io::Take<BufReader<&'a mut File>>),
    Deflated(DeflateDecoder<io::Take<BufReader<&'a mut File>>>),
}

/// The bytes of an entry: fewer than announced, or others than were packed, are errors.
pub(super) struct Stream<'a> {
    bytes: Bytes<'a>,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left.min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let got = match &mut self.bytes {
            Bytes::Stored(bytes) => bytes.read(&mut buffer[..wanted])?,
            Bytes::Deflated(bytes) => bytes.read(&mut buffer[..wanted])?,
        };
        if got == 0 {
            let problem = format!("it ends {} bytes before the size that the archive announces", self.left);
            return Err(io::Error::new(ErrorKind::UnexpectedEof, problem));
        }
        self.crc.update(&buffer[..got]);
        self.left -= got as u64;
        if self.left == 0 && self.crc.sum() != self.expected {
            return Err(io::Error::new(ErrorKind::InvalidData, "its checksum (CRC-32) is wrong: it is damaged"));
        }
        Ok(got)
    }
}
