//! Accuracy: of the float network, and of integer networks on the fast engine.

use crate::console::{Console, Interrupted, checkpoint, stop_requested};
use crate::data::{Batch, Dataset, Values};
use anyhow::Context as _;
use bitesize_integer::engine::{InstructionSet, PackCache};
use bitesize_integer::{Engine, IntNetwork, LayerCache, lower, lower_with, top1};
use bitesize_ir::{Network, QuantizedModel};
use bitesize_train::{FloatModel, Samples, TrainError};
use std::borrow::Cow;
use std::ops::ControlFlow;

impl Batch {
    /// As training and calibration take it.
    pub fn samples(&self) -> Samples<'_> {
        match &self.values {
            Values::Pixels(values) => Samples::pixels(self.shape, values),
            Values::Reals(values) => Samples::real(self.shape, values),
        }
    }
}

/// An error of the training crate, a stop as [`Interrupted`].
pub(crate) fn train_error(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Stopped => Interrupted.into(),
        other => other.into(),
    }
}

/// A quantized network with its integers.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Levels, scales, encodings.
    pub model: QuantizedModel,
    /// What runs on the chip.
    pub integers: IntNetwork,
}

impl Candidate {
    /// Lowers `model`.
    ///
    /// # Errors
    /// A layer that the integer arithmetic cannot hold.
    pub fn new(model: QuantizedModel) -> anyhow::Result<Self> {
        let integers = lower(&model).context("the quantized network cannot be made integer-only")?;
        Ok(Self { model, integers })
    }

    /// As [`Self::new`], with layers that earlier candidates had too taken from `layers`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_layers(model: QuantizedModel, layers: &mut LayerCache) -> anyhow::Result<Self> {
        let integers = lower_with(&model, layers).context("the quantized network cannot be made integer-only")?;
        Ok(Self { model, integers })
    }

    /// The codes that the network is fed for `batch`.
    pub fn input_codes<'a>(&self, batch: &'a Batch) -> Cow<'a, [u8]> {
        match &batch.values {
            Values::Pixels(pixels) => Cow::Borrowed(pixels),
            Values::Reals(values) => {
                let input = self.model.activations[self.model.network.input.0];
                Cow::Owned(values.iter().map(|v| input.quantize(f64::from(*v))).collect())
            }
        }
    }

    /// The output codes for every sample of `batch`; packed weights are taken from `cache` where it has them.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn output_codes(&self, batch: &Batch, cache: Option<&PackCache>) -> Result<Vec<u8>, Interrupted> {
        let go_on = |_| if stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let engine = Engine::with(&self.integers, InstructionSet::best(), cache);
        engine.run_batch_with(&self.input_codes(batch), &go_on).ok_or(Interrupted)
    }

    /// How many of `batch` are classified as labelled.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn hits(&self, batch: &Batch) -> Result<usize, Interrupted> {
        let codes = self.output_codes(batch, None)?;
        let classes = self.integers.tensor(self.integers.output).shape.elements();
        Ok(hits(&codes.chunks_exact(classes).map(top1).collect::<Vec<_>>(), batch))
    }
}

/// How many of `classes` are those of the labels.
pub(crate) fn hits(classes: &[usize], batch: &Batch) -> usize {
    classes.iter().zip(&batch.labels).filter(|(class, label)| class == label).count()
}

/// The float network's output values for every sample of `batch`.
///
/// # Errors
/// [`Interrupted`]; samples that the network does not take.
pub fn float_outputs(network: &Network, batch: &Batch) -> anyhow::Result<Vec<f32>> {
    let mut go_on = |_, _| if stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    FloatModel::new(network).forward(&batch.samples(), &mut go_on).map_err(train_error)
}

/// How many of `batch` the float network classifies as labelled.
///
/// # Errors
/// As [`float_outputs`].
pub fn float_hits(network: &Network, batch: &Batch) -> anyhow::Result<usize> {
    let outputs = float_outputs(network, batch)?;
    Ok(hits(&bitesize_train::top1(&outputs, network.shape(network.output).elements()), batch))
}

/// `hits` of `samples` as a share.
pub fn share(hits: usize, samples: usize) -> f64 {
    hits as f64 / samples.max(1) as f64
}

/// Accuracies over a whole data set, as shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracies {
    /// Samples that could be read.
    pub samples: usize,
    /// Of the float network.
    pub float: Option<f64>,
    /// Of each candidate.
    pub integer: Vec<f64>,
}

/// Samples read at once: enough for every thread, few enough for memory.
const CHUNK: usize = 250;

/// Accuracies of the float network and of `candidates` on all of `data`, which is read once.
///
/// # Errors
/// [`Interrupted`]; data that cannot be read.
pub fn accuracies(
    data: &Dataset,
    float: Option<&Network>,
    candidates: &[&Candidate],
    console: &Console,
) -> anyhow::Result<Accuracies> {
    let stage = console.stage("accuracy", data.len());
    let indices: Vec<usize> = (0..data.len()).collect();
    let (mut samples, mut float_right, mut right) = (0, 0, vec![0; candidates.len()]);
    for (done, chunk) in indices.chunks(CHUNK).enumerate() {
        checkpoint()?;
        let batch = data.load_kept(chunk)?;
        samples += batch.len();
        if let Some(network) = float {
            float_right += float_hits(network, &batch)?;
        }
        for (total, candidate) in right.iter_mut().zip(candidates) {
            *total += candidate.hits(&batch)?;
        }
        stage.set(done * CHUNK + chunk.len(), data.len());
    }
    if samples == 0 {
        anyhow::bail!("`{}`: none of its {} images can be decoded", data.path().display(), data.len());
    }
    stage.finish(format_args!("{samples} samples of {}", data.path().display()));
    Ok(Accuracies {
        samples,
        float: float.map(|_| share(float_right, samples)),
        integer: right.into_iter().map(|hits| share(hits, samples)).collect(),
    })
}
