//! CIFAR-10's binary format: records of a label byte and 1024 red, 1024 green and 1024 blue bytes.

use super::raw::{Raw, Role, Source};
use crate::input::error::DataError;
use bitesize_ir::Shape;
use std::path::PathBuf;

const PLANE: usize = 32 * 32;
const RECORD: usize = 1 + 3 * PLANE;

/// The `.bin` files of a folder. A folder with both halves (`data_batch_*.bin` and `test_batch.bin`) gives the one that
/// `role` asks for.
pub(super) fn find(entries: &[PathBuf], role: Role) -> Vec<PathBuf> {
    let is_bin = |p: &&PathBuf| p.is_file() && p.extension().is_some_and(|e| e.eq_ignore_ascii_case("bin"));
    let starts = |p: &PathBuf, prefix: &str| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix));
    let bins: Vec<PathBuf> = entries.iter().filter(is_bin).cloned().collect();
    let (test, train): (Vec<PathBuf>, Vec<PathBuf>) = bins.iter().cloned().partition(|p| starts(p, "test"));
    match role {
        _ if test.is_empty() || train.is_empty() => bins,
        Role::Train => train,
        Role::Val => test,
    }
}

pub(super) fn read(files: &[PathBuf]) -> Result<Raw, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        let bytes = std::fs::read(file).map_err(DataError::io(file))?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
            let problem = format!(
                "{} bytes are not a whole number of CIFAR-10 records of {RECORD} bytes (label, 1024 red, 1024 green, \
                 1024 blue)",
                bytes.len()
            );
            return Err(DataError::unusable(file, problem));
        }
        pixels.reserve(bytes.len());
        for record in bytes.chunks_exact(RECORD) {
            labels.push(i64::from(record[0]));
            let planes = &record[1..];
            let (red, rest) = planes.split_at(PLANE);
            let (green, blue) = rest.split_at(PLANE);
            let start = pixels.len();
            pixels.resize(start + 3 * PLANE, 0);
            for (i, pixel) in pixels[start..].chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&[red[i], green[i], blue[i]]);
            }
        }
    }
    let shape = Shape::new(32, 32, 3);
    Ok(Raw { format: "CIFAR-10 binary", source: Source::Images { shape, pixels }, labels, class_count: 10 })
}
