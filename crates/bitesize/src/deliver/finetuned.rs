//! Training at the chosen widths, the second half of the stage between the choice and what is delivered.
//!
//! Needs the network that was chosen, or what [reconstruction](super::tuned) made of it. Owns `tuning.safetensors`, which is put there anew after
//! each epoch, so that a run goes on behind the last one, and `losses.csv`. Depends on all that reconstruction does, on the
//! settings of training and on the contents of all training samples but those that judge. What was learned is delivered only where the
//! held-out samples, which it never saw, say that it is better.

use super::candidate::{Candidate, train_error};
use super::held_out::HeldOut;
use super::learned_by::learned_by;
use super::opened::Opened;
use crate::input::{Dataset, Values};
use crate::run::events::Events;
use crate::run::names::{EVENTS, LOSSES, TUNING};
use crate::run::training::{EpochOutcome, Training};
use crate::run::{FinetuneConfig, Provenance, Stage};
use crate::task::labels::UNLABELLED;
use crate::task::loss::Fidelity;
use crate::task::{Labels, Measured, Objective, Task};
use anyhow::bail;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::{QuantizedModel, Shape, Tail};
use bitesize_train::{Distillation, LabelLoss, Loaded, LoadedValues, Source, Targets, TrainError, TuneSettings, Tuner};
use std::fmt::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const REMEDY: &str = "remove it, and the training begins anew";

/// What came of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Finetuned {
    /// What was asked for.
    pub asked: FinetuneConfig,
    /// Samples that were learned from.
    pub samples: usize,
    /// What came of each epoch.
    pub epochs: Vec<EpochOutcome>,
    /// On the held-out samples before it.
    pub before: Figures,
    /// The same of what was learned; `None` where nothing could be.
    pub after: Option<Figures>,
    /// Whether what was learned is delivered.
    pub is_kept: bool,
    /// Why nothing could be learned, or why it ended early.
    pub ended: Option<String>,
    /// Wall-clock time of all epochs.
    pub seconds: f64,
}

/// What a network is worth on the held-out samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// How far from float it is.
    pub loss: f64,
    /// The loss that labels bring, where there are some.
    pub label_loss: Option<f64>,
    /// The task's first figure, where there are labels.
    pub metric: Option<f64>,
}

impl Figures {
    /// What decides: the loss of labels, where there are some, else how far from float it is.
    fn decisive(&self) -> f64 {
        self.label_loss.unwrap_or(self.loss)
    }

    /// Whether it is better than `other`. The metric does not decide: of a few hundred samples it says little.
    fn is_better(&self, other: &Self) -> bool {
        self.decisive() < other.decisive()
    }
}

/// A network and what was found of it on the held-out samples.
pub(super) type Judged = (Candidate, (Option<Measured>, Fidelity));

/// `made_from`, and what training depends on beside.
///
/// # Errors
/// No training data, or some that cannot be read.
pub(super) fn with_training(opened: &Opened, made_from: Provenance) -> anyhow::Result<Provenance> {
    if opened.config.finetune.is_none() {
        return Ok(made_from);
    }
    let made_from = with_samples(opened, made_from.with_all(opened.config.settings(&["finetune"])))?;
    let Some(unlabelled) = &opened.inputs.unlabelled else { return Ok(made_from) };
    let all: Vec<usize> = (0..unlabelled.len()).collect();
    Ok(made_from.with_contents("the samples without labels", unlabelled.content_hash(&all)?))
}

/// `made_from`, and the training samples that are learned from.
///
/// # Errors
/// As [`with_training`].
pub(super) fn with_samples(opened: &Opened, made_from: Provenance) -> anyhow::Result<Provenance> {
    let samples = opened.train()?.content_hash(&samples_of(opened)?)?;
    Ok(made_from.with_contents("the samples that training learns from", samples))
}

/// The training samples that are learned from: all but those that judge.
fn samples_of(opened: &Opened) -> anyhow::Result<Vec<usize>> {
    let split = opened.split()?;
    Ok(split.calibration.iter().chain(&split.rest).copied().collect())
}

/// `begun` as it is trained, where that is better; `made_from` is what all of it depends on.
///
/// # Errors
/// A file of the folder that is of other inputs or was altered; samples that cannot be read;
/// [`Interrupted`](crate::observe::Interrupted).
pub(super) fn finetune(
    (opened, held_out): (Opened, &HeldOut),
    begun: Judged,
    asked: &FinetuneConfig,
    made_from: &Provenance,
) -> anyhow::Result<(Judged, Finetuned)> {
    let lesson = Lesson::of(opened, held_out, asked)?;
    let Learned { epochs, last, ended } = lesson.learn(&begun.0.model, made_from)?;
    let (_, before) = lesson.judge(&begun.0)?;
    let after = last.as_ref().map(|(_, (_, figures))| *figures);
    let finetuned = Finetuned {
        asked: asked.clone(),
        samples: lesson.source.len(),
        before,
        after,
        is_kept: after.is_some_and(|after| after.is_better(&before)),
        ended,
        seconds: epochs.iter().map(|epoch| epoch.seconds).sum(),
        epochs,
    };
    finetuned.tell(&opened, held_out.batch.len());
    match last {
        Some((candidate, (found, _))) if finetuned.is_kept => Ok(((candidate, found), finetuned)),
        _ => Ok((begun, finetuned)),
    }
}

/// What the loss does at rising rates where `model` is trained as `asked`: each rate with the loss of its batch.
///
/// # Errors
/// Samples that cannot be read; [`Interrupted`](crate::observe::Interrupted).
pub(super) fn try_rates(
    (opened, held_out): (Opened, &HeldOut),
    model: &QuantizedModel,
    asked: &FinetuneConfig,
) -> anyhow::Result<Vec<(f64, f64)>> {
    /// From far below to far above what is usual.
    const RANGE: [f64; 2] = [0.01, 100.0];
    const STEPS: usize = 200;
    let lesson = Lesson::of(opened, held_out, asked)?;
    let usual = asked.optimizer.usual_rate();
    let step = lesson.opened.monitor.step("tune", STEPS);
    let tuner = Tuner::new(model, lesson.settings()).map_err(train_error)?;
    let found = tuner.try_rates(&lesson.source, RANGE.map(|factor| factor * usual), STEPS, &mut step.callback());
    let found = found.map_err(train_error)?;
    step.finish(format_args!("{} rates tried", found.len()));
    Ok(found)
}

/// Everything that a training of a run's network works with.
pub(super) struct Lesson<'a> {
    opened: Opened<'a>,
    held_out: &'a HeldOut,
    asked: &'a FinetuneConfig,
    source: Samples<'a>,
    /// Of the held-out samples.
    labels: Targets,
}

/// What came of a training.
struct Learned {
    epochs: Vec<EpochOutcome>,
    /// After the last epoch; `None` where that fits no integers or there was none.
    last: Option<(Candidate, Judgement)>,
    /// Why it ended early.
    ended: Option<String>,
}

/// What the held-out samples say of a network.
type Judgement = ((Option<Measured>, Fidelity), Figures);

impl<'a> Lesson<'a> {
    /// For the run of `opened`.
    ///
    /// # Errors
    /// No training data.
    pub(super) fn of(opened: Opened<'a>, held_out: &'a HeldOut, asked: &'a FinetuneConfig) -> anyhow::Result<Self> {
        let objective = &opened.inputs.objective;
        let unlabelled = asked.unlabelled.as_ref().and(opened.inputs.unlabelled.as_ref());
        let network = &opened.inputs.model.network;
        let input = network.shape(network.input);
        let source = Samples { data: opened.train()?, indices: samples_of(&opened)?, unlabelled, input, objective };
        let labels = targets(held_out.batch.labels.clone(), objective);
        Ok(Self { opened, held_out, asked, source, labels })
    }

    fn settings(&self) -> TuneSettings {
        let Opened { config, inputs, .. } = self.opened;
        let network = &inputs.model.network;
        settings(self.asked, &inputs.objective, config.seed, network.shape(network.input).w)
    }

    fn judge(&self, candidate: &Candidate) -> anyhow::Result<Judgement> {
        let monitor = self.opened.monitor;
        let found = self.held_out.measure(candidate, monitor)?;
        let codes = candidate.output_codes(&self.held_out.batch, None, monitor)?;
        let values: Vec<f32> = candidate.model.output_values(&codes).into_iter().map(|x| x as f32).collect();
        let by = label_loss(self.asked, &self.opened.inputs.objective);
        let figures = Figures {
            loss: found.1.loss,
            label_loss: self.labels.loss(&by, &values, self.held_out.batch.len()),
            metric: found.0.as_ref().and_then(Measured::first).map(|(_, value)| value),
        };
        Ok((found, figures))
    }

    /// What `tuner` has come to; `None` where that fits no integers.
    fn judged(&self, tuner: &mut Tuner) -> anyhow::Result<Option<(Candidate, Judgement)>> {
        let Ok(candidate) = tuner.model().map_err(train_error).and_then(Candidate::new) else { return Ok(None) };
        let judgement = self.judge(&candidate)?;
        Ok(Some((candidate, judgement)))
    }

    /// The loss on the held-out samples of what all epochs make of `candidate`, or of itself where that is less.
    ///
    /// # Errors
    /// Samples that cannot be read; [`Interrupted`](crate::observe::Interrupted).
    pub(super) fn loss_after(&self, candidate: &Candidate) -> anyhow::Result<f64> {
        let monitor = self.opened.monitor;
        let before = self.judge(candidate)?.1.decisive();
        let step = monitor.step("try", 1);
        let mut tuner = Tuner::new(&candidate.model, self.settings()).map_err(train_error)?;
        while !tuner.is_done() {
            match tuner.learn_epoch(&self.source, &mut step.callback()) {
                Ok(_) => {}
                Err(TrainError::Diverged { .. }) => return Ok(before),
                Err(error) => return Err(train_error(error)),
            }
        }
        let after = self.judged(&mut tuner)?.map_or(f64::INFINITY, |(_, (_, figures))| figures.decisive());
        step.finish(format_args!("loss {before:.5} before an epoch of training, {after:.5} after it"));
        Ok(after.min(before))
    }

    /// Trains `model`, from where an earlier run was cut off, and keeps what was learned after each epoch.
    fn learn(&self, model: &QuantizedModel, made_from: &Provenance) -> anyhow::Result<Learned> {
        let (asked, objective, monitor) = (self.asked, &self.opened.inputs.objective, self.opened.monitor);
        let mut tuner = Tuner::new(model, self.settings()).map_err(train_error)?;
        let (mut epochs, mut last, mut ended) = (Vec::new(), None, None);
        if let Some(training) = kept(&self.opened, model, made_from)? {
            tuner = tuner.resume(training.state).map_err(train_error)?;
            (epochs, last) = (training.epochs, self.judged(&mut tuner)?);
        }
        let step = monitor.step("tune", 1);
        while !tuner.is_done() && !is_enough(&epochs, asked.patience) {
            let (start, number) = (Instant::now(), tuner.epochs());
            let held = epochs.last().map_or(String::new(), |epoch| format!(", {}", shown(objective, epoch)));
            step.message(format_args!("epoch {} of {}{held}", number + 1, asked.epochs));
            let mut progress = |done: usize, all: usize| {
                step.set(number * all + done, asked.epochs * all);
                monitor.go_on()
            };
            let epoch = match tuner.learn_epoch(&self.source, &mut progress) {
                Ok(epoch) => epoch,
                Err(error @ TrainError::Diverged { .. }) => {
                    ended = Some(format!("{error}: try a lower --lr, now {}", asked.lr));
                    break;
                }
                Err(error) => return Err(train_error(error)),
            };
            last = self.judged(&mut tuner)?;
            let figures = last.as_ref().map(|(_, (_, figures))| figures);
            epochs.push(EpochOutcome {
                loss: epoch.loss,
                rate: epoch.rate,
                frozen: epoch.frozen,
                held_out_loss: figures.map(|figures| figures.loss),
                held_out_label_loss: figures.and_then(|figures| figures.label_loss),
                held_out_metric: figures.and_then(|figures| figures.metric),
                seconds: start.elapsed().as_secs_f64(),
                // A clock before 1970 tells nothing.
                ended: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()),
            });
            let training = Training { state: tuner.state(), epochs: epochs.clone() };
            self.keep(&training, model, made_from)?;
        }
        if ended.is_none() && !tuner.is_done() {
            ended = Some(format!("{} epochs were no better than those before", asked.patience.unwrap_or_default()));
        }
        step.finish(format_args!("{} of {} epochs on {} samples", epochs.len(), asked.epochs, self.source.len()));
        Ok(Learned { epochs, last, ended })
    }

    /// Puts what was learned of `model` so far into its place.
    fn keep(&self, training: &Training, model: &QuantizedModel, made_from: &Provenance) -> anyhow::Result<()> {
        let Opened { inputs, folder, .. } = self.opened;
        let (objective, epochs) = (&inputs.objective, &training.epochs);
        let mut commit = folder.begin()?;
        commit.stage(Stage::Finetuned, made_from.clone());
        commit.put(Stage::Finetuned, TUNING, &training.to_bytes(&model.policy, &inputs.model.sha256)?)?;
        commit.put(Stage::Finetuned, LOSSES, table(objective, epochs).as_bytes())?;
        commit.put(Stage::Finetuned, EVENTS, &events(objective, epochs))?;
        commit.finish()
    }
}

impl Finetuned {
    fn tell(&self, opened: &Opened, held_out: usize) {
        if let Some(ended) = &self.ended {
            opened.monitor.warn(format_args!("training ended early: {ended}"));
        }
        let shown = |Figures { loss, label_loss, metric: value }: Figures| {
            let by_labels = label_loss.map_or(String::new(), |loss| format!(", {loss:.5} against labels"));
            match (opened.inputs.objective.metrics().first(), value) {
                (Some(metric), Some(_)) => {
                    format!("{} {}, loss {loss:.5}{by_labels}", metric.title(), metric.shown(value))
                }
                _ => format!("loss {loss:.5}"),
            }
        };
        let kept = if self.is_kept { "is delivered" } else { "is not delivered" };
        let after = self.after.map_or("nothing".to_owned(), shown);
        opened.monitor.note(format_args!(
            "tune: on {held_out} held-out samples {} before, {after} after, which {kept}",
            shown(self.before)
        ));
    }
}

/// Whether the last epochs were no better than one before them.
fn is_enough(epochs: &[EpochOutcome], patience: Option<usize>) -> bool {
    let Some(patience) = patience else { return false };
    // Infinitely far where it fits no integers.
    let loss = |epoch: &EpochOutcome| epoch.held_out_label_loss.or(epoch.held_out_loss).unwrap_or(f64::INFINITY);
    let best = (0..epochs.len()).min_by(|a, b| loss(&epochs[*a]).total_cmp(&loss(&epochs[*b])));
    best.is_some_and(|best| epochs.len() - 1 - best >= patience)
}

fn shown(objective: &Objective, epoch: &EpochOutcome) -> String {
    match (objective.metrics().first(), epoch.held_out_metric) {
        (Some(metric), Some(value)) => format!("held-out {} {}", metric.title(), metric.shown(Some(value))),
        _ => format!("held-out loss {:.5}", epoch.held_out_loss.unwrap_or(f64::INFINITY)),
    }
}

/// The text of `losses.csv`.
fn table(objective: &Objective, epochs: &[EpochOutcome]) -> String {
    let metric = objective.metrics().first().map_or("metric", |metric| metric.name());
    let mut text = format!("epoch,loss,held_out_loss,held_out_label_loss,held_out_{metric},rate,frozen\n");
    for (i, epoch) in epochs.iter().enumerate() {
        let shown = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{}",
            i + 1,
            epoch.loss,
            shown(epoch.held_out_loss),
            shown(epoch.held_out_label_loss),
            shown(epoch.held_out_metric),
            epoch.rate,
            epoch.frozen
        );
    }
    text
}

/// The same for TensorBoard.
fn events(objective: &Objective, epochs: &[EpochOutcome]) -> Vec<u8> {
    let began = epochs.first().map_or(0.0, |epoch| epoch.ended - epoch.seconds);
    let metric = format!("held_out/{}", objective.metrics().first().map_or("metric", |metric| metric.name()));
    let mut events = Events::new(began);
    for (i, epoch) in epochs.iter().enumerate() {
        let values = [
            ("train/loss", Some(epoch.loss)),
            ("train/rate", Some(epoch.rate)),
            ("train/frozen", Some(epoch.frozen as f64)),
            ("held_out/loss", epoch.held_out_loss),
            ("held_out/label_loss", epoch.held_out_label_loss),
            (metric.as_str(), epoch.held_out_metric),
        ];
        let known: Vec<(&str, f64)> = values.iter().filter_map(|(tag, value)| Some((*tag, (*value)?))).collect();
        events.add(epoch.ended, i + 1, &known);
    }
    events.into_bytes()
}

fn settings(asked: &FinetuneConfig, objective: &Objective, seed: u64, size: usize) -> TuneSettings {
    let answers = match learned_by(objective) {
        bitesize_train::Objective::Distillation { .. } => {
            bitesize_train::Objective::Distillation { temperature: asked.temperature }
        }
        bitesize_train::Objective::PixelDistillation { .. } => {
            bitesize_train::Objective::PixelDistillation { temperature: asked.temperature }
        }
        other => other,
    };
    let distillation = Some(Distillation { objective: answers, share: asked.distill });
    TuneSettings { labels: label_loss(asked, objective), distillation, ..asked.settings(size, seed) }
}

/// The loss that labels bring.
fn label_loss(asked: &FinetuneConfig, objective: &Objective) -> LabelLoss {
    match objective.task {
        Task::Classify => LabelLoss::CrossEntropy { classes: objective.row(), smoothing: asked.label_smoothing },
        Task::Map if objective.shape.c > 1 => {
            LabelLoss::CrossEntropy { classes: objective.row(), smoothing: asked.label_smoothing }
        }
        Task::Binary | Task::Multilabel | Task::Map => {
            LabelLoss::Binary { factor: if objective.tail == Some(Tail::Tanh) { 2.0 } else { 1.0 } }
        }
        Task::Regress | Task::Fidelity => LabelLoss::SquareError,
    }
}

/// How far the training of `model` in the folder is.
fn kept(opened: &Opened, model: &QuantizedModel, made_from: &Provenance) -> anyhow::Result<Option<Training>> {
    let Some(bytes) = opened.folder.read(Stage::Finetuned, TUNING, REMEDY)? else { return Ok(None) };
    opened.refuse_other_inputs(Stage::Finetuned, made_from)?;
    let own = &opened.inputs.model;
    match Training::from_bytes(&bytes, &own.space, &own.sha256) {
        Ok((training, policy)) if policy == model.policy => Ok(Some(training)),
        Ok(_) => {
            opened.monitor.note("tune: the search chose other widths than before, so training begins anew");
            Ok(None)
        }
        Err(problem) => bail!("`{}`: {problem}; {REMEDY}", opened.folder.join(TUNING).shown()),
    }
}

/// Training samples, loaded as they are asked for: those with labels, then those without.
pub(crate) struct Samples<'a> {
    pub(crate) data: &'a Dataset,
    /// Those that there are.
    pub(crate) indices: Vec<usize>,
    pub(crate) unlabelled: Option<&'a Dataset>,
    /// The shape of a sample.
    pub(crate) input: Shape,
    pub(crate) objective: &'a Objective,
}

impl Source for Samples<'_> {
    fn len(&self) -> usize {
        self.indices.len() + self.unlabelled.map_or(0, Dataset::len)
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, String> {
        let labelled = indices.iter().filter_map(|i| self.indices.get(*i).copied());
        let others = indices.iter().filter_map(|i| i.checked_sub(self.indices.len()));
        let mut loaded = of_batch(self.data, &labelled.collect::<Vec<_>>(), self.objective)?;
        if let (Some(data), others @ [_, ..]) = (self.unlabelled, &others.collect::<Vec<_>>()[..]) {
            let more = of_batch(data, others, self.objective)?;
            append(&mut loaded, more, self.input, self.objective);
        }
        Ok(loaded)
    }
}

/// The samples `indices` of `data` with their labels.
fn of_batch(data: &Dataset, indices: &[usize], objective: &Objective) -> Result<Loaded, String> {
    let batch = data.load_kept(indices).map_err(|error| error.to_string())?;
    let values = match batch.values {
        Values::Pixels(pixels) => LoadedValues::Pixels(pixels),
        Values::Reals(values) => LoadedValues::Reals(values),
    };
    Ok(Loaded { values, targets: targets(batch.labels, objective) })
}

/// Puts `more`, of which no label is known, behind `loaded`.
fn append(loaded: &mut Loaded, more: Loaded, input: Shape, objective: &Objective) {
    let before = loaded.values.len();
    match (&mut loaded.values, more.values) {
        (LoadedValues::Pixels(all), LoadedValues::Pixels(more)) => all.extend_from_slice(&more),
        (LoadedValues::Reals(all), LoadedValues::Reals(more)) => all.extend_from_slice(&more),
        _ => unreachable!("both kinds of samples were compared when they were opened"),
    }
    let samples = (loaded.values.len() - before) / input.elements();
    let outputs = samples * objective.shape.elements();
    match &mut loaded.targets {
        Targets::None => {}
        Targets::Classes(classes) => classes.resize(classes.len() + outputs / objective.row(), None),
        Targets::Values(values) => values.resize(values.len() + outputs, f32::NAN),
    }
}

/// What labels say of outputs. Values behind a function that was left out say nothing of what goes into it.
fn targets(labels: Labels, objective: &Objective) -> Targets {
    let is_behind = matches!(objective.task, Task::Regress | Task::Fidelity) && objective.tail.is_some();
    match labels {
        Labels::None(_) => Targets::None,
        Labels::Values { .. } if is_behind => Targets::None,
        Labels::Classes(classes) => Targets::Classes(classes.into_iter().map(Some).collect()),
        Labels::Flags { flags, .. } => Targets::Values(flags.into_iter().map(|f| f32::from(u8::from(f))).collect()),
        Labels::Values { values, .. } => Targets::Values(values),
        Labels::Pixels { classes, .. } => {
            Targets::Classes(classes.into_iter().map(|c| (c != UNLABELLED).then_some(c as usize)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(loss: f64) -> EpochOutcome {
        let held_out_label_loss = None;
        let (held_out_loss, held_out_metric) = (Some(loss), None);
        let (seconds, ended) = (0.0, 0.0);
        EpochOutcome { loss, rate: 1.0, frozen: 0, held_out_loss, held_out_label_loss, held_out_metric, seconds, ended }
    }

    #[test]
    fn it_ends_where_nothing_gets_better() {
        let epochs = [0.5, 0.3, 0.4, 0.35].map(epoch);
        assert!(!is_enough(&epochs, None) && !is_enough(&epochs, Some(3)));
        assert!(is_enough(&epochs, Some(2)) && !is_enough(&epochs[..2], Some(1)) && !is_enough(&[], Some(1)));
    }

    #[test]
    fn labels_decide_where_there_are_some() {
        let figures = |loss, label_loss| Figures { loss, label_loss, metric: None };
        let check = |after: Figures, before: Figures, expected| {
            assert_eq!(after.is_better(&before), expected, "{after:?} {before:?}");
        };
        check(figures(0.5, Some(0.1)), figures(0.4, Some(0.2)), true);
        check(figures(0.3, Some(0.2)), figures(0.4, Some(0.2)), false);
        check(figures(0.3, None), figures(0.4, None), true);
        check(figures(f64::NAN, None), figures(0.4, None), false);
    }

    #[test]
    fn the_table_has_a_line_an_epoch() {
        let objective = Objective { task: Task::Classify, shape: Shape::vector(3), tail: None };
        let epochs = [EpochOutcome { held_out_metric: Some(0.75), ..epoch(0.5) }];
        assert_eq!(
            table(&objective, &epochs),
            "epoch,loss,held_out_loss,held_out_label_loss,held_out_top1,rate,frozen\n1,0.5,0.5,,0.75,1,0\n"
        );
    }
}
