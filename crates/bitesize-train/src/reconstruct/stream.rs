//! What goes through the network between two blocks, for all samples.

use crate::engine::{Batch, Boundary, Engine, Parameters};
use crate::{SampleValues, Samples, TrainError};
use bitesize_ir::{InputEncoding, Network, TensorId};
use std::ops::{ControlFlow, Range};

/// Asked before each few images whether to go on.
pub(super) type GoOn<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// Images that are computed together: a constant, so that results do not depend on where a run was taken up again.
const TOGETHER: usize = 64;

/// One tensor, NHWC, of all samples.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    elements: usize,
    /// Codes of the quantized network; empty for an input of real values.
    codes: Vec<u8>,
    /// The values of the float network; empty for an input of pixels.
    values: Vec<f32>,
}

/// Some images of a [`Stream`].
#[derive(Debug, Default)]
pub(super) struct Rows {
    codes: Vec<u8>,
    values: Vec<f32>,
}

impl Stream {
    /// The network's input.
    pub(super) fn of_samples(network: &Network, samples: &Samples<'_>) -> Self {
        let elements = samples.shape.elements();
        match (samples.values, &network.input_encoding) {
            (SampleValues::Pixels(pixels), InputEncoding::Pixels { .. }) => {
                Self { elements, codes: pixels.to_vec(), values: Vec::new() }
            }
            _ => Self { elements, codes: Vec::new(), values: samples.to_real(network) },
        }
    }

    pub(super) fn images(&self) -> usize {
        self.codes.len().max(self.values.len()) / self.elements
    }

    /// The values of the float network.
    pub(super) fn float(&self) -> &[f32] {
        &self.values
    }

    fn float_part(&self, images: Range<usize>) -> Boundary<'_> {
        let range = images.start * self.elements..images.end * self.elements;
        match self.values.is_empty() {
            true => Boundary::Codes(&self.codes[range]),
            false => Boundary::Values(&self.values[range]),
        }
    }

    fn quantized_part(&self, images: Range<usize>) -> Boundary<'_> {
        let range = images.start * self.elements..images.end * self.elements;
        match self.codes.is_empty() {
            true => Boundary::Values(&self.values[range]),
            false => Boundary::Codes(&self.codes[range]),
        }
    }

    /// Copies `images` into `rows`, the float values only where they are wanted `mixed` with the codes or there are no codes.
    pub(super) fn gather<'a>(&self, images: &[usize], mixed: bool, rows: &'a mut Rows) -> Boundary<'a> {
        let size = self.elements;
        rows.codes.clear();
        rows.values.clear();
        let has_codes = !self.codes.is_empty();
        let mixed = mixed && has_codes && !self.values.is_empty();
        for image in images {
            let range = image * size..(image + 1) * size;
            if has_codes {
                rows.codes.extend_from_slice(&self.codes[range.clone()]);
            }
            if mixed || !has_codes {
                rows.values.extend_from_slice(&self.values[range]);
            }
        }
        match (mixed, has_codes) {
            (true, _) => Boundary::Mixed { codes: &rows.codes, values: &rows.values },
            (false, true) => Boundary::Codes(&rows.codes),
            (false, false) => Boundary::Values(&rows.values),
        }
    }

    /// What the float network makes of it in `nodes`, at their last output, without codes.
    ///
    /// # Errors
    /// As [`Engine::forward`]; [`TrainError::Stopped`].
    pub(super) fn through_float(
        &self,
        network: &Network,
        nodes: Range<usize>,
        go_on: GoOn<'_>,
    ) -> Result<Self, TrainError> {
        let output = output_of(network, &nodes);
        let values = self.values_in_float(network, nodes, &[output], go_on)?.swap_remove(0);
        Ok(Self::of_values(network, output, values))
    }

    /// What the float network makes of it in `nodes` in each of `tensors`.
    ///
    /// # Errors
    /// As [`Self::through_float`].
    pub(super) fn values_in_float(
        &self,
        network: &Network,
        nodes: Range<usize>,
        tensors: &[TensorId],
        go_on: GoOn<'_>,
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        let mut engine = Engine::new(network, nodes, tensors, false)?;
        let real = Parameters::real(network);
        // As large as they get: what grows takes up to twice that.
        let room = |tensor: &TensorId| Vec::with_capacity(self.images() * network.shape(*tensor).elements());
        let mut values: Vec<Vec<f32>> = tensors.iter().map(room).collect();
        for start in (0..self.images()).step_by(TOGETHER) {
            stopped(go_on())?;
            let part = self.float_part(start..(start + TOGETHER).min(self.images()));
            let found = engine.forward(&real, &Batch { inputs: &[part], dropped: None })?;
            values.iter_mut().zip(found).for_each(|(values, found)| values.extend_from_slice(&found));
        }
        Ok(values)
    }

    /// The `values` of `tensor` in the float network.
    pub(super) fn of_values(network: &Network, tensor: TensorId, values: Vec<f32>) -> Self {
        Self { elements: network.shape(tensor).elements(), codes: Vec::new(), values }
    }

    /// The codes that the quantized network makes of it in `nodes`, at their last output, put beside the float values of `to`.
    ///
    /// # Errors
    /// As [`Engine::codes`]; [`TrainError::Stopped`].
    pub(super) fn through_quantized(
        &self,
        network: &Network,
        nodes: Range<usize>,
        parameters: &Parameters,
        to: &mut Self,
        go_on: GoOn<'_>,
    ) -> Result<(), TrainError> {
        let output = output_of(network, &nodes);
        let mut engine = Engine::new(network, nodes, &[output], false)?;
        to.codes = Vec::with_capacity(self.images() * to.elements);
        for start in (0..self.images()).step_by(TOGETHER) {
            stopped(go_on())?;
            let part = self.quantized_part(start..(start + TOGETHER).min(self.images()));
            let found = engine.codes(parameters, &Batch { inputs: &[part], dropped: None })?;
            to.codes.extend_from_slice(&found[output.0]);
        }
        Ok(())
    }
}

/// What the last of `nodes` writes.
pub(super) fn output_of(network: &Network, nodes: &Range<usize>) -> TensorId {
    network.nodes[nodes.end - 1].output
}

fn stopped(answer: ControlFlow<()>) -> Result<(), TrainError> {
    if answer.is_break() { Err(TrainError::Stopped) } else { Ok(()) }
}

/// Bytes that are kept of one sample for the whole network: its input, as it was given too, and of the float network the output and
/// `features`.
pub(super) fn bytes_of_network(network: &Network, features: Option<TensorId>) -> usize {
    let kept = [Some(network.output), features].into_iter().flatten();
    let values: usize = kept.map(|tensor| network.shape(tensor).elements()).sum();
    2 * bytes_of_input(network) + size_of::<f32>() * values
}

/// Bytes that are kept of one sample at most while `blocks` of `network` are learned: of the input, and before and after a
/// block a code and a real value of each element.
pub(super) fn bytes_of_blocks(network: &Network, blocks: &[Range<usize>]) -> usize {
    let between = size_of::<u8>() + size_of::<f32>();
    let (mut most, mut before) = (0, bytes_of_input(network));
    for nodes in blocks {
        let after = between * network.shape(output_of(network, nodes)).elements();
        most = most.max(before + after);
        before = after;
    }
    most
}

fn bytes_of_input(network: &Network) -> usize {
    let is_pixels = matches!(network.input_encoding, InputEncoding::Pixels { .. });
    network.shape(network.input).elements() * if is_pixels { size_of::<u8>() } else { size_of::<f32>() }
}
