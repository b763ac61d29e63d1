//! The labels `y`: for each sample a number, or an array of them.

use super::super::npy::Header;
use super::super::places::Places;
use super::super::unpacked::{check_kept, check_samples};
use super::super::zip::Archive;
use crate::input::labels::{Numbers, StoredLabels};

/// How often labels are kept: as they are stored, and as the task takes them.
const TIMES: usize = 2;

/// The labels, and of how many samples they are.
pub(super) fn read(archive: &mut Archive) -> Result<(usize, StoredLabels), String> {
    let file_bytes = archive.size();
    let (header, mut bytes) = super::arrays::open(archive, "y", 0)?;
    of_array(&header, &mut bytes, file_bytes).map_err(|problem| format!("array `y`: {problem}"))
}

/// What `labels` take in memory, in bytes.
pub(super) fn bytes(labels: &StoredLabels) -> u64 {
    let (count, width) = match &labels.numbers {
        Numbers::Integers(integers) => (integers.len(), size_of::<i64>()),
        Numbers::Reals(reals) => (reals.len(), size_of::<f32>()),
    };
    (TIMES * count * width) as u64
}

fn of_array(header: &Header, bytes: &mut impl std::io::Read, file_bytes: u64) -> Result<(usize, StoredLabels), String> {
    let shape = super::reading::shown(&header.shape);
    let [samples, dims @ ..] = &header.shape[..] else {
        return Err(format!(
            "its shape is {shape}: there is a label for each sample, so the first axis counts samples"
        ));
    };
    check_samples(*samples)?;
    if dims.contains(&0) {
        return Err(format!("its shape is {shape}, which leaves no number for a sample"));
    }
    let of_one = dims.iter().product::<usize>();
    let axes = Places::row_major(&header.shape);
    let numbers = if header.kind()?.is_real() {
        check_kept(header.count, TIMES * size_of::<f32>(), 0, file_bytes)?;
        let mut reals = vec![0f32; header.count];
        header.each_real(bytes, &axes, |place, value| {
            reals[place] = value as f32;
            if reals[place].is_finite() {
                return Ok(());
            }
            let what = if value.is_finite() { "too large for a float of 32 bits" } else { "no number" };
            Err(format!("that of sample {} holds {value}, which is {what}", place / of_one))
        })?;
        Numbers::Reals(reals)
    } else {
        check_kept(header.count, TIMES * size_of::<i64>(), 0, file_bytes)?;
        let mut integers = vec![0; header.count];
        header.each_integer(bytes, &axes, |place, value| {
            integers[place] = value;
            Ok(())
        })?;
        Numbers::Integers(integers)
    };
    // One number a sample, whether or not it stands in axes of its own.
    let dims = if of_one == 1 { Vec::new() } else { dims.to_vec() };
    Ok((*samples, StoredLabels { dims, numbers, of_classes: false }))
}
