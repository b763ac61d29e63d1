//! Training at the chosen widths: with labels, by the float network's answers, or both.
//!
//! A [`Tuner`] begins with a quantized model and its float weights, and computes forwards exactly as the integer network does:
//! levels, rounding and integer biases are those that are delivered. What is learned, weights, scales of each output channel, biases and scales of
//! activations, is the same as in [reconstruction](crate::Reconstruction), and moves by Adam; so does a float network, for comparison
//! ([`Tuner::of_float`]).
//!
//! The unit of work is an epoch: [`Tuner::state`] after it is all that a later run needs to go on to the same numbers.

mod augment;
mod settings;
mod source;
mod targets;

pub use settings::{Augmentation, Distillation, LabelLoss, TuneSettings};
pub use source::{Loaded, LoadedValues, Source};
pub use targets::Targets;

use crate::engine::{Batch, Boundary, Engine, Parameters, cosine_rate, warmed_cosine};
use crate::learner::{Average, Learner, Pull};
use crate::objective::Loss;
use crate::{Equalization, FakeQuantModel, Progress, TrainError};
use bitesize_ir::{InputEncoding, Network, QuantizedModel};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
pub(crate) use source::Feed;
use std::ops::Range;

/// A training under way.
pub struct Tuner<'a> {
    /// What it begins with; `None` for the float network.
    start: Option<&'a QuantizedModel>,
    /// The float network, its channels divided as the model's are.
    network: Network,
    settings: TuneSettings,
    learner: Learner,
    average: Option<Average>,
    epochs: usize,
    steps: usize,
}

/// How far a training is: all that a later run needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuneState {
    /// Epochs that are done.
    pub epochs: usize,
    /// Steps that are done.
    pub steps: usize,
    /// Numbers, in an order that depends on the network and the settings alone.
    pub lists: Vec<Vec<f32>>,
}

/// What came of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// The mean loss of its samples, each as the network was when it learned from it.
    pub loss: f64,
    /// What rates are multiplied by at its end, 0 to 1.
    pub rate: f64,
    /// Weights that are frozen at its end.
    pub frozen: usize,
}

impl<'a> Tuner<'a> {
    /// Begins with `model`.
    ///
    /// # Errors
    /// [`TrainError::NotRewritten`], [`TrainError::Mismatch`] and [`TrainError::Layer`] for a model that is none.
    pub fn new(model: &'a QuantizedModel, settings: TuneSettings) -> Result<Self, TrainError> {
        FakeQuantModel::new(model)?;
        let network = Equalization::scaled(&model.network, &model.equalized);
        let learner = Learner::new(&network, 0..network.nodes.len(), model, &settings.rates);
        Ok(Self::begun(Some(model), network, learner, settings))
    }

    /// Begins with the float `network`, to be trained by the same recipe in float.
    pub fn of_float(network: &Network, settings: TuneSettings) -> Self {
        let learner = Learner::of_float(network);
        Self::begun(None, network.clone(), learner, settings)
    }

    fn begun(
        start: Option<&'a QuantizedModel>,
        network: Network,
        mut learner: Learner,
        settings: TuneSettings,
    ) -> Self {
        if settings.freezing.is_some() {
            learner.watch_oscillations();
        }
        let average = settings.average.map(|kept| Average::new(&learner.learned(), kept));
        Self { start, network, settings, learner, average, epochs: 0, steps: 0 }
    }

    /// Goes on from `state`, which a training with the same model and settings came to.
    ///
    /// # Errors
    /// [`TrainError::OtherModel`] for a state of another one.
    pub fn resume(mut self, state: TuneState) -> Result<Self, TrainError> {
        let mut lists = state.lists.into_iter();
        let own = self.learner.learned().into_iter().map(|list| list.len()).collect::<Vec<_>>();
        let moments = self.learner.moments().into_iter().map(|list| list.len()).collect::<Vec<_>>();
        let average = self.average.iter_mut().flat_map(|average| average.lists().iter().map(Vec::len));
        let expected: Vec<usize> = own.into_iter().chain(moments).chain(average).collect();
        if lists.as_slice().iter().map(Vec::len).ne(expected) || state.epochs > self.settings.epochs {
            return Err(TrainError::OtherModel);
        }
        let take = |list: &mut Vec<f32>, lists: &mut std::vec::IntoIter<Vec<f32>>| {
            *list = lists.next().expect("the lists were counted");
        };
        self.learner.learned().into_iter().for_each(|list| take(list, &mut lists));
        self.learner.moments().into_iter().for_each(|list| take(list, &mut lists));
        self.average.iter_mut().flat_map(Average::lists).for_each(|list| take(list, &mut lists));
        self.learner.set_steps(state.steps);
        (self.epochs, self.steps) = (state.epochs, state.steps);
        Ok(self)
    }

    /// How far it is.
    pub fn state(&mut self) -> TuneState {
        let mut lists: Vec<Vec<f32>> = self.learner.learned().into_iter().map(|list| list.clone()).collect();
        lists.extend(self.learner.moments().into_iter().map(|list| list.clone()));
        lists.extend(self.average.iter_mut().flat_map(|average| average.lists().clone()));
        TuneState { epochs: self.epochs, steps: self.steps, lists }
    }

    /// Epochs that are done.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// Whether all are done.
    pub fn is_done(&self) -> bool {
        self.epochs >= self.settings.epochs
    }

    /// The model with what was learned, the mean where that is asked for.
    ///
    /// # Errors
    /// [`TrainError::Layer`] where it does not fit the integer arithmetic.
    ///
    /// # Panics
    /// For a training of the float network.
    pub fn model(&mut self) -> Result<QuantizedModel, TrainError> {
        let start = self.start.expect("a model is trained");
        self.swap_average();
        let model = self.learner.finish(start);
        self.swap_average();
        FakeQuantModel::new(&model)?;
        Ok(model)
    }

    /// The float network with what was learned, the mean where that is asked for.
    pub fn float_network(&mut self) -> Network {
        self.swap_average();
        let parameters = self.learner.parameters().clone();
        self.swap_average();
        let mut network = self.network.clone();
        for (node, layer) in network.nodes.iter_mut().zip(parameters.layers) {
            let layout = bitesize_ir::requantize::WeightLayout::of(&node.op);
            if let (Some((weights, bias)), Some(layer), Some(layout)) = (node.op.parameters_mut(), layer, layout) {
                for (i, weight) in weights.iter_mut().enumerate() {
                    *weight = (f64::from(layer.levels[i]) * layer.scales[layout.out_channel(i)]) as f32;
                }
                bias.iter_mut().zip(layer.bias).for_each(|(bias, found)| *bias = found as f32);
            }
        }
        network
    }

    fn swap_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.swap(self.learner.learned());
        }
    }

    /// Goes through all samples of `source` once. `progress` counts samples.
    ///
    /// # Errors
    /// [`TrainError::Stopped`], after which the state is of no use; [`TrainError::Source`] for samples that cannot be had;
    /// [`TrainError::Diverged`] where the loss is not a number, or what was learned does not fit the integer arithmetic.
    pub fn learn_epoch(&mut self, source: &dyn Source, progress: Progress<'_>) -> Result<Epoch, TrainError> {
        let settings = self.settings.clone();
        let samples = source.len();
        let batch = settings.batch.clamp(1, samples.max(1));
        let steps = samples / batch;
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed ^ ((self.epochs as u64 + 1) << 32));
        let mut order: Vec<usize> = (0..samples).collect();
        order.shuffle(&mut rng);
        let feed = Feed {
            source,
            order: &order[..steps * batch],
            batch,
            augmentation: &settings.augmentation,
            border: &border(&self.network),
            shape: self.network.shape(self.network.input),
            seed: settings.seed ^ ((self.epochs as u64 + 1) << 40),
        };
        let network = self.network.clone();
        let mut engine = Engine::whole(&network)?;
        let mut teacher = Engine::whole(&network)?;
        let real = Parameters::real(&network);
        let output = network.shape(network.output);
        let (mut sum, mut seen) = (0.0, 0);
        let all = steps * settings.epochs;
        feed.for_each(|loaded| {
            let count = loaded.len(network.shape(network.input));
            if count == 0 {
                return Ok(());
            }
            let input = match &loaded.values {
                LoadedValues::Pixels(pixels) => Boundary::Codes(pixels),
                LoadedValues::Reals(values) => Boundary::Values(values),
            };
            let inputs = Batch { inputs: &[input], dropped: None };
            let labelled = loaded.targets.are_there();
            let distilled = settings.distillation.filter(|d| d.share > 0.0 || !labelled);
            let wanted = match distilled {
                Some(_) => teacher.forward(&real, &inputs)?.swap_remove(0),
                None => Vec::new(),
            };
            let share = if labelled { distilled.map_or(0.0, |d| d.share) } else { 1.0 };
            let by_answers = distilled.map(|d| Loss::of(d.objective, output, &wanted));
            let (each, one) = (output.elements(), 1.0 / count as f64);
            let loss = |range: Range<usize>, values: &[Vec<f32>], gradients: &mut [Vec<f32>]| {
                let (values, gradient) = (&values[0], &mut gradients[0]);
                let mut loss = 0.0;
                if let Some(by_answers) = &by_answers {
                    let wanted = &wanted[range.start * each..range.end * each];
                    loss += by_answers.add(values, wanted, (range.len(), share * one), gradient);
                }
                if share < 1.0 {
                    let by = &settings.labels;
                    loss += loaded.targets.add(by, (values, range), (1.0 - share) * one, gradient);
                }
                loss
            };
            let found = match engine.step(self.learner.parameters(), &inputs, &loss) {
                Ok(found) if found.loss.is_finite() => found,
                Ok(_) | Err(TrainError::Layer { .. }) => {
                    return Err(TrainError::Diverged { epoch: self.epochs + 1, step: self.steps + 1 });
                }
                Err(error) => return Err(error),
            };
            sum += found.loss * count as f64;
            seen += count;
            let fall = warmed_cosine(settings.warm_up, self.steps, all);
            let pull = self.pull(self.steps, all);
            self.learner.step(found.gradients, &settings.rates, fall, &pull);
            self.steps += 1;
            if let Some(average) = &mut self.average {
                average.add(&self.learner.learned(), self.steps);
            }
            if progress(seen, steps * batch).is_break() { Err(TrainError::Stopped) } else { Ok(()) }
        })?;
        self.epochs += 1;
        let rate = f64::from(warmed_cosine(settings.warm_up, self.steps, all));
        Ok(Epoch { loss: sum / seen.max(1) as f64, rate, frozen: self.learner.frozen() })
    }

    fn pull(&self, step: usize, all: usize) -> Pull {
        let done = step as f64 / all.max(1) as f64;
        let threshold = self.settings.freezing.filter(|freezing| done >= freezing.from).map(|freezing| {
            let share = (done - freezing.from) / (1.0 - freezing.from).max(1e-9);
            let fall = cosine_rate(1.0, (share * 1e6) as usize, 1_000_000);
            freezing.last + (freezing.first - freezing.last) * fall
        });
        let rise = 1.0 - cosine_rate(1.0, step, all);
        Pull { decay: self.settings.decay, dampening: self.settings.dampening * rise, threshold }
    }
}

/// What lies outside of an image, as codes: what the first layer takes for 0.
fn border(network: &Network) -> Vec<f32> {
    let channels = network.shape(network.input).c;
    match &network.input_encoding {
        InputEncoding::Pixels { offset } => {
            (0..channels).map(|c| offset[c % offset.len()].round().clamp(0.0, 255.0) as f32).collect()
        }
        InputEncoding::Real => vec![0.0; channels],
    }
}
