//! IDX, MNIST's format, plain or gzipped: one file of images, one of labels.

use super::raw::{Raw, Role, Source};
use crate::input::error::DataError;
use bitesize_ir::Shape;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// An images file with its labels file.
pub(super) struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

/// The pair of IDX files among `entries`: names hold `images`/`labels` and `idx` or `ubyte`. A folder with both halves
/// (`train-*` and `t10k-*`) gives the one that `role` asks for.
pub(super) fn find(entries: &[PathBuf], role: Role) -> Option<Pair> {
    let lower = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let of = |what: &str| -> Vec<PathBuf> {
        let fits = |p: &&PathBuf| {
            let name = lower(p);
            p.is_file() && name.contains(what) && (name.contains("idx") || name.contains("ubyte"))
        };
        entries.iter().filter(fits).cloned().collect()
    };
    let pick = |files: Vec<PathBuf>| {
        let is_train = |p: &PathBuf| lower(p).starts_with("train");
        let wanted = match role {
            Role::Train => files.iter().find(|p| is_train(p)),
            Role::Val => files.iter().find(|p| !is_train(p)),
        };
        wanted.or(files.first()).cloned()
    };
    Some(Pair { images: pick(of("images"))?, labels: pick(of("labels"))? })
}

/// Bytes and sizes of an IDX file of unsigned bytes with `dimensions` axes.
fn read_file(path: &Path, dimensions: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let mut bytes = std::fs::read(path).map_err(DataError::io(path))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        decoder
            .read_to_end(&mut plain)
            .map_err(|e| DataError::unusable(path, format!("the gzip data is damaged: {e}")))?;
        bytes = plain;
    }
    let header = 4 + 4 * usize::from(dimensions);
    if bytes.len() < header || bytes[..4] != [0, 0, 8, dimensions] {
        let problem =
            format!("not an IDX file of unsigned bytes with {dimensions} dimensions (magic 0 0 8 {dimensions})");
        return Err(DataError::unusable(path, problem));
    }
    let axis = |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]) as usize;
    let sizes: Vec<usize> = (0..usize::from(dimensions)).map(|d| axis(4 + 4 * d)).collect();
    let expected = sizes.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
    bytes.drain(..header);
    if expected != Some(bytes.len()) {
        let problem = format!("the header announces {sizes:?} bytes, the file holds {}", bytes.len());
        return Err(DataError::unusable(path, problem));
    }
    Ok((sizes, bytes))
}

pub(super) fn read(pair: &Pair) -> Result<Raw, DataError> {
    let (sizes, pixels) = read_file(&pair.images, 3)?;
    let (label_sizes, labels) = read_file(&pair.labels, 1)?;
    if sizes[0] != label_sizes[0] {
        let problem = format!("{} images, but `{}` holds {} labels", sizes[0], pair.labels.display(), label_sizes[0]);
        return Err(DataError::unusable(&pair.images, problem));
    }
    let class_count = labels.iter().max().map_or(0, |m| usize::from(*m) + 1);
    let shape = Shape::new(sizes[1], sizes[2], 1);
    let labels = labels.into_iter().map(i64::from).collect();
    Ok(Raw { format: "IDX", source: Source::Images { shape, pixels }, labels, class_count })
}
