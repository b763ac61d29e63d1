//! Learns some nodes: a block, or the whole network.

use super::stream::{Rows, Stream, output_of};
use crate::engine::{Batch, Drop, Engine, Parameters, cosine_rate, square_error};
use crate::learner::{Average, Learner, Pull, Rates};
use crate::objective::Loss;
use crate::{FakeQuantModel, Progress, TrainError};
use bitesize_ir::{Network, QuantizedModel, TensorId};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Of how many images one is held out.
pub(super) const HELD_OUT: usize = 8;

/// Images that are judged together.
const TOGETHER: usize = 64;

/// What some nodes shall learn.
pub(super) struct Task<'a> {
    pub(super) network: &'a Network,
    pub(super) nodes: Range<usize>,
    pub(super) input: &'a Stream,
    /// The float network's values of what the nodes hand on.
    pub(super) wanted: &'a Stream,
    pub(super) loss: Loss,
    /// What is learned from beside it.
    pub(super) features: Option<Features>,
}

/// The float network's values of a tensor on the way: where a network answers its own training images with certainty, answers say
/// little, and this says more (Romero et al., "FitNets").
pub(super) struct Features {
    tensor: TensorId,
    values: Vec<f32>,
    /// What an element's square error counts by.
    weight: f64,
}

/// How it is learned.
#[derive(Clone, Copy)]
pub(super) struct Course {
    /// Images that are gone through, some of them many times.
    pub(super) images: usize,
    pub(super) batch: usize,
    pub(super) rates: Rates,
    /// What the rates are multiplied by.
    pub(super) factor: f32,
    pub(super) drop: f64,
    /// How much of the mean over steps, which is what is found, a step keeps.
    pub(super) average: Option<f32>,
    pub(super) seed: u64,
}

impl Features {
    /// The tensor that the last layer of `network` reads; `None` where that is the input.
    pub(super) fn tensor(network: &Network) -> Option<TensorId> {
        let last = network.nodes.iter().rev().find(|node| node.op.parameters().is_some())?;
        Some(last.inputs[0]).filter(|tensor| *tensor != network.input)
    }

    /// The `values` of `tensor` for all images, whose square error counts as a share of their mean square.
    pub(super) fn new(tensor: TensorId, values: Vec<f32>, elements: usize) -> Self {
        let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len().max(1) as f64;
        Self { tensor, values, weight: if square > 0.0 { 1.0 / (square * elements as f64) } else { 0.0 } }
    }
}

impl Task<'_> {
    /// How far the nodes of `parameters` are from float on the samples that are held out, for each image.
    pub(super) fn error(&self, parameters: &Parameters) -> Result<f64, TrainError> {
        let mut engine = Engine::new(self.network, self.nodes.clone(), &[output_of(self.network, &self.nodes)], false)?;
        let (_, held_out) = split(self.input.images());
        let (mut rows, mut sum) = (Rows::default(), 0.0);
        for images in held_out.chunks(TOGETHER) {
            let input = self.input.gather(images, false, &mut rows);
            let found = engine.forward(parameters, &Batch { inputs: &[input], dropped: None })?;
            let mut gradient = vec![0.0; found[0].len()];
            sum += self.loss.add(&found[0], &self.wanted_of(images), (images.len(), 1.0), &mut gradient);
        }
        Ok(sum / held_out.len().max(1) as f64)
    }

    /// Learns; answers `model` with what was found and its error. `progress` counts images.
    pub(super) fn learn(
        &self,
        model: &QuantizedModel,
        course: &Course,
        progress: Progress<'_>,
    ) -> Result<(QuantizedModel, f64), TrainError> {
        let mut learner = Learner::new(self.network, self.nodes.clone(), model, &course.rates);
        let mut average = course.average.map(|kept| Average::new(&learner.learned(), kept));
        let mut outputs = vec![output_of(self.network, &self.nodes)];
        outputs.extend(self.features.as_ref().map(|features| features.tensor));
        let mut engine = Engine::new(self.network, self.nodes.clone(), &outputs, false)?;
        let (mut order, _) = split(self.input.images());
        let batch = course.batch.clamp(1, order.len().max(1));
        let steps = if order.is_empty() { 0 } else { course.images / batch };
        let mut rng = ChaCha8Rng::seed_from_u64(course.seed);
        let (mut rows, mut next) = (Rows::default(), order.len());
        for step in 0..steps {
            if next + batch > order.len() {
                order.shuffle(&mut rng);
                next = 0;
            }
            let images = &order[next..next + batch];
            next += batch;
            let dropped = (course.drop > 0.0).then(|| Drop::new(course.seed ^ ((step as u64 + 1) << 20), course.drop));
            let input = self.input.gather(images, dropped.is_some(), &mut rows);
            let wanted = self.wanted_of(images);
            let features = self.features.as_ref().map(|features| picked(&features.values, self.input.images(), images));
            let one = 1.0 / batch as f64;
            let loss = |range: Range<usize>, values: &[Vec<f32>], gradients: &mut [Vec<f32>]| {
                let of = |wanted: &[f32]| {
                    let size = wanted.len() / batch;
                    range.start * size..range.end * size
                };
                let mut loss = self.loss.add(&values[0], &wanted[of(&wanted)], (range.len(), one), &mut gradients[0]);
                if let (Some(of_float), Some(features)) = (&self.features, &features) {
                    let wanted = &features[of(features)];
                    loss += square_error(&values[1], wanted, one * of_float.weight, &mut gradients[1]);
                }
                loss
            };
            let found = engine.step(learner.parameters(), &Batch { inputs: &[input], dropped }, &loss)?;
            learner.step(
                found.gradients,
                &course.rates,
                course.factor * cosine_rate(1.0, step, steps),
                &Pull::default(),
            );
            if let Some(average) = &mut average {
                average.add(&learner.learned(), step + 1);
            }
            if progress((step + 1) * batch, steps * batch).is_break() {
                return Err(TrainError::Stopped);
            }
        }
        if let Some(average) = &mut average {
            average.swap(learner.learned());
        }
        let found = learner.finish(model);
        // The engine checks sums; this checks every constant of the integer network.
        FakeQuantModel::new(&found)?;
        let after = self.error(&Parameters::of_model(&found))?;
        Ok((found, after))
    }

    fn wanted_of(&self, images: &[usize]) -> Vec<f32> {
        picked(self.wanted.float(), self.input.images(), images)
    }
}

/// What `values`, of `all` images, are of some.
fn picked(values: &[f32], all: usize, images: &[usize]) -> Vec<f32> {
    let size = values.len() / all.max(1);
    images.iter().flat_map(|image| &values[image * size..(image + 1) * size]).copied().collect()
}

/// The samples that are learned from, and those that judge.
fn split(images: usize) -> (Vec<usize>, Vec<usize>) {
    (0..images).partition(|image| image % HELD_OUT != HELD_OUT - 1)
}
