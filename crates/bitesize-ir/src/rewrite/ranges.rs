//! Bounds on the values of every tensor that follow from the operators alone.

use crate::network::{InputEncoding, Network};
use crate::op::{Clamp, Op};

/// For each tensor the bounds that hold before any node is looked at: none, but for an input of pixels.
pub(super) fn of_inputs(network: &Network) -> Vec<Clamp> {
    let mut ranges = vec![Clamp::NONE; network.tensors.len()];
    if let InputEncoding::Pixels { offset } = &network.input_encoding {
        let bound = |pixel: f64, pick: fn(f64, f64) -> f64| offset.iter().map(|o| pixel - o).reduce(pick);
        if let (Some(lo), Some(hi)) = (bound(0.0, f64::min), bound(255.0, f64::max)) {
            // One more on each side than the rounding to single precision can take.
            ranges[network.input.0] = Clamp { lo: lo as f32 - 1.0, hi: hi as f32 + 1.0 };
        }
    }
    ranges
}

/// The bounds after `op` over `inputs`, of which `first` is the first.
pub(super) fn after(op: &Op, first: Clamp, inputs: impl Iterator<Item = Clamp>) -> Clamp {
    let with_zero = |range: Clamp| Clamp { lo: range.lo.min(0.0), hi: range.hi.max(0.0) };
    match op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_) | Op::ChannelAffine(_) => op.clamp(),
        Op::Add(clamp) => {
            let sum = inputs.fold(Clamp { lo: 0.0, hi: 0.0 }, |s, r| Clamp { lo: s.lo + r.lo, hi: s.hi + r.hi });
            sum.then(*clamp)
        }
        Op::Concat => {
            let none = Clamp { lo: f32::INFINITY, hi: f32::NEG_INFINITY };
            inputs.fold(none, |u, r| Clamp { lo: u.lo.min(r.lo), hi: u.hi.max(r.hi) })
        }
        Op::MaxPool(_) | Op::Flatten(_) => first,
        Op::AveragePool(op) => {
            let mean = if op.count_include_pad { with_zero(first) } else { first };
            mean.then(op.clamp)
        }
        Op::Clamp(clamp) => first.then(*clamp),
        Op::Pad(_) => with_zero(first),
    }
}
