//! Learns some nodes: a block, or the whole network.

use super::stream::{WHOLE, Rows, Stream, output_of};
use crate::learner::{Learner, Pull, Rates};
use crate::objective::Loss;
use crate::engine::{Batch, Drop, Engine, Parameters, cosine_rate};
use crate::{FakeQuantModel, Progress, TrainError};
use bitesize_ir::{Network, QuantizedModel};
use rand::{RngExt as _, SeedableRng as _};
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
    pub(super) mix: f64,
    pub(super) seed: u64,
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
        let mut engine = Engine::new(self.network, self.nodes.clone(), &[output_of(self.network, &self.nodes)], false)?;
        let mut teacher = Engine::new(self.network, self.nodes.clone(), &[output_of(self.network, &self.nodes)], false)?;
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
            let mut wanted = self.wanted_of(images);
            let input = if course.mix > 0.0 {
                let weights: Vec<u16> = (0..batch)
                    .map(|_| if rng.random_bool(course.mix) { rng.random_range(0..=WHOLE) } else { WHOLE })
                    .collect();
                rows.mix(&weights);
                let input = rows.boundary();
                let real = Parameters::real(self.network);
                wanted = teacher.forward(&real, &Batch { inputs: &[input], dropped: None })?.swap_remove(0);
                input
            } else {
                input
            };
            let size = wanted.len() / batch;
            let loss = |range: Range<usize>, values: &[Vec<f32>], gradients: &mut [Vec<f32>]| {
                let wanted = &wanted[range.start * size..range.end * size];
                self.loss.add(&values[0], wanted, (range.len(), 1.0 / batch as f64), &mut gradients[0])
            };
            let found = engine.step(learner.parameters(), &Batch { inputs: &[input], dropped }, &loss)?;
            learner.step(found.gradients, &course.rates, course.factor * cosine_rate(1.0, step, steps), &Pull::default());
            if progress((step + 1) * batch, steps * batch).is_break() {
                return Err(TrainError::Stopped);
            }
        }
        let found = learner.finish(model);
        // The engine checks sums; this checks every constant of the integer network.
        FakeQuantModel::new(&found)?;
        let after = self.error(&Parameters::of_model(&found))?;
        Ok((found, after))
    }

    fn wanted_of(&self, images: &[usize]) -> Vec<f32> {
        let size = self.network.shape(output_of(self.network, &self.nodes)).elements();
        images.iter().flat_map(|image| &self.wanted.float()[image * size..(image + 1) * size]).copied().collect()
    }
}

/// The samples that are learned from, and those that judge.
fn split(images: usize) -> (Vec<usize>, Vec<usize>) {
    (0..images).partition(|image| image % HELD_OUT != HELD_OUT - 1)
}
