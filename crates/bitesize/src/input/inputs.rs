//! The network and the data of a run, opened and checked against each other before any work is done.

use super::dataset::Dataset;
use super::formats::class_order;
use super::formats::raw::{Request, Role};
use super::layout::DataLayout;
use super::model::Model;
use super::preprocess::{Preprocess, PreprocessFile};
use super::zoo::{UNTRAINED, is_zoo};
use crate::ending::usage;
use crate::observe::Monitor;
use crate::task::order::Order;
use crate::task::resolve::resolve;
use crate::task::{Objective, Task};
use anyhow::{Context as _, bail};
use bitesize_import::InputShape;
use bitesize_ir::Shape;
use bitesize_ir::shown::ShownPath as _;
use std::collections::BTreeSet;
use std::path::Path;

/// A model with its data.
pub struct Inputs {
    /// Rewritten; takes pixels where the data are pixels.
    pub model: Model,
    /// How stored values become the network's.
    pub preprocess: Preprocess,
    /// For calibration and reward.
    pub train: Option<Dataset>,
    /// For the final figures.
    pub val: Option<Dataset>,
    /// Samples without labels that training learns from beside the others.
    pub unlabelled: Option<Dataset>,
    /// What networks are judged by.
    pub objective: Objective,
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
    /// What the network is for; `None` takes what tail and labels say.
    pub task: Option<Task>,
    /// Where the channels of `.npz` data are; told by their shapes where `None`.
    pub layout: Option<DataLayout>,
}

impl Inputs {
    /// Opens everything and tells what was read.
    ///
    /// # Errors
    /// Anything that cannot be read or does not suit the rest; a network of the zoo, which nothing can be made from, as
    /// [`Usage`](crate::Usage).
    pub fn open(sources: Sources, monitor: &Monitor) -> anyhow::Result<Self> {
        if is_zoo(sources.model) {
            return Err(usage(format!("`{}`: {UNTRAINED}", sources.model.shown())));
        }
        let mut model = Model::load_sized(sources.model, sources.input_shape, monitor)?;
        let shape = model.network.shape(model.network.input);
        let preprocess = Preprocess::checked(sources.preprocess, shape)?;
        let folders: Vec<&Path> = [sources.train, sources.val].into_iter().flatten().collect();
        let classes = class_order(&folders)?;
        let request = Request {
            shape,
            preprocess: &preprocess,
            classes: classes.as_deref(),
            input: Some(&model.input),
            layout: sources.layout,
        };
        let mut echo = Vec::new();
        let open = |path: Option<&Path>, role: Role, name: &str| -> anyhow::Result<Option<Dataset>> {
            let Some(path) = path else { return Ok(None) };
            Dataset::open(path, role, &request).with_context(|| format!("cannot use the {name} data")).map(Some)
        };
        let mut train = open(sources.train, Role::Train, "train")?;
        let mut val = open(sources.val, Role::Val, "val")?;
        let (network, output) = (&model.network, &model.output);
        let tensor = network.shape(network.output);
        // Where the file flattens its output, that is a vector, also if no byte has to move for it.
        let shape = if model.output_order.flattened { Shape::vector(tensor.elements()) } else { tensor };
        // Nothing is chosen by validation data where there are labels to train by.
        let has_labels = |data: &Dataset| data.stored_labels().is_some();
        let telling = if train.as_ref().is_some_and(has_labels) { &train } else { &val };
        let stored = telling.as_ref().and_then(Dataset::stored_labels);
        let resolved =
            resolve(sources.task, (stored, preprocess.label_offset), shape, network.tail).map_err(|problem| {
                match telling {
                    Some(data) => anyhow::anyhow!("cannot use the data `{}`: {problem}", data.path().shown()),
                    None => anyhow::anyhow!("cannot use the data: {problem}"),
                }
            })?;
        let objective = resolved.objective;
        let (dims, places) = (output.layout.dims(tensor), output.layout.nhwc_indices(tensor));
        let order = Order { dims: dims.get(1..).unwrap_or_default(), places: &places, layout: sources.layout };
        let source = model.reconstruction();
        for (data, name) in [(&mut train, "train"), (&mut val, "val")] {
            let Some(data) = data else { continue };
            data.label(&objective, order, source.as_deref()).with_context(|| format!("cannot use the {name} data"))?;
            let line = format!("{name}: {}, {}", data.path().shown(), data.describe()?);
            monitor.note(&line);
            echo.push(line);
            data.warnings().iter().for_each(|warning| monitor.warn(warning));
        }
        if sources.task.is_none() && source.is_some() {
            [&train, &val].into_iter().flatten().for_each(|data| warn_of_autoencoder(data, objective, monitor));
        }
        let unlabelled = [&train, &val].into_iter().flatten().all(|data| !data.is_labelled());
        if unlabelled && !echo.is_empty() && objective.task != Task::Fidelity {
            monitor.warn(format_args!(
                "the data have no labels for the task `{}`: networks are judged by how near they come to the float network",
                objective.task
            ));
        }
        if !echo.is_empty() {
            let line = format!("task: {}, since {}", objective.task, resolved.because);
            monitor.note(&line);
            echo.push(line);
        }
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
        Ok(Self { model, preprocess, train, val, unlabelled: None, objective, echo })
    }

    /// Opens samples of which no label is read, to be learned from; `layout` is where their channels are, as for training data.
    ///
    /// # Errors
    /// Some that cannot be read, or that are values where the training samples are pixels, or the other way round.
    pub fn open_unlabelled(
        &mut self,
        path: &Path,
        layout: Option<DataLayout>,
        monitor: &Monitor,
    ) -> anyhow::Result<()> {
        let shape = self.model.network.shape(self.model.network.input);
        let preprocess = &self.preprocess;
        let request = Request { shape, preprocess, classes: None, input: Some(&self.model.input), layout };
        let data = Dataset::open(path, Role::Train, &request).context("cannot use the unlabelled data")?;
        if self.train.as_ref().is_some_and(|train| train.is_pixels() != data.is_pixels()) {
            bail!("the training data and the unlabelled data must both be pixels or both be real values");
        }
        monitor.note(format_args!("unlabelled: {}, {} samples", path.shown(), data.len()));
        data.warnings().iter().for_each(|warning| monitor.warn(warning));
        self.unlabelled = Some(data);
        Ok(())
    }

    /// How many training samples there are; 0 without training data.
    pub fn train_samples(&self) -> usize {
        self.train.as_ref().map_or(0, Dataset::len)
    }

    /// Warns of image files that could not be decoded.
    pub fn tell_skipped(&self, monitor: &Monitor) {
        let data = [&self.train, &self.val, &self.unlabelled].into_iter().flatten();
        data.filter_map(Dataset::skipped_warning).for_each(|warning| monitor.warn(warning));
    }
}

/// A network that gives as many values as it takes, with data of a few classes, may be none that classifies.
fn warn_of_autoencoder(data: &Dataset, objective: Objective, monitor: &Monitor) {
    let Some(classes) = data.labels().classes() else { return };
    let used: BTreeSet<&usize> = classes.iter().collect();
    let outputs = objective.shape.elements();
    if 2 * used.len() <= outputs {
        monitor.warn(format_args!(
            "the network gives as many values as it takes, {outputs}, and the labels of `{}` name {} classes: where it is an \
             autoencoder, --task regress judges it by its input",
            data.path().shown(),
            used.len()
        ));
    }
}
