//! CIFAR-10's binary format: records of a label byte and 1024 red, 1024 green and 1024 blue bytes.

use super::raw::{Raw, Role, Source};
use super::unpacked::check_samples;
use crate::files;
use crate::input::error::DataError;
use crate::input::labels::StoredLabels;
use bitesize_ir::Shape;
use std::io::{BufReader, Read as _};
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

pub(super) fn read(batches: &[PathBuf]) -> Result<Raw, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut all = 0;
    for path in batches {
        let (file, size) = files::open(path).map_err(DataError::io(path))?;
        all += size;
        if all > files::MAX_BYTES {
            let most = files::MAX_BYTES;
            let problem = format!("with it the records have {all} bytes, and at most {most} are read: take fewer");
            return Err(DataError::unusable(path, problem));
        }
        if size == 0 || !size.is_multiple_of(RECORD as u64) {
            let problem = format!(
                "{size} bytes are not a whole number of CIFAR-10 records of {RECORD} bytes (label, 1024 red, 1024 green, \
                 1024 blue)"
            );
            return Err(DataError::unusable(path, problem));
        }
        let records = size as usize / RECORD;
        check_samples(labels.len() + records).map_err(|problem| DataError::unusable(path, problem))?;
        pixels.reserve(records * 3 * PLANE);
        let mut file = BufReader::new(file);
        let mut record = [0; RECORD];
        for _ in 0..records {
            file.read_exact(&mut record).map_err(DataError::io(path))?;
            let [label, planes @ ..] = &record;
            labels.push(i64::from(*label));
            pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
        }
    }
    let shape = Shape::new(32, 32, 3);
    Ok(Raw {
        format: "CIFAR-10 binary",
        source: Source::Images { shape, pixels },
        samples: labels.len(),
        labels: Some(StoredLabels::classes(labels)),
        class_count: 10,
        warnings: Vec::new(),
    })
}
