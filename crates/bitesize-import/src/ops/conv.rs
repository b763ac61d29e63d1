//! `Conv`.

use super::window;
use crate::builder::Value;
use crate::error::Reason;
use crate::node::NodeContext;
use bitesize_ir::Op;
use bitesize_ir::op::{Clamp, Conv2d, DepthwiseConv2d};

/// Weights are turned from `[out][in / groups][kh][kw]` to OHWI, those of a depthwise convolution to `[kh][kw][c]`.
/// A depthwise convolution with several outputs for each input stays a grouped one.
pub(super) fn conv(node: &mut NodeContext) -> Result<Value, Reason> {
    let weights = node.constant(1, "weight")?;
    let bias = node.optional_constant(2, "bias")?;
    let (input, shape) = node.image(0)?;
    let rank = input.layout.rank();
    let (out_c, in_per_group, kernel) = match (weights.dims.as_slice(), rank) {
        ([o, i, kh, kw], 4) => (*o, *i, [*kh, *kw]),
        ([o, i, kw], 3) => (*o, *i, [1, *kw]),
        (dims, _) => return Err(Reason::new(format!("its weight has the dimensions {dims:?}"))),
    };
    if let Some(declared) = window::kernel(node, rank)?
        && declared != kernel
    {
        return Err(Reason::new(format!("kernel_shape is {declared:?}, the weight has a kernel of {kernel:?}")));
    }
    let groups = usize::try_from(node.int("group", 1)?).unwrap_or(0);
    if groups == 0 || out_c == 0 || in_per_group.checked_mul(groups) != Some(shape.c) || !out_c.is_multiple_of(groups) {
        return Err(Reason::new(format!(
            "its weight has {out_c} output channels and {in_per_group} input channels in each of {groups} groups, the \
             input has {} channels",
            shape.c
        )));
    }
    let window = window::read(node, kernel, shape, rank)?;
    // With no 0 among its dimensions, the weight has at least as many elements as there are outputs.
    node.budget().spend(weights.data.len() + out_c, 4)?;
    let bias = match bias {
        None => vec![0.0; out_c],
        Some(bias) if bias.data.len() == out_c => bias.as_floats()?.to_vec(),
        Some(bias) => {
            return Err(Reason::new(format!("its bias has {} values for {out_c} channels", bias.data.len())));
        }
    };
    let taps = kernel[0] * kernel[1];
    let source = weights.as_floats()?;
    let clamp = Clamp::NONE;
    let op = if groups == shape.c && groups == out_c && groups > 1 {
        let weights = (0..taps).flat_map(|tap| (0..out_c).map(move |c| source[c * taps + tap])).collect();
        Op::DepthwiseConv2d(DepthwiseConv2d { window, weights, bias, clamp })
    } else {
        let at = |o: usize, tap: usize, i: usize| source[(o * in_per_group + i) * taps + tap];
        let mut weights = Vec::with_capacity(source.len());
        for o in 0..out_c {
            for tap in 0..taps {
                weights.extend((0..in_per_group).map(|i| at(o, tap, i)));
            }
        }
        Op::Conv2d(Conv2d { window, groups, weights, bias, clamp })
    };
    node.emit_image(op, &input)
}
