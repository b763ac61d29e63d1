//! The engine: batches in, values, losses and gradients out.

use super::boundary::Boundary;
use super::drop::Drop;
use super::gradients::Gradients;
use super::lane::Lane;
use super::parameters::{Encoding, Parameters};
use super::pass::Pass;
use super::prepared::Prepared;
use super::segment::Segment;
use crate::TrainError;
use bitesize_ir::shape::Pads;
use bitesize_ir::{Network, TensorId};
use rayon::prelude::*;
use std::ops::Range;

/// The loss of some images: told which of the batch they are, the real values of each output (NHWC, image after image), and
/// where the gradient by them goes (zeros before); answers their part of the loss.
pub type Loss<'a> = &'a (dyn Fn(Range<usize>, &[Vec<f32>], &mut [Vec<f32>]) -> f64 + Sync);

/// What a segment runs on.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// One for each of [`Engine::inputs`], of equally many images.
    pub inputs: &'a [Boundary<'a>],
    /// Which elements of activations stay unquantized, if any.
    pub dropped: Option<Drop>,
}

/// What a step found.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The sum of what the loss answered.
    pub loss: f64,
    /// By parameters.
    pub gradients: &'a Gradients,
}

/// Runs some nodes of a network forwards and backwards. It keeps its memory from step to step.
#[derive(Debug)]
pub struct Engine<'a> {
    segment: Segment<'a>,
    by_inputs: bool,
    prepared: Prepared,
    lanes: Vec<Lane>,
    input_gradients: Vec<Vec<f32>>,
}

impl<'a> Engine<'a> {
    /// An engine for the nodes `nodes` of `network` (indices in topological order) and the tensors that the caller wants to
    /// see, which these nodes write. Gradients by what the segment reads are computed where `by_inputs`.
    ///
    /// # Errors
    /// [`TrainError::Segment`] for nodes or outputs that are not there, [`TrainError::NotRewritten`] for an operator that
    /// the rewrites remove.
    pub fn new(
        network: &'a Network,
        nodes: Range<usize>,
        outputs: &[TensorId],
        by_inputs: bool,
    ) -> Result<Self, TrainError> {
        let segment = Segment::new(network, nodes, outputs)?;
        let input_gradients = vec![Vec::new(); segment.inputs.len()];
        Ok(Self { segment, by_inputs, prepared: Prepared::default(), lanes: Vec::new(), input_gradients })
    }

    /// An engine for a whole network: reads its input, shows its output.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn whole(network: &'a Network) -> Result<Self, TrainError> {
        Self::new(network, 0..network.nodes.len(), &[network.output], false)
    }

    /// The tensors that the segment reads and does not write, in the order in which it reads them.
    pub fn inputs(&self) -> &[TensorId] {
        &self.segment.inputs
    }

    /// The gradients by what the segment read in the last step, one list for each of [`Self::inputs`] (NHWC, real values);
    /// empty where they were not asked for.
    pub fn input_gradients(&self) -> &[Vec<f32>] {
        &self.input_gradients
    }

    /// The real values of each output for a batch.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] and [`TrainError::Segment`] for parameters or inputs that are not the network's,
    /// [`TrainError::Layer`] where a layer does not fit the integer arithmetic.
    pub fn forward(&mut self, parameters: &Parameters, batch: &Batch<'_>) -> Result<Vec<Vec<f32>>, TrainError> {
        let images = self.start(parameters, batch)?;
        let outputs = self.segment.outputs.len();
        self.for_each_chunk(parameters, (batch, images), |pass, lane, images| {
            pass.forward(lane, images.clone());
            lane.outputs.resize_with(outputs, Vec::new);
            for (output, tensor) in pass.segment.outputs.iter().enumerate() {
                let values = pass.real(lane, *tensor, images.start);
                lane.outputs[output].extend(values);
            }
        });
        let gather = |output: usize| self.lanes.iter().flat_map(|lane| lane.outputs[output].iter().copied()).collect();
        Ok((0..outputs).map(gather).collect())
    }

    /// The codes of every tensor that the segment writes, by tensor; empty for others and for tensors of real values.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn codes(&mut self, parameters: &Parameters, batch: &Batch<'_>) -> Result<Vec<Vec<u8>>, TrainError> {
        let images = self.start(parameters, batch)?;
        let tensors = self.segment.network.tensors.len();
        self.for_each_chunk(parameters, (batch, images), |pass, lane, images| {
            pass.forward(lane, images.clone());
            lane.outputs.resize_with(tensors, Vec::new);
            for index in pass.segment.nodes.clone() {
                let tensor = pass.network().nodes[index].output;
                if let Encoding::Codes(quant) = &pass.parameters.encodings[tensor.0] {
                    let own = pass.prepared.output.is_some() && tensor == pass.network().output;
                    let zero = if own { 0.0 } else { f32::from(quant.zero) };
                    let mut scratch = std::mem::take(&mut lane.scratch.x);
                    let values = &lane.values[tensor.0];
                    let codes = pass.centred(tensor, values, Pads::default(), images.start, &mut scratch);
                    lane.outputs[tensor.0].extend(codes.iter().map(|code| code + zero));
                    lane.scratch.x = scratch;
                }
            }
        });
        let gather =
            |tensor: usize| self.lanes.iter().flat_map(|lane| &lane.outputs[tensor]).map(|x| *x as u8).collect();
        Ok((0..tensors).map(gather).collect())
    }

    /// One pass forwards and one backwards.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn step(&mut self, parameters: &Parameters, batch: &Batch<'_>, loss: Loss<'_>) -> Result<Step<'_>, TrainError> {
        let images = self.start(parameters, batch)?;
        let by_inputs = self.by_inputs;
        self.for_each_chunk(parameters, (batch, images), |pass, lane, images| {
            pass.forward(lane, images.clone());
            pass.take_loss(lane, images.clone(), loss);
            pass.backward(lane, images.start, by_inputs);
            pass.keep_input_gradients(lane);
        });
        for (input, all) in self.input_gradients.iter_mut().enumerate().filter(|_| by_inputs) {
            all.clear();
            self.lanes.iter().for_each(|lane| all.extend_from_slice(&lane.input_gradients[input]));
        }
        let (first, others) = self.lanes.split_first_mut().expect("a batch has a lane");
        first.sums.add(&others.iter().map(|lane| &lane.sums).collect::<Vec<_>>());
        let loss = first.loss + others.iter().map(|lane| lane.loss).sum::<f64>();
        Ok(Step { loss, gradients: &first.sums })
    }

    /// Checks what is given, prepares the constants and empties what lanes gather. Answers the number of images.
    fn start(&mut self, parameters: &Parameters, batch: &Batch<'_>) -> Result<usize, TrainError> {
        let (network, nodes) = (self.segment.network, self.segment.nodes.clone());
        parameters.check(network)?;
        let images = Boundary::images(batch.inputs, network, &self.segment.inputs, &parameters.encodings)?;
        self.prepared.update(network, nodes.clone(), parameters)?;
        self.lanes.resize_with(self.segment.lanes(images), Lane::default);
        let (inputs, tensors) = (self.segment.inputs.len(), network.tensors.len());
        self.lanes.par_iter_mut().for_each(|lane| {
            if lane.sums.layers.is_empty() {
                lane.sums = Gradients::zeros(network, &nodes);
                lane.by_tensor.resize_with(tensors, || None);
                lane.input_gradients.resize_with(inputs, Vec::new);
            }
            lane.sums.clear();
            lane.loss = 0.0;
            lane.outputs.clear();
            lane.input_gradients.iter_mut().for_each(Vec::clear);
        });
        Ok(images)
    }

    fn for_each_chunk(
        &mut self,
        parameters: &Parameters,
        (batch, images): (&Batch<'_>, usize),
        run: impl Fn(&Pass<'_>, &mut Lane, Range<usize>) + Sync,
    ) {
        let segment = &self.segment;
        let pass =
            Pass { segment, parameters, prepared: &self.prepared, boundaries: batch.inputs, dropped: batch.dropped };
        let (lanes, chunk) = (self.lanes.len(), segment.chunk());
        self.lanes.par_iter_mut().enumerate().for_each(|(index, lane)| {
            let all = segment.images(index, lanes, images);
            for start in all.clone().step_by(chunk) {
                run(&pass, lane, start..(start + chunk).min(all.end));
            }
        });
    }
}

impl Pass<'_> {
    /// The real values of a tensor of the chunk.
    fn real(&self, lane: &mut Lane, tensor: TensorId, first: usize) -> Vec<f32> {
        let Lane { values, scratch, pool, .. } = lane;
        let centred = self.centred(tensor, &values[tensor.0], Pads::default(), first, &mut scratch.x);
        let mut real = pool.take(centred.len());
        match &self.prepared.output {
            Some([zeros, scales]) if tensor == self.network().output => {
                let pixels = real.chunks_exact_mut(zeros.len()).zip(centred.chunks_exact(zeros.len()));
                for (real, codes) in pixels {
                    for (c, real) in real.iter_mut().enumerate() {
                        *real = (codes[c] - zeros[c]) * scales[c];
                    }
                }
            }
            _ => {
                let scale = self.prepared.quantizers[tensor.0].scale;
                real.iter_mut().zip(centred).for_each(|(real, code)| *real = code * scale);
            }
        }
        real
    }

    /// Asks for the loss of a chunk and keeps its gradients by the outputs.
    fn take_loss(&self, lane: &mut Lane, images: Range<usize>, loss: Loss<'_>) {
        let outputs = &self.segment.outputs;
        let values: Vec<Vec<f32>> = outputs.iter().map(|tensor| self.real(lane, *tensor, images.start)).collect();
        let mut gradients: Vec<Vec<f32>> = values.iter().map(|values| lane.pool.take(values.len())).collect();
        gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
        lane.loss += loss(images, &values, &mut gradients);
        values.into_iter().for_each(|values| lane.pool.give(values));
        for (tensor, gradient) in outputs.iter().zip(gradients) {
            lane.by_tensor[tensor.0] = Some(gradient);
        }
    }

    fn keep_input_gradients(&self, lane: &mut Lane) {
        for (input, tensor) in self.segment.inputs.iter().enumerate() {
            if let Some(gradient) = lane.by_tensor[tensor.0].take() {
                lane.input_gradients[input].extend_from_slice(&gradient);
                lane.pool.give(gradient);
            }
        }
    }
}
