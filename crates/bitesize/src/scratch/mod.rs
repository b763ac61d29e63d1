//! Training from scratch: a network of the zoo, images of classes, and at the end a float ONNX file that every other command takes.
//!
//! The folder holds `checkpoint.safetensors` (all that going on needs, put there anew after each epoch), `model.onnx` and
//! `preprocess.toml` (the network as it is after the last epoch that is done, and what its input is), `losses.csv` and
//! `events.out.tfevents.training`. It is no run folder: nothing is calibrated or chosen.
//!
//! In reading order: [`config`], [`checkpoint`], `folder`, `figures`.

pub mod checkpoint;
pub mod config;
mod figures;
mod folder;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, EpochOutcome};
pub use config::ScratchConfig;

use crate::deliver::candidate::train_error;
use crate::deliver::finetuned::Samples;
use crate::deliver::measured::figures as measured_figures;
use crate::ending::usage;
use crate::files;
use crate::input::zoo::{self, ZooName};
use crate::input::{Batch, Dataset, Preprocess, Request, Role, Split, Values, class_order};
use crate::observe::Monitor;
use crate::task::{Labels, Measured, Objective, Task};
use anyhow::{Context as _, bail};
use bitesize_ir::Shape;
use bitesize_ir::shown::ShownPath as _;
use bitesize_train::{LabelLoss, LoadedValues, Scratch, Targets, TrainError, accuracy};
use folder::Folder;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How far a training is.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The network.
pub const MODEL: &str = "model.onnx";
/// How stored values become the network's.
pub const PREPROCESS: &str = "preprocess.toml";
/// What came of each epoch, as a table.
pub const LOSSES: &str = "losses.csv";
/// The same for TensorBoard.
pub const EVENTS: &str = "events.out.tfevents.training";

/// Samples that judge each epoch, at most; of few samples a tenth.
const HELD_OUT: usize = 1000;
const HELD_OUT_SHARE: usize = 10;

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Samples that were learned from.
    pub samples: usize,
    /// Samples that judged each epoch.
    pub held_out: usize,
    /// What came of each epoch.
    pub epochs: Vec<EpochOutcome>,
    /// Figures on the validation data, where there are some, and how many samples they have.
    pub validated: Option<(Measured, usize)>,
}

/// Trains as `config` says, into the new or empty folder `out`.
///
/// # Errors
/// Settings, data or a folder that cannot be used; a training that diverged; [`Interrupted`](crate::observe::Interrupted).
pub fn train(config: &ScratchConfig, out: &Path, monitor: &Monitor) -> anyhow::Result<Trained> {
    Folder::check_new(out)?;
    let opened = Opened::of(config, monitor)?;
    let mut trainer = opened.trainer(config)?;
    let folder = Folder::create(out)?;
    let data_sha256 = opened.content_hash()?;
    let mut checkpoint = Checkpoint { config: config.clone(), data_sha256, epochs: Vec::new(), state: trainer.state() };
    folder.put(PREPROCESS, toml::to_string(&config.preprocess)?.as_bytes())?;
    folder.put(CHECKPOINT, &checkpoint.to_bytes()?)?;
    opened.learn(&mut trainer, &mut checkpoint, &folder, monitor)
}

/// Goes on with the training in the folder `out`, to what it would have come to.
///
/// # Errors
/// As [`train`]; no checkpoint, a damaged one, or data that are not what they were.
pub fn resume(out: &Path, monitor: &Monitor) -> anyhow::Result<Trained> {
    let path = out.join(CHECKPOINT);
    if !path.is_file() {
        bail!("there is no training to go on with in `{}`: it has no {CHECKPOINT}", out.shown());
    }
    let folder = Folder::open(out)?;
    let bytes = files::read(&path).with_context(|| format!("cannot read `{}`", path.shown()))?;
    let unusable =
        |problem: String| anyhow::anyhow!("`{}` cannot be used: {problem}; begin anew in another folder", path.shown());
    let mut checkpoint = Checkpoint::from_bytes(&bytes).map_err(unusable)?;
    let config = checkpoint.config.clone();
    let opened = Opened::of(&config, monitor)?;
    if opened.content_hash()? != checkpoint.data_sha256 {
        bail!(
            "the training data `{}` are not those that the training in `{}` began with: put them back, or begin anew in another \
             folder",
            config.train.shown(),
            out.shown()
        );
    }
    let trainer = opened.trainer(&config)?;
    let mut trainer = trainer.resume(checkpoint.state.clone()).map_err(|error| unusable(error.to_string()))?;
    if trainer.is_done() {
        monitor.note(format_args!("the training in `{}` is finished", out.shown()));
    }
    opened.learn(&mut trainer, &mut checkpoint, &folder, monitor)
}

/// The shape of what the network `name` reads.
fn input_of(name: &ZooName) -> Shape {
    Shape::new(name.resolution(), name.resolution(), 3)
}

/// A network with its data, checked against each other.
struct Opened {
    name: ZooName,
    preprocess: Preprocess,
    objective: Objective,
    train: Dataset,
    val: Option<Dataset>,
    /// Samples that are learned from.
    learned: Vec<usize>,
    /// Samples that judge.
    held_out: Vec<usize>,
}

impl Opened {
    fn of(config: &ScratchConfig, monitor: &Monitor) -> anyhow::Result<Self> {
        let name: ZooName = config.network.parse().map_err(|problem: String| usage(problem))?;
        let shape = input_of(&name);
        let preprocess = Preprocess::checked(&config.preprocess, shape)?;
        let folders: Vec<&Path> = [Some(config.train.as_path()), config.val.as_deref()].into_iter().flatten().collect();
        let classes = class_order(&folders)?;
        let layout = zoo::imported(&name).input.layout;
        let request = Request {
            shape,
            preprocess: &preprocess,
            classes: classes.as_deref(),
            input: Some(&layout),
            layout: config.layout,
        };
        let open = |path: &Path, role: Role, what: &str| -> anyhow::Result<Dataset> {
            let opened = Dataset::open(path, role, &request).and_then(|data| data.with_classes(name.classes()));
            let data = opened.with_context(|| format!("cannot use the {what} data"))?;
            monitor.note(format_args!("{what}: {}, {}", path.shown(), data.describe()?));
            data.warnings().iter().for_each(|warning| monitor.warn(warning));
            Ok(data)
        };
        let train = open(&config.train, Role::Train, "train")?;
        let val = config.val.as_deref().map(|path| open(path, Role::Val, "val")).transpose()?;
        check_classes(&train, name.classes())?;
        let count = (train.len() / HELD_OUT_SHARE).clamp(1, HELD_OUT);
        let shares = crate::input::Shares { reward: count, calibration: 0 };
        let Split { reward: held_out, rest: learned, .. } = Split::of(&train, shares, config.seed)?;
        if learned.len() < config.batch {
            bail!(
                "the training data `{}` have too few samples: of {} {} are held out to judge by, and the {} others do not fill \
                 one step of --batch {}: give more images, or a smaller --batch",
                config.train.shown(),
                train.len(),
                held_out.len(),
                learned.len(),
                config.batch
            );
        }
        monitor.note(format_args!("preprocessing: {}", preprocess.describe()));
        let network = zoo::network(&name);
        monitor.note(format_args!("network: {name}, {} parameters, {} MACs", network.parameters(), network.macs()));
        let objective = Objective { task: Task::Classify, shape: Shape::vector(name.classes()), tail: None };
        Ok(Self { name, preprocess, objective, train, val, learned, held_out })
    }

    fn trainer(&self, config: &ScratchConfig) -> anyhow::Result<Scratch> {
        let settings = config.settings(self.name.resolution(), &self.preprocess, self.train.is_pixels());
        Scratch::new(zoo::drawn(&self.name, config.seed), settings).map_err(train_error)
    }

    fn content_hash(&self) -> anyhow::Result<String> {
        let all: Vec<usize> = (0..self.train.len()).collect();
        Ok(self.train.content_hash(&all)?)
    }

    fn learn(
        &self,
        trainer: &mut Scratch,
        checkpoint: &mut Checkpoint,
        folder: &Folder,
        monitor: &Monitor,
    ) -> anyhow::Result<Trained> {
        let config = checkpoint.config.clone();
        let (data, indices, objective) = (&self.train, self.learned.clone(), &self.objective);
        let source = Samples { data, indices, unlabelled: None, input: input_of(&self.name), objective };
        let held_out = self.train.load(&self.held_out)?;
        let step = monitor.step("train", 1);
        while !trainer.is_done() {
            let (start, number) = (Instant::now(), trainer.epochs());
            let last = checkpoint.epochs.last().map_or(String::new(), |epoch| format!(", {}", shown(epoch)));
            step.message(format_args!("epoch {} of {}{last}", number + 1, config.epochs));
            let mut progress = |done: usize, all: usize| {
                step.set(number * all + done, config.epochs * all);
                monitor.go_on()
            };
            let epoch = match trainer.learn_epoch(&source, &mut progress) {
                Err(error @ TrainError::Diverged { .. }) => bail!("{error}: {}", remedy(&config, number, folder)),
                other => other.map_err(train_error)?,
            };
            let (held_out_loss, held_out_top1) = self.judge(trainer, &held_out, &config)?;
            checkpoint.epochs.push(EpochOutcome {
                loss: epoch.loss,
                rate: epoch.rate,
                held_out_loss,
                held_out_top1,
                seconds: start.elapsed().as_secs_f64(),
                // A clock before 1970 tells nothing.
                ended: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()),
            });
            checkpoint.state = trainer.state();
            folder.put(CHECKPOINT, &checkpoint.to_bytes()?)?;
            self.put(trainer, checkpoint, folder)?;
        }
        self.put(trainer, checkpoint, folder)?;
        let last = checkpoint.epochs.last().map_or(String::new(), |epoch| format!(", {}", shown(epoch)));
        step.finish(format_args!("{} epochs on {} samples{last}", checkpoint.epochs.len(), self.learned.len()));
        let validated = self.val.as_ref().map(|val| self.validated(trainer, val, monitor)).transpose()?.flatten();
        let data = std::iter::once(&self.train).chain(&self.val);
        data.filter_map(Dataset::skipped_warning).for_each(|warning| monitor.warn(warning));
        let epochs = checkpoint.epochs.clone();
        Ok(Trained { samples: self.learned.len(), held_out: held_out.len(), epochs, validated })
    }

    /// Mean loss and top-1 of held-out samples.
    fn judge(&self, trainer: &mut Scratch, held_out: &Batch, config: &ScratchConfig) -> anyhow::Result<(f64, f64)> {
        let mut answers = Vec::new();
        for start in (0..held_out.len()).step_by(config.batch) {
            let part = held_out.slice(start..(start + config.batch).min(held_out.len()));
            let values = match part.values {
                Values::Pixels(pixels) => LoadedValues::Pixels(pixels),
                Values::Reals(values) => LoadedValues::Reals(values),
            };
            answers.extend(trainer.answers(&values).map_err(train_error)?);
        }
        let Labels::Classes(labels) = &held_out.labels else { bail!("the training data have no classes") };
        let classes = self.name.classes();
        let by = LabelLoss::CrossEntropy { classes, smoothing: config.label_smoothing };
        let targets = Targets::Classes(labels.iter().map(|label| Some(*label)).collect());
        let loss = targets.loss(&by, &answers, labels.len()).unwrap_or(f64::NAN);
        Ok((loss, accuracy(&answers, classes, labels)))
    }

    /// Puts the network and the figures into their places.
    fn put(&self, trainer: &Scratch, checkpoint: &Checkpoint, folder: &Folder) -> anyhow::Result<()> {
        let model = bitesize_import::export_onnx(trainer.architecture(), trainer.norms())?;
        folder.put(MODEL, &model)?;
        folder.put(PREPROCESS, toml::to_string(&checkpoint.config.preprocess)?.as_bytes())?;
        folder.put(LOSSES, figures::table(&checkpoint.epochs).as_bytes())?;
        folder.put(EVENTS, &figures::events(&checkpoint.epochs))
    }

    /// Figures on the validation data, by the network as every other command computes it.
    fn validated(
        &self,
        trainer: &Scratch,
        val: &Dataset,
        monitor: &Monitor,
    ) -> anyhow::Result<Option<(Measured, usize)>> {
        let mut network = trainer.network();
        if val.is_pixels() {
            let Preprocess { scale, mean, std, .. } = self.preprocess.clone();
            let folded = bitesize_ir::rewrite::Normalization { scale, mean, std };
            network = bitesize_ir::rewrite::fold_normalization(network, &folded)
                .context("cannot fold the preprocessing into the first layer")?;
        }
        let found = measured_figures(val, (&network, self.objective), &[], monitor)?;
        Ok(found.float.map(|measured| (measured, found.samples)))
    }
}

/// Refuses data of another number of classes than the network has outputs.
fn check_classes(data: &Dataset, outputs: usize) -> anyhow::Result<()> {
    let path = data.path().shown();
    let Some(labels) = data.labels().classes() else {
        bail!("the training data `{path}` have no labels: a class for each sample is what is learned");
    };
    let found = labels.iter().max().map_or(0, |last| last + 1);
    if found != outputs {
        bail!(
            "the training data `{path}` have {found} classes and --classes says {outputs}: give --classes {found}, or the data that \
             have the others"
        );
    }
    Ok(())
}

fn shown(epoch: &EpochOutcome) -> String {
    format!("loss {:.4}, held-out top-1 {:.2} %", epoch.loss, 100.0 * epoch.held_out_top1)
}

/// What to try where a training in its epoch `number`, from 0, came to no number.
fn remedy(config: &ScratchConfig, number: usize, folder: &Folder) -> String {
    let kept = match number {
        0 => "no epoch was done".to_owned(),
        number => {
            format!(
                "the checkpoint after epoch {number} and its network are kept in `{}`",
                folder.join(CHECKPOINT).shown()
            )
        }
    };
    format!(
        "{kept}; try a lower --lr, now {}, or a longer --warm-up, now {}, in another folder, and look for values in the data that are \
         far too large",
        config.lr, config.warm_up
    )
}
