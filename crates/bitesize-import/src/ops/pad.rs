//! `Pad`.

use crate::builder::{Activation, Value};
use crate::error::Reason;
use crate::layout::Layout;
use crate::node::NodeContext;
use bitesize_ir::shape::Pads;
use bitesize_ir::{Op, Shape};

pub(super) fn pad(node: &mut NodeContext) -> Result<Value, Reason> {
    let mode = node.text("mode", "constant")?;
    if mode != "constant" {
        return Err(Reason::new(format!("its mode is `{mode}`")).hint("only padding with zeros is supported"));
    }
    let value = if node.opset < 11 {
        node.float("value", 0.0)?
    } else {
        let constant = node.optional_constant(2, "value")?;
        constant.map(|c| c.as_floats().map(|v| v.first().copied().unwrap_or(0.0))).transpose()?.unwrap_or(0.0)
    };
    if value != 0.0 {
        return Err(Reason::new(format!("it pads with {value}")).hint("only padding with zeros is supported"));
    }
    if node.opset >= 11 {
        node.constant(1, "pads")?;
    }
    let input = node.activation(0)?;
    let rank = input.layout.rank();
    let amounts = pad_amounts(node, rank)?;
    if amounts.iter().all(|a| *a == (0, 0)) {
        return Ok(Value::Activation(input));
    }
    if !(3..=4).contains(&rank) {
        return Err(Reason::new(format!("it pads a tensor of {rank} axes")).hint("only images can be padded"));
    }
    let shape = node.builder.shape(input.tensor);
    let layouts: [fn(usize, Shape) -> Option<Layout>; 2] = [Layout::channels_first, Layout::channels_last];
    for (layout_of, [h, w]) in layouts.into_iter().zip([[rank - 2, rank - 1], [rank - 3, rank - 2]]) {
        let spatial = |axis: usize| axis == w || (axis == h && rank == 4);
        let only_spatial = amounts.iter().enumerate().all(|(axis, a)| *a == (0, 0) || spatial(axis));
        if layout_of(rank, shape).as_ref() != Some(&input.layout) || !only_spatial {
            continue;
        }
        let (top, bottom) = if rank == 4 { amounts[h] } else { (0, 0) };
        let (left, right) = amounts[w];
        let tensor = node.emit(Op::Pad(Pads { top, left, bottom, right }), &[&input])?;
        let layout =
            layout_of(rank, node.builder.shape(tensor)).ok_or_else(|| Reason::new("its output is no image"))?;
        return Ok(Value::Activation(Activation::new(tensor, layout)));
    }
    Err(Reason::new("it pads other axes than height and width").hint("channels and batch cannot be padded"))
}

/// What is added before and after each axis.
fn pad_amounts(node: &NodeContext, rank: usize) -> Result<Vec<(usize, usize)>, Reason> {
    let pads = if node.opset < 11 {
        node.ints("pads")?.ok_or_else(|| Reason::new("its attribute `pads` is missing"))?
    } else {
        node.short_ints(1, "pads")?.ok_or_else(|| Reason::new("its pads (input 1) are missing"))?
    };
    let axes = if node.opset < 18 { None } else { node.axes(18, 3, rank)? };
    let axes = axes.unwrap_or_else(|| (0..rank).collect());
    if pads.len() != 2 * axes.len() {
        return Err(Reason::new(format!("it has {} pads for {} axes", pads.len(), axes.len())));
    }
    let amount = |value: i64| {
        let small = usize::try_from(value).ok().filter(|v| *v <= 1 << 16);
        small.ok_or_else(|| Reason::new(format!("it pads by {value}")).hint("cropping is not supported"))
    };
    let mut amounts = vec![(0, 0); rank];
    for (i, axis) in axes.iter().enumerate() {
        amounts[*axis] = (amount(pads[i])?, amount(pads[i + axes.len()])?);
    }
    Ok(amounts)
}
