//! The contract of `docs/numerics.md` as loops over indices in 64-bit integers: slow, and sharing no code with the
//! interpreter. What it computes is compared with the interpreter; what the contract says of ranges is asserted.

use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, Rescale};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Axis, Window};

/// A tensor's codes, with how to find one.
struct Codes<'a> {
    tensor: &'a IntTensor,
    codes: &'a [i64],
}

impl Codes<'_> {
    fn at(&self, y: usize, x: usize, c: usize) -> i64 {
        self.codes[(y * self.tensor.shape.w + x) * self.tensor.shape.c + c]
    }

    /// The code at a position that may lie outside the image.
    fn inside(&self, y: i64, x: i64, c: usize) -> Option<i64> {
        let shape = self.tensor.shape;
        let inside = y >= 0 && x >= 0 && y < shape.h as i64 && x < shape.w as i64;
        inside.then(|| self.at(y as usize, x as usize, c))
    }
}

/// Where tap `(ky, kx)` of the window at output position `(y, x)` reads.
fn position(window: &Window, [y, x]: [usize; 2], [ky, kx]: [usize; 2]) -> [i64; 2] {
    [
        (y * window.stride[0] + ky * window.dilation[0]) as i64 - window.pads.top as i64,
        (x * window.stride[1] + kx * window.dilation[1]) as i64 - window.pads.left as i64,
    ]
}

/// One element of an output.
struct Element {
    code: i64,
    /// How far the value that was rounded to the code lay from a tie between two codes, in codes; 1 where nothing was
    /// rounded.
    tie_distance: f64,
}

impl Element {
    /// A code that was moved, not computed.
    fn moved(code: i64) -> Self {
        Self { code, tie_distance: 1.0 }
    }

    /// `clamp(zero + round(value / 2^n))`.
    fn rounded(value: i128, n: u8, zero: u8, [lo, hi]: [u8; 2]) -> Self {
        let unit = 1i128 << n;
        let above = value + unit / 2;
        let code = (i128::from(zero) + above.div_euclid(unit)).clamp(i128::from(lo), i128::from(hi)) as i64;
        // The value is a tie where half a code above it lies on a whole one.
        let part = above.rem_euclid(unit) as f64 / unit as f64;
        Self { code, tie_distance: part.min(1.0 - part) }
    }
}

fn requantize(acc: i64, Multiplier { m, n }: Multiplier, zero: u8, bounds: [u8; 2]) -> Element {
    assert!(acc.abs() < 1 << 31, "the accumulator {acc} leaves 32 bits");
    Element::rounded(i128::from(acc) * i128::from(m), n, zero, bounds)
}

/// Every tensor for one image.
pub struct Run {
    /// The codes, by tensor.
    pub codes: Vec<Vec<u8>>,
    /// For each code, how far the value before rounding lay from a tie, in codes; 1 where nothing was rounded.
    pub tie_distances: Vec<Vec<f64>>,
}

/// Runs the network on the codes of one image.
pub fn run(network: &IntNetwork, image: &[u8]) -> Run {
    let mut codes: Vec<Vec<i64>> = vec![Vec::new(); network.tensors.len()];
    let mut tie_distances: Vec<Vec<f64>> = vec![Vec::new(); network.tensors.len()];
    codes[network.input.0] = image.iter().map(|&code| i64::from(code)).collect();
    tie_distances[network.input.0] = vec![1.0; image.len()];
    for node in &network.nodes {
        let inputs: Vec<Codes> =
            node.inputs.iter().map(|&id| Codes { tensor: network.tensor(id), codes: &codes[id.0] }).collect();
        let output = network.tensor(node.output);
        let mut elements = Vec::new();
        for y in 0..output.shape.h {
            for x in 0..output.shape.w {
                for c in 0..output.shape.c {
                    elements.push(element(node, &inputs, output, [y, x, c]));
                }
            }
        }
        tie_distances[node.output.0] = elements.iter().map(|e| e.tie_distance).collect();
        codes[node.output.0] = elements.iter().map(|e| e.code).collect();
    }
    let byte = |code: i64| u8::try_from(code).expect("a code is a byte");
    let codes = codes.into_iter().map(|codes| codes.into_iter().map(byte).collect()).collect();
    Run { codes, tie_distances }
}

/// One element of a node's output.
fn element(node: &IntNode, inputs: &[Codes], output: &IntTensor, [y, x, c]: [usize; 3]) -> Element {
    let input = &inputs[0];
    let in_c = input.tensor.shape.c;
    let zero = i64::from(input.tensor.zero);
    match &node.op {
        IntOp::Conv2d { window, groups, weights, rescale, padding } => {
            let (per_group, out_per_group) = (in_c / groups, output.shape.c / groups);
            let group = c / out_per_group;
            let [kh, kw] = window.kernel;
            let mut sum = 0;
            for ky in 0..kh {
                for kx in 0..kw {
                    for i in 0..per_group {
                        let channel = group * per_group + i;
                        let level = i64::from(weights.levels[((c * kh + ky) * kw + kx) * per_group + i]);
                        sum += level * padded(input, position(window, [y, x], [ky, kx]), channel, padding);
                    }
                }
            }
            layer(sum, rescale, c, output.zero)
        }
        IntOp::DepthwiseConv2d { window, weights, rescale, padding } => {
            let [kh, kw] = window.kernel;
            let mut sum = 0;
            for ky in 0..kh {
                for kx in 0..kw {
                    let level = i64::from(weights.levels[(ky * kw + kx) * in_c + c]);
                    sum += level * padded(input, position(window, [y, x], [ky, kx]), c, padding);
                }
            }
            layer(sum, rescale, c, output.zero)
        }
        IntOp::FullyConnected { weights, rescale } => {
            let sum = (0..in_c).map(|i| i64::from(weights.levels[c * in_c + i]) * input.at(0, 0, i)).sum();
            layer(sum, rescale, c, output.zero)
        }
        IntOp::Add { integers, lo, hi } => {
            let other = &inputs[1];
            let a = (input.at(y, x, c) - zero) * i64::from(integers.ma);
            let b = (other.at(y, x, c) - i64::from(other.tensor.zero)) * i64::from(integers.mb);
            assert!((a + b).abs() + (1i64 << (integers.n - 1)) < 1 << 31, "an addition leaves 32 bits");
            Element::rounded(i128::from(a + b), integers.n, output.zero, [*lo, *hi])
        }
        IntOp::Concat { multipliers } => {
            let (mut part, mut first) = (0, 0);
            while c >= first + inputs[part].tensor.shape.c {
                first += inputs[part].tensor.shape.c;
                part += 1;
            }
            let acc = inputs[part].at(y, x, c - first) - i64::from(inputs[part].tensor.zero);
            requantize(acc, multipliers[part], output.zero, [0, output.bits.max_code()])
        }
        IntOp::MaxPool { window } => {
            let largest = covered(input, window, [y, x, c]).into_iter().max();
            Element::moved(largest.expect("a pixel is covered"))
        }
        IntOp::AveragePool { window, count_include_pad, multipliers, lo, hi } => {
            let pixels = covered(input, window, [y, x, c]);
            let acc = pixels.iter().map(|code| code - zero).sum();
            let divisor = if *count_include_pad { window.kernel[0] * window.kernel[1] } else { pixels.len() };
            let (_, multiplier) =
                multipliers.iter().find(|(count, _)| *count == divisor).expect("the divisor is there");
            requantize(acc, *multiplier, output.zero, [*lo, *hi])
        }
        IntOp::Clamp { lo, hi } => Element::moved(input.at(y, x, c).clamp(i64::from(*lo), i64::from(*hi))),
        IntOp::Flatten { order } => {
            // The position of the element, told digit by digit from the fastest axis on.
            let (mut left, mut at) = (c, [0; 3]);
            for axis in order.iter().rev() {
                let (digit, size) = match axis {
                    Axis::H => (0, input.tensor.shape.h),
                    Axis::W => (1, input.tensor.shape.w),
                    Axis::C => (2, input.tensor.shape.c),
                };
                at[digit] = left % size;
                left /= size;
            }
            Element::moved(input.at(at[0], at[1], at[2]))
        }
        IntOp::Pad { pads } => {
            let code = input.inside(y as i64 - pads.top as i64, x as i64 - pads.left as i64, c);
            Element::moved(code.unwrap_or(zero))
        }
    }
}

fn padded(input: &Codes, [y, x]: [i64; 2], channel: usize, padding: &[u8]) -> i64 {
    let outside = if padding.len() == 1 { padding[0] } else { padding[channel] };
    input.inside(y, x, channel).unwrap_or(i64::from(outside))
}

fn layer(sum: i64, rescale: &Rescale, channel: usize, zero: u8) -> Element {
    let shifted = sum * (1i64 << rescale.acc_shift);
    assert!(shifted.abs() < 1 << 31, "the shifted sum {shifted} leaves 32 bits");
    let acc = shifted + i64::from(rescale.bias[channel]);
    requantize(acc, rescale.multipliers[channel], zero, [rescale.lo, rescale.hi])
}

/// The codes of the window's pixels inside the image.
fn covered(input: &Codes, window: &Window, [y, x, c]: [usize; 3]) -> Vec<i64> {
    let mut codes = Vec::new();
    for ky in 0..window.kernel[0] {
        for kx in 0..window.kernel[1] {
            let [row, column] = position(window, [y, x], [ky, kx]);
            codes.extend(input.inside(row, column, c));
        }
    }
    codes
}
