//! IDX, MNIST's format, plain or gzipped: one file of images, one of labels.

use super::raw::{Raw, Role, Source};
use super::unpacked::{check_samples, check_unpacked};
use crate::files;
use crate::input::error::DataError;
use crate::input::labels::StoredLabels;
use bitesize_ir::Shape;
use bitesize_ir::shown::ShownPath as _;
use flate2::read::MultiGzDecoder;
use std::io::{BufRead as _, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// An images file, with its labels file.
pub(super) struct Pair {
    images: PathBuf,
    /// `None` where the samples have no labels.
    labels: Option<PathBuf>,
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
    Some(Pair { images: pick(of("images"))?, labels: pick(of("labels")) })
}

/// Sizes and bytes of an IDX file of unsigned bytes with `dimensions` axes. The header is checked before what follows it
/// is read, and no more is unpacked than it announces.
fn read_file(path: &Path, dimensions: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let (file, size) = files::open_whole(path).map_err(DataError::io(path))?;
    let mut file = BufReader::with_capacity(1 << 16, file.take(size));
    let is_packed = file.fill_buf().map_err(DataError::io(path))?.starts_with(&[0x1f, 0x8b]);
    let read = if is_packed {
        of_stream(&mut MultiGzDecoder::new(file), dimensions, |announced, header| {
            check_unpacked(announced.saturating_add(header), size)
        })
    } else {
        of_stream(&mut file, dimensions, |announced, header| match size.checked_sub(header) {
            Some(held) if held == announced => Ok(()),
            held => Err(format!("the header announces {announced} bytes, the file holds {}", held.unwrap_or(0))),
        })
    };
    read.map_err(|problem| DataError::unusable(path, problem))
}

/// As [`read_file`]; `check` refuses what a header of some bytes announces.
fn of_stream(
    bytes: &mut impl Read,
    dimensions: u8,
    check: impl Fn(u64, u64) -> Result<(), String>,
) -> Result<(Vec<usize>, Vec<u8>), String> {
    let damaged = |e: std::io::Error| match e.kind() {
        ErrorKind::UnexpectedEof => "the file ends before what its header announces: it is cut off".to_owned(),
        _ => format!("the gzip data is damaged: {e}"),
    };
    let mut header = vec![0; 4 + 4 * usize::from(dimensions)];
    let not_idx =
        || format!("not an IDX file of unsigned bytes with {dimensions} dimensions (magic 0 0 8 {dimensions})");
    match bytes.read_exact(&mut header) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(not_idx()),
        read => read.map_err(damaged)?,
    }
    if header[..4] != [0, 0, 8, dimensions] {
        return Err(not_idx());
    }
    let sizes: Vec<usize> = header[4..].as_chunks().0.iter().map(|size| u32::from_be_bytes(*size) as usize).collect();
    check_samples(sizes[0])?;
    let announced = sizes.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64));
    let announced = announced.ok_or_else(|| format!("the header announces {sizes:?} bytes"))?;
    check(announced, header.len() as u64)?;
    let held = files::read_exactly(bytes, announced).map_err(damaged)?;
    if bytes.read(&mut [0]).map_err(damaged)? > 0 {
        return Err(format!("the header announces {sizes:?} bytes, the file holds more"));
    }
    Ok((sizes, held))
}

pub(super) fn read(pair: &Pair) -> Result<Raw, DataError> {
    let (sizes, pixels) = read_file(&pair.images, 3)?;
    let labels = match &pair.labels {
        Some(path) => {
            let (label_sizes, labels) = read_file(path, 1)?;
            if sizes[0] != label_sizes[0] {
                let problem = format!("{} images, but `{}` holds {} labels", sizes[0], path.shown(), label_sizes[0]);
                return Err(DataError::unusable(&pair.images, problem));
            }
            Some(labels)
        }
        None => None,
    };
    let class_count = labels.iter().flatten().max().map_or(0, |m| usize::from(*m) + 1);
    let shape = Shape::new(sizes[1], sizes[2], 1);
    Ok(Raw {
        format: "IDX",
        source: Source::Images { shape, pixels },
        samples: sizes[0],
        labels: labels.map(|labels| StoredLabels::classes(labels.into_iter().map(i64::from).collect())),
        class_count,
        warnings: Vec::new(),
    })
}
