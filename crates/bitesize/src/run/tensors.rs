//! What the safetensors files of a run share: quantized weights, numbers, and one entry of metadata.

use bitesize_ir::grid::WeightGrid;
use bitesize_ir::op::Parameters;
use bitesize_ir::{ActivationQuant, BitWidth, WeightQuant};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::sync::Arc;

/// The key of the metadata. One entry, because several would be written in an order that changes from run to run.
const ENTRY: &str = "bitesize";

/// Gathers tensors for a file.
#[derive(Default)]
pub(crate) struct Writer {
    buffers: Vec<(String, Dtype, Vec<u8>)>,
}

impl Writer {
    /// Adds `values` as `name`.
    pub(crate) fn doubles(&mut self, name: String, values: &[f64]) {
        self.buffers.push((name, Dtype::F64, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }

    /// Adds `values` as `name`.
    pub(crate) fn floats(&mut self, name: String, values: &[f32]) {
        self.buffers.push((name, Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }

    /// Adds `NAME.levels`, `NAME.scales`, `NAME.bias`.
    pub(crate) fn weights(&mut self, name: &str, weights: &WeightQuant) {
        let levels = weights.levels.iter().map(|l| l.cast_unsigned()).collect();
        self.buffers.push((format!("{name}.levels"), Dtype::I8, levels));
        self.doubles(format!("{name}.scales"), &weights.scales);
        self.doubles(format!("{name}.bias"), &weights.bias);
    }

    /// The file's bytes, with the text `about` as its metadata.
    pub(crate) fn finish(self, about: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let mut views = Vec::with_capacity(self.buffers.len());
        for (name, dtype, bytes) in &self.buffers {
            let size = match dtype {
                Dtype::I8 => 1,
                Dtype::F32 => 4,
                _ => 8,
            };
            views.push((name.clone(), TensorView::new(*dtype, vec![bytes.len() / size], bytes)?));
        }
        let metadata = about.map(|about| HashMap::from([(ENTRY.to_owned(), about.to_owned())]));
        Ok(safetensors::serialize(views, metadata)?)
    }
}

/// A file that was read.
pub(crate) struct Tensors<'a> {
    tensors: SafeTensors<'a>,
    about: Option<String>,
}

impl<'a> Tensors<'a> {
    /// Reads `bytes`.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let damaged = |e: safetensors::SafeTensorError| format!("not a safetensors file, or a damaged one: {e}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let about = header.metadata().as_ref().and_then(|m| m.get(ENTRY)).cloned();
        Ok(Self { tensors: SafeTensors::deserialize(bytes).map_err(damaged)?, about })
    }

    /// The text of its metadata.
    pub(crate) fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// Whether it has a tensor `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> Result<&[u8], String> {
        let tensor = self.tensors.tensor(name).map_err(|_| format!("it lacks the tensor `{name}`"))?;
        if tensor.dtype() == dtype { Ok(tensor.data()) } else { Err(format!("`{name}` has another element type")) }
    }

    /// The numbers of `name`.
    pub(crate) fn doubles(&self, name: &str) -> Result<Vec<f64>, String> {
        let chunk = |c: &[u8]| f64::from_le_bytes(c.try_into().expect("chunks of 8 bytes"));
        Ok(self.bytes(name, Dtype::F64)?.chunks_exact(8).map(chunk).collect())
    }

    /// The numbers of `name`.
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        let chunk = |c: &[u8]| f32::from_le_bytes(c.try_into().expect("chunks of 4 bytes"));
        Ok(self.bytes(name, Dtype::F32)?.chunks_exact(4).map(chunk).collect())
    }

    /// The encoding of the tensor `tensor`.
    pub(crate) fn activation(&self, tensor: &str) -> Result<ActivationQuant, String> {
        let name = format!("activation.{tensor}");
        let wrong = || format!("`{name}` is not scale, zero point and bits");
        let [scale, zero, bits] = self.doubles(&name)?[..] else { return Err(wrong()) };
        let whole = |value: f64| Some(value as u8).filter(|whole| f64::from(*whole) == value);
        let bits = whole(bits).and_then(|bits| BitWidth::try_from(bits).ok()).ok_or_else(wrong)?;
        let zero_fits = whole(zero).is_some_and(|zero| zero <= bits.max_code());
        if scale.is_finite() && scale > 0.0 && zero_fits {
            Ok(ActivationQuant { bits, scale, zero: zero as u8 })
        } else {
            Err(wrong())
        }
    }

    /// The weights `name` at `bits` of a layer with `parameters`.
    pub(crate) fn weights(
        &self,
        name: &str,
        bits: BitWidth,
        parameters: Parameters<'_>,
    ) -> Result<WeightQuant, String> {
        let levels: Arc<[i8]> =
            self.bytes(&format!("{name}.levels"), Dtype::I8)?.iter().map(|b| b.cast_signed()).collect();
        let scales = self.doubles(&format!("{name}.scales"))?;
        let bias = self.doubles(&format!("{name}.bias"))?;
        let grid = WeightGrid::of(bits);
        let lengths_fit = levels.len() == parameters.weights.len()
            && scales.len() == parameters.bias.len()
            && bias.len() == parameters.bias.len();
        let values_fit = levels.iter().all(|l| grid.contains(*l))
            && scales.iter().all(|s| grid.takes_scale(*s))
            && bias.iter().all(|b| b.is_finite());
        if lengths_fit && values_fit {
            Ok(WeightQuant { bits, levels, scales, bias })
        } else {
            Err(format!("the weights of `{name}` do not suit the network or their width"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_whole_numbers_of_their_width() {
        let check = |values: &[f64], expected: bool| {
            let mut writer = Writer::default();
            writer.doubles("activation.t".into(), values);
            let bytes = writer.finish(None).unwrap();
            assert_eq!(Tensors::read(&bytes).unwrap().activation("t").is_ok(), expected, "{values:?}");
        };
        check(&[0.5, 128.0, 8.0], true);
        check(&[0.5, 0.0, 2.0], true);
        for zero in [127.5, -0.5, -1.0, 256.0, 1e300, f64::NAN, f64::INFINITY] {
            check(&[0.5, zero, 8.0], false);
        }
        check(&[0.5, 16.0, 4.0], false);
        for bits in [0.0, 3.0, 4.5, 260.0, f64::NAN] {
            check(&[0.5, 0.0, bits], false);
        }
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            check(&[scale, 0.0, 8.0], false);
        }
        check(&[0.5, 0.0], false);
    }
}
