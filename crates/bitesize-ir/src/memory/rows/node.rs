//! A node as its rows see it.

use crate::code::Implementation;
use crate::memory::layer_shape::LayerShape;
use crate::memory::lifetimes::of_network;
use crate::network::{Network, Node, NodeId, TensorId};
use crate::op::KernelKind;
use crate::shape::Shape;
use std::ops::Range;

/// A node, its shapes, and which rows of its inputs its rows read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowNode {
    /// Shapes and window.
    pub layer: LayerShape,
    /// How it is computed.
    pub implementation: Implementation,
    /// What it reads.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
}

/// A network as its rows see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowNetwork {
    /// In order; `None` where one has no kernel.
    pub nodes: Vec<Option<RowNode>>,
    /// Of each tensor.
    pub shapes: Vec<Shape>,
    /// First and last node of each tensor ([`lifetimes`](crate::memory::lifetimes)).
    pub lifetimes: Vec<(usize, usize)>,
    /// What is fed.
    pub input: TensorId,
    /// What it is for.
    pub output: TensorId,
}

impl RowNetwork {
    /// `network`, whose nodes are computed as `implementations` say.
    pub fn of(network: &Network, implementations: &[Implementation]) -> Self {
        let nodes = network.nodes.iter().zip(implementations);
        Self {
            nodes: nodes.map(|(node, how)| RowNode::of(network, node, *how)).collect(),
            shapes: network.tensors.iter().map(|tensor| tensor.shape).collect(),
            lifetimes: of_network(network),
            input: network.input,
            output: network.output,
        }
    }

    /// What node `id` reads first; `None` where it has no kernel.
    pub(in crate::memory) fn first_input(&self, id: NodeId) -> Option<TensorId> {
        self.nodes[id.0].as_ref().map(|node| node.inputs[0])
    }

    /// How each node is computed.
    pub(in crate::memory) fn implementations(&self) -> Vec<Implementation> {
        let of = |node: &Option<RowNode>| node.as_ref().map_or(Implementation::Whole, |node| node.implementation);
        self.nodes.iter().map(of).collect()
    }
}

impl RowNode {
    /// `node`, computed as `implementation` says; `None` where it has no kernel.
    pub fn of(network: &Network, node: &Node, implementation: Implementation) -> Option<Self> {
        let layer = LayerShape::of(network, node)?;
        Some(Self { layer, implementation, inputs: node.inputs.clone(), output: node.output })
    }

    /// Whether it computes rows one after the other, from rows: all but what makes a vector of its whole input. A chain's table has a
    /// byte for strides, 16 bits for rows, and as many with a sign for the reach of a window.
    pub fn has_rows(&self) -> bool {
        let makes_a_vector = matches!(self.layer.kind, KernelKind::FullyConnected | KernelKind::Flatten);
        let mut heights = self.layer.inputs.iter().chain([&self.layer.output]).map(|shape| shape.h);
        let (reach, window) = (self.reach(), &self.layer.window);
        !makes_a_vector
            && window.stride[0] <= usize::from(u8::MAX)
            && heights.all(|height| height <= usize::from(u16::MAX))
            && reach.max(window.pads.top + window.stride[0]) <= i16::MAX as usize
    }

    /// Input rows from the first to the last that an output row reads.
    pub fn reach(&self) -> usize {
        let window = &self.layer.window;
        (window.kernel[0] - 1) * window.dilation[0] + 1
    }

    /// Rows of its output.
    pub fn height(&self) -> usize {
        self.layer.output.h
    }

    /// Output rows that it computes at a time, the last of an odd number alone. By rows, a depthwise convolution three rows
    /// high makes two from what it spreads for one.
    pub fn at_once(&self) -> usize {
        let window = &self.layer.window;
        let shares = self.layer.kind == KernelKind::DepthwiseConv2d
            && self.implementation == Implementation::Rows
            && window.kernel[0] == 3
            && window.stride[0] == 1
            && window.dilation[0] == 1;
        if shares { 2 } else { 1 }
    }

    /// Whether it writes over what it reads where tensors have these `places` in the arena.
    pub(in crate::memory) fn overlaps(&self, places: impl Fn(TensorId) -> Range<usize>) -> bool {
        let output = places(self.output);
        self.inputs.iter().map(|input| places(*input)).any(|input| input.start < output.end && output.start < input.end)
    }

    /// Whether a depthwise convolution by rows may write all rows at once over its input where it may write [`Self::at_once`] at a time:
    /// pixels of both have as many bytes, and `apart`, the bytes between both, are whole pixels. Its outer loop is over strips of
    /// four channels. A strip's codes then lie over codes of the same strip only, whose rows are computed in order.
    pub fn strips_align(&self, [input_pixel, output_pixel]: [usize; 2], apart: usize) -> bool {
        input_pixel == output_pixel && apart.is_multiple_of(input_pixel)
    }

    /// In how many turns it is computed, that many rows at a time.
    pub fn turns(&self) -> usize {
        self.height().div_ceil(self.at_once())
    }

    /// The first input row that output row `y` or one after it reads; the input's height where none does.
    pub fn first_read(&self, y: usize) -> usize {
        let (window, height) = (&self.layer.window, self.layer.inputs[0].h);
        if y >= self.height() { height } else { (y * window.stride[0]).saturating_sub(window.pads.top).min(height) }
    }

    /// How many input rows have to be there, from the first, before output row `y` can be computed.
    pub fn needed(&self, y: usize) -> usize {
        let window = &self.layer.window;
        let end = y * window.stride[0] + self.reach();
        end.saturating_sub(window.pads.top).min(self.layer.inputs[0].h)
    }

    /// The rows computed at a time from output row `y` on end before this one.
    pub fn end_of(&self, y: usize) -> usize {
        (y + self.at_once()).min(self.height())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Pads, Window};

    /// A convolution with `window` from an input of `height` rows.
    fn has_rows(window: Window, height: usize) -> bool {
        let input = Shape::new(height, 1, 1);
        let [h, w] = window.output(input).expect("the window fits");
        let (inputs, output) = (vec![input], Shape::new(h, w, 1));
        let layer = LayerShape { kind: KernelKind::Conv2d, window, groups: 1, inputs, output };
        let (inputs, output) = (vec![TensorId(0)], TensorId(1));
        RowNode { layer, implementation: Implementation::Whole, inputs, output }.has_rows()
    }

    #[test]
    fn what_a_table_of_chains_has_no_room_for_is_computed_at_once() {
        let dilated = |dilation| Window { dilation: [dilation, 1], ..Window::of([3, 1]) };
        assert!(has_rows(dilated(16_383), 40_000) && !has_rows(dilated(16_384), 40_000));
        let stride = |stride| Window { stride: [stride, 1], ..Window::of([1, 1]) };
        assert!(has_rows(stride(255), 40_000) && !has_rows(stride(256), 40_000));
        assert!(has_rows(stride(2), 65_535) && !has_rows(stride(2), 65_536));
        let padded = |top| Window { pads: Pads { top, ..Pads::default() }, ..Window::of([1, 1]) };
        assert!(has_rows(padded(32_766), 8) && !has_rows(padded(32_767), 8));
    }
}
