//! NumPy archives written by hand: of every type and order, and such as lie.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// An array's bytes: the header `dictionary` before `data`.
pub(crate) fn npy(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend((dictionary.len() as u32).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

/// The header of an array of elements `kind`, as `<f4`, and `shape`, as `(2, 3)`.
pub(crate) fn header(kind: &str, shape: &str) -> String {
    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

/// The bytes that deflate makes of `bytes`.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry of an archive.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    /// As they are stored.
    pub(crate) packed: &'a [u8],
    pub(crate) is_deflated: bool,
    /// The checksum of what it unpacks to.
    pub(crate) crc: u32,
    /// The size that is announced of it.
    pub(crate) unpacked: u64,
}

/// An archive whose directory announces the size of each entry.
pub(crate) fn zip(path: &Path, entries: &[(&str, &[u8], bool, u64)]) {
    let packed: Vec<Vec<u8>> = entries
        .iter()
        .map(|(_, bytes, is_deflated, _)| if *is_deflated { deflated(bytes) } else { bytes.to_vec() })
        .collect();
    let made: Vec<Entry> = entries
        .iter()
        .zip(&packed)
        .map(|((name, bytes, is_deflated, announced), packed)| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            Entry { name, packed, is_deflated: *is_deflated, crc: crc.sum(), unpacked: *announced }
        })
        .collect();
    archive(path, &made);
}

/// As [`zip`], of entries that are packed already.
pub(crate) fn archive(path: &Path, entries: &[Entry]) {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        // From the version that is needed on, local header and directory agree.
        let mut shared = vec![20, 0, 0, 0, if entry.is_deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        shared.extend(entry.crc.to_le_bytes());
        shared.extend((entry.packed.len() as u32).to_le_bytes());
        shared.extend((entry.unpacked as u32).to_le_bytes());
        shared.extend((entry.name.len() as u16).to_le_bytes());
        shared.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&shared);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(entry.name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&shared);
        file.extend(entry.name.as_bytes());
        file.extend(entry.packed);
    }
    let at = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend([entries.len() as u8, 0, entries.len() as u8, 0]);
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend([0, 0]);
    fs::write(path, file).unwrap();
}
