//! Reading what networks are calibrated, searched and measured on.
//!
//! ```no_run
//! # fn main() -> Result<(), bitesize::data::DataError> {
//! use bitesize::data::{Dataset, Preprocess, PreprocessFile, Request, Role};
//! use bitesize_ir::Shape;
//!
//! let shape = Shape::new(32, 32, 3);
//! let preprocess = Preprocess::checked(&PreprocessFile::default(), shape)?;
//! let request = Request { shape, outputs: 10, preprocess: &preprocess, classes: None };
//! let train = Dataset::open("data/train".as_ref(), Role::Train, &request)?;
//! let batch = train.load(&[0, 1, 2])?;
//! # Ok(()) }
//! ```
//!
//! A [`Dataset`] knows the label of every sample from the start and hands out samples by index. Class folders are
//! decoded when asked for, in worker threads; the other formats are small enough to be held as they are stored.
//! Images come out as `u8` pixels in NHWC order, cropped and resized but not scaled: the scaling is folded into the
//! network. Float arrays come out scaled.
//!
//! - [`preprocess`]: `preprocess.toml`, raw and checked. [`pixels`]: decoding, cropping, resizing.
//! - `folder`, `npz`, `cifar`, `idx`: one format each. [`split`]: which samples serve what.

mod cifar;
mod folder;
mod idx;
mod npz;
pub mod pixels;
pub mod preprocess;
pub mod split;

pub use folder::class_order;
pub use preprocess::{Channels, Preprocess, PreprocessFile};
pub use split::{Shares, Split};

use bitesize_ir::Shape;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What can be wrong with data or with how it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused.
    #[error("cannot read `{path}`")]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It was read and is not usable.
    #[error("`{path}`: {problem}")]
    Unusable {
        /// What was read.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The preprocessing contradicts itself or the network.
    #[error("preprocessing: {0}")]
    Preprocess(String),
}

impl DataError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn unusable(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_owned(), problem: problem.into() }
    }
}

/// What a folder that holds both halves of a data set is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calibration, reward, training.
    Train,
    /// The final accuracy.
    Val,
}

/// What the network needs of its data.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Shape of the network's input.
    pub shape: Shape,
    /// Number of the network's outputs: labels are below it.
    pub outputs: usize,
    /// How stored values become the network's.
    pub preprocess: &'a Preprocess,
    /// Class names in order, for class folders; `None` takes the order of the folder itself.
    pub classes: Option<&'a [String]>,
}

/// Values of some samples, one after the other in NHWC order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Raw pixels, for networks whose first layer holds the preprocessing.
    Pixels(Vec<u8>),
    /// Preprocessed values.
    Reals(Vec<f32>),
}

/// Some samples, loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Their values, `labels.len() * shape.elements()` of them.
    pub values: Values,
    /// Their labels, `label_offset` added.
    pub labels: Vec<usize>,
    /// Shape of one sample.
    pub shape: Shape,
}

impl Batch {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The samples of `range` (which must lie within).
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let n = self.shape.elements();
        let values = match &self.values {
            Values::Pixels(v) => Values::Pixels(v[range.start * n..range.end * n].to_vec()),
            Values::Reals(v) => Values::Reals(v[range.start * n..range.end * n].to_vec()),
        };
        Self { values, labels: self.labels[range].to_vec(), shape: self.shape }
    }
}

/// Where samples come from.
enum Source {
    /// Images of one shape, HWC, in memory.
    Images { shape: Shape, pixels: Vec<u8> },
    /// Preprocessed values in memory.
    Reals(Vec<f32>),
    /// Image files, decoded on demand.
    Files(Vec<PathBuf>),
}

/// Labelled samples of one shape.
pub struct Dataset {
    path: PathBuf,
    format: &'static str,
    source: Source,
    labels: Vec<usize>,
    class_count: usize,
    shape: Shape,
    preprocess: Preprocess,
    skipped: Mutex<BTreeMap<PathBuf, String>>,
}

/// What a reader of one format hands over.
pub(crate) struct Raw {
    format: &'static str,
    source: Source,
    /// As stored, without the offset.
    labels: Vec<i64>,
    class_count: usize,
}

impl Dataset {
    /// Opens a data set in whichever format `path` holds.
    ///
    /// # Errors
    /// Nothing readable there, a label outside `0..outputs`, or samples of another shape than the network's (of
    /// image files only the headers are read).
    pub fn open(path: &Path, role: Role, request: &Request) -> Result<Self, DataError> {
        let raw = read(path, role, request)?;
        let labels = checked_labels(path, &raw, request)?;
        if labels.is_empty() {
            return Err(DataError::unusable(path, "it holds no samples"));
        }
        if let Source::Images { shape, .. } = &raw.source {
            request.preprocess.check_stored(*shape).map_err(|problem| DataError::unusable(path, problem))?;
        }
        if let Source::Files(files) = &raw.source {
            check_sizes(files, request.preprocess)?;
        }
        Ok(Self {
            path: path.to_owned(),
            format: raw.format,
            source: raw.source,
            labels,
            class_count: raw.class_count,
            shape: request.shape,
            preprocess: request.preprocess.clone(),
            skipped: Mutex::default(),
        })
    }

    /// Number of samples, corrupt image files included.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: an empty data set does not open.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Label of every sample, `label_offset` added.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Whether samples are pixels (and not real values).
    pub fn is_pixels(&self) -> bool {
        !matches!(self.source, Source::Reals(_))
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Image files met so far that could not be decoded, with the reason.
    pub fn skipped(&self) -> Vec<(PathBuf, String)> {
        let skipped = self.skipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        skipped.iter().map(|(path, reason)| (path.clone(), reason.clone())).collect()
    }

    /// Loads the samples `indices`, in that order, less the image files that cannot be decoded.
    ///
    /// # Errors
    /// An image of a size that nothing resizes, a file that cannot be read, or no sample left.
    pub fn load(&self, indices: &[usize]) -> Result<Batch, DataError> {
        let batch = self.load_kept(indices)?;
        if batch.is_empty() && !indices.is_empty() {
            let (path, reason) = self.skipped().into_iter().next().unwrap_or_default();
            let problem = format!("none of {} images can be decoded; the first: {reason}", indices.len());
            return Err(DataError::unusable(&path, problem));
        }
        Ok(batch)
    }

    /// As [`Self::load`], but without samples where none of them can be decoded.
    ///
    /// # Errors
    /// An image of a size that nothing resizes, or a file that cannot be read.
    pub fn load_kept(&self, indices: &[usize]) -> Result<Batch, DataError> {
        let kept: Vec<Option<Vec<u8>>> = match &self.source {
            Source::Reals(values) => {
                let n = self.shape.elements();
                let picked = indices.iter().flat_map(|i| values[i * n..(i + 1) * n].iter().copied()).collect();
                return Ok(self.batch(Values::Reals(picked), indices.iter().copied()));
            }
            Source::Images { shape, pixels } => {
                let n = shape.elements();
                indices
                    .par_iter()
                    .map(|i| self.transform(&pixels[i * n..(i + 1) * n], *shape).map(Some))
                    .collect::<Result<_, _>>()?
            }
            Source::Files(paths) => indices.par_iter().map(|i| self.decode(&paths[*i])).collect::<Result<_, _>>()?,
        };
        let decoded: Vec<usize> = indices.iter().zip(&kept).filter(|(_, k)| k.is_some()).map(|(i, _)| *i).collect();
        let values = Values::Pixels(kept.into_iter().flatten().flatten().collect());
        Ok(self.batch(values, decoded))
    }

    fn batch(&self, values: Values, indices: impl IntoIterator<Item = usize>) -> Batch {
        Batch { values, labels: indices.into_iter().map(|i| self.labels[i]).collect(), shape: self.shape }
    }

    fn transform(&self, pixels: &[u8], shape: Shape) -> Result<Vec<u8>, DataError> {
        pixels::transform(pixels, shape, self.shape, &self.preprocess)
            .map_err(|problem| DataError::unusable(&self.path, problem))
    }

    /// The pixels of an image file, `None` where it cannot be decoded (which is noted).
    fn decode(&self, path: &Path) -> Result<Option<Vec<u8>>, DataError> {
        let bytes = std::fs::read(path).map_err(DataError::io(path))?;
        match pixels::decode(&bytes) {
            Ok((pixels, shape)) => pixels::transform(&pixels, shape, self.shape, &self.preprocess)
                .map(Some)
                .map_err(|problem| DataError::unusable(path, problem)),
            Err(reason) => {
                let mut skipped = self.skipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                skipped.insert(path.to_owned(), reason);
                Ok(None)
            }
        }
    }

    /// `cifar-10 binary, 50000 samples of 32x32x3, values 0..255, 10 classes`.
    ///
    /// # Errors
    /// As [`Self::load`]: the range of image files is taken from some of them, spread evenly; where none of those can
    /// be decoded, from the first that can.
    pub fn describe(&self) -> Result<String, DataError> {
        let (range, of) = match &self.source {
            Source::Images { pixels, .. } => (byte_range(pixels), String::new()),
            Source::Reals(values) => {
                let (lo, hi) = values.iter().fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
                (format!("{lo}..{hi}"), String::new())
            }
            Source::Files(paths) => {
                let count = paths.len().min(16);
                let some: Vec<usize> = (0..count).map(|i| i * paths.len() / count).collect();
                let mut batch = self.load_kept(&some)?;
                let mut rest = 0..paths.len();
                while batch.is_empty() && !rest.is_empty() {
                    let next: Vec<usize> = rest.by_ref().take(count).collect();
                    batch = self.load_kept(&next)?;
                }
                if batch.is_empty() {
                    let (path, reason) = self.skipped().into_iter().next().unwrap_or_default();
                    let problem = format!("none of {} images can be decoded; the first: {reason}", paths.len());
                    return Err(DataError::unusable(&path, problem));
                }
                let Values::Pixels(pixels) = &batch.values else { unreachable!("files hold pixels") };
                (byte_range(pixels), format!(" in {} of them", batch.len()))
            }
        };
        let mut used: Vec<usize> = self.labels.clone();
        used.sort_unstable();
        used.dedup();
        Ok(format!(
            "{}, {} samples of {}, values {range}{of}, {} classes{}",
            self.format,
            self.len(),
            self.shape,
            self.class_count,
            if used.len() < self.class_count {
                format!(" ({} of them with samples)", used.len())
            } else {
                String::new()
            },
        ))
    }
}

fn byte_range(pixels: &[u8]) -> String {
    let (mut lo, mut hi) = (u8::MAX, u8::MIN);
    for chunk in pixels.chunks(1 << 16) {
        lo = chunk.iter().fold(lo, |lo, pixel| lo.min(*pixel));
        hi = chunk.iter().fold(hi, |hi, pixel| hi.max(*pixel));
        // Mostly both ends are met at once, and a data set has hundreds of megabytes.
        if (lo, hi) == (u8::MIN, u8::MAX) {
            break;
        }
    }
    format!("{}..{hi}", lo.min(hi))
}

/// Finds out which format `path` holds, and reads it.
fn read(path: &Path, role: Role, request: &Request) -> Result<Raw, DataError> {
    let meta = std::fs::metadata(path).map_err(DataError::io(path))?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if meta.is_file() {
        return match extension.as_str() {
            "npz" => npz::read(path, request),
            "bin" => cifar::read(&[path.to_owned()]),
            _ => Err(DataError::unusable(
                path,
                "not a known data format: give a folder of class folders, an .npz with x and y, a CIFAR-10 .bin, or a \
                 folder with .bin or IDX files",
            )),
        };
    }
    let entries = folder::sorted_entries(path)?;
    if let Some(pair) = idx::find(&entries, role) {
        return idx::read(&pair);
    }
    let batches = cifar::find(&entries, role);
    if !batches.is_empty() {
        return cifar::read(&batches);
    }
    if entries.iter().any(|e| e.is_dir()) {
        return folder::read(path, request.classes);
    }
    Err(DataError::unusable(
        path,
        "the folder holds no data: expected class folders with jpg or png files, CIFAR-10 .bin files, or IDX files \
         (images and labels)",
    ))
}

/// Refuses the first image file whose size does not become the network's; those without a header are skipped later.
fn check_sizes(files: &[PathBuf], preprocess: &Preprocess) -> Result<(), DataError> {
    let wrong = |path: &PathBuf| {
        let [h, w] = pixels::dimensions(path).filter(|sides| !sides.contains(&0))?;
        let problem = preprocess.check_stored(Shape::new(h, w, 3)).err()?;
        Some(DataError::unusable(path, problem))
    };
    files.par_iter().find_map_first(wrong).map_or(Ok(()), Err)
}

/// The labels with their offset, each below the number of outputs.
fn checked_labels(path: &Path, raw: &Raw, request: &Request) -> Result<Vec<usize>, DataError> {
    let offset = request.preprocess.label_offset;
    let check = |(i, label): (usize, &i64)| {
        let shifted = usize::try_from(*label).ok().and_then(|l| l.checked_add(offset));
        shifted.filter(|l| *l < request.outputs).ok_or_else(|| {
            let with = if offset == 0 { String::new() } else { format!(" (plus label_offset {offset})") };
            let problem = format!(
                "sample {i} has label {label}{with}, but the network has {} outputs, so labels run from 0 to {}: give \
                 the data that the network was trained for, or set label_offset",
                request.outputs,
                request.outputs.saturating_sub(1),
            );
            DataError::unusable(path, problem)
        })
    };
    raw.labels.iter().enumerate().map(check).collect()
}

#[cfg(test)]
mod tests;
