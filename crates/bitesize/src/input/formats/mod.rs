//! The formats that data come in, a file each: class folders, `.npz`, CIFAR-10 binary, IDX.

mod cifar;
mod folder;
mod headers;
mod idx;
mod npy;
mod npz;
mod places;
pub(crate) mod raw;
mod unpacked;
mod zip;

pub use folder::class_order;
pub use raw::{Request, Role};

use super::error::DataError;
use crate::files;
use raw::Raw;
use std::path::Path;

/// Finds out which format `path` holds, and reads it.
pub(crate) fn read(path: &Path, role: Role, request: &Request) -> Result<Raw, DataError> {
    let meta = std::fs::metadata(path).map_err(DataError::io(path))?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if !meta.is_dir() {
        files::check_regular(&meta).map_err(DataError::io(path))?;
        return match extension.as_str() {
            "npz" => npz::read(path, request),
            "bin" => {
                refuse_layout(path, request)?;
                cifar::read(&[path.to_owned()])
            }
            _ => Err(DataError::unusable(
                path,
                "not a known data format: give a folder of class folders, an .npz with x (and y), a CIFAR-10 .bin, or a \
                 folder with .bin or IDX files",
            )),
        };
    }
    refuse_layout(path, request)?;
    let entries = folder::sorted_entries(path)?;
    if let Some(pair) = idx::find(&entries, role) {
        return idx::read(&pair);
    }
    let batches = cifar::find(&entries, role);
    if !batches.is_empty() {
        return cifar::read(&batches);
    }
    if entries.iter().any(|e| e.is_dir()) {
        return folder::read(path, request);
    }
    if folder::holds_images(&entries) {
        return folder::read_unlabelled(path, request);
    }
    Err(DataError::unusable(
        path,
        "the folder holds no data: expected class folders with image files, image files without classes, CIFAR-10 .bin \
         files, or IDX files (images, and labels where there are some)",
    ))
}

/// Refuses a layout that is asked for where the format itself says which axis is which.
fn refuse_layout(path: &Path, request: &Request) -> Result<(), DataError> {
    let Some(layout) = request.layout else { return Ok(()) };
    let problem =
        format!("--data-layout {layout} is for .npz files, and these data say themselves how they run: leave it out");
    Err(DataError::unusable(path, problem))
}
