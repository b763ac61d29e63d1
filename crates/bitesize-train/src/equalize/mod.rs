//! Channels brought to one size before quantization.
//!
//! A tensor's channels share one encoding, so one that reaches far leaves few codes to the others. Dividing a channel by a
//! factor in the layer that writes it, and multiplying it in the layers that read it, changes nothing in the float network
//! where only clamps that scale lie between ([`ties`] says which channels take the same factor). What it does to a quantized
//! network depends on its widths: the factors that suit an encoding of few codes make the weights of a reader uneven. So
//! factors are chosen for each group of tied tensors and for each pair of widths, by what encoding and rounding
//! together add to the outputs of the layers that read them: fitted on one half of the samples, and taken where the other half
//! says that they help ([`group`]).

mod group;
mod readers;
mod seen;
mod spread;
mod ties;

use crate::calibrate::read_as_numbers;
use crate::equalization::{Choice, EqualizedGroup, place_of};
use crate::{Calibration, Equalization, Progress, Samples, TrainError};
use bitesize_ir::{BitWidth, Network, TensorId};
use group::{Group, Known};
use rayon::prelude::*;
use readers::Weights;
use seen::Seen;
use spread::{Part, Spread};
use ties::Ties;

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
    let unscaled = group.unscaled();
    let rounding_unscaled = BitWidth::ALL.map(|weights| group.rounding_noise(&unscaled, weights));
    for activations in BitWidth::ALL {
        let fitted = group.fitted(activations, &teaching);
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
            let without = noise_without + rounding_unscaled[weights.index()];
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
                let choice = choice_of(&group, known, tensors, &factors, calibration, &all);
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

/// The choice of `factors`, with the encodings that go with them.
fn choice_of(
    group: &Group<'_>,
    known: &Known<'_>,
    tensors: &[TensorId],
    factors: &[f64],
    calibration: &Calibration,
    points: &[Vec<spread::Points>],
) -> Choice {
    let own: Vec<_> = (0..group.tensors().len())
        .map(|at| BitWidth::ALL.map(|bits| group.encoding(at, factors, bits, points)))
        .collect();
    let encoding = |t: &TensorId| {
        // What a tensor passes on it has from the one that the encoding is made for.
        let root = known.network.encoding_root(*t);
        let is_made_for = |other: &TensorId| known.network.encoding_root(*other) == root;
        match group.tensors().iter().position(is_made_for) {
            Some(at) => own[at],
            None => calibration.tensors[t.0].encodings,
        }
    };
    let places = |t: &TensorId| group.of_channels(factors, *t).into_iter().map(place_of).collect();
    Choice { factors: tensors.iter().map(places).collect(), encodings: tensors.iter().map(encoding).collect() }
}
