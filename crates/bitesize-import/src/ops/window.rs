//! The geometry that convolutions and pools share: kernel, strides, dilations and paddings from attributes.

use crate::error::Reason;
use crate::node::NodeContext;
use bitesize_ir::Shape;
use bitesize_ir::shape::{Pads, Window};

/// Reads the window of a node with `kernel` over `input`, whose ONNX tensor has `rank` axes (4, or 3 for rows).
pub(super) fn read(node: &NodeContext, kernel: [usize; 2], input: Shape, rank: usize) -> Result<Window, Reason> {
    let stride = pair(node, "strides", rank)?.unwrap_or([1, 1]);
    let dilation = pair(node, "dilations", rank)?.unwrap_or([1, 1]);
    if stride.contains(&0) || dilation.contains(&0) || kernel.contains(&0) {
        return Err(Reason::new(format!("kernel {kernel:?}, strides {stride:?} and dilations {dilation:?} have a 0")));
    }
    let mut window = Window { kernel, stride, dilation, pads: Pads::default() };
    let auto_pad = node.text("auto_pad", "NOTSET")?;
    window.pads = match auto_pad.as_str() {
        "NOTSET" | "" => explicit(node, rank)?,
        "VALID" => Pads::default(),
        "SAME_UPPER" => same(&window, input, false),
        "SAME_LOWER" => same(&window, input, true),
        other => return Err(Reason::new(format!("its auto_pad is `{other}`"))),
    };
    Ok(window)
}

/// The attribute `kernel_shape`.
pub(super) fn kernel(node: &NodeContext, rank: usize) -> Result<Option<[usize; 2]>, Reason> {
    pair(node, "kernel_shape", rank)
}

/// Vertical and horizontal value of an attribute; that of rows is horizontal.
fn pair(node: &NodeContext, name: &str, rank: usize) -> Result<Option<[usize; 2]>, Reason> {
    let Some(values) = node.counts(name)? else { return Ok(None) };
    match (values.as_slice(), rank) {
        ([vertical, horizontal], 4) => Ok(Some([*vertical, *horizontal])),
        ([horizontal], 3) => Ok(Some([1, *horizontal])),
        _ => Err(Reason::new(format!("its attribute `{name}` is {values:?} on a tensor of {rank} axes"))),
    }
}

fn explicit(node: &NodeContext, rank: usize) -> Result<Pads, Reason> {
    let Some(values) = node.counts("pads")? else { return Ok(Pads::default()) };
    match (values.as_slice(), rank) {
        ([top, left, bottom, right], 4) => Ok(Pads { top: *top, left: *left, bottom: *bottom, right: *right }),
        ([left, right], 3) => Ok(Pads { left: *left, right: *right, ..Pads::default() }),
        _ => Err(Reason::new(format!("its attribute `pads` is {values:?} on a tensor of {rank} axes"))),
    }
}

/// The padding that makes the output `ceil(input / stride)`; an odd pixel goes to the end, or to the beginning.
fn same(window: &Window, input: Shape, odd_first: bool) -> Pads {
    let along = |size: usize, axis: usize| {
        let output = size.div_ceil(window.stride[axis]);
        let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
        let total = ((output - 1) * window.stride[axis] + reach).saturating_sub(size);
        let small = total / 2;
        if odd_first { (total - small, small) } else { (small, total - small) }
    };
    let ((top, bottom), (left, right)) = (along(input.h, 0), along(input.w, 1));
    Pads { top, left, bottom, right }
}
