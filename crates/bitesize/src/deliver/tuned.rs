//! The stage between the choice and what is delivered: rounding, scales and ranges learned from training images without
//! their labels, and [training](super::finetuned) with them, where the run asks for that.
//!
//! Needs the network that was [chosen](super::chosen). Owns `reconstruction.safetensors`, which is put there anew after
//! each block that is learned, so that a run goes on behind the last one. Depends on all that the choice does, on the
//! settings of reconstruction and on the contents of the images. What is learned is delivered only where the held-out
//! samples, which it never saw, say that it comes nearer to the float network.

use super::candidate::{Candidate, samples, train_error};
use super::chosen::Chosen;
use super::finetuned::{self, Finetuned, Judged};
use super::learned_by::learned_by;
use super::opened::Opened;
use crate::input::Batch;
use crate::observe::Monitor;
use crate::run::names::RECONSTRUCTION;
use crate::run::{FinetuneConfig, ReconstructConfig};
use crate::run::{Provenance, Stage, weights};
use crate::target::Platform;
use crate::task::Measured;
use crate::task::loss::Fidelity;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::{Network, QuantizedModel};
use bitesize_train::{ReconstructSettings, ReconstructState, Reconstruction, UnitOutcome};
use std::time::Instant;

/// What the images may take in memory for the whole network, in bytes, and again those that blocks learn from, as codes and in float
/// between two of them.
const STREAM_BYTES: usize = 1 << 30;

const REMEDY: &str = "remove it, and the reconstruction begins anew";

/// What is delivered, and how it came to be.
pub struct Tuned {
    /// The network.
    pub candidate: Candidate,
    /// What was found of it on the held-out samples.
    pub found: (Option<Measured>, Fidelity),
    /// `None` where nothing is to be reconstructed.
    pub reconstructed: Option<Reconstructed>,
    /// `None` where nothing is to be trained.
    pub finetuned: Option<Finetuned>,
}

/// What came of a reconstruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstructed {
    /// What was asked for.
    pub asked: ReconstructConfig,
    /// Images that were learned from, those that judged blocks included.
    pub images: usize,
    /// What came of each block, and of the network.
    pub units: Vec<UnitOutcome>,
    /// The loss on the held-out samples as the network was rounded.
    pub before: f64,
    /// The same with what was learned; `None` where nothing could be.
    pub after: Option<f64>,
    /// Why nothing could be learned.
    pub failed: Option<String>,
    /// Wall-clock time of this run's part.
    pub seconds: f64,
}

impl Reconstructed {
    /// Whether what was learned is delivered.
    pub fn is_kept(&self) -> bool {
        self.after.is_some_and(|after| after < self.before)
    }
}

impl Tuned {
    /// What is delivered depends on this, as far as settings say it.
    pub fn made_from_settings(opened: &Opened, platform: &Platform) -> Provenance {
        Chosen::made_from_settings(opened, platform).with_all(opened.config.settings(&["reconstruct", "finetune"]))
    }

    /// What is delivered depends on this.
    ///
    /// # Errors
    /// No training data, or some that cannot be read.
    pub fn made_from(opened: &Opened, platform: &Platform) -> anyhow::Result<Provenance> {
        finetuned::with_training(opened, Self::reconstruction_made_from(opened, platform)?)
    }

    /// What reconstruction came to depends on this.
    ///
    /// # Errors
    /// As [`Self::made_from`].
    pub fn reconstruction_made_from(opened: &Opened, platform: &Platform) -> anyhow::Result<Provenance> {
        let made_from = Chosen::made_from(opened, platform)?.with_all(opened.config.settings(&["reconstruct"]));
        let Some(asked) = &opened.config.reconstruct else { return Ok(made_from) };
        let images = opened.train()?.content_hash(&images_of(opened, asked)?)?;
        Ok(made_from.with_contents("the images that reconstruction learns from", images))
    }

    /// What `chosen` is delivered as: reconstructed and trained, where the run asks for that and it helps.
    ///
    /// # Errors
    /// A file of the folder that is of other inputs or was altered; images that cannot be read;
    /// [`Interrupted`](crate::observe::Interrupted).
    pub fn of(chosen: &Chosen, platform: &Platform) -> anyhow::Result<Self> {
        let opened = chosen.prepared.calibrated.opened;
        let (begun, reconstructed) = reconstruct(chosen, platform)?;
        let ((candidate, found), finetuned) = match &opened.config.finetune {
            Some(asked) => {
                let made_from = Self::made_from(&opened, platform)?;
                let (judged, finetuned) = finetuned::finetune((opened, chosen.held_out), begun, asked, &made_from)?;
                (judged, Some(finetuned))
            }
            None => (begun, None),
        };
        Ok(Self { candidate, found, reconstructed, finetuned })
    }

    /// What the loss does at rising rates where `chosen`, reconstructed where the run asks for that, is trained as `asked`: each rate with the loss
    /// of its batch.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn try_rates(chosen: &Chosen, platform: &Platform, asked: &FinetuneConfig) -> anyhow::Result<Vec<(f64, f64)>> {
        let (begun, _) = reconstruct(chosen, platform)?;
        finetuned::try_rates((chosen.prepared.calibrated.opened, chosen.held_out), &begun.0.model, asked)
    }

    /// Whether what is delivered is anything else than what was chosen.
    pub fn is_learned(&self) -> bool {
        self.reconstructed.as_ref().is_some_and(Reconstructed::is_kept)
            || self.finetuned.as_ref().is_some_and(|finetuned| finetuned.is_kept)
    }
}

/// What `chosen` is after reconstruction, where the run asks for that and it helps.
fn reconstruct(chosen: &Chosen, platform: &Platform) -> anyhow::Result<(Judged, Option<Reconstructed>)> {
    let opened = chosen.prepared.calibrated.opened;
    let rounded = (chosen.winner.candidate()?.clone(), chosen.found.clone());
    let Some(asked) = opened.config.reconstruct else { return Ok((rounded, None)) };
    let (start, before) = (Instant::now(), chosen.found.1.loss);
    let images = images(chosen, &asked)?;
    let count = images.len();
    let reconstructed = |units, after, failed| {
        let seconds = start.elapsed().as_secs_f64();
        Reconstructed { asked, images: count, units, before, after, failed, seconds }
    };
    let fail = |units, problem: String| {
        opened.monitor.warn(format_args!("the network is delivered as it was rounded: {problem}"));
        (rounded.clone(), Some(reconstructed(units, None, Some(problem))))
    };
    if count < Reconstruction::LEAST_SAMPLES {
        let least = Reconstruction::LEAST_SAMPLES;
        return Ok(fail(
            Vec::new(),
            format!(
                "reconstruction needs at least {least} training samples beside those held out, and there are {count}"
            ),
        ));
    }
    let ReconstructState { model, outcomes } =
        learn(&opened, &rounded.0.model, images, Tuned::reconstruction_made_from(&opened, platform)?)?;
    let learned = match Candidate::new(model) {
        Ok(learned) => learned,
        Err(error) => return Ok(fail(outcomes, format!("{error:#}"))),
    };
    let found = chosen.held_out.measure(&learned, opened.monitor)?;
    let reconstructed = reconstructed(outcomes, Some(found.1.loss), None);
    tell(&reconstructed, chosen.held_out.batch.len(), opened.monitor);
    let judged = if reconstructed.is_kept() { (learned, found) } else { rounded };
    Ok((judged, Some(reconstructed)))
}

fn tell(reconstructed: &Reconstructed, held_out: usize, monitor: &Monitor) {
    let Reconstructed { before, after, .. } = reconstructed;
    let kept = if reconstructed.is_kept() { "is delivered" } else { "is not delivered" };
    monitor.note(format_args!(
        "reconstruct: loss on {held_out} held-out samples {before:.5} as it was rounded, {:.5} as it was learned, which {kept}",
        after.unwrap_or(*before)
    ));
}

/// How many images are learned from at most: as many as memory holds, and no more than `asked` says.
fn most_images(network: &Network, asked: &ReconstructConfig) -> usize {
    asked.samples.min(most_of(Reconstruction::bytes_per_sample(network)))
}

/// How many samples of `each` bytes memory holds.
fn most_of(each: usize) -> usize {
    (STREAM_BYTES / each.max(1)).max(Reconstruction::LEAST_SAMPLES)
}

/// The training samples that are learned from: those that calibrate, then those that serve nothing else.
fn images_of(opened: &Opened, asked: &ReconstructConfig) -> anyhow::Result<Vec<usize>> {
    let split = opened.split()?;
    Ok(split
        .calibration
        .iter()
        .chain(&split.rest)
        .take(most_images(&opened.inputs.model.network, asked))
        .copied()
        .collect())
}

/// The images that are learned from, less those that calibration left out.
fn images(chosen: &Chosen, asked: &ReconstructConfig) -> anyhow::Result<Batch> {
    let calibrated = chosen.prepared.calibrated;
    let opened = calibrated.opened;
    let (train, indices) = (opened.train()?, images_of(&opened, asked)?);
    let most = most_images(&opened.inputs.model.network, asked);
    if indices.len() == most && most < asked.samples {
        opened.monitor.note(format_args!(
            "reconstruct: {most} images and not {}, which would take more than {} MiB of memory",
            asked.samples,
            STREAM_BYTES >> 20
        ));
    } else if indices.len() < most {
        opened.monitor.note(format_args!(
            "reconstruct: {} images and not {}, all that are there beside those held out",
            indices.len(),
            asked.samples
        ));
    }
    let batch = train.load_kept(&indices)?;
    let calibration = &opened.split()?.calibration;
    let calibrating = train.loaded(&calibration[..calibration.len().min(indices.len())]).len();
    let left_out = &calibrated.calibration.left_out;
    let is_left_out = |sample: usize| {
        sample < calibrating && left_out.binary_search_by_key(&sample, |left_out| left_out.sample).is_ok()
    };
    Ok(if left_out.is_empty() { batch } else { batch.without(is_left_out) })
}

/// Reconstructs `model` on `images`, from where an earlier run was cut off, and keeps what was learned after each unit.
fn learn(
    opened: &Opened,
    model: &QuantizedModel,
    images: Batch,
    made_from: Provenance,
) -> anyhow::Result<ReconstructState> {
    let Opened { config, inputs, folder, monitor } = *opened;
    let asked = config.reconstruct.unwrap_or_default();
    let suited = ReconstructSettings::suited_to(&model.policy);
    let settings = ReconstructSettings {
        minutes: asked.minutes,
        seed: config.seed,
        objective: learned_by(&inputs.objective),
        block_samples: suited.block_samples.min(most_of(Reconstruction::bytes_per_block_sample(&model.network))),
        ..suited
    };
    let begun = ReconstructState { model: model.clone(), outcomes: Vec::new() };
    let state = kept(opened, model, &made_from)?.unwrap_or(begun);
    let step = monitor.step("reconstruct", 1);
    let mut run = Reconstruction::resume(model, &samples(&images), settings, state).map_err(train_error)?;
    let count = images.len();
    // It has a copy, and there may be a hundred megabytes of them.
    drop(images);
    while !run.is_done() {
        step.message(format_args!("part {} of {}", run.state().outcomes.len() + 1, run.units()));
        run.learn_next(&mut step.callback()).map_err(train_error)?;
        let bytes = weights::state_to_bytes(run.state(), &inputs.model.sha256)?;
        let mut commit = folder.begin()?;
        commit.stage(Stage::Tuned, made_from.clone());
        commit.put(Stage::Tuned, RECONSTRUCTION, &bytes)?;
        commit.finish()?;
    }
    let state = run.state().clone();
    let kept = state.outcomes.iter().filter(|unit| unit.kept).count();
    step.finish(format_args!("{kept} of {} parts learned from {count} images", run.units()));
    Ok(state)
}

/// How far the reconstruction of `model` in the folder is.
fn kept(opened: &Opened, model: &QuantizedModel, made_from: &Provenance) -> anyhow::Result<Option<ReconstructState>> {
    let Some(bytes) = opened.folder.read(Stage::Tuned, RECONSTRUCTION, REMEDY)? else { return Ok(None) };
    opened.refuse_other_inputs(Stage::Tuned, made_from)?;
    let own = &opened.inputs.model;
    let state = weights::state_from_bytes(&bytes, &own.network, &own.space, &own.sha256)
        .map_err(|problem| anyhow::anyhow!("`{}`: {problem}; {REMEDY}", opened.folder.join(RECONSTRUCTION).shown()))?;
    // A search that time ends may find other widths when it goes on.
    if state.model.policy != model.policy || state.model.equalized != model.equalized {
        opened.monitor.note("reconstruct: the search chose other widths than before, so it begins anew");
        return Ok(None);
    }
    Ok(Some(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::zoo;

    #[test]
    fn large_networks_learn_from_fewer_images() {
        let check = |name: &str, samples: usize, is_less: bool| {
            let network = zoo::network(&name.parse().unwrap());
            let found = most_images(&network, &ReconstructConfig { samples, ..Default::default() });
            let taken = |images: usize| images * Reconstruction::bytes_per_sample(&network);
            assert!(taken(found) <= STREAM_BYTES, "{name}");
            assert_eq!(found < samples, is_less, "{name}: {found}");
            assert!(!is_less || taken(found + 1) > STREAM_BYTES, "{name}: {found}");
        };
        check("zoo:mobilenet-v1?width=0.25&resolution=96", 32_768, true);
        check("zoo:mobilenet-v1?width=0.25&resolution=96", 4096, false);
        check("zoo:mobilenet-v1?width=1&resolution=224", 4096, true);
    }
}
