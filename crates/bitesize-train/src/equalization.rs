//! What the channels of tensors are divided by before they are encoded, for every policy.

mod lines;

use crate::TrainError;
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{ActivationQuant, BitWidth, Network, NodeId, Op, Policy, PolicySpace, TensorId};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

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
    pub(crate) tensors: Vec<usize>,
    /// The layers whose rounding depends on the factors, rising.
    pub(crate) readers: Vec<usize>,
    /// What is chosen, an index into [`Self::choices`], by the narrowest width of the tensors and the narrowest of the readers'
    /// weights, both in the order of [`BitWidth::ALL`].
    pub(crate) cells: [[Option<usize>; 3]; 3],
    pub(crate) choices: Vec<Choice>,
}

/// Factors for the channels of a group, and the encodings that go with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// For each tensor, for each channel, `4096 log2(factor)`, rounded.
    #[serde(with = "lines")]
    pub(crate) factors: Vec<Vec<i32>>,
    /// For each tensor, at 2, 4 and 8 bits.
    pub(crate) encodings: Vec<[ActivationQuant; 3]>,
}

/// What is chosen for each group of an [`Equalization`].
pub(crate) type Picks = Vec<Option<usize>>;

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
        for (i, group) in some.groups.iter_mut().enumerate() {
            if !groups.contains(&i) {
                group.cells[activations.index()][weights.index()] = None;
            }
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

/// Factors lie on a grid of so many to an octave.
pub(crate) const PER_OCTAVE: i32 = 1 << 12;

/// The factor at a place of the grid: `2^(place / PER_OCTAVE)`.
pub(crate) fn of_place(place: i32) -> f64 {
    /// The factors of one octave: a search asks for those of all channels with every policy.
    static OCTAVE: LazyLock<Vec<f64>> = LazyLock::new(|| (0..PER_OCTAVE).map(of_rest).collect());
    OCTAVE[place.rem_euclid(PER_OCTAVE) as usize] * 2f64.powi(place.div_euclid(PER_OCTAVE))
}

/// The factor at a place of the first octave, by square roots and products, so that no library's rounding decides it.
fn of_rest(rest: i32) -> f64 {
    let (mut root, mut factor) = (2f64, 1f64);
    let mut half = PER_OCTAVE / 2;
    while half > 0 {
        root = root.sqrt();
        if rest & half != 0 {
            factor *= root;
        }
        half /= 2;
    }
    factor
}

/// The place of a factor of the grid.
pub(crate) fn place_of(factor: f64) -> i32 {
    (factor.log2() * f64::from(PER_OCTAVE)).round() as i32
}
