//! Weights, scales and biases of a layer, learned.

use super::mover::Mover;
use super::oscillations::Oscillations;
use super::pull::Pull;
use super::rates::{MOST_CHANGE, Optimizer, Rates};
use crate::engine::{LayerParameters, LearnedScales};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::op::Parameters as FloatParameters;
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{ActivationQuant, WeightQuant};

/// What the greatest weight of a channel of a float network is counted as, so that rates are those of 8 bits.
const FLOAT_REACH: f32 = 127.0;

/// One layer, in units of what it started with: so that one rate suits all channels.
pub(super) struct Layer {
    pub(super) node: usize,
    layout: WeightLayout,
    /// Least and greatest level; `None` in a float network.
    bounds: Option<[f32; 2]>,
    /// What the rate of weights is a share of, in levels.
    reach: f32,
    /// What the rates of scales and biases are multiplied by.
    pace: f32,
    /// The scale that each channel started with.
    units: Vec<f64>,
    /// Weights and scales in these units; scales start at 1.
    learned: LearnedScales,
    bias: Vec<f64>,
    /// What a bias is moved by, in units of `bias_unit`.
    shifts: Vec<f32>,
    bias_unit: f64,
    /// Of weights, scales and biases.
    movers: [Mover; 3],
    oscillations: Option<Oscillations>,
    scratch: [Vec<f32>; 3],
}

impl Layer {
    /// A layer that is quantized as `quant` and writes `output`; `float` is what it is without.
    pub(super) fn rounded(
        (node, layout): (usize, WeightLayout),
        quant: &WeightQuant,
        float: FloatParameters<'_>,
        output: &ActivationQuant,
        rates: &Rates,
    ) -> Self {
        let grid = WeightGrid::of(quant.bits);
        let bounds = [grid.lowest(), grid.highest()].map(f32::from);
        let start = |(i, level): (usize, &i8)| {
            let level = f32::from(*level);
            let value = (f64::from(float.weights[i]) / quant.scales[layout.out_channel(i)]) as f32;
            (level + (value - level).clamp(-rates.margin, rates.margin)).clamp(bounds[0], bounds[1])
        };
        let weights: Vec<f32> = quant.levels.iter().enumerate().map(start).collect();
        let (count, channels) = (weights.len(), quant.scales.len());
        Self {
            node,
            layout,
            bounds: Some(bounds),
            reach: bounds[0].abs() * rates.haste(quant.bits),
            pace: rates.pace(quant.bits),
            units: quant.scales.clone(),
            learned: LearnedScales::new(weights, vec![1.0; channels], layout, quant.bits),
            bias: quant.bias.clone(),
            shifts: vec![0.0; channels],
            bias_unit: output.scale * f64::from(output.bits.max_code()),
            movers: [count, channels, channels].map(|count| Mover::new(rates.by, count)),
            oscillations: None,
            scratch: Default::default(),
        }
    }

    /// A layer of a float network.
    pub(super) fn float((node, layout): (usize, WeightLayout), float: FloatParameters<'_>, rates: &Rates) -> Self {
        let channels = float.bias.len();
        let mut greatest = vec![0f32; channels];
        for (i, weight) in float.weights.iter().enumerate() {
            let c = layout.out_channel(i);
            greatest[c] = greatest[c].max(weight.abs());
        }
        let unit = |greatest: &f32| if *greatest > 0.0 { f64::from(greatest / FLOAT_REACH) } else { 1.0 };
        let units: Vec<f64> = greatest.iter().map(unit).collect();
        let in_units = |(i, weight): (usize, &f32)| (f64::from(*weight) / units[layout.out_channel(i)]) as f32;
        let weights: Vec<f32> = float.weights.iter().enumerate().map(in_units).collect();
        let bias: Vec<f64> = float.bias.iter().map(|bias| f64::from(*bias)).collect();
        let largest = bias.iter().fold(0f64, |largest, bias| largest.max(bias.abs()));
        let count = weights.len();
        Self {
            node,
            layout,
            bounds: None,
            reach: FLOAT_REACH,
            pace: 1.0,
            learned: LearnedScales::unrounded(weights, layout),
            units,
            bias,
            shifts: vec![0.0; channels],
            bias_unit: if largest > 0.0 { largest } else { 1.0 },
            movers: [count, channels, channels].map(|count| Mover::new(rates.by, count)),
            oscillations: None,
            scratch: Default::default(),
        }
    }

    /// Begins to count how often weights go to and fro, where they have few levels.
    pub(super) fn watch_oscillations(&mut self) {
        const MOST_LEVELS: f32 = 16.0;
        if self.bounds.is_some_and(|[lo, hi]| hi - lo < MOST_LEVELS) {
            let levels = self.learned.levels();
            self.oscillations = Some(Oscillations::new(levels));
        }
    }

    /// How many weights are frozen.
    pub(super) fn frozen(&self) -> usize {
        self.oscillations.as_ref().map_or(0, Oscillations::frozen)
    }

    /// Writes what the engine computes with.
    pub(super) fn write(&self, parameters: &mut LayerParameters) {
        self.learned.write(parameters);
        parameters.scales.iter_mut().zip(&self.units).for_each(|(scale, unit)| *scale *= unit);
        for (bias, (shift, start)) in parameters.bias.iter_mut().zip(self.shifts.iter().zip(&self.bias)) {
            *bias = start + self.bias_unit * f64::from(*shift);
        }
    }

    /// Moves along gradients by real weights and biases.
    pub(super) fn step(&mut self, by_real: &[f32], by_bias: &[f32], rates: &Rates, fall: f32, pull: &Pull) {
        let [given, by_weights, by_scales] = &mut self.scratch;
        given.clear();
        given.extend_from_slice(by_real);
        for_each_of_channel(self.layout, given, |c, value| *value *= self.units[c] as f32);
        self.learned.backward(given, [by_weights, by_scales]);
        let [of_weights, of_scales, of_biases] = &mut self.movers;
        let rate = rates.weights * fall;
        let by_gradients = rates.by != Optimizer::Adam;
        if by_gradients {
            let greatest = self.bounds.map_or(1.0, |[lo, _]| lo.abs());
            let served = by_weights.len() as f32 / by_scales.len().max(1) as f32;
            let share = 1.0 / (served * greatest).sqrt();
            by_scales.iter_mut().for_each(|gradient| *gradient *= share);
        }
        if pull.decay > 0.0 {
            let kept = 1.0 - rate * pull.decay;
            self.learned.weights.iter_mut().for_each(|weight| *weight *= kept);
        }
        if pull.dampening > 0.0 && self.bounds.is_some() {
            self.learned.draw_to_levels((rate * pull.dampening).min(1.0));
        }
        // A share of the greatest level has a gradient that is as many times as large as a level's.
        let [for_weights, for_scales, for_biases] = match by_gradients {
            true => [rate * self.reach * self.reach, rate, rate],
            false => [rate * self.reach, rates.scales * self.pace * fall, rates.biases * self.pace * fall],
        };
        of_weights.step(for_weights, &mut self.learned.weights, by_weights);
        if self.bounds.is_some() {
            of_scales.step(for_scales, &mut self.learned.scales, by_scales);
        }
        given.clear();
        given.extend(by_bias.iter().map(|gradient| gradient * self.bias_unit as f32));
        of_biases.step(for_biases, &mut self.shifts, given);
        let Some([lo, hi]) = self.bounds else { return };
        for scale in &mut self.learned.scales {
            *scale = scale.clamp(1.0 / MOST_CHANGE, MOST_CHANGE);
        }
        // A weight beyond the outermost level would get no gradient any more.
        let scales = &self.learned.scales;
        for_each_of_channel(self.layout, &mut self.learned.weights, |c, weight| {
            *weight = weight.max(lo * scales[c]).min(hi * scales[c]);
        });
        if let Some(oscillations) = &mut self.oscillations {
            let levels = self.learned.levels();
            let frozen = oscillations.step(&levels, pull.threshold);
            let mut frozen = frozen.iter();
            for_each_of_channel(self.layout, &mut self.learned.weights, |c, weight| {
                if let Some(level) = frozen.next().filter(|level| !level.is_nan()) {
                    *weight = level * scales[c];
                }
            });
        }
    }

    /// What is learned.
    pub(super) fn learned(&mut self) -> [&mut Vec<f32>; 3] {
        [&mut self.learned.weights, &mut self.learned.scales, &mut self.shifts]
    }

    /// What decides how that moves next.
    pub(super) fn moments(&mut self) -> Vec<&mut Vec<f32>> {
        let movers = self.movers.iter_mut().flat_map(Mover::moments);
        movers.chain(self.oscillations.iter_mut().flat_map(Oscillations::lists)).collect()
    }

    /// Goes on as after `steps` steps.
    pub(super) fn set_steps(&mut self, steps: usize) {
        self.movers.iter_mut().for_each(|mover| mover.set_steps(steps));
    }
}

/// Calls `change` with the output channel of each weight and the weight, in their order.
fn for_each_of_channel(layout: WeightLayout, weights: &mut [f32], mut change: impl FnMut(usize, &mut f32)) {
    match layout {
        WeightLayout::ChannelMajor { per_channel, .. } => {
            for (c, row) in weights.chunks_exact_mut(per_channel).enumerate() {
                row.iter_mut().for_each(|weight| change(c, weight));
            }
        }
        WeightLayout::ChannelMinor { channels } => {
            for row in weights.chunks_exact_mut(channels) {
                row.iter_mut().enumerate().for_each(|(c, weight)| change(c, weight));
            }
        }
    }
}
