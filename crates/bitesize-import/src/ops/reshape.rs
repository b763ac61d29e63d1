//! Changes of layout, which leave no nodes, and Concat, which does.

use crate::builder::{Activation, Value};
use crate::constant::{Constant, MAX_AXES};
use crate::error::Reason;
use crate::layout::Layout;
use crate::node::{NodeContext, positive_axis};
use bitesize_ir::{Axis, Op};
use std::rc::Rc;

const REPACKING: &str = "only flattening, and adding or removing axes of size 1, is supported: bytes are never moved; a 1x1 convolution \
                         with weights of 0 and 1 shuffles channels";

/// The node's first input under other dimensions.
fn with_dims(node: &mut NodeContext, input: &Activation, dims: &[usize]) -> Result<Value, Reason> {
    let shape = node.builder.shape(input.tensor);
    if input.tensor == node.builder.network.input {
        node.builder.input_forms.push(dims.to_vec());
    }
    let layout = input.layout.reshaped(shape, dims).ok_or_else(|| {
        Reason::new(format!("it would cut up or mix axes: {:?} becomes {dims:?}", input.layout.dims(shape)))
            .hint(REPACKING)
    })?;
    Ok(Value::Activation(input.with_layout(layout)))
}

fn dims_of(node: &NodeContext, input: &Activation) -> Vec<usize> {
    input.layout.dims(node.builder.shape(input.tensor))
}

pub(super) fn reshape(node: &mut NodeContext) -> Result<Value, Reason> {
    let shape = node.short_ints(1, "shape")?.unwrap_or_default();
    // Height, width and channels are all that an image has, whatever its shape.
    if shape.iter().filter(|dim| **dim > 1).count() > 3 {
        return Err(Reason::new(format!("it would cut up axes: an image becomes {shape:?}")).hint(REPACKING));
    }
    let input = node.pending_activation(0)?;
    let target = reshape_target(node, &dims_of(node, &input))?;
    with_dims(node, &input, &target)
}

/// The dimensions that a Reshape of a tensor of `from` asks for, 0 and -1 resolved.
pub(super) fn reshape_target(node: &NodeContext, from: &[usize]) -> Result<Vec<usize>, Reason> {
    let constant = node.constant(1, "shape")?;
    let asked = constant.as_ints()?;
    if asked.len() > MAX_AXES {
        return Err(Reason::new(format!("it asks for {} axes", asked.len())));
    }
    let impossible = || Reason::new(format!("a tensor of shape {from:?} cannot become {asked:?}"));
    let allow_zero = node.int("allowzero", 0)? != 0;
    let mut dims = Vec::new();
    let mut open = None;
    for (axis, dim) in asked.iter().enumerate() {
        dims.push(match dim {
            0 if !allow_zero => *from.get(axis).ok_or_else(impossible)?,
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            _ => usize::try_from(*dim).map_err(|_| impossible())?,
        });
    }
    let total = crate::constant::elements(from).ok_or_else(impossible)?;
    let asked_total = crate::constant::elements(&dims).ok_or_else(impossible)?;
    match open {
        Some(axis) if asked_total > 0 && total.is_multiple_of(asked_total) => dims[axis] = total / asked_total,
        None if total == asked_total => {}
        _ => return Err(impossible()),
    }
    Ok(dims)
}

pub(super) fn flatten(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.pending_activation(0)?;
    let dims = flatten_target(node, &dims_of(node, &input))?;
    with_dims(node, &input, &dims)
}

pub(super) fn flatten_target(node: &NodeContext, from: &[usize]) -> Result<Vec<usize>, Reason> {
    let axis = node.int("axis", 1)?;
    // Axis `rank` is allowed: everything before it.
    let axis = if axis == from.len() as i64 { from.len() } else { positive_axis(axis, from.len())? };
    Ok(vec![from[..axis].iter().product(), from[axis..].iter().product()])
}

pub(super) fn squeeze(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.pending_activation(0)?;
    let dims = squeeze_target(node, &dims_of(node, &input))?;
    with_dims(node, &input, &dims)
}

pub(super) fn squeeze_target(node: &NodeContext, from: &[usize]) -> Result<Vec<usize>, Reason> {
    let axes = node.axes(13, 1, from.len())?;
    if let Some(axis) = axes.iter().flatten().find(|axis| from[**axis] != 1) {
        return Err(Reason::new(format!("it removes axis {axis} of {from:?}, which is not of size 1")));
    }
    let removed = |axis: usize| axes.as_ref().map_or(from[axis] == 1, |axes| axes.contains(&axis));
    Ok((0..from.len()).filter(|axis| !removed(*axis)).map(|axis| from[axis]).collect())
}

pub(super) fn unsqueeze(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.pending_activation(0)?;
    let dims = unsqueeze_target(node, &dims_of(node, &input))?;
    with_dims(node, &input, &dims)
}

pub(super) fn unsqueeze_target(node: &NodeContext, from: &[usize]) -> Result<Vec<usize>, Reason> {
    let given = if node.opset < 13 {
        node.ints("axes")?.map(|axes| axes.len())
    } else {
        node.optional_constant(1, "axes")?.map(|c| c.data.len())
    };
    let rank = from.len() + given.ok_or_else(|| Reason::new("its axes are missing"))?;
    if rank > 16 {
        return Err(Reason::new(format!("its output would have {rank} axes")));
    }
    let axes = node.axes(13, 1, rank)?.unwrap_or_default();
    let mut old = from.iter();
    let dims: Option<Vec<usize>> =
        (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { old.next().copied() }).collect();
    dims.filter(|_| old.next().is_none()).ok_or_else(|| Reason::new(format!("its axes {axes:?} name one twice")))
}

pub(super) fn transpose(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.pending_activation(0)?;
    let order = permutation(node, input.layout.rank())?;
    let layout = input.layout.permuted(&order);
    let flat: Vec<Axis> = layout.axes().concat();
    let place = |axis| flat.iter().position(|a| *a == axis);
    if let (Some(h), Some(w)) = (place(Axis::H), place(Axis::W))
        && w < h
    {
        return Err(Reason::new(format!("it exchanges height and width (perm {order:?})"))
            .hint("only changes between channels-first and channels-last are supported"));
    }
    Ok(Value::Activation(input.with_layout(layout)))
}

/// The attribute `perm`, checked; reversed order where it is absent.
pub(super) fn permutation(node: &NodeContext, rank: usize) -> Result<Vec<usize>, Reason> {
    let order: Vec<usize> = match node.ints("perm")? {
        Some(perm) => perm.iter().map(|axis| positive_axis(*axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted.iter().copied().eq(0..rank) {
        Ok(order)
    } else {
        Err(Reason::new(format!("its attribute `perm` is {order:?} on a tensor of {rank} axes")))
    }
}

pub(super) fn concat(node: &mut NodeContext) -> Result<Value, Reason> {
    if node.images() < node.inputs.len() {
        return Err(Reason::new("it joins activations with a constant").hint("only activations can be joined"));
    }
    let parts: Vec<Activation> = (0..node.inputs.len()).map(|i| node.activation(i)).collect::<Result<_, _>>()?;
    if let [only] = &parts[..] {
        return Ok(Value::Activation(only.clone()));
    }
    let rank = parts.first().map_or(0, |p| p.layout.rank());
    let axis = positive_axis(node.int("axis", 1)?, rank)?;
    let others = |layout: &Layout| layout.with_axis(axis, Vec::new());
    for part in &parts {
        if part.layout.rank() != rank || others(&part.layout) != others(&parts[0].layout) {
            let dims: Vec<_> = parts.iter().map(|p| dims_of(node, p)).collect();
            return Err(Reason::new(format!("its inputs do not fit together: {dims:?}"))
                .hint("they need one height and width, in one order"));
        }
        let along = &part.layout.axes()[axis];
        // A single channel leaves no trace in the layout.
        let channels = node.builder.shape(part.tensor).c;
        if *along != [Axis::C] && !(channels == 1 && along.is_empty()) {
            return Err(Reason::new(format!("it joins along axis {axis}, which is not the channels"))
                .hint("only joining along the channels is supported"));
        }
    }
    let inputs: Vec<&Activation> = parts.iter().collect();
    let layout = parts[0].layout.with_axis(axis, vec![Axis::C]);
    node.emit_like(Op::Concat, &inputs, layout)
}

/// The dimensions of an activation are known, the batch being 1.
pub(super) fn shape(node: &mut NodeContext) -> Result<Value, Reason> {
    let dims = dims_of(node, &node.pending_activation(0)?);
    shape_of(node, &dims).map(|c| Value::Constant(Rc::new(c)))
}

/// A part of `dims` as a constant.
pub(super) fn shape_of(node: &NodeContext, dims: &[usize]) -> Result<Constant, Reason> {
    let rank = dims.len() as i64;
    let clamp = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
    let (start, end) = (clamp(node.int("start", 0)?), clamp(node.int("end", rank)?));
    let part = dims.get(start..end).unwrap_or_default();
    Ok(Constant::ints(part.iter().map(|d| *d as i64).collect()))
}

pub(super) fn size(node: &mut NodeContext) -> Result<Value, Reason> {
    let elements: usize = dims_of(node, &node.pending_activation(0)?).iter().product();
    Ok(Value::Constant(Rc::new(Constant::ints(vec![elements as i64]).scalar())))
}
