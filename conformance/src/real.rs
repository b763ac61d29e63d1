//! What lowering promises: each code lies where real arithmetic on the quantized weights and on the codes of the
//! layer's inputs puts it, up to rounding.

use bitesize_integer::{IntNetwork, IntOp};
use bitesize_ir::requantize::{LayerInput, WeightLayout, clamp_codes};
use bitesize_ir::{NodeId, Op, QuantizedModel, TensorId};

/// The largest distance, over all elements of all tensors, between a code and the exact real result, less what
/// rounding may cost there; at most 0 where lowering is faithful.
///
/// Rounding costs half a code, half an accumulator step for the bias, and the multiplier's 31 bits. Channels whose
/// scale had to grow are left out: their weights are others.
pub fn excess(model: &QuantizedModel, int: &IntNetwork, tensors: &[Vec<u8>]) -> f64 {
    let mut worst = f64::NEG_INFINITY;
    for (id, node) in model.network.iter() {
        let shape = model.network.shape(node.output);
        let of_channels = model.output_channels.is_some() && node.output == model.network.output;
        for (index, &code) in tensors[node.output.0].iter().enumerate() {
            let (pixel, c) = (index / shape.c, index % shape.c);
            let quant = &model.encoding(node.output, c);
            let (lo, hi) = if of_channels { (0, 255) } else { clamp_codes(node.op.clamp(), quant) };
            let Some(Exact { real, slack }) = exact(model, int, id, tensors, [pixel / shape.w, pixel % shape.w, c])
            else {
                continue;
            };
            let steps = real / quant.scale;
            let expected = (steps + f64::from(quant.zero)).clamp(f64::from(lo), f64::from(hi));
            let allowed = 0.5 + slack / quant.scale + steps.abs().min(512.0) * 2f64.powi(-30) + 1e-9;
            worst = worst.max((f64::from(code) - expected).abs() - allowed);
        }
    }
    worst
}

/// A real result, and how far the integers may be from it before they are rounded to a code.
struct Exact {
    real: f64,
    slack: f64,
}

impl Exact {
    fn of(real: f64) -> Option<Self> {
        Some(Self { real, slack: 0.0 })
    }
}

/// The real value of an element that may lie in the padding, which holds the zero points' codes.
fn value(model: &QuantizedModel, tensors: &[Vec<u8>], tensor: TensorId, at: [Option<usize>; 2], c: usize) -> f64 {
    let input = LayerInput::of(&model.network, tensor, &model.activations[tensor.0]);
    let shape = model.network.shape(tensor);
    let code = match at {
        [Some(y), Some(x)] => tensors[tensor.0][(y * shape.w + x) * shape.c + c],
        _ => input.padding_codes()[if input.zeros.len() == 1 { 0 } else { c }],
    };
    input.scale * (f64::from(code) - input.zero(c))
}

fn exact(
    model: &QuantizedModel,
    int: &IntNetwork,
    id: NodeId,
    tensors: &[Vec<u8>],
    [y, x, c]: [usize; 3],
) -> Option<Exact> {
    let node = model.network.node(id);
    let input = node.inputs[0];
    let shape = model.network.shape(input);
    let at = |y, x, c| value(model, tensors, input, [Some(y), Some(x)], c);
    match &node.op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_) => layer(model, int, id, tensors, [y, x, c]),
        Op::Add(_) => {
            let b = value(model, tensors, node.inputs[1], [Some(y), Some(x)], c);
            let real = at(y, x, c) + b;
            let IntOp::Add { integers, .. } = &int.node(id).op else { panic!("an addition stays one") };
            // Both factors are rounded to n bits: an error of half a unit for each code step.
            let steps = 512.0 * 0.5 * 2f64.powi(-i32::from(integers.n));
            Some(Exact { real, slack: steps * model.activations[node.output.0].scale })
        }
        Op::Concat => {
            let mut c = c;
            let part = node.inputs.iter().find(|part| {
                let channels = model.network.shape(**part).c;
                let here = c < channels;
                c -= if here { 0 } else { channels };
                here
            });
            Exact::of(value(model, tensors, *part?, [Some(y), Some(x)], c))
        }
        Op::AveragePool(pool) => {
            let [kh, kw] = pool.window.kernel;
            let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| [ky, kx]));
            let inside = |[ky, kx]: [usize; 2]| {
                Some([pool.window.source(0, y, ky, shape.h)?, pool.window.source(1, x, kx, shape.w)?])
            };
            let values: Vec<f64> = taps.filter_map(inside).map(|[y, x]| at(y, x, c)).collect();
            let divisor = if pool.count_include_pad { kh * kw } else { values.len() };
            Exact::of(values.iter().sum::<f64>() / divisor as f64)
        }
        Op::Clamp(_) => Exact::of(at(y, x, c)),
        // These move codes; the reference has compared them.
        Op::MaxPool(_) | Op::Pad(_) | Op::Flatten(_) => None,
        Op::ChannelAffine(_) => panic!("lowering refuses it"),
    }
}

fn layer(
    model: &QuantizedModel,
    int: &IntNetwork,
    id: NodeId,
    tensors: &[Vec<u8>],
    [y, x, c]: [usize; 3],
) -> Option<Exact> {
    let node = model.network.node(id);
    let input = node.inputs[0];
    let weights = model.weights[id.0].as_ref()?;
    let (IntOp::Conv2d { rescale, .. }
    | IntOp::DepthwiseConv2d { rescale, .. }
    | IntOp::FullyConnected { rescale, .. }) = &int.node(id).op
    else {
        panic!("a layer with weights stays one")
    };
    let unit = LayerInput::of(&model.network, input, &model.activations[input.0]).scale
        * weights.scales[c]
        * 2f64.powi(-i32::from(rescale.acc_shift));
    // A zero point of the channel's own is part of the bias.
    let (own, shared) = (model.encoding(node.output, c), model.activations[node.output.0]);
    let shift = own.scale * (f64::from(own.zero) - f64::from(shared.zero));
    let shift = if model.output_channels.is_some() && node.output == model.network.output { shift } else { 0.0 };
    if (weights.bias[c] + shift).abs() > 2f64.powi(30) * unit.abs() {
        return None;
    }
    let shape = model.network.shape(input);
    let layout = WeightLayout::of(&node.op)?;
    let window = match &node.op {
        Op::Conv2d(op) => op.window,
        Op::DepthwiseConv2d(op) => op.window,
        _ => bitesize_ir::shape::Window::of([1, 1]),
    };
    let mut real = weights.bias[c];
    for (i, &level) in weights.levels.iter().enumerate().filter(|(i, _)| layout.out_channel(*i) == c) {
        let tap = match layout {
            WeightLayout::ChannelMajor { per_channel, in_c, .. } => i % per_channel / in_c,
            WeightLayout::ChannelMinor { channels } => i / channels,
        };
        let [ky, kx] = [tap / window.kernel[1], tap % window.kernel[1]];
        let at = [window.source(0, y, ky, shape.h), window.source(1, x, kx, shape.w)];
        let code = value(model, tensors, input, at, layout.in_channel(i));
        real += weights.scales[c] * f64::from(level) * code;
    }
    // A factor below 2^-32 counts as 0: everything but the zero point is lost.
    let lost = if rescale.multipliers[c].m == 0 { real.abs() } else { 0.0 };
    Some(Exact { real, slack: unit.abs() / 2.0 + lost })
}

#[cfg(test)]
mod tests {
    use crate::cases::cases;

    #[test]
    fn a_wrong_multiplier_is_seen() {
        let case = &cases()[0];
        let input: Vec<u8> = case.inputs[2].clone();
        let interpreter = bitesize_integer::Interpreter::new(&case.int);
        let mut tensors = interpreter.run_tensors(&input);
        assert!(super::excess(&case.model, &case.int, &tensors) <= 0.0);
        let output = &mut tensors[case.int.output.0][0];
        *output = output.wrapping_add(1);
        assert!(super::excess(&case.model, &case.int, &tensors) > 0.0);
    }
}
