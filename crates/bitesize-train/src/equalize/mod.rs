//! Channels brought to one size before quantization.
//!
//! A tensor's channels share one encoding, so one that reaches far leaves few codes to the others. Dividing a channel by a
//! factor in the layer that writes it, and multiplying it in the layers that read it, changes nothing in the float network
//! where only clamps that scale lie between ([`ties`] says which channels take the same factor). What it does to a quantized
//! network depends on its widths: the factors that suit an encoding of few codes make the weights of a reader uneven. So
//! factors are chosen for each group of tied tensors and for each pair of widths ([`Cell`]), by what encoding and rounding
//! together add to the outputs of the layers that read them: fitted on one half of the samples, and taken where the other half
//! says that they help ([`group`]).

mod group;
mod lines;
mod readers;
mod seen;
mod spread;
mod ties;

use crate::calibrate::read_as_numbers;
use crate::{Calibration, Progress, Samples, TrainError};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{ActivationQuant, BitWidth, Network, NodeId, Op, Policy, PolicySpace, TensorId};
use group::{Group, Known, of_place, place_of};
use rayon::prelude::*;
use readers::Weights;
use seen::Seen;
use serde::{Deserialize, Serialize};
use spread::{Part, Spread};
use std::sync::Arc;
use ties::Ties;

/// The factors that channels are divided by, for each group of tied tensors and each pair of widths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equalization {
    /// Those where some pair of widths asks for factors.
    pub groups: Vec<EqualizedGroup>,
}

/// Tensors whose channels are tied, so that they are scaled together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EqualizedGroup {
    /// All tensors of the group, rising.
    tensors: Vec<usize>,
    /// The layers whose rounding depends on the factors, rising.
    readers: Vec<usize>,
    /// What is chosen, an index into [`Self::choices`], by the narrowest width of the tensors and the narrowest of the readers'
    /// weights, both in the order of [`BitWidth::ALL`].
    cells: [[Option<usize>; 3]; 3],
    choices: Vec<Choice>,
}

/// Factors for the channels of a group, and the encodings that go with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    /// For each tensor, for each channel, `4096 log2(factor)`, rounded.
    #[serde(with = "lines")]
    factors: Vec<Vec<i32>>,
    /// For each tensor, at 2, 4 and 8 bits.
    encodings: Vec<[ActivationQuant; 3]>,
}

/// What is chosen for each group of an [`Equalization`].
pub(crate) type Picks = Vec<Option<usize>>;

/// Shares of the activations in the factors that are tried, the others being the weights'.
const SHARES: [f64; 5] = [1.0, 0.75, 0.5, 0.25, 0.0];

/// How much less the noise of a group has to be with factors than without. At 8 bits rounding is most of it, of which compensation
/// takes care by itself: on MobileNetV1 5 % there cost 0.11 points at W8A8 and 0.25 at W4A8.
fn margin(activations: BitWidth) -> f64 {
    if activations == BitWidth::B8 { 0.2 } else { 0.05 }
}

/// Channels and taps that factors are looked for at most. A network of more keeps its channels as they are.
const MOST_CHANNELS: usize = 1 << 18;

/// Finds factors for a rewritten `network` on `samples`, those of `calibration`, which has the encodings without factors.
///
/// `progress` counts images, each twice.
///
/// # Errors
/// [`TrainError::NoSamples`], [`TrainError::Samples`], [`TrainError::NotRewritten`], [`TrainError::Mismatch`] where `calibration`
/// is that of another network, [`TrainError::Stopped`].
pub fn equalize(
    network: &Network,
    samples: &Samples<'_>,
    calibration: &Calibration,
    progress: Progress<'_>,
) -> Result<Equalization, TrainError> {
    crate::ptq::check(network, samples, calibration)?;
    let ties = Ties::of(network);
    let read = read_as_numbers(network);
    let mut asked = vec![false; network.tensors.len()];
    ties.groups.iter().flatten().for_each(|t| asked[t.0] = read[t.0]);
    let channels: usize = (0..asked.len()).filter(|t| asked[*t]).map(|t| network.tensors[t].shape.c).sum();
    if channels == 0 || channels > MOST_CHANNELS {
        return Ok(Equalization::default());
    }
    let total = 2 * samples.len();
    let seen = Seen::of(network, samples, &mut |done, _| progress(done, total))?;
    let spreads =
        Spread::of(network, samples, (&ties, &seen, &asked), &mut |done, _| progress(samples.len() + done, total))?;
    let weights = Weights::of(network, &seen);
    let (importance, dense) = (Weights::of_classes(&weights.shares, &ties), Weights::of_classes(&weights.dense, &ties));
    let known = Known {
        network,
        ties: &ties,
        seen: &seen,
        spreads: &spreads,
        weights: &weights,
        importance: &importance,
        dense: &dense,
    };
    let groups: Vec<Option<EqualizedGroup>> =
        ties.groups.par_iter().map(|tensors| choose(&known, tensors, &read, calibration)).collect();
    Ok(Equalization { groups: groups.into_iter().flatten().collect() })
}

/// The choices for the group of `tensors`, `None` where no pair of widths asks for factors.
fn choose(known: &Known<'_>, tensors: &[TensorId], read: &[bool], calibration: &Calibration) -> Option<EqualizedGroup> {
    let group = Group::of(known, tensors, read);
    if !group.is_free() {
        return None;
    }
    let [teaching, held_out, all] = [Part::Even, Part::Odd, Part::All].map(|part| group.points(part));
    let count = group.tensors().len();
    let mut choices: Vec<(Vec<f64>, Choice)> = Vec::new();
    let mut cells = [[None; 3]; 3];
    for activations in BitWidth::ALL {
        let fitted = group.fitted(activations, &teaching);
        let unscaled = vec![1.0; fitted.len()];
        let noise_without: f64 = (0..count)
            .map(|at| {
                let quant = calibration.encoding(group.tensors()[at], activations);
                group.noise_of(at, &unscaled, &quant, &held_out)
            })
            .sum();
        let tried = SHARES.map(|share| {
            let factors = group.between(&fitted, share);
            let noise_of = |at| {
                let quant = group.encoding(at, &factors, activations, &teaching);
                group.noise_of(at, &factors, &quant, &held_out)
            };
            ((0..count).map(noise_of).sum::<f64>(), factors)
        });
        for weights in BitWidth::ALL {
            let rounding_without = group.rounding_noise(&unscaled, weights);
            let without = noise_without + rounding_without;
            let mut best = (without * (1.0 - margin(activations)), None);
            for (noise, factors) in &tried {
                let total = noise + group.rounding_noise(factors, weights);
                if total < best.0 {
                    best = (total, Some(factors));
                }
            }
            let Some(factors) = best.1.cloned() else { continue };
            let found = choices.iter().position(|(other, _)| *other == factors);
            let choice = found.unwrap_or_else(|| {
                let choice = Choice::of(&group, known, tensors, &factors, calibration, &all);
                choices.push((factors, choice));
                choices.len() - 1
            });
            cells[activations.index()][weights.index()] = Some(choice);
        }
    }
    if choices.is_empty() {
        return None;
    }
    let mut readers: Vec<usize> = group.readers.iter().map(|reader| reader.node.0).collect();
    readers.sort_unstable();
    Some(EqualizedGroup {
        tensors: tensors.iter().map(|t| t.0).collect(),
        readers,
        cells,
        choices: choices.into_iter().map(|(_, choice)| choice).collect(),
    })
}

impl Choice {
    fn of(
        group: &Group<'_>,
        known: &Known<'_>,
        tensors: &[TensorId],
        factors: &[f64],
        calibration: &Calibration,
        points: &[Vec<spread::Points>],
    ) -> Self {
        let encoding = |t: &TensorId| {
            // What a tensor passes on it has from the one that the encoding is made for.
            let root = known.network.encoding_root(*t);
            let is_made_for = |other: &TensorId| known.network.encoding_root(*other) == root;
            match group.tensors().iter().position(is_made_for) {
                Some(at) => BitWidth::ALL.map(|bits| group.encoding(at, factors, bits, points)),
                None => calibration.tensors[t.0].encodings,
            }
        };
        let places = |t: &TensorId| group.of_channels(factors, *t).into_iter().map(|f| place_of(f)).collect();
        Self { factors: tensors.iter().map(places).collect(), encodings: tensors.iter().map(encoding).collect() }
    }
}

impl Equalization {
    /// Choices of a group at most: one for each pair of widths.
    pub const MOST_CHOICES: usize = 9;

    /// Whether all channels stay as they are, at all widths.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups that have factors where every weight and every activation is at these widths, rising.
    pub fn groups_at(&self, weights: BitWidth, activations: BitWidth) -> Vec<usize> {
        let has = |group: &usize| self.groups[*group].cells[activations.index()][weights.index()].is_some();
        (0..self.groups.len()).filter(has).collect()
    }

    /// The same, with factors at these widths for `groups` alone.
    pub fn with_groups_at(&self, weights: BitWidth, activations: BitWidth, groups: &[usize]) -> Self {
        let mut some = self.clone();
        for (_, group) in some.groups.iter_mut().enumerate().filter(|(i, _)| !groups.contains(i)) {
            group.cells[activations.index()][weights.index()] = None;
        }
        some
    }

    /// Drops groups that have no factors at any widths. Choices keep their numbers within a group.
    pub fn forget_unused_groups(&mut self) {
        self.groups.retain(|group| group.cells.iter().flatten().any(Option::is_some));
    }

    /// # Errors
    /// [`TrainError::Mismatch`] where it is not one of `network`.
    pub(crate) fn check(&self, network: &Network) -> Result<(), TrainError> {
        let mismatch = |what, found, expected| Err(TrainError::Mismatch { what, found, expected });
        let mut taken = vec![false; network.tensors.len()];
        for group in &self.groups {
            let (tensors, nodes, choices) = (network.tensors.len(), network.nodes.len(), group.choices.len());
            for tensor in &group.tensors {
                if *tensor >= tensors || std::mem::replace(&mut taken[*tensor], true) {
                    return mismatch("equalization's list of tensors", *tensor, tensors);
                }
            }
            if let Some(node) = group.readers.iter().find(|node| **node >= nodes) {
                return mismatch("equalization's list of layers", *node, nodes);
            }
            if let Some(choice) = group.cells.iter().flatten().flatten().find(|choice| **choice >= choices) {
                return mismatch("equalization's list of choices", *choice, choices);
            }
            if choices > Self::MOST_CHOICES {
                return mismatch("equalization's list of choices", choices, Self::MOST_CHOICES);
            }
            for choice in &group.choices {
                let lists = [choice.factors.len(), choice.encodings.len()];
                if let Some(found) = lists.into_iter().find(|found| *found != group.tensors.len()) {
                    return mismatch("equalization's choice", found, group.tensors.len());
                }
                for (tensor, factors) in group.tensors.iter().zip(&choice.factors) {
                    if factors.len() != network.tensors[*tensor].shape.c {
                        return mismatch("equalization's factors", factors.len(), network.tensors[*tensor].shape.c);
                    }
                }
            }
        }
        Ok(())
    }

    /// The group that `tensor` is in.
    pub(crate) fn group_of(&self, tensor: TensorId) -> Option<usize> {
        self.groups.iter().position(|group| group.tensors.binary_search(&tensor.0).is_ok())
    }

    /// What the channels of `tensor` are divided by where `pick` is chosen for its group.
    pub(crate) fn choice_of(&self, tensor: TensorId, pick: Option<usize>) -> Option<Vec<f64>> {
        let group = &self.groups[self.group_of(tensor)?];
        let at = group.tensors.binary_search(&tensor.0).ok()?;
        Some(group.choices[pick?].factors[at].iter().map(|place| of_place(*place)).collect())
    }

    /// What can be chosen for the group of what layer `node` reads where the layer has `bits` and the narrowest activations one of the
    /// widths `activations`, rising.
    pub(crate) fn picks_of_input(
        &self,
        network: &Network,
        node: NodeId,
        bits: BitWidth,
        activations: &[BitWidth],
    ) -> Vec<Option<usize>> {
        let Some(group) = self.group_of(network.node(node).inputs[0]).map(|group| &self.groups[group]) else {
            return vec![None];
        };
        let is_alone = group.readers == [node.0];
        let weights = BitWidth::ALL.into_iter().filter(|weights| *weights == bits || (*weights < bits && !is_alone));
        let of = |weights: BitWidth| activations.iter().map(move |a| group.cells[a.index()][weights.index()]);
        let mut picks: Vec<Option<usize>> = weights.flat_map(of).collect();
        picks.sort_unstable();
        picks.dedup();
        picks
    }

    /// What `policy` asks for in each group.
    pub(crate) fn picks(&self, network: &Network, space: &PolicySpace, policy: &Policy) -> Picks {
        if self.is_empty() {
            return Picks::new();
        }
        let bits = policy.tensor_bits(network, space);
        let of_group = |group: &EqualizedGroup| {
            let activations = group.tensors.iter().map(|t| bits[*t]).min()?;
            let weights = group.readers.iter().filter_map(|node| policy.weight_bits(space, NodeId(*node))).min();
            group.cells[activations.index()][weights.unwrap_or(BitWidth::B8).index()]
        };
        self.groups.iter().map(of_group).collect()
    }

    /// For each of `tensors` what its channels are divided by, `None` where they stay as they are; empty where all do.
    pub(crate) fn factors(&self, picks: &Picks, tensors: usize) -> Vec<Option<Arc<[f64]>>> {
        if picks.iter().all(Option::is_none) {
            return Vec::new();
        }
        let mut all = vec![None; tensors];
        for (group, pick) in self.groups.iter().zip(picks) {
            if let Some(pick) = pick {
                for (t, places) in group.tensors.iter().zip(&group.choices[*pick].factors) {
                    all[*t] = Some(places.iter().map(|place| of_place(*place)).collect());
                }
            }
        }
        all
    }

    /// Puts the encodings that go with `picks` in the place of those without factors.
    pub(crate) fn encode(&self, picks: &Picks, activations: &mut [ActivationQuant]) {
        for (group, pick) in self.groups.iter().zip(picks) {
            if let Some(pick) = pick {
                for (t, encodings) in group.tensors.iter().zip(&group.choices[*pick].encodings) {
                    activations[*t] = encodings[activations[*t].bits.index()];
                }
            }
        }
    }

    /// `network` with the channels of its tensors divided by `factors`, one list for each tensor or none at all: what layers with
    /// weights write is divided, and what they read multiplied back. Where the factors are those of
    /// [`QuantizedModel::equalized`](bitesize_ir::QuantizedModel::equalized), that is the network that was quantized; it computes the
    /// same as `network`, but for values beyond those that clamps were seen to let through.
    ///
    /// # Panics
    /// Where a list has not a factor for each channel.
    pub fn scaled(network: &Network, factors: &[Option<Arc<[f64]>>]) -> Network {
        let mut scaled = network.clone();
        if factors.is_empty() {
            return scaled;
        }
        let factor = |t: TensorId, c: usize| factors[t.0].as_ref().map_or(1.0, |factors| factors[c]);
        for node in &mut scaled.nodes {
            let (input, output) = (node.inputs[0], node.output);
            let Some(layout) = WeightLayout::of(&node.op) else { continue };
            if factors[input.0].is_none() && factors[output.0].is_none() {
                continue;
            }
            let (weights, bias) = match &mut node.op {
                Op::Conv2d(op) => (&mut op.weights, &mut op.bias),
                Op::DepthwiseConv2d(op) => (&mut op.weights, &mut op.bias),
                Op::FullyConnected(op) => (&mut op.weights, &mut op.bias),
                _ => continue,
            };
            for (i, weight) in weights.iter_mut().enumerate() {
                let ratio = factor(input, layout.in_channel(i)) / factor(output, layout.out_channel(i));
                *weight = (f64::from(*weight) * ratio) as f32;
            }
            bias.iter_mut().enumerate().for_each(|(c, bias)| *bias = (f64::from(*bias) / factor(output, c)) as f32);
        }
        scaled
    }
}
