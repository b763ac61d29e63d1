//! Labelled samples of one shape, whatever they are stored as.

use super::batch::{Batch, Values};
use super::decode::{Decoding, Fault};
use super::error::DataError;
use super::formats;
use super::formats::raw::{Request, Role, Source};
use super::labels::StoredLabels;
use super::pixels;
use super::preprocess::Preprocess;
use crate::files;
use crate::hash::{Hasher, sha256};
use crate::task::labels::labels_of;
use crate::task::order::Order;
use crate::task::{Labels, Objective, Task};
use bitesize_ir::Shape;
use bitesize_ir::shown::ShownPath as _;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Samples that are decoded before they are added to the others, in bytes.
const DECODED_BYTES: usize = 64 << 20;

/// Labelled samples of one shape.
pub struct Dataset {
    path: PathBuf,
    format: &'static str,
    source: Source,
    stored: Option<StoredLabels>,
    labels: Labels,
    /// Where the samples are what the network has to give, an autoencoder: for each output the place in a sample.
    reconstructed: Option<Vec<usize>>,
    class_count: usize,
    warnings: Vec<String>,
    shape: Shape,
    preprocess: Preprocess,
    decoding: Decoding,
    skipped: Mutex<BTreeMap<PathBuf, String>>,
    /// By the samples that were asked for.
    hashes: Mutex<BTreeMap<Vec<usize>, String>>,
}

impl Dataset {
    /// Opens a data set in whichever format `path` holds. Its labels are known once a task has said what they are.
    ///
    /// # Errors
    /// Nothing readable there, or samples of another shape than the network's (of image files only the headers are
    /// read).
    pub fn open(path: &Path, role: Role, request: &Request) -> Result<Self, DataError> {
        let raw = formats::read(path, role, request)?;
        if raw.samples == 0 {
            return Err(DataError::unusable(path, "it holds no samples"));
        }
        if let Source::Images { shape, .. } = &raw.source {
            request.preprocess.check_stored(*shape).map_err(|problem| DataError::unusable(path, problem))?;
        }
        Ok(Self {
            path: path.to_owned(),
            format: raw.format,
            source: raw.source,
            stored: raw.labels,
            labels: Labels::None(raw.samples),
            reconstructed: None,
            class_count: raw.class_count,
            warnings: raw.warnings,
            shape: request.shape,
            preprocess: request.preprocess.clone(),
            decoding: Decoding::default(),
            skipped: Mutex::default(),
            hashes: Mutex::default(),
        })
    }

    /// What is stored beside the samples.
    pub(crate) fn stored_labels(&self) -> Option<&StoredLabels> {
        self.stored.as_ref()
    }

    /// Takes the labels for those of `objective`'s task; `order` says how the file's output runs. Where values are asked
    /// for and there are none but classes, a network whose output is like its input has to give its input: `source` says for each
    /// output the place in a sample.
    ///
    /// # Errors
    /// Labels that are no such.
    pub(crate) fn label(
        &mut self,
        objective: &Objective,
        order: Order,
        source: Option<&[usize]>,
    ) -> Result<(), DataError> {
        let has_values = self.stored.as_ref().is_some_and(|stored| !stored.name_classes(objective.shape.elements()));
        if objective.task == Task::Regress && !has_values {
            self.reconstructed = source.map(<[usize]>::to_vec);
            if source.is_some() {
                return Ok(());
            }
        }
        let Some(stored) = &self.stored else { return Ok(()) };
        let labels = labels_of(objective, stored, order, self.preprocess.label_offset);
        self.labels = labels.map_err(|problem| DataError::unusable(&self.path, problem))?;
        Ok(())
    }

    /// Number of samples, corrupt image files included.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: an empty data set does not open.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Takes the labels for classes of a network of `outputs` outputs.
    ///
    /// # Errors
    /// Labels that are no such.
    pub fn with_classes(mut self, outputs: usize) -> Result<Self, DataError> {
        let objective = Objective { task: Task::Classify, shape: Shape::vector(outputs), tail: None };
        let places: Vec<usize> = (0..outputs).collect();
        self.label(&objective, Order { dims: &[outputs], places: &places, layout: None }, None)?;
        Ok(self)
    }

    /// Whether there is something to measure the network's answers by.
    pub fn is_labelled(&self) -> bool {
        self.reconstructed.is_some() || self.labels.are_there()
    }

    /// The labels of all samples.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Whether samples are pixels (and not real values).
    pub fn is_pixels(&self) -> bool {
        !matches!(self.source, Source::Reals(_))
    }

    /// What a user should know of what was not read, or not as it might be, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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

    /// What a user should know of [`Self::skipped`], where there is something.
    pub fn skipped_warning(&self) -> Option<String> {
        let skipped = self.skipped();
        let (path, reason) = skipped.first()?;
        Some(format!(
            "{} of {} images of `{}` cannot be decoded and were skipped; the first: `{}`: {reason}",
            skipped.len(),
            self.len(),
            self.path.shown(),
            path.shown()
        ))
    }

    /// What a user knows the sample `index` by: its file, or its number in the file of all.
    pub fn name_of(&self, index: usize) -> String {
        match &self.source {
            Source::Files(paths) => format!("`{}`", paths[index].shown()),
            _ => format!("sample {index} of `{}` (counted from 0)", self.path.shown()),
        }
    }

    /// How many of its samples `bytes` hold, each with `outputs` values that a network makes of it; at least one.
    pub(crate) fn held_in(&self, bytes: usize, outputs: usize) -> usize {
        let width = if self.is_pixels() { size_of::<u8>() } else { size_of::<f32>() };
        // The samples are the labels of what gives them back.
        let labels = if self.reconstructed.is_some() { size_of::<f32>() } else { 0 };
        let each = self.shape.elements() * (width + labels) + outputs * size_of::<f32>();
        (bytes / each.max(1)).max(1)
    }

    /// Which of the samples `indices`, once they were loaded, could be: those that the batch holds, in its order.
    pub fn loaded(&self, indices: &[usize]) -> Vec<usize> {
        let skipped = self.skipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_loaded = |index: &usize| match &self.source {
            Source::Files(paths) => !skipped.contains_key(&paths[*index]),
            _ => true,
        };
        indices.iter().copied().filter(is_loaded).collect()
    }

    /// The SHA-256 of what is stored of the samples `indices`, in that order, and of their labels. Where it is stored does
    /// not count, nor how it is preprocessed. The same samples are read once.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn content_hash(&self, indices: &[usize]) -> Result<String, DataError> {
        let hashes = || self.hashes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = hashes().get(indices) {
            return Ok(known.clone());
        }
        let hash = self.hash(indices)?;
        hashes().insert(indices.to_vec(), hash.clone());
        Ok(hash)
    }

    fn hash(&self, indices: &[usize]) -> Result<String, DataError> {
        let mut hasher = Hasher::default();
        match &self.source {
            Source::Images { shape, pixels } => {
                let n = shape.elements();
                hasher.add(format!("pixels {shape}").as_bytes());
                indices.iter().for_each(|i| hasher.add(&pixels[i * n..(i + 1) * n]));
            }
            Source::Reals(values) => {
                let n = self.shape.elements();
                hasher.add(format!("values {}", self.shape).as_bytes());
                for i in indices {
                    let bytes: Vec<u8> = values[i * n..(i + 1) * n].iter().flat_map(|v| v.to_le_bytes()).collect();
                    hasher.add(&bytes);
                }
            }
            Source::Files(paths) => {
                let hash =
                    |i: &usize| files::read(&paths[*i]).map(|bytes| sha256(&bytes)).map_err(DataError::io(&paths[*i]));
                let hashes: Vec<String> = indices.par_iter().map(hash).collect::<Result<_, _>>()?;
                hashes.iter().for_each(|hash| hasher.add(hash.as_bytes()));
            }
        }
        indices.iter().for_each(|i| hasher.add(&self.labels.bytes(*i)));
        Ok(hasher.finish())
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
        let n = self.shape.elements();
        if let Source::Reals(values) = &self.source {
            let picked = indices.iter().flat_map(|i| values[i * n..(i + 1) * n].iter().copied()).collect();
            return Ok(self.batch(Values::Reals(picked), indices.iter().copied()));
        }
        let (mut pixels, mut decoded) = (Vec::with_capacity(indices.len() * n), Vec::with_capacity(indices.len()));
        // Part after part: each sample is in memory twice while it is added.
        for part in indices.chunks((DECODED_BYTES / n).clamp(1, 256)) {
            let images: Vec<Option<Vec<u8>>> =
                part.par_iter().map(|i| self.pixels(*i)).collect::<Result<_, DataError>>()?;
            for (index, image) in part.iter().zip(images) {
                let Some(image) = image else { continue };
                decoded.push(*index);
                pixels.extend_from_slice(&image);
            }
        }
        Ok(self.batch(Values::Pixels(pixels), decoded))
    }

    /// The pixels of a sample of a data set of pixels, `None` where its file cannot be decoded.
    fn pixels(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        match &self.source {
            Source::Images { shape, pixels } => {
                let n = shape.elements();
                self.transform(&pixels[index * n..(index + 1) * n], *shape).map(Some)
            }
            Source::Files(paths) => self.decode(&paths[index]),
            Source::Reals(_) => unreachable!("real values are picked as they are"),
        }
    }

    fn batch(&self, values: Values, indices: impl IntoIterator<Item = usize>) -> Batch {
        let labels = match &self.reconstructed {
            Some(places) => self.targets(&values, places),
            None => self.labels.pick(indices),
        };
        Batch { values, labels, shape: self.shape }
    }

    /// `values` as the network has to give them back, each output that of one of `places`.
    fn targets(&self, values: &Values, places: &[usize]) -> Labels {
        let fed: Vec<f32> = match values {
            Values::Reals(values) => values.clone(),
            Values::Pixels(pixels) => {
                let of = |(i, pixel): (usize, &u8)| self.preprocess.apply(f64::from(*pixel), i % self.shape.c) as f32;
                pixels.iter().enumerate().map(of).collect()
            }
        };
        let of_sample = |sample: &[f32]| places.iter().map(|place| sample[*place]).collect::<Vec<f32>>();
        let values = fed.chunks_exact(self.shape.elements()).flat_map(of_sample).collect();
        Labels::Values { each: places.len(), values }
    }

    fn transform(&self, pixels: &[u8], shape: Shape) -> Result<Vec<u8>, DataError> {
        pixels::transform(pixels, shape, self.shape, &self.preprocess)
            .map_err(|problem| DataError::unusable(&self.path, problem))
    }

    /// The pixels of an image file, `None` where it cannot be decoded (which is noted).
    fn decode(&self, path: &Path) -> Result<Option<Vec<u8>>, DataError> {
        let bytes = files::read(path).map_err(DataError::io(path))?;
        let decoded = self
            .decoding
            .decode(&bytes, |pixels, shape| pixels::transform(&pixels, shape, self.shape, &self.preprocess));
        match decoded {
            Ok(pixels) => Ok(Some(pixels)),
            Err(Fault::Unsuitable(problem)) => Err(DataError::unusable(path, problem)),
            Err(Fault::Undecodable(reason)) => {
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
        Ok(format!(
            "{}, {} samples of {}, values {range}{of}, {}",
            self.format,
            self.len(),
            self.shape,
            self.describe_labels()
        ))
    }

    fn describe_labels(&self) -> String {
        match &self.labels {
            Labels::None(_) if self.reconstructed.is_some() => {
                let classes = if self.stored.is_some() { ", and their classes are not looked at" } else { "" };
                format!("the samples are what the network has to give{classes}")
            }
            Labels::None(_) if self.stored.is_none() => "without labels".into(),
            Labels::None(_) => "labels not looked at".into(),
            Labels::Classes(classes) => {
                let mut used = classes.clone();
                used.sort_unstable();
                used.dedup();
                let count = self.class_count.max(used.last().map_or(0, |last| last + 1));
                let some =
                    if used.len() < count { format!(" ({} of them with samples)", used.len()) } else { String::new() };
                format!("{count} classes{some}")
            }
            Labels::Flags { each, flags } => {
                let set = flags.iter().filter(|flag| **flag).count() as f64;
                format!("{each} yes or no a sample, {:.1} % yes", 100.0 * set / flags.len().max(1) as f64)
            }
            Labels::Values { each, values } => {
                let (lo, hi) = values.iter().fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
                format!("{each} values a sample, {lo}..{hi}")
            }
            Labels::Pixels { each, .. } => format!("a class for each of {each} pixels"),
        }
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
