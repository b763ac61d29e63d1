//! What a segment is given for the tensors that it reads.

use super::drop::Drop;
use super::parameters::Encoding;
use crate::TrainError;
use crate::operators::vectorized;
use bitesize_ir::requantize::{LayerInput, round_half_up};
use bitesize_ir::{InputEncoding, Network, TensorId};
use std::ops::Range;

/// The values of one tensor that a segment reads, NHWC, one image after the other.
#[derive(Clone, Copy, Debug)]
pub enum Boundary<'a> {
    /// Codes; for a network of raw pixels those, whether it runs in float or quantized.
    Codes(&'a [u8]),
    /// Real values, which become codes where the tensor has an encoding.
    Values(&'a [f32]),
    /// Codes, and the real values that stand in their place where [`super::Drop`] says so.
    Mixed {
        /// As [`Self::Codes`].
        codes: &'a [u8],
        /// As many real values.
        values: &'a [f32],
    },
}

impl Boundary<'_> {
    /// Elements, `None` where two lists differ.
    fn len(&self) -> Option<usize> {
        match self {
            Self::Codes(codes) => Some(codes.len()),
            Self::Values(values) => Some(values.len()),
            Self::Mixed { codes, values } => (codes.len() == values.len()).then_some(codes.len()),
        }
    }

    /// The number of images that all of `boundaries` hold.
    ///
    /// # Errors
    /// [`TrainError::Segment`] where their number or lengths are not what `tensors` need.
    pub(super) fn images(
        boundaries: &[Self],
        network: &Network,
        tensors: &[TensorId],
        encodings: &[Encoding],
    ) -> Result<usize, TrainError> {
        let wrong = |problem: String| Err(TrainError::Segment { problem });
        if boundaries.len() != tensors.len() {
            return wrong(format!("{} tensors go in, {} were given", tensors.len(), boundaries.len()));
        }
        let mut images = None;
        for (boundary, tensor) in boundaries.iter().zip(tensors) {
            let elements = network.shape(*tensor).elements();
            let name = &network.tensor(*tensor).name;
            let Some(length) = boundary.len() else {
                return wrong(format!("tensor `{name}` has another number of codes than of values"));
            };
            if length % elements != 0 || images.is_some_and(|images| images != length / elements) {
                return wrong(format!("tensor `{name}` takes {elements} values an image, found {length} in all"));
            }
            let of_pixels = *tensor == network.input && matches!(network.input_encoding, InputEncoding::Pixels { .. });
            if of_pixels && encodings[tensor.0] != Encoding::Real && !matches!(boundary, Self::Codes(_)) {
                return wrong(format!("tensor `{name}` holds raw pixels: give its codes, real values were given"));
            }
            images = Some(length / elements);
        }
        Ok(images.unwrap_or(0))
    }

    /// Writes the centred codes of `images`.
    pub(super) fn write(
        &self,
        (network, tensor): (&Network, TensorId),
        encoding: &Encoding,
        dropped: Option<&Drop>,
        images: Range<usize>,
        out: &mut Vec<f32>,
    ) {
        let elements = network.shape(tensor).elements();
        let range = images.start * elements..images.end * elements;
        let reader = Reader::new(network, tensor, encoding);
        out.clear();
        match self {
            Self::Codes(codes) => reader.codes(&codes[range], out),
            Self::Values(values) => {
                out.resize(range.len(), 0.0);
                vectorized(
                    #[inline(always)]
                    || reader.values(&values[range], out),
                );
            }
            Self::Mixed { codes, values } => {
                reader.codes(&codes[range.clone()], out);
                if let Some(dropped) = dropped {
                    for (i, (x, value)) in range.clone().zip(out.iter_mut().zip(&values[range])) {
                        if dropped.drops(i) {
                            *x = (f64::from(*value) / reader.scale) as f32;
                        }
                    }
                }
            }
        }
    }
}

/// How one tensor's values are read.
struct Reader {
    scale: f64,
    /// The greatest code, where values become codes.
    last: Option<f64>,
    /// What real values are moved by to become codes.
    zero: f64,
    /// What is subtracted of codes: one for all channels or one for each.
    centre: Vec<f32>,
}

impl Reader {
    fn new(network: &Network, tensor: TensorId, encoding: &Encoding) -> Self {
        match (encoding, &network.input_encoding) {
            (Encoding::Codes(quant) | Encoding::Unrounded(quant), _) => {
                let input = LayerInput::of(network, tensor, quant);
                let centre = match encoding {
                    Encoding::Codes(_) => input.padding_codes().into_iter().map(f32::from).collect(),
                    _ => input.zeros.iter().map(|zero| *zero as f32).collect(),
                };
                let last = matches!(encoding, Encoding::Codes(_)).then_some(f64::from(quant.bits.max_code()));
                Self { scale: input.scale, last, zero: f64::from(quant.zero), centre }
            }
            (Encoding::Real, InputEncoding::Pixels { offset }) if tensor == network.input => {
                let centre = offset.iter().map(|offset| *offset as f32).collect();
                Self { scale: 1.0, last: None, zero: 0.0, centre }
            }
            (Encoding::Real, _) => Self { scale: 1.0, last: None, zero: 0.0, centre: vec![0.0] },
        }
    }

    fn codes(&self, codes: &[u8], out: &mut Vec<f32>) {
        if let [centre] = self.centre[..] {
            out.extend(codes.iter().map(|code| f32::from(*code) - centre));
            return;
        }
        for pixel in codes.chunks_exact(self.centre.len()) {
            out.extend(pixel.iter().zip(&self.centre).map(|(code, centre)| f32::from(*code) - centre));
        }
    }

    #[inline(always)]
    fn values(&self, values: &[f32], out: &mut [f32]) {
        let (scale, zero) = (self.scale, self.zero);
        match self.last {
            Some(last) => {
                for (out, value) in out.iter_mut().zip(values) {
                    let code = round_half_up(f64::from(*value) / scale + zero);
                    let code = if code > 0.0 { code } else { 0.0 };
                    *out = (if code < last { code } else { last } - zero) as f32;
                }
            }
            None => out.iter_mut().zip(values).for_each(|(out, value)| *out = (f64::from(*value) / scale) as f32),
        }
    }
}
