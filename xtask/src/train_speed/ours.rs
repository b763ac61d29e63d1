//! Steps of the gradient engine.

use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{ActivationQuant, BitWidth, Network};
use bitesize_train::engine::{Batch, Boundary, Encoding, Engine, LearnedScales, Parameters, Sgd, cross_entropy};
use bitesize_train::{FloatModel, Samples};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

const RATE: f32 = 1e-6;
const MOMENTUM: f32 = 0.9;

/// Everything that is learned, with its optimizers.
struct Learner {
    parameters: Parameters,
    layers: Vec<Option<Layer>>,
    scales: Vec<f32>,
    of_scales: Sgd,
}

struct Layer {
    weights: LearnedScales,
    bias: Vec<f32>,
    optimizers: [Sgd; 3],
    by_weights: Vec<f32>,
    by_scales: Vec<f32>,
}

/// Milliseconds of each of `steps` steps on a batch of random images, after three that are not counted; in float or
/// fake-quantized at 8 bits with every scale learned.
///
/// # Errors
/// What the engine refuses.
pub(super) fn steps(network: &Network, batch: usize, quantized: bool, steps: usize) -> Result<Vec<f64>, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let shape = network.shape(network.input);
    let values: Vec<f32> = (0..batch * shape.elements()).map(|_| rng.random::<f32>() * 4.0 - 2.0).collect();
    let classes = network.shape(network.output).elements();
    let labels: Vec<usize> = (0..batch).map(|_| rng.random_range(0..classes)).collect();
    let failed = |error: bitesize_train::TrainError| error.to_string();
    let mut learner = Learner::new(network, &values, batch, quantized).map_err(failed)?;
    let mut engine = Engine::whole(network).map_err(failed)?;
    let mut times = Vec::new();
    for _ in 0..steps + 3 {
        let start = Instant::now();
        let batch_of = Batch { inputs: &[Boundary::Values(&values)], dropped: None };
        let weight = 1.0 / batch as f64;
        let step = engine
            .step(&learner.parameters, &batch_of, &|images, values, gradients| {
                cross_entropy(&values[0], &labels[images], weight, &mut gradients[0])
            })
            .map_err(failed)?;
        learner.update(step.gradients, quantized);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times.split_off(3))
}

impl Learner {
    fn new(
        network: &Network,
        values: &[f32],
        batch: usize,
        quantized: bool,
    ) -> Result<Self, bitesize_train::TrainError> {
        let mut parameters = Parameters::real(network);
        if quantized {
            let shape = network.shape(network.input);
            let few = &values[..shape.elements() * batch.min(8)];
            let tensors = FloatModel::new(network).forward_tensors(&Samples::real(shape, few))?;
            let roots = network.encoding_roots();
            let quant = |t: usize| {
                let range = |of: fn(f32, f32) -> f32| f64::from(tensors[t].iter().copied().fold(0.0, of));
                ActivationQuant::from_range(range(f32::min), range(f32::max), BitWidth::B8)
            };
            parameters.encodings = roots.iter().map(|root| Encoding::Codes(quant(root.0))).collect();
        }
        let layer = |node: &bitesize_ir::Node| {
            let (layout, given) = (WeightLayout::of(&node.op)?, node.op.parameters()?);
            let mut scales = vec![1e-8f32; given.bias.len()];
            for (i, weight) in given.weights.iter().enumerate() {
                let scale = &mut scales[layout.out_channel(i)];
                *scale = scale.max(weight.abs() / 127.0);
            }
            let counts = [given.weights.len(), given.bias.len(), given.bias.len()];
            Some(Layer {
                weights: LearnedScales::new(given.weights.to_vec(), scales, layout, BitWidth::B8),
                bias: given.bias.to_vec(),
                optimizers: counts.map(|count| Sgd::new(count, MOMENTUM, 0.0)),
                by_weights: Vec::new(),
                by_scales: Vec::new(),
            })
        };
        let scales: Vec<f32> = parameters.encodings.iter().map(scale_of).collect();
        let mut learner = Self {
            parameters,
            layers: network.nodes.iter().map(layer).collect(),
            of_scales: Sgd::new(scales.len(), MOMENTUM, 0.0),
            scales,
        };
        learner.write(quantized);
        Ok(learner)
    }

    /// Makes levels of what was learned.
    fn write(&mut self, quantized: bool) {
        for (layer, parameters) in self.layers.iter().zip(&mut self.parameters.layers) {
            if let (Some(layer), Some(parameters)) = (layer, parameters) {
                parameters.bias.clear();
                parameters.bias.extend(layer.bias.iter().map(|bias| f64::from(*bias)));
                if quantized {
                    layer.weights.write(parameters);
                } else {
                    parameters.levels.copy_from_slice(&layer.weights.weights);
                }
            }
        }
        for (encoding, scale) in self.parameters.encodings.iter_mut().zip(&self.scales) {
            if let Encoding::Codes(quant) = encoding {
                quant.scale = f64::from(*scale);
            }
        }
    }

    fn update(&mut self, gradients: &bitesize_train::engine::Gradients, quantized: bool) {
        for (layer, gradients) in self.layers.iter_mut().zip(&gradients.layers) {
            let Some(Layer { weights, bias, optimizers, by_weights, by_scales }) = layer else { continue };
            let [of_weights, of_scales, of_bias] = optimizers;
            if quantized {
                weights.backward(&gradients.weights, [by_weights, by_scales]);
                of_weights.step(RATE, &mut weights.weights, by_weights);
                of_scales.step(RATE * 1e-3, &mut weights.scales, by_scales);
            } else {
                of_weights.step(RATE, &mut weights.weights, &gradients.weights);
            }
            of_bias.step(RATE, bias, &gradients.bias);
        }
        if quantized {
            let by_scales: Vec<f32> = gradients.scales.iter().map(|g| *g as f32).collect();
            self.of_scales.step(RATE * 1e-3, &mut self.scales, &by_scales);
        }
        self.write(quantized);
    }
}

fn scale_of(encoding: &Encoding) -> f32 {
    match encoding {
        Encoding::Real => 1.0,
        Encoding::Codes(quant) | Encoding::Unrounded(quant) => quant.scale as f32,
    }
}
