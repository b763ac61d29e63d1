//! The text form of an integer network.

use crate::network::{IntNetwork, IntNode, IntOp, IntWeights, Rescale};
use bitesize_ir::shape::{Axis, Pads, Window};
use std::fmt;

/// One line a node: name, operator, output shape, widths of input / weights / output, geometry, accumulator shift,
/// zero point and clamp of the output, inputs.
impl fmt::Display for IntNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = self.tensor(self.input);
        let kind = if self.input_is_pixels { "pixels".to_owned() } else { format!("zero {}", input.zero) };
        writeln!(f, "integer network {}: input {} {} ({kind})", self.name, input.name, input.shape)?;
        for node in &self.nodes {
            writeln!(f, "{}", self.line(node))?;
        }
        write!(f, "  output {}", self.tensor(self.output).name)
    }
}

impl IntNetwork {
    fn line(&self, node: &IntNode) -> String {
        let output = self.tensor(node.output);
        let mut widths: Vec<String> = node.inputs.iter().map(|&id| self.tensor(id).bits.to_string()).collect();
        widths.extend(weights_of(&node.op).map(|w| w.bits.to_string()));
        let widths = format!("{}>{}", widths.join("/"), output.bits);
        let inputs: Vec<&str> = node.inputs.iter().map(|&id| self.tensor(id).name.as_str()).collect();
        let (name, shape) = (&node.name, output.shape.to_string());
        let line = format!("  {name:<24} {:<16} {shape:<11} {widths:<8}{}", op_name(&node.op), detail(&node.op));
        let bounds = bounds(&node.op).map_or(String::new(), |(lo, hi)| format!(" in {lo}..={hi}"));
        format!("{line} zero {}{bounds} <- {}", output.zero, inputs.join(", "))
    }
}

fn op_name(op: &IntOp) -> &'static str {
    match op {
        IntOp::Conv2d { .. } => "conv2d",
        IntOp::DepthwiseConv2d { .. } => "depthwise_conv2d",
        IntOp::FullyConnected { .. } => "fully_connected",
        IntOp::Add { .. } => "add",
        IntOp::Concat { .. } => "concat",
        IntOp::MaxPool { .. } => "max_pool",
        IntOp::AveragePool { .. } => "average_pool",
        IntOp::Clamp { .. } => "clamp",
        IntOp::Pad { .. } => "pad",
        IntOp::Flatten { .. } => "flatten",
    }
}

fn weights_of(op: &IntOp) -> Option<&IntWeights> {
    match op {
        IntOp::Conv2d { weights, .. }
        | IntOp::DepthwiseConv2d { weights, .. }
        | IntOp::FullyConnected { weights, .. } => Some(weights),
        _ => None,
    }
}

fn bounds(op: &IntOp) -> Option<(u8, u8)> {
    match op {
        IntOp::Conv2d { rescale: Rescale { lo, hi, .. }, .. }
        | IntOp::DepthwiseConv2d { rescale: Rescale { lo, hi, .. }, .. }
        | IntOp::FullyConnected { rescale: Rescale { lo, hi, .. }, .. }
        | IntOp::Add { lo, hi, .. }
        | IntOp::AveragePool { lo, hi, .. }
        | IntOp::Clamp { lo, hi } => Some((*lo, *hi)),
        IntOp::Concat { .. } | IntOp::MaxPool { .. } | IntOp::Pad { .. } | IntOp::Flatten { .. } => None,
    }
}

fn detail(op: &IntOp) -> String {
    match op {
        IntOp::Conv2d { window, groups: 1, rescale, .. } | IntOp::DepthwiseConv2d { window, rescale, .. } => {
            format!("{} f{}", geometry(window), rescale.acc_shift)
        }
        IntOp::Conv2d { window, groups, rescale, .. } => {
            format!("{} g{groups} f{}", geometry(window), rescale.acc_shift)
        }
        IntOp::FullyConnected { rescale, .. } => format!(" f{}", rescale.acc_shift),
        IntOp::Add { integers, .. } => format!(" *{},{} >>{}", integers.ma, integers.mb, integers.n),
        IntOp::MaxPool { window } => geometry(window),
        IntOp::AveragePool { window, multipliers, .. } => {
            let divisors: Vec<String> = multipliers.iter().map(|(divisor, _)| divisor.to_string()).collect();
            format!("{} /{}", geometry(window), divisors.join(","))
        }
        IntOp::Pad { pads } => format!(" p{pads}"),
        IntOp::Flatten { order } => format!(" {}", order.map(Axis::name).join(",")),
        IntOp::Concat { .. } | IntOp::Clamp { .. } => String::new(),
    }
}

fn geometry(window: &Window) -> String {
    let mut text = format!(" k{}x{}", window.kernel[0], window.kernel[1]);
    for (letter, [vertical, horizontal]) in [('s', window.stride), ('d', window.dilation)] {
        if [vertical, horizontal] != [1, 1] {
            text += &format!(" {letter}{vertical}x{horizontal}");
        }
    }
    if window.pads != Pads::default() {
        text += &format!(" p{}", window.pads);
    }
    text
}
