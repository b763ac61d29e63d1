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
mod learner;
mod settings;
mod stream;

pub use settings::{Objective, Rates, ReconstructSettings};

use crate::engine::Parameters;
use crate::equalize::Equalization;
use crate::{FakeQuantModel, Progress, Samples, TrainError};
use bitesize_ir::{Network, QuantizedModel};
use fit::{Course, HELD_OUT, Task};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use stream::Stream;

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
    /// As [`Self::new`].
    pub fn resume(
        model: &'a QuantizedModel,
        samples: &Samples<'_>,
        settings: ReconstructSettings,
        state: ReconstructState,
    ) -> Result<Self, TrainError> {
        samples.check(&model.network)?;
        if samples.len() < HELD_OUT {
            return Err(TrainError::Mismatch { what: "list of samples", found: samples.len(), expected: HELD_OUT });
        }
        for model in [model, &state.model] {
            FakeQuantModel::new(model)?;
        }
        let network = Equalization::scaled(&model.network, &model.equalized);
        let blocks = blocks::blocks(&network);
        if state.outcomes.len() > blocks.len() + 1 {
            let (found, expected) = (state.outcomes.len(), blocks.len() + 1);
            return Err(TrainError::Mismatch { what: "reconstruction's list of blocks", found, expected });
        }
        let input = Stream::of_samples(&network, samples);
        Ok(Self { start: model, settings, network, blocks, stream: input.clone(), passed: 0, input, state })
    }

    /// Blocks, and the whole network.
    pub fn units(&self) -> usize {
        self.blocks.len() + 1
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
    /// reconstruction: an image through a block counts by the block's share of the network's products.
    ///
    /// # Errors
    /// [`TrainError::Stopped`]: the state is then the one before.
    pub fn next(&mut self, progress: Progress<'_>) -> Result<(), TrainError> {
        let unit = self.state.outcomes.len();
        if self.is_done() {
            return Ok(());
        }
        let [of_blocks, of_network] = self.settings.images(&self.network);
        let total = of_blocks + of_network;
        if unit == self.blocks.len() {
            return self.learn_network(of_network, &mut |done, _| progress(of_blocks + done, total));
        }
        while self.passed < unit {
            let (nodes, float) = self.float_output()?;
            self.pass(nodes, float)?;
        }
        let (nodes, float) = self.float_output()?;
        let work = |nodes: Range<usize>| work(&self.network, nodes) as f64;
        let share = |nodes: Range<usize>| work(nodes) / work(0..self.network.nodes.len()) * of_blocks as f64;
        let (before, own) = (share(0..nodes.start), share(nodes.clone()));
        let mut of_unit =
            |done: usize, all: usize| progress((before + own * done as f64 / all.max(1) as f64) as usize, total.max(1));
        let course = Course {
            images: of_blocks,
            batch: self.settings.batch,
            rates: self.settings.block_rates,
            drop: self.settings.drop,
            seed: self.settings.seed.wrapping_add(unit as u64 + 1),
        };
        let task = Task {
            network: &self.network,
            nodes: nodes.clone(),
            input: &self.stream,
            wanted: &float,
            objective: Objective::SquareError,
        };
        let found = learned(task.learn(&self.state.model, &course, &mut of_unit))?;
        let outcome = match found {
            Some((model, [before, after])) => {
                let kept = after < before;
                if kept {
                    self.state.model = model;
                }
                UnitOutcome { name: self.network.nodes[nodes.end - 1].name.clone(), before, after, kept }
            }
            None => UnitOutcome {
                name: self.network.nodes[nodes.end - 1].name.clone(),
                before: f64::NAN,
                after: f64::NAN,
                kept: false,
            },
        };
        self.state.outcomes.push(outcome);
        self.pass(nodes, float)
    }

    /// The next block and what the float network hands on after it.
    fn float_output(&self) -> Result<(Range<usize>, Stream), TrainError> {
        let nodes = self.blocks[self.passed].clone();
        let float = self.stream.through_float(&self.network, nodes.clone())?;
        Ok((nodes, float))
    }

    /// Goes behind the next block.
    fn pass(&mut self, nodes: Range<usize>, mut float: Stream) -> Result<(), TrainError> {
        let parameters = Parameters::of_model(&self.state.model);
        self.stream.through_quantized(&self.network, nodes, &parameters, &mut float)?;
        (self.stream, self.passed) = (float, self.passed + 1);
        Ok(())
    }

    /// The whole network at once.
    fn learn_network(&mut self, images: usize, progress: Progress<'_>) -> Result<(), TrainError> {
        let nodes = 0..self.network.nodes.len();
        let wanted = self.input.through_float(&self.network, nodes.clone())?;
        let objective = self.settings.objective;
        let task = Task { network: &self.network, nodes, input: &self.input, wanted: &wanted, objective };
        // Errors of blocks are not the network's: where they misled, it begins anew.
        let first = task.error(&Parameters::of_model(self.start))?;
        if task.error(&Parameters::of_model(&self.state.model))? > first {
            self.state.model = self.start.clone();
        }
        let course = Course {
            images,
            batch: self.settings.batch,
            rates: self.settings.network_rates,
            drop: 0.0,
            seed: self.settings.seed,
        };
        let (model, [before, after]) = task.learn(&self.state.model, &course, progress)?;
        let kept = after < before;
        if kept {
            self.state.model = model;
        }
        self.state.outcomes.push(UnitOutcome { name: String::new(), before, after, kept });
        Ok(())
    }
}

/// `None` where what was learned does not fit the integer arithmetic.
fn learned<T>(found: Result<T, TrainError>) -> Result<Option<T>, TrainError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(TrainError::Layer { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Products and values that pass through some nodes.
fn work(network: &Network, nodes: Range<usize>) -> u64 {
    network.nodes[nodes].iter().map(|node| node.op.macs(network.shape(node.output))).sum()
}
