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

use crate::engine::{Batch, Engine, Parameters, cosine_rate, warmed_cosine};
use crate::learner::{Average, Learner, Pull};
use crate::objective::{Loss, Objective};
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
        let learner = Learner::of_float(network, &settings.rates);
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
        let network = self.network.clone();
        let mut rig = Rig::new(&network, &settings, source)?;
        let (order, batch) = self.order(source.len(), self.epochs);
        let (mut sum, mut seen) = (0.0, 0);
        let all = order.len() / batch * settings.epochs;
        self.feed(source, &order, batch).for_each(|loaded| {
            let Some((loss, count)) =
                self.learn_batch(&mut rig, loaded, warmed_cosine(settings.warm_up, self.steps, all), all)?
            else {
                return Ok(());
            };
            sum += loss * count as f64;
            seen += count;
            if progress(seen, order.len()).is_break() { Err(TrainError::Stopped) } else { Ok(()) }
        })?;
        self.epochs += 1;
        let rate = f64::from(warmed_cosine(settings.warm_up, self.steps, all));
        Ok(Epoch { loss: sum / seen.max(1) as f64, rate, frozen: self.learner.frozen() })
    }

    /// What the loss does while the rate rises by equal factors from `rates[0]` to `rates[1]` over `steps` steps (Smith, "Cyclical
    /// Learning Rates for Training Neural Networks"): each rate, of weights, with the loss of its batch, until the loss is four times the least
    /// or no number. The training is of no use for anything else afterwards. `progress` counts steps.
    ///
    /// # Errors
    /// [`TrainError::Stopped`]; [`TrainError::Source`] for samples that cannot be had.
    pub fn try_rates(
        mut self,
        source: &dyn Source,
        rates: [f64; 2],
        steps: usize,
        progress: Progress<'_>,
    ) -> Result<Vec<(f64, f64)>, TrainError> {
        const TOO_MUCH: f64 = 4.0;
        let settings = self.settings.clone();
        let network = self.network.clone();
        let mut rig = Rig::new(&network, &settings, source)?;
        let of_one = f64::from(settings.rates.weights);
        let (mut found, mut least, mut epoch) = (Vec::new(), f64::INFINITY, 0);
        let mut has_ended = false;
        while found.len() < steps && !has_ended {
            let (mut order, batch) = self.order(source.len(), epoch);
            order.truncate((steps - found.len()) * batch);
            epoch += 1;
            let before = found.len();
            let fed = self.feed(source, &order, batch).for_each(|loaded| {
                let rate = rates[0] * (rates[1] / rates[0]).powf(found.len() as f64 / steps.max(2) as f64);
                match self.learn_batch(&mut rig, loaded, (rate / of_one) as f32, usize::MAX) {
                    Ok(Some((loss, _))) => found.push((rate, loss)),
                    Ok(None) => {}
                    Err(TrainError::Diverged { .. }) => found.push((rate, f64::INFINITY)),
                    Err(error) => return Err(error),
                }
                let Some((_, last)) = found.last() else { return Ok(()) };
                least = last.min(least);
                has_ended = *last > TOO_MUCH * least;
                let is_asked = progress(found.len(), steps).is_break();
                if is_asked || has_ended { Err(TrainError::Stopped) } else { Ok(()) }
            });
            match fed {
                Err(TrainError::Stopped) if has_ended => {}
                other => other?,
            }
            if found.len() == before {
                break;
            }
        }
        Ok(found)
    }

    /// The samples of an epoch, a whole number of batches, and how many are in one.
    fn order(&self, samples: usize, epoch: usize) -> (Vec<usize>, usize) {
        let batch = self.settings.batch.clamp(1, samples.max(1));
        let mut rng = ChaCha8Rng::seed_from_u64(self.settings.seed ^ ((epoch as u64 + 1) << 32));
        let mut order: Vec<usize> = (0..samples).collect();
        order.shuffle(&mut rng);
        order.truncate(samples / batch * batch);
        (order, batch)
    }

    fn feed<'f>(&self, source: &'f dyn Source, order: &'f [usize], batch: usize) -> Feed<'f> {
        Feed {
            source,
            order,
            batch,
            augmentation: self.settings.augmentation,
            border: border(&self.network),
            shape: self.network.shape(self.network.input),
            seed: self.settings.seed ^ ((self.epochs as u64 + 1) << 40),
        }
    }

    /// Learns from some samples at the rates times `fall`, the next of `all` steps. Answers the mean loss and how many samples there were;
    /// `None` where there were none.
    fn learn_batch(
        &mut self,
        rig: &mut Rig<'_>,
        loaded: &Loaded,
        fall: f32,
        all: usize,
    ) -> Result<Option<(f64, usize)>, TrainError> {
        let settings = &self.settings;
        let count = loaded.len(rig.network.shape(rig.network.input));
        if count == 0 {
            return Ok(None);
        }
        let input = loaded.boundary();
        let inputs = Batch { inputs: &[input], dropped: None };
        let labelled = loaded.targets.are_there();
        let share = settings.distillation.filter(|d| d.share > 0.0 || !labelled).map(|d| d.share);
        let wanted = match share {
            Some(_) => rig.teacher.forward(&rig.real, &inputs)?.swap_remove(0),
            None => Vec::new(),
        };
        let share = if labelled { share.unwrap_or(0.0) } else { 1.0 };
        let (each, one) = (rig.network.shape(rig.network.output).elements(), 1.0 / count as f64);
        let by_answers = rig.by_answers.as_ref().filter(|_| !wanted.is_empty());
        let loss = |range: Range<usize>, values: &[Vec<f32>], gradients: &mut [Vec<f32>]| {
            let (values, gradient) = (&values[0], &mut gradients[0]);
            let mut loss = 0.0;
            if let Some(by_answers) = by_answers {
                let wanted = &wanted[range.start * each..range.end * each];
                loss += by_answers.add(values, wanted, (range.len(), share * one), gradient);
            }
            if share < 1.0 {
                loss += loaded.targets.add(&settings.labels, (values, range), (1.0 - share) * one, gradient);
            }
            loss
        };
        let found = match rig.engine.step(self.learner.parameters(), &inputs, &loss) {
            Ok(found) if found.loss.is_finite() => found,
            Ok(_) | Err(TrainError::Layer { .. }) => {
                return Err(TrainError::Diverged { epoch: self.epochs + 1, step: self.steps + 1 });
            }
            Err(error) => return Err(error),
        };
        let pull = self.pull(self.steps, all);
        self.learner.step(found.gradients, &self.settings.rates, fall, &pull);
        self.steps += 1;
        if let Some(average) = &mut self.average {
            average.add(&self.learner.learned(), self.steps);
        }
        Ok(Some((found.loss, count)))
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

/// What computes: the network that learns, and the float network that teaches.
struct Rig<'n> {
    network: &'n Network,
    engine: Engine<'n>,
    teacher: Engine<'n>,
    real: Parameters,
    /// `None` where labels alone teach.
    by_answers: Option<Loss>,
}

impl<'n> Rig<'n> {
    /// Samples that tell how far values vary, at most: a constant, so that every epoch counts errors alike.
    const VARYING: usize = 512;

    fn new(network: &'n Network, settings: &TuneSettings, source: &dyn Source) -> Result<Self, TrainError> {
        let (engine, mut teacher, real) = (Engine::whole(network)?, Engine::whole(network)?, Parameters::real(network));
        let by_answers = match settings.distillation {
            Some(Distillation { objective, .. }) => {
                let varying = match objective {
                    Objective::VarianceError => (0..source.len().min(Self::VARYING)).collect(),
                    _ => Vec::new(),
                };
                let mut answers = Vec::new();
                if !varying.is_empty() {
                    let loaded = source.load(&varying).map_err(|problem| TrainError::Source { problem })?;
                    let batch = Batch { inputs: &[loaded.boundary()], dropped: None };
                    answers = teacher.forward(&real, &batch)?.swap_remove(0);
                }
                Some(Loss::of(objective, network.shape(network.output), &answers))
            }
            None => None,
        };
        Ok(Self { network, engine, teacher, real, by_answers })
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
