//! The network and the data of a run, opened and checked against each other before any work is done.

use super::dataset::Dataset;
use super::formats::class_order;
use super::formats::raw::{Request, Role};
use super::model::Model;
use super::preprocess::{Preprocess, PreprocessFile};
use crate::observe::Monitor;
use anyhow::{Context as _, bail};
use bitesize_import::InputShape;
use std::path::Path;

/// A model with its data.
pub struct Inputs {
    /// Rewritten; takes pixels where the data are pixels.
    pub model: Model,
    /// How stored values become the network's.
    pub preprocess: Preprocess,
    /// For calibration and reward.
    pub train: Option<Dataset>,
    /// For the final accuracy.
    pub val: Option<Dataset>,
    /// What was read, a line each.
    pub echo: Vec<String>,
}

/// What to open.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The network's file.
    pub model: &'a Path,
    /// The sizes of its input that the file leaves open.
    pub input_shape: Option<&'a InputShape>,
    /// Training data.
    pub train: Option<&'a Path>,
    /// Validation data.
    pub val: Option<&'a Path>,
    /// Preprocessing as given.
    pub preprocess: &'a PreprocessFile,
}

impl Inputs {
    /// Opens everything and tells what was read.
    ///
    /// # Errors
    /// Anything that cannot be read or does not suit the rest.
    pub fn open(sources: Sources, monitor: &Monitor) -> anyhow::Result<Self> {
        let mut model = Model::load_sized(sources.model, sources.input_shape, monitor)?;
        let shape = model.network.shape(model.network.input);
        let preprocess = Preprocess::checked(sources.preprocess, shape)?;
        let folders: Vec<&Path> = [sources.train, sources.val].into_iter().flatten().collect();
        let classes = class_order(&folders)?;
        let request = Request {
            shape,
            outputs: model.network.shape(model.network.output).elements(),
            preprocess: &preprocess,
            classes: classes.as_deref(),
        };
        let mut echo = Vec::new();
        let mut open = |path: Option<&Path>, role: Role, name: &str| -> anyhow::Result<Option<Dataset>> {
            let Some(path) = path else { return Ok(None) };
            let data = Dataset::open(path, role, &request).with_context(|| format!("cannot use the {name} data"))?;
            let line = format!("{name}: {}, {}", path.display(), data.describe()?);
            monitor.note(&line);
            echo.push(line);
            Ok(Some(data))
        };
        let train = open(sources.train, Role::Train, "train")?;
        let val = open(sources.val, Role::Val, "val")?;
        let pixels: Vec<bool> = [&train, &val].into_iter().flatten().map(Dataset::is_pixels).collect();
        if pixels.windows(2).any(|p| p[0] != p[1]) {
            bail!("the training data and the validation data must both be pixels or both be real values");
        }
        monitor.note(format_args!("preprocessing: {}", preprocess.describe()));
        if pixels.first() == Some(&true) {
            if *sources.preprocess == PreprocessFile::default() {
                monitor.warn(
                    "no preprocessing is given: the network is fed pixels as they are, 0 to 255. If it was trained on \
                     scaled values, pass --preprocess FILE or --scale, --mean and --std",
                );
            }
            model.fold_preprocessing(&preprocess)?;
        }
        Ok(Self { model, preprocess, train, val, echo })
    }

    /// How many training samples there are; 0 without training data.
    pub fn train_samples(&self) -> usize {
        self.train.as_ref().map_or(0, Dataset::len)
    }

    /// Warns of image files that could not be decoded.
    pub fn tell_skipped(&self, monitor: &Monitor) {
        for data in [&self.train, &self.val].into_iter().flatten() {
            let skipped = data.skipped();
            if let Some((path, reason)) = skipped.first() {
                let count = skipped.len();
                let shown = path.display();
                monitor.warn(format_args!(
                    "{count} of {} images of `{}` cannot be decoded and were skipped; the first: `{shown}`: {reason}",
                    data.len(),
                    data.path().display()
                ));
            }
        }
    }
}
