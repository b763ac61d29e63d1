//! What the headers of all image files of a folder say, read before any work is done.

use crate::input::decode;
use crate::input::error::DataError;
use crate::input::preprocess::Preprocess;
use bitesize_ir::Shape;
use bitesize_ir::shown::ShownPath as _;
use image::ImageFormat;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What was seen of some of the files.
#[derive(Default)]
struct Seen {
    /// The first file whose size does not become the network's, and why.
    wrong: Option<(usize, DataError)>,
    gifs: usize,
    turned: usize,
    first_turned: Option<usize>,
}

impl Seen {
    fn with(self, other: Self) -> Self {
        let first = |a: Option<usize>, b: Option<usize>| a.into_iter().chain(b).min();
        let wrong = [self.wrong, other.wrong].into_iter().flatten().min_by_key(|(at, _)| *at);
        Self {
            wrong,
            gifs: self.gifs + other.gifs,
            turned: self.turned + other.turned,
            first_turned: first(self.first_turned, other.first_turned),
        }
    }

    /// Those without a header that can be read are skipped when they are decoded.
    fn of(at: usize, path: &Path, preprocess: &Preprocess) -> Self {
        let Some((header, is_turned)) = decode::measure(path) else { return Self::default() };
        let mut seen = Self { gifs: usize::from(header.format == ImageFormat::Gif), ..Self::default() };
        if header.height == 0 || header.width == 0 {
            return seen;
        }
        if is_turned {
            (seen.turned, seen.first_turned) = (1, Some(at));
        }
        let stored = Shape::new(header.height, header.width, 3);
        let checked = header.check().and_then(|()| preprocess.check_stored(stored));
        seen.wrong = checked.err().map(|problem| (at, DataError::unusable(path, problem)));
        seen
    }
}

/// Reads the headers of `files`, which lie in `folder`, and gives what a user should know of them, a sentence each.
///
/// # Errors
/// The first file whose size does not become the network's.
pub(super) fn check(folder: &Path, files: &[PathBuf], preprocess: &Preprocess) -> Result<Vec<String>, DataError> {
    let look = |(at, path): (usize, &PathBuf)| Seen::of(at, path, preprocess);
    let seen = files.par_iter().enumerate().map(look).reduce(Seen::default, Seen::with);
    if let Some((_, error)) = seen.wrong {
        return Err(error);
    }
    let mut warnings = Vec::new();
    let (count, folder) = (files.len(), folder.shown());
    if let Some(first) = seen.first_turned {
        warnings.push(format!(
            "{} of {count} images of `{folder}` are stored turned or mirrored (EXIF orientation other than 1), the first: \
             `{}`; they are read as they are stored, as Keras and torchvision do: if the network was trained on upright \
             images, write these upright",
            seen.turned,
            files[first].shown()
        ));
    }
    if seen.gifs > 0 {
        warnings
            .push(format!("{} of {count} images of `{folder}` are gifs: of each the first frame is read", seen.gifs));
    }
    Ok(warnings)
}
