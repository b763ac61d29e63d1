//! Small networks with seeded random weights.
#![allow(dead_code, reason = "each test uses a part of it")]

use bitesize_ir::network::{InputEncoding, Network, Node, Tensor, TensorId};
use bitesize_ir::op::{AveragePool, ChannelAffine, Clamp, Conv2d, DepthwiseConv2d, FullyConnected, Op};
use bitesize_ir::shape::{Pads, Shape, Window};

/// A stream of numbers that looks random.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// In -1..1.
    pub(crate) fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn many(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.next()).collect()
    }
}

/// Adds nodes one after the other.
pub(crate) struct Builder {
    pub(crate) network: Network,
    numbers: Numbers,
}

impl Builder {
    pub(crate) fn new(shape: Shape, input_encoding: InputEncoding, seed: u64) -> Self {
        let input = Tensor { name: "input".into(), shape };
        let network = Network {
            name: "test".into(),
            tensors: vec![input],
            nodes: Vec::new(),
            input: TensorId(0),
            output: TensorId(0),
            input_encoding,
            tail: None,
        };
        Self { network, numbers: Numbers::new(seed) }
    }

    pub(crate) fn push(&mut self, op: Op, inputs: &[TensorId]) -> TensorId {
        let shapes: Vec<Shape> = inputs.iter().map(|t| self.network.shape(*t)).collect();
        let shape = op.output_shape(&shapes).expect("the test's operators fit");
        let output = TensorId(self.network.tensors.len());
        self.network.tensors.push(Tensor { name: format!("t{}", output.0), shape });
        let name = format!("n{}", self.network.nodes.len());
        self.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        self.network.output = output;
        output
    }

    pub(crate) fn conv(
        &mut self,
        input: TensorId,
        window: Window,
        groups: usize,
        out_c: usize,
        clamp: Clamp,
    ) -> TensorId {
        let length = window.area() * self.network.shape(input).c / groups;
        let weights = self.numbers.many(out_c * length, (3.0 / length as f32).sqrt());
        let bias = self.numbers.many(out_c, 0.3);
        self.push(Op::Conv2d(Conv2d { window, groups, weights, bias, clamp }), &[input])
    }

    pub(crate) fn depthwise(&mut self, input: TensorId, window: Window, clamp: Clamp) -> TensorId {
        let c = self.network.shape(input).c;
        let weights = self.numbers.many(window.area() * c, 0.6);
        let bias = self.numbers.many(c, 0.3);
        self.push(Op::DepthwiseConv2d(DepthwiseConv2d { window, weights, bias, clamp }), &[input])
    }

    pub(crate) fn fully_connected(&mut self, input: TensorId, out_c: usize) -> TensorId {
        let in_c = self.network.shape(input).c;
        let weights = self.numbers.many(out_c * in_c, (3.0 / in_c as f32).sqrt());
        let bias = self.numbers.many(out_c, 0.3);
        self.push(Op::FullyConnected(FullyConnected { weights, bias, clamp: Clamp::NONE }), &[input])
    }

    pub(crate) fn affine(&mut self, input: TensorId) -> TensorId {
        let c = self.network.shape(input).c;
        let (scale, shift) = (self.numbers.many(c, 1.0), self.numbers.many(c, 0.5));
        self.push(Op::ChannelAffine(ChannelAffine { scale, shift, clamp: Clamp::RELU }), &[input])
    }

    pub(crate) fn average(&mut self, input: TensorId, window: Window, count_include_pad: bool) -> TensorId {
        self.push(Op::AveragePool(AveragePool { window, count_include_pad, clamp: Clamp::NONE }), &[input])
    }

    pub(crate) fn global_average(&mut self, input: TensorId) -> TensorId {
        let Shape { h, w, .. } = self.network.shape(input);
        self.average(input, Window::of([h, w]), false)
    }
}

/// A window of `kernel` with a stride, a dilation and pads.
pub(crate) fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], pads: [usize; 4]) -> Window {
    let [top, left, bottom, right] = pads;
    Window { kernel, stride, dilation, pads: Pads { top, left, bottom, right } }
}

/// Three by three, "same" padding.
pub(crate) fn three() -> Window {
    window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1])
}

/// Convolutions of both kinds, a sum, ReLU6, an average and a classifier: what mobile networks are made of.
pub(crate) fn mobile(encoding: InputEncoding) -> Network {
    let mut b = Builder::new(Shape::new(9, 8, 3), encoding, 3);
    let x = b.conv(TensorId(0), window([3, 3], [2, 2], [1, 1], [0, 1, 1, 0]), 1, 8, Clamp::RELU6);
    let y = b.depthwise(x, three(), Clamp::RELU6);
    let y = b.conv(y, Window::of([1, 1]), 1, 8, Clamp::NONE);
    let z = b.push(Op::Add(Clamp::NONE), &[x, y]);
    let z = b.conv(z, Window::of([1, 1]), 1, 24, Clamp::RELU);
    let z = b.conv(z, three(), 2, 16, Clamp::RELU);
    let z = b.push(Op::MaxPool(Window::of([2, 2])), &[z]);
    let z = b.global_average(z);
    b.fully_connected(z, 5);
    // Bring pixel inputs to the size of real ones.
    if let InputEncoding::Pixels { .. } = b.network.input_encoding {
        let (weights, _) = b.network.nodes[0].op.parameters_mut().expect("the first node is a convolution");
        weights.iter_mut().for_each(|w| *w /= 64.0);
    }
    b.network.validate().expect("the network is legal");
    b.network
}
