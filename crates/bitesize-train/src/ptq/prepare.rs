//! Layers quantized under float inputs, each at the widths that are wanted, and models assembled from them.

use super::bias::FloatGroups;
use super::checks::check;
use super::layer::LayerQuantizer;
use super::settings::PtqSettings;
use super::statistics::{LayerStatistics, Wanted, float_statistics, runs};
use crate::equalization::Equalization;
use crate::{Calibration, Progress, Samples, TrainError};
use bitesize_ir::{BitWidth, Network, NodeId, Op, Policy, PolicySpace, QuantizedModel, WeightQuant};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// A layer under the inputs that the float network gives it.
///
/// All of it is decided by the network, the samples, the settings and the calibration's equalization: not by ranges, nor by
/// what else was prepared with it. So one that an earlier [`Ptq`] handed out for the same may be given to a later one.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedLayer {
    /// The mean of each output channel's sums (bias included, clamp not) in the float network.
    pub float_means: Vec<f64>,
    /// Quantized as was asked for. Scales and biases are those of outputs that are not divided by anything.
    pub quants: BTreeMap<Variant, WeightQuant>,
}

/// One of the ways in which a layer is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// The width of the weights.
    pub bits: BitWidth,
    /// What the channels of its input are divided by: which of the choices of their group in
    /// [`Calibration::equalization`](crate::Calibration::equalization); `None` where they stay as they are.
    pub factors: Option<usize>,
}

impl Variant {
    /// At `bits`, with input channels as they are.
    pub fn plain(bits: BitWidth) -> Self {
        Self { bits, factors: None }
    }
}

impl PreparedLayer {
    /// The layer at `bits` with input channels as they are, where it was prepared so.
    pub fn quant(&self, bits: BitWidth) -> Option<&WeightQuant> {
        self.quants.get(&Variant::plain(bits))
    }

    /// How many entries something has and should have, where the layer is not one of `op`.
    fn misfit(&self, op: &Op) -> Option<(usize, usize)> {
        let (weights, channels) = op.parameters().map_or((0, 0), |p| (p.weights.len(), p.bias.len()));
        let mut lengths = vec![(self.float_means.len(), channels)];
        for (variant, quant) in &self.quants {
            lengths.push((quant.bits.bits().into(), variant.bits.bits().into()));
            lengths.push((quant.levels.len(), weights));
            lengths.extend([(quant.scales.len(), channels), (quant.bias.len(), channels)]);
        }
        lengths.into_iter().find(|(found, expected)| found != expected)
    }
}

/// What [`Ptq::prepare`] shall have ready.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareRequest {
    /// How layers are quantized, now and by [`Ptq::quantize_sequential`].
    pub settings: PtqSettings,
    /// For each node, the widths that its weights are wanted at. Nodes without weights may name some in vain.
    pub wanted: Vec<Vec<BitWidth>>,
    /// The narrowest widths that activations may have, which decides what channels are divided by.
    pub activations: Vec<BitWidth>,
    /// For each node, what is there already, of this network, these samples, these settings and this equalization.
    pub known: Vec<Option<PreparedLayer>>,
}

impl PrepareRequest {
    /// Every layer of `network` at every width, nothing known.
    pub fn everything(network: &Network, settings: PtqSettings) -> Self {
        let nodes = network.nodes.len();
        let activations = BitWidth::ALL.to_vec();
        Self { settings, wanted: vec![activations.clone(); nodes], activations, known: vec![None; nodes] }
    }

    /// What the models of `policies` are assembled from, nothing known.
    pub fn of_policies<'p>(
        network: &Network,
        policies: impl IntoIterator<Item = &'p Policy>,
        settings: PtqSettings,
    ) -> Self {
        let space = PolicySpace::of(network);
        let mut wanted = vec![Vec::new(); network.nodes.len()];
        for policy in policies {
            for (row, choice) in space.rows.iter().zip(&policy.rows) {
                let widths: &mut Vec<BitWidth> = &mut wanted[row.node.0];
                widths.extend(choice.weights.filter(|bits| !widths.contains(bits)));
            }
        }
        Self { settings, wanted, activations: BitWidth::ALL.to_vec(), known: vec![None; network.nodes.len()] }
    }

    /// # Errors
    /// [`TrainError::Mismatch`] where a list or a known layer is that of another network.
    fn check(&self, network: &Network) -> Result<(), TrainError> {
        let expected = network.nodes.len();
        let lists = [("list of wanted widths", self.wanted.len()), ("list of known layers", self.known.len())];
        for (what, found) in lists {
            if found != expected {
                return Err(TrainError::Mismatch { what, found, expected });
            }
        }
        for (node, layer) in network.nodes.iter().zip(&self.known) {
            if let Some((found, expected)) = layer.as_ref().and_then(|layer| layer.misfit(&node.op)) {
                return Err(TrainError::Mismatch { what: "known layer", found, expected });
            }
        }
        Ok(())
    }

    /// The ways to quantize node `i` that are wanted.
    pub fn variants(&self, network: &Network, equalization: &Equalization, i: usize) -> Vec<Variant> {
        let mut all = Vec::new();
        for bits in BitWidth::ALL.into_iter().filter(|bits| self.wanted[i].contains(bits)) {
            let picks = equalization.picks_of_input(network, NodeId(i), bits, &self.activations);
            all.extend(picks.into_iter().map(|factors| Variant { bits, factors }));
        }
        all
    }

    /// The ways to quantize node `i` that are wanted and not known.
    fn missing(&self, network: &Network, equalization: &Equalization, i: usize) -> Vec<Variant> {
        let known = self.known[i].as_ref();
        let is_known = |variant: &Variant| known.is_some_and(|layer| layer.quants.contains_key(variant));
        let mut variants = self.variants(network, equalization, i);
        variants.retain(|variant| !is_known(variant));
        variants
    }

    /// What has to be found out about node `i`.
    fn statistics(&self, network: &Network, equalization: &Equalization, i: usize) -> Wanted {
        if network.nodes[i].op.parameters().is_some() && !self.missing(network, equalization, i).is_empty() {
            Wanted::Moments
        } else if self.known[i].is_none() {
            Wanted::Means
        } else {
            Wanted::Nothing
        }
    }
}

/// Quantizes one network again and again, for different policies.
#[derive(Clone, Debug)]
pub struct Ptq<'a> {
    pub(super) network: &'a Network,
    /// A copy of `network` that all models share.
    pub(super) shared: Arc<Network>,
    pub(super) space: PolicySpace,
    pub(super) calibration: Calibration,
    pub(super) settings: PtqSettings,
    /// One for each node with weights.
    pub(super) layers: Vec<Option<PreparedLayer>>,
    /// What layers sum up to in the float network, by group of samples: found when the first model needs it.
    pub(super) float_groups: OnceLock<Arc<FloatGroups>>,
}

impl<'a> Ptq<'a> {
    /// Has every layer ready at the widths that `request` wants: takes what it knows, and finds the rest by running the
    /// float network on `samples` (no labels needed). Where nothing is missing no image is looked at.
    ///
    /// A layer at a width is the same, byte for byte, whatever else is wanted or known. `progress` counts images,
    /// each as often as the network is run on it: once, or more often where the covariances of all layers would take more
    /// than half a gibibyte at once.
    ///
    /// # Errors
    /// [`TrainError::NoSamples`], [`TrainError::Samples`], [`TrainError::NotRewritten`],
    /// [`TrainError::Mismatch`] where `calibration` or `request` is that of another network, [`TrainError::Stopped`].
    pub fn prepare(
        network: &'a Network,
        samples: &Samples<'_>,
        calibration: Calibration,
        request: PrepareRequest,
        progress: Progress<'_>,
    ) -> Result<Self, TrainError> {
        check(network, samples, &calibration)?;
        request.check(network)?;
        let equalization = &calibration.equalization;
        let wanted: Vec<Wanted> =
            (0..network.nodes.len()).map(|i| request.statistics(network, equalization, i)).collect();
        let runs = runs(network, &wanted, &request.settings);
        let mut layers = request.known.clone();
        for (done, run) in runs.iter().enumerate() {
            let (before, total) = (done * samples.len(), runs.len() * samples.len());
            let mut of_all = |images, _| progress(before + images, total);
            let statistics = float_statistics(network, samples, (run, &request.settings), &mut of_all)?;
            for (i, statistics) in statistics.into_iter().enumerate() {
                if let Some(statistics) = statistics {
                    layers[i] = Some(prepare_layer((network, equalization), i, &request, &statistics, samples.len()));
                }
            }
        }
        let space = PolicySpace::of(network);
        let shared = Arc::new(network.clone());
        Ok(Self {
            network,
            shared,
            space,
            calibration,
            settings: request.settings,
            layers,
            float_groups: OnceLock::new(),
        })
    }

    /// The encodings of activations that models are built with.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The same with another equalization, one of which [`Self::layers`] hold what is asked for.
    pub fn with_equalization(&self, equalization: Equalization) -> Self {
        let mut other = self.clone();
        other.calibration.equalization = equalization;
        other
    }

    /// What is ready, node by node; `None` where a node has no weights. May be given to a later
    /// [`PrepareRequest::known`] for the same network, samples and settings.
    pub fn layers(&self) -> &[Option<PreparedLayer>] {
        &self.layers
    }

    /// The model of `policy`, assembled from layers that were quantized under float inputs.
    ///
    /// # Errors
    /// [`TrainError::NotPrepared`] where `policy` gives a layer a width that was not asked for.
    ///
    /// # Panics
    /// Where `policy` is not one of the network's space.
    pub fn quantize_fast(&self, policy: &Policy) -> Result<QuantizedModel, TrainError> {
        let equalization = &self.calibration.equalization;
        let picks = equalization.picks(self.network, &self.space, policy);
        let equalized = equalization.factors(&picks, self.network.tensors.len());
        let pick = |(i, layer): (usize, &Option<PreparedLayer>)| {
            let (Some(layer), Some(bits)) = (layer, policy.weight_bits(&self.space, NodeId(i))) else {
                return Ok(None);
            };
            let node = &self.network.nodes[i];
            let factors = equalization.group_of(node.inputs[0]).and_then(|group| picks[group]);
            let missing = || TrainError::NotPrepared { node: node.name.clone(), bits };
            let mut quant = layer.quants.get(&Variant { bits, factors }).cloned().ok_or_else(missing)?;
            if let Some(Some(divisors)) = equalized.get(node.output.0) {
                quant.scales.iter_mut().zip(divisors.iter()).for_each(|(scale, divisor)| *scale /= divisor);
                quant.bias.iter_mut().zip(divisors.iter()).for_each(|(bias, divisor)| *bias /= divisor);
            }
            Ok(Some(quant))
        };
        Ok(QuantizedModel {
            network: Arc::clone(&self.shared),
            policy: policy.clone(),
            activations: self.calibration.activations_with(self.network, &self.space, policy, &picks),
            output_channels: self.calibration.output_channels.clone(),
            weights: self.layers.iter().enumerate().map(pick).collect::<Result<_, _>>()?,
            equalized,
        })
    }
}

/// What is known of node `i`, which has weights, with what was missing.
fn prepare_layer(
    (network, equalization): (&Network, &Equalization),
    i: usize,
    request: &PrepareRequest,
    statistics: &LayerStatistics,
    images: usize,
) -> PreparedLayer {
    let float_means = statistics.mean_sums();
    let mut layer = request.known[i].clone().unwrap_or(PreparedLayer { float_means, quants: BTreeMap::new() });
    if let Some(moments) = &statistics.moments {
        let input_means = moments.means();
        let mut missing = request.missing(network, equalization, i);
        missing.sort_by_key(|variant| variant.factors);
        for together in missing.chunk_by(|a, b| a.factors == b.factors) {
            let node = &network.nodes[i];
            let factors = equalization.choice_of(node.inputs[0], together[0].factors);
            let quantizer = LayerQuantizer::new(&node.op, moments, images, &request.settings, factors.as_deref());
            for variant in together {
                let quant = quantizer.quantize(variant.bits, &input_means, &layer.float_means);
                layer.quants.insert(*variant, quant);
            }
        }
    }
    layer
}
