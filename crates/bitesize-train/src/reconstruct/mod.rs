//! Reconstruction: what a quantized model's nodes hand on is brought near to what the float network's do, with
//! unlabelled samples.
//!
//! It begins with the model that [`Ptq::quantize_sequential`](crate::Ptq::quantize_sequential) rounded with compensation. Block
//! after block ([`blocks`]) weights with their scales, biases and the scales of activations are learned by gradients through
//! the rounding ([`engine`](crate::engine)), under what the quantized blocks before hand on, some elements of it left as they are
//! in float (Wei et al., "QDrop"); then all of it at once, by how far the network's output is from float. Of every eight samples one is
//! held out: what was learned is kept only where it lessens the error on those.
//!
//! The unit of work is a block, or the whole network: [`Reconstruction::state`] after each is all that a later run needs to go on
//! to the same model.

mod blocks;
mod fit;
mod settings;
mod stream;

pub use settings::ReconstructSettings;

use crate::Equalization;
use crate::engine::Parameters;
use crate::objective::Loss;
use crate::{FakeQuantModel, Progress, Samples, TrainError};
use bitesize_ir::{Network, QuantizedModel};
use fit::{Course, Features, HELD_OUT, Task};
use serde::{Deserialize, Serialize};
use settings::{BY_BLOCKS, seconds};
use std::ops::Range;
use stream::{GoOn, Stream};

/// A block and the network are learned twice, at first with this share of their work. One long round brings more than many short
/// ones; the second is for what the first made worse, at [`LOWER`] rates.
const FIRST_ROUND: f64 = 0.8;

/// What rates are multiplied by in a second round.
const LOWER: f32 = 0.25;

/// Rounds of the whole network, each a unit.
const NETWORK_ROUNDS: usize = 2;

/// What came of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitOutcome {
    /// The last node of the block; empty for the whole network.
    pub name: String,
    /// The error on held-out samples as it was, for each image: of a block the square distance from float, of the network by
    /// [`ReconstructSettings::objective`].
    pub before: f64,
    /// The same with what was learned.
    pub after: f64,
    /// Whether that was kept.
    pub kept: bool,
}

/// How far a reconstruction is: all that a later run needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconstructState {
    /// With what was learned so far.
    pub model: QuantizedModel,
    /// One for each unit that is done.
    pub outcomes: Vec<UnitOutcome>,
}

/// A reconstruction under way.
pub struct Reconstruction<'a> {
    start: &'a QuantizedModel,
    settings: ReconstructSettings,
    /// The float network, its channels divided as the model's are.
    network: Network,
    blocks: Vec<Range<usize>>,
    /// What the next block reads.
    stream: Stream,
    /// The blocks that `stream` has passed.
    passed: usize,
    input: Stream,
    state: ReconstructState,
}

impl<'a> Reconstruction<'a> {
    /// Samples without which there is none that judges.
    pub const LEAST_SAMPLES: usize = HELD_OUT;

    /// Begins with `model`. `samples` are learned from and judge; at least eight are needed for that.
    ///
    /// # Errors
    /// [`TrainError::Samples`], [`TrainError::NotRewritten`], [`TrainError::Mismatch`] and [`TrainError::Layer`] for a model
    /// that is none.
    pub fn new(
        model: &'a QuantizedModel,
        samples: &Samples<'_>,
        settings: ReconstructSettings,
    ) -> Result<Self, TrainError> {
        Self::resume(model, samples, settings, ReconstructState { model: model.clone(), outcomes: Vec::new() })
    }

    /// Goes on from `state`, which one with the same `model`, `samples` and `settings` came to.
    ///
    /// # Errors
    /// As [`Self::new`], and [`TrainError::OtherModel`] for a state of another network, other widths or other factors of channels.
    pub fn resume(
        model: &'a QuantizedModel,
        samples: &Samples<'_>,
        settings: ReconstructSettings,
        state: ReconstructState,
    ) -> Result<Self, TrainError> {
        samples.check(&model.network)?;
        if samples.len() < Self::LEAST_SAMPLES {
            let (found, expected) = (samples.len(), Self::LEAST_SAMPLES);
            return Err(TrainError::Mismatch { what: "list of samples", found, expected });
        }
        for model in [model, &state.model] {
            FakeQuantModel::new(model)?;
        }
        let of_one = |a: &QuantizedModel, b: &QuantizedModel| {
            a.network == b.network && a.policy == b.policy && a.equalized == b.equalized
        };
        if !of_one(model, &state.model) {
            return Err(TrainError::OtherModel);
        }
        let network = Equalization::scaled(&model.network, &model.equalized);
        let blocks =
            if settings.network_share < 1.0 { blocks::blocks(&network, settings.layer_by_layer) } else { Vec::new() };
        if state.outcomes.len() > blocks.len() + NETWORK_ROUNDS {
            let (found, expected) = (state.outcomes.len(), blocks.len() + NETWORK_ROUNDS);
            return Err(TrainError::Mismatch { what: "reconstruction's list of blocks", found, expected });
        }
        let of_blocks = samples.range(0..if blocks.is_empty() { 0 } else { samples.len().min(settings.block_samples) });
        let (stream, input) = (Stream::of_samples(&network, &of_blocks), Stream::of_samples(&network, samples));
        Ok(Self { start: model, settings, network, blocks, stream, passed: 0, input, state })
    }

    /// How many bytes a reconstruction of `network` keeps of each sample, beside what the engine needs for a few images.
    pub fn bytes_per_sample(network: &Network) -> usize {
        stream::bytes_of_network(network, Features::tensor(network))
    }

    /// How many bytes it keeps beside that of each sample that blocks learn from, at most.
    pub fn bytes_per_block_sample(network: &Network) -> usize {
        stream::bytes_of_blocks(network, &blocks::blocks(network, false))
    }

    /// How many units are blocks; they come first.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks, and rounds of the whole network.
    pub fn units(&self) -> usize {
        self.blocks.len() + NETWORK_ROUNDS
    }

    /// Whether all units are done.
    pub fn is_done(&self) -> bool {
        self.state.outcomes.len() >= self.units()
    }

    /// What is done, and the model so far.
    pub fn state(&self) -> &ReconstructState {
        &self.state
    }

    /// The model as far as it is learned.
    pub fn into_model(self) -> QuantizedModel {
        self.state.model
    }

    /// Learns the next unit; nothing where all are done. `progress` counts images that went through the network, of the whole
    /// reconstruction: an image through a block counts by the block's share of the network's time, twice.
    ///
    /// # Errors
    /// [`TrainError::Stopped`]: the state is then the one before.
    pub fn learn_next(&mut self, progress: Progress<'_>) -> Result<(), TrainError> {
        let unit = self.state.outcomes.len();
        let images = self.settings.images(&self.network);
        match unit.checked_sub(self.blocks.len()) {
            None => self.learn_block(unit, images, progress),
            Some(round) if round < NETWORK_ROUNDS => self.learn_network(round, images, progress),
            Some(_) => Ok(()),
        }
    }

    fn learn_block(
        &mut self,
        unit: usize,
        [images, of_network]: [usize; 2],
        progress: Progress<'_>,
    ) -> Result<(), TrainError> {
        let all = seconds(&self.network, 0..self.network.nodes.len());
        let share = |nodes: Range<usize>| seconds(&self.network, nodes) / all;
        let (before, own) = (share(0..self.blocks[unit].start), share(self.blocks[unit].clone()));
        let total = images * BY_BLOCKS + of_network;
        let done = |share: f64| (share * (images * BY_BLOCKS) as f64) as usize;
        let go_on = &mut || progress(done(before), total);
        while self.passed < unit {
            let (nodes, float) = self.float_output(go_on)?;
            self.pass(nodes, float, &Parameters::of_model(&self.state.model), go_on)?;
        }
        let (nodes, float) = self.float_output(go_on)?;
        let task = Task {
            network: &self.network,
            nodes: nodes.clone(),
            input: &self.stream,
            wanted: &float,
            loss: Loss::square_error(self.network.shape(stream::output_of(&self.network, &nodes))),
            features: None,
        };
        let first = task.error(&Parameters::of_model(&self.state.model))?;
        let mut best = None;
        for round in 0..2 {
            let (part, done_before, factor) = of_round(round);
            let course = Course {
                images: (images as f64 * part) as usize,
                batch: self.settings.batch,
                rates: self.settings.block_rates,
                factor,
                drop: self.settings.drop,
                average: None,
                seed: self.seed(unit, round),
            };
            let mut of_course = |done_of_round: usize, all: usize| {
                let part = done_before + part * done_of_round as f64 / all.max(1) as f64;
                progress(done(before + own * part), total)
            };
            best = learned(task.learn(&self.state.model, &course, &mut of_course))?.filter(|(_, error)| *error < first);
            if best.is_some() {
                break;
            }
        }
        let kept = best.is_some();
        let (model, after) = best.unwrap_or_else(|| (self.state.model.clone(), first));
        let name = self.network.nodes[nodes.end - 1].name.clone();
        let go_on = &mut || progress(done(before + own), total);
        self.pass(nodes, float, &Parameters::of_model(&model), go_on)?;
        self.state.model = model;
        self.state.outcomes.push(UnitOutcome { name, before: first, after, kept });
        Ok(())
    }

    /// The next block and what the float network hands on after it.
    fn float_output(&self, go_on: GoOn<'_>) -> Result<(Range<usize>, Stream), TrainError> {
        let nodes = self.blocks[self.passed].clone();
        let float = self.stream.through_float(&self.network, nodes.clone(), go_on)?;
        Ok((nodes, float))
    }

    /// Goes behind the next block.
    fn pass(
        &mut self,
        nodes: Range<usize>,
        mut float: Stream,
        parameters: &Parameters,
        go_on: GoOn<'_>,
    ) -> Result<(), TrainError> {
        self.stream.through_quantized(&self.network, nodes, parameters, &mut float, go_on)?;
        (self.stream, self.passed) = (float, self.passed + 1);
        Ok(())
    }

    /// The whole network at once.
    fn learn_network(
        &mut self,
        round: usize,
        [of_blocks, images]: [usize; 2],
        progress: Progress<'_>,
    ) -> Result<(), TrainError> {
        let nodes = 0..self.network.nodes.len();
        let (part, done_before, factor) = of_round(round);
        let of_blocks = of_blocks * BY_BLOCKS;
        let begun = of_blocks + (done_before * images as f64) as usize;
        let go_on = &mut || progress(begun, of_blocks + images);
        let features = Features::tensor(&self.network).filter(|_| self.settings.features);
        let tensors = [Some(self.network.output), features].into_iter().flatten().collect::<Vec<_>>();
        let mut found = self.input.values_in_float(&self.network, nodes.clone(), &tensors, go_on)?;
        let features = features
            .zip(found.get_mut(1).map(std::mem::take))
            .map(|(tensor, values)| Features::new(tensor, values, self.network.shape(tensor).elements()));
        let wanted = Stream::of_values(&self.network, self.network.output, found.swap_remove(0));
        let loss = Loss::of(self.settings.objective, self.network.shape(self.network.output), wanted.float());
        let task = Task { network: &self.network, nodes, input: &self.input, wanted: &wanted, loss, features };
        let mut model = &self.state.model;
        let mut before = task.error(&Parameters::of_model(model))?;
        if round == 0 {
            // Errors of blocks are not the network's: where they misled, it begins anew.
            let at_start = task.error(&Parameters::of_model(self.start))?;
            if at_start < before {
                (model, before) = (self.start, at_start);
            }
        }
        let course = Course {
            images: (images as f64 * part) as usize,
            batch: self.settings.batch,
            rates: self.settings.network_rates,
            factor,
            drop: 0.0,
            average: self.settings.average,
            seed: self.seed(self.blocks.len(), round),
        };
        let mut of_course = |done: usize, all: usize| {
            let part = done_before + part * done as f64 / all.max(1) as f64;
            progress(of_blocks + (part * images as f64) as usize, of_blocks + images)
        };
        let found = learned(task.learn(model, &course, &mut of_course))?.filter(|(_, error)| *error < before);
        let kept = found.is_some();
        let (model, after) = found.unwrap_or_else(|| (model.clone(), before));
        self.state.model = model;
        self.state.outcomes.push(UnitOutcome { name: String::new(), before, after, kept });
        Ok(())
    }

    fn seed(&self, unit: usize, round: usize) -> u64 {
        (self.settings.seed << 24) ^ ((unit as u64) << 8) ^ round as u64
    }
}

/// The share of the work of a round, that of the rounds before it, and what rates are multiplied by.
fn of_round(round: usize) -> (f64, f64, f32) {
    if round == 0 { (FIRST_ROUND, 0.0, 1.0) } else { (1.0 - FIRST_ROUND, FIRST_ROUND, LOWER) }
}

/// `None` where what was learned does not fit the integer arithmetic.
fn learned<T>(found: Result<T, TrainError>) -> Result<Option<T>, TrainError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(TrainError::Layer { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}
