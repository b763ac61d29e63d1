//! `weights.safetensors`: the integer weights, their scales and biases, and the encodings of all activations.
//!
//! For each row with weights `NAME.levels` (i8, in the float weights' layout), `NAME.scales` and `NAME.bias` (f64, one
//! for each output channel), `NAME` with `@` before it where it begins with `activation.` or `@`, so that no layer's
//! key is a tensor's; for each tensor `activation.NAME` (f64: scale, zero point, bits); where the channels of the
//! output have encodings of their own, `@output_channels` (f64: scale and zero point of each); where the channels of a
//! tensor are divided by factors before they are encoded, `@equalized.NAME` (f64: the factor of each).
//! `reconstruction.safetensors`, the same while a network is being reconstructed, has `@reconstruction` too (f64: of
//! each unit that is done its error before and after and 1 where it was kept). The metadata has one entry `bitesize`, a
//! JSON text with the form's name, the version, the model's SHA-256, the policy and the names of those units.

use super::tensors::{Tensors, Writer};
use bitesize_ir::network::Tensor;
use bitesize_ir::{ActivationQuant, BitWidth, Network, Node, NodeId, PolicySpace, QuantizedModel};
use bitesize_search::{from_compact, to_compact};
use bitesize_train::{ReconstructState, UnitOutcome};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// Not the beginning of any layer's key ([`key`]).
const OUTPUT_CHANNELS: &str = "@output_channels";

/// Before the name of a tensor; not the beginning of any layer's key.
const EQUALIZED: &str = "@equalized.";

/// Of the units of a reconstruction; not the beginning of any layer's key.
const OUTCOMES: &str = "@reconstruction";

const FORMAT: &str = "bitesize-weights-1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: String,
    version: String,
    model_sha256: String,
    policy: String,
    /// The units of a reconstruction that are done, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    units: Option<Vec<String>>,
}

/// The file's bytes for `model`, which comes from the file with `model_sha256`.
///
/// # Errors
/// A tensor name that the format cannot hold.
pub fn to_bytes(model: &QuantizedModel, model_sha256: &str) -> anyhow::Result<Vec<u8>> {
    written(model, model_sha256, None)
}

/// The bytes of `reconstruction.safetensors` for a reconstruction of the file with `model_sha256` that has come to
/// `state`.
///
/// # Errors
/// As [`to_bytes`].
pub fn state_to_bytes(state: &ReconstructState, model_sha256: &str) -> anyhow::Result<Vec<u8>> {
    written(&state.model, model_sha256, Some(&state.outcomes))
}

fn written(model: &QuantizedModel, model_sha256: &str, outcomes: Option<&Vec<UnitOutcome>>) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::default();
    for (node, weights) in model.network.nodes.iter().zip(&model.weights) {
        if let Some(weights) = weights {
            writer.weights(&key(&node.name), weights);
        }
    }
    for (tensor, quant) in model.network.tensors.iter().zip(&model.activations) {
        let values = [quant.scale, f64::from(quant.zero), f64::from(quant.bits.bits())];
        writer.doubles(format!("activation.{}", tensor.name), &values);
    }
    for (tensor, factors) in model.network.tensors.iter().zip(&model.equalized) {
        if let Some(factors) = factors {
            writer.doubles(format!("{EQUALIZED}{}", tensor.name), factors);
        }
    }
    if let Some(channels) = &model.output_channels {
        let values: Vec<f64> = channels.iter().flat_map(|quant| [quant.scale, f64::from(quant.zero)]).collect();
        writer.doubles(OUTPUT_CHANNELS.into(), &values);
    }
    if let Some(outcomes) = outcomes {
        let values = outcomes.iter().flat_map(|unit| [unit.before, unit.after, f64::from(u8::from(unit.kept))]);
        writer.doubles(OUTCOMES.into(), &values.collect::<Vec<f64>>());
    }
    let about = About {
        format: FORMAT.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: model_sha256.into(),
        policy: to_compact(&model.policy),
        units: outcomes.map(|outcomes| outcomes.iter().map(|unit| unit.name.clone()).collect()),
    };
    writer.finish(Some(&serde_json::to_string(&about)?))
}

/// The model in `bytes`, for the rewritten `network` of the file with `model_sha256`.
///
/// # Errors
/// A sentence: not such a file, of another model, or without a tensor that the network needs.
pub fn from_bytes(
    bytes: &[u8],
    network: &Network,
    space: &PolicySpace,
    model_sha256: &str,
) -> Result<QuantizedModel, String> {
    read(&Tensors::read(bytes)?, network, space, model_sha256).map(|(model, _)| model)
}

/// The state in `bytes` of `reconstruction.safetensors`, for the rewritten `network` of the file with `model_sha256`.
///
/// # Errors
/// As [`from_bytes`].
pub fn state_from_bytes(
    bytes: &[u8],
    network: &Network,
    space: &PolicySpace,
    model_sha256: &str,
) -> Result<ReconstructState, String> {
    let file = Tensors::read(bytes)?;
    let (model, about) = read(&file, network, space, model_sha256)?;
    let (names, values) = (about.units.unwrap_or_default(), file.doubles(OUTCOMES)?);
    if values.len() != 3 * names.len() {
        return Err(format!("`{OUTCOMES}` is not error before, error after and whether it was kept of each unit"));
    }
    let outcome = |(name, values): (String, &[f64])| UnitOutcome {
        name,
        before: values[0],
        after: values[1],
        kept: values[2] != 0.0,
    };
    Ok(ReconstructState { model, outcomes: names.into_iter().zip(values.chunks_exact(3)).map(outcome).collect() })
}

fn read(
    file: &Tensors<'_>,
    network: &Network,
    space: &PolicySpace,
    model_sha256: &str,
) -> Result<(QuantizedModel, About), String> {
    let about: About = serde_json::from_str(file.about().unwrap_or_default())
        .map_err(|_| format!("it is not of the form `{FORMAT}`"))?;
    if about.format != FORMAT {
        return Err(format!("its form is `{}`, this version reads `{FORMAT}`", about.format));
    }
    if about.model_sha256 != model_sha256 {
        return Err("it was made from another model file (the SHA-256 differs)".into());
    }
    let policy = from_compact(&about.policy, space)?;
    let activations = network.tensors.iter().map(|t| file.activation(&t.name)).collect::<Result<_, _>>()?;
    let weights = |(i, node): (usize, &Node)| {
        let Some(parameters) = node.op.parameters() else { return Ok(None) };
        let bits = policy.weight_bits(space, NodeId(i)).ok_or("the policy lacks a row with weights")?;
        file.weights(&key(&node.name), bits, parameters).map(Some)
    };
    let weights = network.nodes.iter().enumerate().map(weights).collect::<Result<_, String>>()?;
    let output_channels = output_channels(file, network)?;
    let equalized = equalized(file, network)?;
    let network = Arc::new(network.clone());
    Ok((QuantizedModel { network, policy, activations, output_channels, weights, equalized }, about))
}

/// What channels are divided by, tensor by tensor; empty where the file has nothing of it.
fn equalized(file: &Tensors<'_>, network: &Network) -> Result<Vec<Option<Arc<[f64]>>>, String> {
    let of_tensor = |tensor: &Tensor| {
        let key = format!("{EQUALIZED}{}", tensor.name);
        if !file.has(&key) {
            return Ok(None);
        }
        let factors = file.doubles(&key)?;
        if factors.len() != tensor.shape.c || !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
            return Err(format!("`{key}` is not a positive factor for each channel"));
        }
        Ok(Some(factors.into()))
    };
    let all: Vec<Option<Arc<[f64]>>> = network.tensors.iter().map(of_tensor).collect::<Result<_, _>>()?;
    Ok(if all.iter().all(Option::is_none) { Vec::new() } else { all })
}

fn output_channels(file: &Tensors<'_>, network: &Network) -> Result<Option<Vec<ActivationQuant>>, String> {
    if !file.has(OUTPUT_CHANNELS) {
        return Ok(None);
    }
    let values = file.doubles(OUTPUT_CHANNELS)?;
    let channel = |pair: &[f64]| {
        let (scale, zero) = (pair[0], pair[1]);
        let fits = scale.is_finite() && scale > 0.0 && (0.0..=255.0).contains(&zero) && zero.fract() == 0.0;
        fits.then_some(ActivationQuant { bits: BitWidth::B8, scale, zero: zero as u8 })
    };
    let channels: Option<Vec<ActivationQuant>> = values.chunks_exact(2).map(channel).collect();
    let expected = network.output_layer().map_or(0, |_| 2 * network.shape(network.output).c);
    let channels = channels.filter(|_| values.len() == expected && expected > 0);
    channels
        .map(Some)
        .ok_or_else(|| format!("`{OUTPUT_CHANNELS}` is not scale and zero point of each channel of the output"))
}

/// What stands before the keys of a layer.
fn key(layer: &str) -> Cow<'_, str> {
    if layer.starts_with("activation.") || layer.starts_with('@') { format!("@{layer}").into() } else { layer.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::op::{Clamp, FullyConnected};
    use bitesize_ir::{InputEncoding, Op, Policy, Shape, TensorId, WeightQuant};
    use bitesize_train::{PreparedLayer, Variant};
    use proptest::prelude::*;

    /// A chain of layers with these names, and as many tensors and one more.
    fn model(layers: &[&str], tensors: &[&str]) -> QuantizedModel {
        let node = |(at, name): (usize, &&str)| Node {
            name: (*name).to_owned(),
            op: Op::FullyConnected(FullyConnected { weights: vec![0.5; 4], bias: vec![0.0; 2], clamp: Clamp::NONE }),
            inputs: vec![TensorId(at)],
            output: TensorId(at + 1),
        };
        let tensor = |name: &&str| Tensor { name: (*name).to_owned(), shape: Shape::vector(2) };
        let network = Network {
            name: "chain".into(),
            tensors: tensors.iter().map(tensor).collect(),
            nodes: layers.iter().enumerate().map(node).collect(),
            input: TensorId(0),
            output: TensorId(layers.len()),
            input_encoding: InputEncoding::Real,
            tail: None,
        };
        let weights = |at: usize| WeightQuant {
            bits: BitWidth::B8,
            levels: vec![at as i8; 4].into(),
            scales: vec![0.25 + at as f64; 2],
            bias: vec![at as f64; 2],
        };
        let activation =
            |at: usize| ActivationQuant { bits: BitWidth::B8, scale: 1.0 / (1 + at) as f64, zero: at as u8 };
        QuantizedModel {
            equalized: (0..tensors.len()).map(|at| (at % 2 == 1).then(|| [0.5, at as f64].into())).collect(),
            policy: Policy::uniform(&PolicySpace::of(&network), BitWidth::B8, BitWidth::B8),
            activations: (0..tensors.len()).map(activation).collect(),
            output_channels: (layers.len() == 2).then(|| (1..=2).map(activation).collect()),
            weights: (0..layers.len()).map(|at| Some(weights(at))).collect(),
            network: network.into(),
        }
    }

    /// What is written with these names is read back, by `weights.safetensors` and `prepared.safetensors`.
    #[track_caller]
    fn check(layers: &[&str], tensors: &[&str]) {
        let model = model(layers, tensors);
        let bytes = to_bytes(&model, "00").expect("the weights are written");
        let space = PolicySpace::of(&model.network);
        let read = from_bytes(&bytes, &model.network, &space, "00").expect("the weights are read");
        assert_eq!(read.weights, model.weights, "{layers:?} {tensors:?}");
        assert_eq!(read.activations, model.activations, "{layers:?} {tensors:?}");
        assert_eq!(read.output_channels, model.output_channels, "{layers:?} {tensors:?}");
        assert_eq!(read.equalized, model.equalized, "{layers:?} {tensors:?}");
        let outcome =
            |name: &&str| UnitOutcome { name: (*name).to_owned(), before: f64::INFINITY, after: 0.1 + 0.2, kept: true };
        let state = ReconstructState { outcomes: layers.iter().map(outcome).collect(), model };
        let bytes = state_to_bytes(&state, "00").expect("the state is written");
        let read = state_from_bytes(&bytes, &state.model.network, &space, "00").expect("the state is read");
        assert_eq!(read, state, "{layers:?} {tensors:?}");
        let model = state.model;
        let prepared = |quant: &Option<WeightQuant>| {
            let quant = quant.clone()?;
            let variants = [Variant::plain(quant.bits), Variant { bits: quant.bits, factors: Some(1) }];
            let quants = variants.into_iter().map(|variant| (variant, quant.clone())).collect();
            Some(PreparedLayer { float_means: quant.bias, quants })
        };
        let prepared: Vec<_> = model.weights.iter().map(prepared).collect();
        let bytes = super::super::prepared_layers::to_bytes(&model.network, &prepared).expect("layers are written");
        let read = super::super::prepared_layers::from_bytes(&bytes, &model.network).expect("layers are read");
        let parts = |layers: &[Option<PreparedLayer>]| -> Vec<_> {
            layers.iter().flatten().map(|layer| (layer.float_means.clone(), layer.quants.clone())).collect()
        };
        assert_eq!(parts(&read), parts(&prepared), "{layers:?}");
    }

    #[test]
    fn names_like_the_keys_of_others_are_read_back() {
        check(
            &["activation.a", "@activation.a", "@", "activation."],
            &["a.levels", "a.scales", "a.bias", ".bias", "x"],
        );
        check(
            &["a", "a@8", "a.means", "a@8.levels", "__metadata__"],
            &["a", "b", "__metadata__", "", "activation.a", "f"],
        );
        check(&["output_channels", "@output_channels"], &["output_channels", "@output_channels", "@"]);
        check(&["\"'\n\u{1b}\u{202e}", &"n".repeat(10_000)], &["\"", "\\", &"t".repeat(10_000)]);
    }

    proptest! {
        #[test]
        fn random_names_are_read_back(a in any::<String>(), b in "(activation|levels|@|\\.|8|\n|\"){0,5}", x in any::<String>()) {
            prop_assume!(a != b);
            check(&[&a, &b], &[&b, &format!("{x}!"), &a]);
        }
    }
}
