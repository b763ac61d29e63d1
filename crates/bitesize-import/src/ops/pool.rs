//! Pools over windows and over the whole image.

use super::window;
use crate::builder::{Activation, Value};
use crate::error::Reason;
use crate::node::NodeContext;
use bitesize_ir::op::{AveragePool, Clamp};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{Axis, Op, Shape};

pub(super) fn max_pool(node: &mut NodeContext) -> Result<Value, Reason> {
    let (input, shape, mut window) = windowed(node)?;
    if node.int("ceil_mode", 0)? != 0 {
        window.pads = ceil_pads(&window, shape);
    }
    node.emit_image(Op::MaxPool(window), &input)
}

pub(super) fn average_pool(node: &mut NodeContext) -> Result<Value, Reason> {
    let (input, shape, mut window) = windowed(node)?;
    if window.dilation != [1, 1] {
        return Err(Reason::new(format!("it has the dilations {:?}", window.dilation)));
    }
    // Without padding both ways of counting are the same, except in what ceil_mode adds, which never counts.
    let padded = window.pads != Pads::default();
    let count_include_pad = node.int("count_include_pad", 0)? != 0 && padded;
    if node.int("ceil_mode", 0)? != 0 {
        let pads = ceil_pads(&window, shape);
        if pads != window.pads && count_include_pad {
            return Err(Reason::new("its last windows hang over the padding (ceil_mode with count_include_pad)")
                .hint("set ceil_mode to 0, or count_include_pad to 0"));
        }
        window.pads = pads;
    }
    node.emit_image(average(window, count_include_pad)?, &input)
}

fn windowed(node: &NodeContext) -> Result<(Activation, Shape, Window), Reason> {
    let (input, shape) = node.image(0)?;
    let rank = input.layout.rank();
    let kernel = window::kernel(node, rank)?.ok_or_else(|| Reason::new("its attribute `kernel_shape` is missing"))?;
    let window = window::read(node, kernel, shape, rank)?;
    Ok((input, shape, window))
}

/// The paddings that give rounding down the output that rounding up has: windows may hang over the end, but none may
/// begin beyond the image and the padding before it.
fn ceil_pads(window: &Window, input: Shape) -> Pads {
    let more = |size: usize, before: usize, after: usize, axis: usize| {
        let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
        let stride = window.stride[axis];
        let Some(room) = (size + before + after).checked_sub(reach) else { return after };
        let mut steps = room.div_ceil(stride);
        if steps * stride >= size + before {
            steps -= 1;
        }
        (steps * stride + reach).saturating_sub(size + before).max(after)
    };
    let pads = window.pads;
    Pads { bottom: more(input.h, pads.top, pads.bottom, 0), right: more(input.w, pads.left, pads.right, 1), ..pads }
}

pub(super) fn global_average_pool(node: &mut NodeContext) -> Result<Value, Reason> {
    let (input, shape) = node.image(0)?;
    node.emit_image(average(Window::of([shape.h, shape.w]), false)?, &input)
}

pub(super) fn global_max_pool(node: &mut NodeContext) -> Result<Value, Reason> {
    let (input, shape) = node.image(0)?;
    node.emit_image(Op::MaxPool(Window::of([shape.h, shape.w])), &input)
}

/// An average pool whose sums of codes stay within 32 bits.
fn average(window: Window, count_include_pad: bool) -> Result<Op, Reason> {
    let (area, most) = (window.area(), AveragePool::MAX_AREA);
    if area > most {
        return Err(Reason::new(format!("it averages over {area} values, whose sum of codes can leave 32 bits")).hint(
            format!("at most {most} values have one average: make the network's input smaller, or pool in two steps"),
        ));
    }
    Ok(Op::AveragePool(AveragePool { window, count_include_pad, clamp: Clamp::NONE }))
}

pub(super) fn reduce_mean(node: &mut NodeContext) -> Result<Value, Reason> {
    reduce(node, |window| average(window, false))
}

pub(super) fn reduce_max(node: &mut NodeContext) -> Result<Value, Reason> {
    // ReduceMax takes its axes as an input from opset 18 on, as ReduceMean does.
    reduce(node, |window| Ok(Op::MaxPool(window)))
}

/// A reduction over height, width or both; axes of size 1 may be among the axes.
fn reduce(node: &mut NodeContext, op: impl Fn(Window) -> Result<Op, Reason>) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    let shape = node.builder.shape(input.tensor);
    let rank = input.layout.rank();
    let axes = match node.axes(18, 1, rank)? {
        Some(axes) if !axes.is_empty() => axes,
        _ if node.int("noop_with_empty_axes", 0)? != 0 => return Ok(Value::Activation(input)),
        _ => (0..rank).collect(),
    };
    let reduced: Vec<Axis> = axes.iter().flat_map(|axis| input.layout.axes()[*axis].clone()).collect();
    if reduced.contains(&Axis::C) {
        return Err(Reason::new(format!("it reduces over the channels (axes {axes:?})"))
            .hint("only reductions over height and width are supported"));
    }
    let extent = |axis: Axis| if reduced.contains(&axis) { axis.size(shape) } else { 1 };
    let kernel = [extent(Axis::H), extent(Axis::W)];
    let mut layout = input.layout.without(|axis| reduced.contains(&axis));
    if node.int("keepdims", 1)? == 0 {
        let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
        layout = layout.permuted(&kept);
    }
    if kernel == [1, 1] {
        return Ok(Value::Activation(input.with_layout(layout)));
    }
    node.emit_like(op(Window::of(kernel))?, &[&input], layout)
}
