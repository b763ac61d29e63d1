//! What of a WebP file is read: one lossy image, of the size that its header says.
//!
//! The decoder takes memory for the tables of lossless images (65,536 groups of five, 4 KiB each) from a few bytes a
//! table, so that neither the image's size nor the file's bounds it in time; transparency may be stored so too. Nothing
//! of that kind is given to it. The chunks are those of RFC 9649, section 2.

use std::io::{self, Read, Seek, SeekFrom};

/// As many bytes of EXIF as are looked at: the orientation stands among the first.
const MAX_EXIF: u64 = 1 << 16;

/// The most chunks that are looked at.
const MAX_CHUNKS: usize = 256;

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Looks at the chunks of a WebP file, and gives the EXIF data in it.
///
/// # Errors
/// A sentence: it is cut off, or holds what is not read.
pub(super) fn check(file: &mut (impl Read + Seek)) -> Result<Option<Vec<u8>>, String> {
    let cut_off = |e: io::Error| format!("the WebP cannot be read: {e}");
    let size = file.seek(SeekFrom::End(0)).map_err(cut_off)?;
    let (mut at, mut chunks) = (12, 0);
    let (mut canvas, mut exif) = (None, None);
    while at + 8 <= size {
        chunks += 1;
        if chunks > MAX_CHUNKS {
            return Err(format!("the WebP has over {MAX_CHUNKS} chunks; one image has a few"));
        }
        file.seek(SeekFrom::Start(at)).map_err(cut_off)?;
        let mut header = [0; 8];
        file.read_exact(&mut header).map_err(cut_off)?;
        let (name, length) = (&header[..4], number(&header[4..]));
        let content = at + 8;
        let mut start = |most: u64| {
            let mut bytes = Vec::new();
            file.by_ref().take(length.min(most)).read_to_end(&mut bytes).map(|_| bytes).map_err(cut_off)
        };
        match name {
            b"VP8L" => return Err("it is a lossless WebP, and only lossy ones are read: save it as PNG".into()),
            b"ALPH" => return Err("it is a WebP with transparency, which is not read: save it as PNG".into()),
            b"ANIM" | b"ANMF" => return Err("it is an animated WebP, which is not read: save a frame as PNG".into()),
            b"VP8X" => {
                let bytes = start(10)?;
                if bytes.len() < 10 {
                    return Err("the WebP's header is cut off".into());
                }
                canvas = Some([1 + number(&bytes[4..7]), 1 + number(&bytes[7..10])]);
            }
            b"VP8 " => {
                // Behind a tag of three bytes and a mark of three: width and height, 14 bits each.
                let bytes = start(10)?;
                if bytes.len() < 10 {
                    return Err("the WebP's image is cut off".into());
                }
                let image = [number(&bytes[6..8]) & 0x3fff, number(&bytes[8..10]) & 0x3fff];
                if canvas.is_some_and(|canvas| canvas != image) {
                    return Err("the WebP's image is not of the size that its header says: it is damaged".into());
                }
            }
            b"EXIF" => exif = Some(start(MAX_EXIF)?),
            _ => {}
        }
        at = content + length + length % 2;
    }
    Ok(exif)
}
