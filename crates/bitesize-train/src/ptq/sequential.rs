//! Layer after layer, each under what the quantized layers before it hand on.

use super::bias::{self, FloatGroups, GroupSums, Groups};
use super::checks::check;
use super::layer::LayerQuantizer;
use super::moments::{Blocks, Moments};
use super::prepare::Ptq;
use super::statistics::add_layer;
use crate::equalization::Equalization;
use crate::fake_quant::{CodeImage, NodeRunner, centre, centred, input_codes};
use crate::float::for_each_in_order;
use crate::forward;
use crate::operators::{Image, Linear};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::memory::last_uses;
use bitesize_ir::requantize::LayerInput;
use bitesize_ir::{ActivationQuant, Encodings, NodeId, Policy, QuantizedModel, WeightQuant};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

impl Ptq<'_> {
    /// The model of `policy`, quantized layer by layer: each layer's weights and bias are fitted to the inputs that
    /// the quantized network gives it, so that its output keeps the mean that it has in the float network.
    ///
    /// `samples` should be those of [`Self::prepare`]. Holds the codes of the tensors alive at one layer for all
    /// images at once. `progress` counts nodes.
    ///
    /// # Errors
    /// As [`Self::prepare`], and [`TrainError::Layer`] where a layer does not fit the integer arithmetic.
    ///
    /// # Panics
    /// Where `policy` is not one of the network's space.
    pub fn quantize_sequential(
        &self,
        policy: &Policy,
        samples: &Samples<'_>,
        progress: Progress<'_>,
    ) -> Result<QuantizedModel, TrainError> {
        check(self.network, samples, &self.calibration)?;
        let equalization = &self.calibration.equalization;
        let equalized =
            equalization.factors(&equalization.picks(self.network, &self.space, policy), self.network.tensors.len());
        if equalized.is_empty() {
            return self.one_after_the_other(policy, samples, progress);
        }
        // The same with channels divided in the float network: its weights, and what its layers sum up to.
        self.float_groups(samples, progress)?;
        let scaled = Equalization::scaled(self.network, &equalized);
        let mut of_scaled = Ptq { network: &scaled, ..self.clone() };
        for (node, layer) in scaled.nodes.iter().zip(&mut of_scaled.layers) {
            if let (Some(layer), Some(divisors)) = (layer, &equalized[node.output.0]) {
                layer.float_means.iter_mut().zip(divisors.iter()).for_each(|(mean, divisor)| *mean /= divisor);
            }
        }
        if let Some(groups) = self.float_groups.get().filter(|known| known.images == samples.len()) {
            of_scaled.float_groups = OnceLock::from(Arc::new(groups.divided(&scaled, &equalized)));
        }
        let model = of_scaled.one_after_the_other(policy, samples, progress)?;
        Ok(QuantizedModel { equalized, ..model })
    }

    /// [`Self::quantize_sequential`] of the network as it is.
    fn one_after_the_other(
        &self,
        policy: &Policy,
        samples: &Samples<'_>,
        progress: Progress<'_>,
    ) -> Result<QuantizedModel, TrainError> {
        let network = self.network;
        let activations = self.calibration.activations(network, &self.space, policy);
        let last_uses = last_uses(network);
        let count = samples.len();
        let float_groups = self.float_groups(samples, progress)?;
        let mut tensors: Vec<Vec<u8>> = vec![Vec::new(); network.tensors.len()];
        tensors[network.input.0] = input_codes(network, &activations, samples);
        let mut weights = vec![None; network.nodes.len()];
        for (id, node) in network.iter() {
            if let Some(bits) = policy.weight_bits(&self.space, id) {
                let codes = &tensors[node.inputs[0].0];
                let (moments, input_means) = self.quantized_moments(id, &activations, codes, count);
                let quantizer = LayerQuantizer::new(&node.op, &moments, count, &self.settings, None);
                let layer = self.layers[id.0].as_ref().expect("every layer with weights has float means");
                let mut quant = quantizer.quantize(bits, &input_means, &layer.float_means);
                if let Some(FloatGroups { groups, layers, .. }) = float_groups.as_deref()
                    && let (Some(float), Some(parameters)) = (&layers[id.0], node.op.parameters())
                {
                    let sums = self.quantized_group_sums(id, &activations, &quant, codes, *groups);
                    quant.bias = bias::checked(quant.bias, parameters.bias, float, &sums);
                }
                weights[id.0] = Some(quant);
            }
            tensors[node.output.0] = self.run_node(id, &activations, weights[id.0].as_ref(), &tensors, count)?;
            for tensor in &last_uses[id.0] {
                tensors[tensor.0] = Vec::new();
            }
            if progress(id.0 + 1, network.nodes.len()).is_break() {
                return Err(TrainError::Stopped);
            }
        }
        let output_channels = self.calibration.output_channels.clone();
        let (network, policy) = (Arc::clone(&self.shared), policy.clone());
        Ok(QuantizedModel { network, policy, activations, output_channels, weights, equalized: Vec::new() })
    }

    /// What layers sum up to in the float network, where biases are corrected.
    fn float_groups(
        &self,
        samples: &Samples<'_>,
        progress: Progress<'_>,
    ) -> Result<Option<Arc<FloatGroups>>, TrainError> {
        if !self.settings.bias_correction {
            return Ok(None);
        }
        if let Some(known) = self.float_groups.get().filter(|known| known.images == samples.len()) {
            return Ok(Some(Arc::clone(known)));
        }
        let mut still = |_, _| progress(0, self.network.nodes.len());
        let found = Arc::new(FloatGroups::of(self.network, samples, &mut still)?);
        // Samples of another number than the first ones had are run each time.
        let _ = self.float_groups.set(Arc::clone(&found));
        Ok(Some(found))
    }

    /// What the quantized weights sum up to on the centred input codes, in real units and without a bias.
    fn quantized_group_sums(
        &self,
        id: NodeId,
        activations: &[ActivationQuant],
        weights: &WeightQuant,
        codes: &[u8],
        groups: Groups,
    ) -> GroupSums {
        let network = self.network;
        let node = network.node(id);
        let input = node.inputs[0];
        let (shape, output) = (network.shape(input), network.shape(node.output));
        let linear = Linear::of(&node.op).expect("the caller passes a layer with weights");
        let centre = centre(network, input, activations);
        let factors: Vec<f32> =
            weights.scales.iter().map(|scale| (activations[input.0].scale * scale) as f32).collect();
        let levels: Vec<f32> = weights.levels.iter().map(|level| f32::from(*level)).collect();
        let zeros = vec![0.0; factors.len()];
        let chunk = forward::chunk_images(network);
        let count = codes.len() / shape.elements();
        let lanes = 8;
        let of_lane = |lane: usize| {
            let mut totals = GroupSums::new(groups, factors.len());
            for start in (lane * chunk..count).step_by(chunk * lanes) {
                let end = (start + chunk).min(count);
                let values = centred(&codes[start * shape.elements()..end * shape.elements()], &centre);
                let image = Image { shape, count: end - start, values: &values };
                let mut sums = linear.sums(&image, output, &levels, &zeros);
                for pixel in sums.chunks_exact_mut(factors.len()) {
                    pixel.iter_mut().zip(&factors).for_each(|(sum, factor)| *sum *= factor);
                }
                totals.add(start, &sums, output.pixels());
            }
            totals
        };
        let parts: Vec<GroupSums> = (0..lanes).into_par_iter().map(of_lane).collect();
        let mut all = GroupSums::new(groups, factors.len());
        parts.iter().for_each(|part| all.merge(part));
        all
    }

    /// The moments of a layer's centred input codes in real units, and the means of its real inputs.
    fn quantized_moments(
        &self,
        id: NodeId,
        activations: &[ActivationQuant],
        codes: &[u8],
        count: usize,
    ) -> (Moments, Vec<f64>) {
        let network = self.network;
        let node = network.node(id);
        let input = node.inputs[0];
        let blocks = Blocks::of(&node.op, &self.settings).expect("the caller passes a layer with weights");
        let centre = centre(network, input, activations);
        let scale = activations[input.0].scale;
        let size = network.shape(input).elements();
        let chunk = forward::chunk_images(network);
        let lanes = 8;
        let lane_moments = |lane: usize| {
            let mut moments = Moments::new(blocks);
            for start in (lane * chunk..count).step_by(chunk * lanes) {
                let end = (start + chunk).min(count);
                let values: Vec<f32> =
                    centred(&codes[start * size..end * size], &centre).iter().map(|q| q * scale as f32).collect();
                add_layer(network, id, end - start, &values, &mut moments);
            }
            moments
        };
        let parts: Vec<Moments> = (0..lanes).into_par_iter().map(lane_moments).collect();
        let mut moments = Moments::new(blocks);
        parts.iter().for_each(|part| moments.merge(part));
        let means = self.real_means(id, &moments, activations, &centre);
        (moments, means)
    }

    /// The means of the real inputs: those of the centred ones, moved by what the centre lacks of the zero point.
    fn real_means(&self, id: NodeId, moments: &Moments, activations: &[ActivationQuant], centre: &[u8]) -> Vec<f64> {
        let node = self.network.node(id);
        let input = node.inputs[0];
        let seen = LayerInput::of(self.network, input, &activations[input.0]);
        let blocks = Blocks::of(&node.op, &self.settings).expect("the caller passes a layer with weights");
        let layout = bitesize_ir::requantize::WeightLayout::of(&node.op).expect("so it has a layout");
        let mut means = moments.means();
        if centre.len() > 1 {
            for (i, mean) in means.iter_mut().enumerate() {
                let (block, k) = (i / blocks.length, i % blocks.length);
                let channel = layout.in_channel(blocks.index(block * blocks.rows, k));
                *mean += seen.scale * (f64::from(centre[channel]) - seen.zero(channel));
            }
        }
        means
    }

    /// The output codes of one node for all images.
    fn run_node(
        &self,
        id: NodeId,
        activations: &[ActivationQuant],
        weights: Option<&WeightQuant>,
        tensors: &[Vec<u8>],
        count: usize,
    ) -> Result<Vec<u8>, TrainError> {
        let network = self.network;
        let node = network.node(id);
        let output_channels = self.calibration.output_channels.as_deref();
        let runner = NodeRunner::new(network, id, Encodings { tensors: activations, output_channels }, weights)?;
        let chunk = forward::chunk_images(network);
        let run = |start: usize| {
            let end = (start + chunk).min(count);
            let image = |t: &bitesize_ir::TensorId| {
                let shape = network.shape(*t);
                let codes = &tensors[t.0][start * shape.elements()..end * shape.elements()];
                CodeImage { shape, count: end - start, codes }
            };
            let inputs: Vec<CodeImage<'_>> = node.inputs.iter().map(image).collect();
            runner.run(&node.op, &inputs, network.shape(node.output))
        };
        let starts: Vec<usize> = (0..count).step_by(chunk).collect();
        let parts: Vec<Vec<u8>> = starts.into_par_iter().map(run).collect();
        let mut all = Vec::with_capacity(count * network.shape(node.output).elements());
        for_each_in_order(vec![parts], |part| all.extend_from_slice(&part));
        Ok(all)
    }
}
