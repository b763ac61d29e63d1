//! Training of a float network from its first weights, with batch normalization.
//!
//! A [`Scratch`] begins with an architecture: a network whose convolutions have weights to begin with and are each followed by a
//! batch normalization ([`BatchNorm`]). It learns classes by stochastic gradient descent, a batch after the other, and gives the network with
//! the normalizations folded in ([`Scratch::network`]) or beside it ([`Scratch::norms`]).
//!
//! Kernels are those of the [engine](crate::engine), forwards and backwards. Batches are cut into lanes by their size alone, whose parts are
//! added in order: results do not depend on the number of threads. The unit of work is an epoch: [`Scratch::state`] after it is all that a
//! later run needs to go on to the same numbers.
//!
//! In reading order: `settings`, `plan` (what nodes are), `channels` (batch normalization), `workspace` (forward), `backward`.

mod backward;
mod channels;
mod plan;
mod settings;
#[cfg(test)]
mod tests;
mod workspace;

pub use settings::ScratchSettings;

use crate::engine::{Sgd, warmed_cosine};
use crate::tune::{Feed, LabelLoss, Loaded, LoadedValues, Source, TuneState};
use crate::{Progress, TrainError};
use backward::Backward;
use bitesize_ir::{BatchNorm, Network};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use workspace::Workspace;

/// What keeps the divisor of batch normalizations above 0, as in PyTorch.
const EPSILON: f32 = 1e-5;

/// How many times the loss of guessing, ln(classes), a mean loss may be before it counts as having exploded.
const EXPLODED: f64 = 10.0;

/// A training from scratch under way.
pub struct Scratch {
    /// Its nodes have the weights as they are, not folded; biases are those of fully connected layers.
    network: Network,
    norms: Vec<Option<BatchNorm>>,
    settings: ScratchSettings,
    optimizers: Vec<Option<[Sgd; 3]>>,
    workspace: Workspace,
    backward: Backward,
    epochs: usize,
    steps: usize,
}

/// What came of an epoch of training from scratch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScratchEpoch {
    /// The mean loss of its samples, each as the network was when it learned from it.
    pub loss: f64,
    /// What the rate was multiplied by at its end, 0 to 1.
    pub rate: f64,
}

impl Scratch {
    /// Begins with the weights of `network`, whose input is real values and whose last node gives a value for each class. Biases of
    /// convolutions do not count: batch normalization follows.
    ///
    /// # Errors
    /// [`TrainError::Segment`] for an operator that is not trained from scratch.
    pub fn new(mut network: Network, settings: ScratchSettings) -> Result<Self, TrainError> {
        plan::check(&network)?;
        let norm_of = |node: &bitesize_ir::Node| {
            plan::is_normalized(&node.op).then(|| BatchNorm::new(network.shape(node.output).c, EPSILON))
        };
        let norms: Vec<Option<BatchNorm>> = network.nodes.iter().map(norm_of).collect();
        for (node, _) in network.nodes.iter_mut().zip(&norms).filter(|(_, norm)| norm.is_some()) {
            node.op.parameters_mut().into_iter().for_each(|(_, bias)| bias.fill(0.0));
        }
        let optimizers = network.nodes.iter().zip(&norms).map(|(node, norm)| {
            let parameters = node.op.parameters()?;
            let plain = |count| Sgd::new(count, settings.momentum, 0.0);
            let weights = Sgd::new(parameters.weights.len(), settings.momentum, settings.decay);
            Some([weights, plain(parameters.bias.len()), plain(norm.as_ref().map_or(0, |norm| norm.gamma.len()))])
        });
        let optimizers = optimizers.collect();
        let (workspace, backward) = (Workspace::default(), Backward::default());
        Ok(Self { network, norms, settings, optimizers, workspace, backward, epochs: 0, steps: 0 })
    }

    /// Goes on from `state`, which a training of the same architecture with the same settings came to.
    ///
    /// # Errors
    /// [`TrainError::OtherModel`] for a state of another one.
    pub fn resume(mut self, state: TuneState) -> Result<Self, TrainError> {
        let lists = self.lists();
        if lists.iter().map(|list| list.len()).ne(state.lists.iter().map(Vec::len))
            || state.epochs > self.settings.epochs
        {
            return Err(TrainError::OtherModel);
        }
        self.lists().into_iter().zip(state.lists).for_each(|(list, kept)| *list = kept);
        (self.epochs, self.steps) = (state.epochs, state.steps);
        Ok(self)
    }

    /// How far it is.
    pub fn state(&mut self) -> TuneState {
        let lists = self.lists().into_iter().map(|list| list.clone()).collect();
        TuneState { epochs: self.epochs, steps: self.steps, lists }
    }

    /// Everything that was learned, and what decides how it moves next.
    fn lists(&mut self) -> Vec<&mut Vec<f32>> {
        let mut lists = Vec::new();
        let layers = self.network.nodes.iter_mut().zip(&mut self.norms).zip(&mut self.optimizers);
        for ((node, norm), optimizers) in layers {
            let Some((weights, bias)) = node.op.parameters_mut() else { continue };
            lists.push(weights);
            match norm {
                Some(norm) => lists.extend([&mut norm.gamma, &mut norm.beta, &mut norm.mean, &mut norm.variance]),
                None => lists.push(bias),
            }
            lists.extend(optimizers.iter_mut().flatten().map(Sgd::velocity));
        }
        lists
    }

    /// Epochs that are done.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// Whether all are done.
    pub fn is_done(&self) -> bool {
        self.epochs >= self.settings.epochs
    }

    /// The architecture with the weights that were learned, batch normalizations beside them ([`Self::norms`]).
    pub fn architecture(&self) -> &Network {
        &self.network
    }

    /// What normalizes the sums of each node, with the statistics of training; `None` where nothing does.
    pub fn norms(&self) -> &[Option<BatchNorm>] {
        &self.norms
    }

    /// The network that was learned, batch normalizations folded into weights and biases. It takes real values.
    pub fn network(&self) -> Network {
        BatchNorm::folded(&self.network, &self.norms)
    }

    /// The values of each class for each sample of `values`, with the statistics of training: `[sample][class]`.
    ///
    /// # Errors
    /// [`TrainError::Samples`] for values that are no whole samples, or none.
    pub fn answers(&mut self, values: &LoadedValues) -> Result<Vec<f32>, TrainError> {
        self.load(values)?;
        self.workspace.forward(&self.network, &mut self.norms, false);
        Ok(self.workspace.values[self.network.output.0].clone())
    }

    /// Puts `values` where a batch begins; answers how many samples they are.
    fn load(&mut self, values: &LoadedValues) -> Result<usize, TrainError> {
        let input = self.network.tensor(self.network.input);
        let (count, each, channels) = (values.len(), input.shape.elements(), input.shape.c);
        if count == 0 || !count.is_multiple_of(each) {
            let problem = format!("{count} values are no samples of {}", input.shape);
            return Err(TrainError::Samples { input: input.name.clone(), problem });
        }
        let batch = self.workspace.begin(&self.network, count / each);
        batch.clear();
        match values {
            LoadedValues::Pixels(pixels) => {
                let normalization = &self.settings.normalization;
                let table = |c: usize| {
                    let of = |pixel: u8| {
                        let value = f64::from(pixel) * normalization.scale - normalization.mean[c];
                        (value / normalization.std[c]) as f32
                    };
                    (0..=u8::MAX).map(of).collect()
                };
                let tables: Vec<Vec<f32>> = (0..channels).map(table).collect();
                batch.reserve(count);
                for pixel in pixels.chunks_exact(channels) {
                    batch.extend(pixel.iter().zip(&tables).map(|(value, table)| table[usize::from(*value)]));
                }
            }
            LoadedValues::Reals(values) => batch.extend_from_slice(values),
        }
        Ok(count / each)
    }

    /// Goes through all samples of `source` once, in a new order. `progress` counts samples.
    ///
    /// # Errors
    /// [`TrainError::Stopped`], after which the state is of no use; [`TrainError::Source`] for samples that cannot be had;
    /// [`TrainError::Diverged`] where the loss is no number or far worse than that of guessing.
    pub fn learn_epoch(&mut self, source: &dyn Source, progress: Progress<'_>) -> Result<ScratchEpoch, TrainError> {
        let settings = self.settings.clone();
        let samples = source.len();
        let batch = settings.batch.clamp(1, samples.max(1));
        let steps = samples / batch;
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed ^ ((self.epochs as u64 + 1) << 32));
        let mut order: Vec<usize> = (0..samples).collect();
        order.shuffle(&mut rng);
        let shape = self.network.shape(self.network.input);
        let feed = Feed {
            source,
            order: &order[..steps * batch],
            batch,
            augmentation: settings.augmentation,
            border: self.border(),
            shape,
            seed: settings.seed ^ ((self.epochs as u64 + 1) << 40),
        };
        let classes = self.network.shape(self.network.output).elements();
        let all = steps * settings.epochs;
        let (mut sum, mut seen) = (0.0, 0);
        feed.for_each(|loaded| {
            let count = loaded.len(shape);
            // What is left of a batch whose images cannot be decoded; of one value there are no statistics.
            if count < 2 {
                return Ok(());
            }
            let rate = settings.rate * warmed_cosine(settings.warm_up, self.steps, all);
            let loss = self.step(loaded, LabelLoss::CrossEntropy { classes, smoothing: settings.smoothing }, rate)?;
            self.steps += 1;
            sum += loss * count as f64;
            seen += count;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { epoch: self.epochs + 1, step: self.steps });
            }
            if progress(seen, steps * batch).is_break() { Err(TrainError::Stopped) } else { Ok(()) }
        })?;
        let loss = sum / seen.max(1) as f64;
        if loss > EXPLODED * (classes as f64).ln().max(1.0) {
            return Err(TrainError::Diverged { epoch: self.epochs + 1, step: self.steps });
        }
        self.epochs += 1;
        Ok(ScratchEpoch { loss, rate: f64::from(warmed_cosine(settings.warm_up, self.steps, all)) })
    }

    /// Learns from one batch; answers its mean loss, which is no number where anything on the way to it is none.
    fn step(&mut self, loaded: &Loaded, by: LabelLoss, rate: f32) -> Result<f64, TrainError> {
        let (loss, is_finite) = self.gradients(loaded, by)?;
        if !is_finite {
            return Ok(f64::NAN);
        }
        let layers = self.network.nodes.iter_mut().zip(&mut self.norms).zip(&mut self.optimizers);
        for (((node, norm), optimizers), found) in layers.zip(&self.backward.layers) {
            let (Some((weights, bias)), Some([of_weights, of_shift, of_factor])) =
                (node.op.parameters_mut(), optimizers)
            else {
                continue;
            };
            of_weights.step(rate, weights, &found.weights);
            match norm {
                Some(norm) => {
                    of_shift.step(rate, &mut norm.beta, &found.shift);
                    of_factor.step(rate, &mut norm.gamma, &found.factor);
                }
                None => of_shift.step(rate, bias, &found.shift),
            }
        }
        Ok(loss)
    }

    /// The mean loss of a batch, with the gradients left in [`Self::backward`]; and whether all statistics are finite. A clamp would
    /// hide what is not.
    fn gradients(&mut self, loaded: &Loaded, by: LabelLoss) -> Result<(f64, bool), TrainError> {
        let count = self.load(&loaded.values)?;
        let Self { network, norms, workspace, backward, .. } = self;
        workspace.forward(network, norms, true);
        let values = &workspace.values[network.output.0];
        let mut gradient = vec![0.0; values.len()];
        let loss = loaded.targets.add(&by, (values, 0..count), 1.0 / count as f64, &mut gradient);
        let is_finite = loss.is_finite() && workspace.moments.iter().flatten().flatten().all(|value| value.is_finite());
        backward.run(network, norms, workspace, gradient);
        Ok((loss, is_finite))
    }

    /// What lies outside of an image, for each channel: what the first layer takes for 0.
    fn border(&self) -> Vec<f32> {
        let normalization = &self.settings.normalization;
        let zero = |mean: &f64| (mean / normalization.scale).round().clamp(0.0, 255.0) as f32;
        normalization.mean.iter().map(zero).collect()
    }
}
