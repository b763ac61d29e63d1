//! Layers with drawn weights, one on top of the other.

use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{InputEncoding, Network, Node, Op, Shape, Tensor, TensorId};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A network that grows at its end.
pub(super) struct Builder {
    network: Network,
    rng: ChaCha8Rng,
    /// How many more strides are left out.
    strides_left_out: u32,
}

/// A square window with a stride.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    /// Rows and columns, odd.
    pub(super) size: usize,
    /// In both directions.
    pub(super) stride: usize,
}

/// A kernel of one pixel.
pub(super) const POINTWISE: Kernel = Kernel { size: 1, stride: 1 };

impl Kernel {
    /// With the same padding at each side, so that a stride of 1 keeps the image's size.
    fn window(self) -> Window {
        let Self { size, stride } = self;
        Window { stride: [stride; 2], pads: Pads::all(size / 2), ..Window::of([size; 2]) }
    }
}

/// What a block of expansion, depthwise convolution and projection has.
#[derive(Clone, Copy)]
pub(super) struct InvertedResidual {
    /// Channels within for each channel of the input; 1 leaves the expansion out.
    pub(super) expansion: usize,
    /// Of the depthwise convolution.
    pub(super) kernel: Kernel,
    /// Channels of the output.
    pub(super) channels: usize,
    /// Of expansion and depthwise convolution; the projection has none.
    pub(super) activation: Clamp,
}

impl Builder {
    /// An input of `resolution` x `resolution` x 3; weights are drawn by `seed`. The first `strides_left_out` strides above 1 become 1.
    pub(super) fn new(name: &str, resolution: usize, strides_left_out: u32, seed: u64) -> Self {
        let input = Tensor { name: "input".into(), shape: Shape::new(resolution, resolution, 3) };
        let network = Network {
            name: name.into(),
            tensors: vec![input],
            nodes: Vec::new(),
            input: TensorId(0),
            output: TensorId(0),
            input_encoding: InputEncoding::Real,
            tail: None,
        };
        Self { network, rng: ChaCha8Rng::seed_from_u64(seed), strides_left_out }
    }

    /// The shape at the end so far.
    fn shape(&self) -> Shape {
        self.network.shape(self.network.output)
    }

    /// `kernel`, without its stride where that is one of those left out.
    fn kept(&mut self, kernel: Kernel) -> Kernel {
        if kernel.stride == 1 || self.strides_left_out == 0 {
            return kernel;
        }
        self.strides_left_out -= 1;
        Kernel { stride: 1, ..kernel }
    }

    /// A convolution over all channels to `channels`.
    pub(super) fn conv(&mut self, name: &str, kernel: Kernel, channels: usize, clamp: Clamp) {
        let kernel = self.kept(kernel);
        let fan_in = kernel.size * kernel.size * self.shape().c;
        let weights = self.weights(fan_in * channels, fan_in);
        let bias = vec![0.0; channels];
        let op = Conv2d { window: kernel.window(), groups: 1, weights, bias, clamp };
        self.push(name, Op::Conv2d(op), &[self.network.output]);
    }

    /// A convolution of each channel with a kernel of its own.
    pub(super) fn depthwise(&mut self, name: &str, kernel: Kernel, clamp: Clamp) {
        let kernel = self.kept(kernel);
        let (taps, channels) = (kernel.size * kernel.size, self.shape().c);
        let weights = self.weights(taps * channels, taps);
        let op = DepthwiseConv2d { window: kernel.window(), weights, bias: vec![0.0; channels], clamp };
        self.push(name, Op::DepthwiseConv2d(op), &[self.network.output]);
    }

    /// A block named `name`; where its output has the shape of its input, that is added.
    pub(super) fn inverted_residual(&mut self, name: &str, block: InvertedResidual) {
        let InvertedResidual { expansion, kernel, channels, activation } = block;
        let (from, shape) = (self.network.output, self.shape());
        if expansion != 1 {
            self.conv(&format!("{name}.expand"), POINTWISE, shape.c * expansion, activation);
        }
        self.depthwise(&format!("{name}.depthwise"), kernel, activation);
        self.conv(&format!("{name}.project"), POINTWISE, channels, Clamp::NONE);
        if self.shape() == shape {
            self.push(&format!("{name}.add"), Op::Add(Clamp::NONE), &[from, self.network.output]);
        }
    }

    /// The whole network: on top of what there is the mean of each channel, and `classes` sums of them.
    pub(super) fn classify(mut self, classes: usize) -> Network {
        let Shape { h, w, c } = self.shape();
        let pool = AveragePool { window: Window::of([h, w]), count_include_pad: false, clamp: Clamp::NONE };
        self.push("pool", Op::AveragePool(pool), &[self.network.output]);
        let weights = self.weights(c * classes, c);
        let layer = FullyConnected { weights, bias: vec![0.0; classes], clamp: Clamp::NONE };
        self.push("classifier", Op::FullyConnected(layer), &[self.network.output]);
        self.network
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[TensorId]) {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.network.shape(*id)).collect();
        let shape = op.output_shape(&shapes).expect("the layers of the zoo suit one another");
        let output = TensorId(self.network.tensors.len());
        self.network.tensors.push(Tensor { name: name.into(), shape });
        self.network.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), output });
        self.network.output = output;
    }

    /// `count` weights of mean 0 and variance 2 / `fan_in` (He et al. 2015), nearly normal: each is the sum of four
    /// uniform integers. Nothing but products and a square root is rounded, so that every platform draws the same.
    fn weights(&mut self, count: usize, fan_in: usize) -> Vec<f32> {
        let scale = ((2.0 / fan_in as f64) / SUM_VARIANCE).sqrt() as f32;
        (0..count).map(|_| centred_sum(self.rng.next_u64()) as f32 * scale).collect()
    }
}

/// Values of each of the four integers in a sum.
const UNIFORM: i32 = 1 << 16;

/// The variance of [`centred_sum`]: that of a uniform integer of n values is (n^2 - 1) / 12.
const SUM_VARIANCE: f64 = 4.0 * (UNIFORM as f64 * UNIFORM as f64 - 1.0) / 12.0;

/// The sum of the four 16-bit numbers in `bits` less its mean.
fn centred_sum(bits: u64) -> i32 {
    let sum: i32 = [0, 16, 32, 48].iter().map(|shift| ((bits >> shift) & 0xffff) as i32).sum();
    sum - 2 * (UNIFORM - 1)
}

/// The multiple of 8 nearest to `channels`, at least 8 and at least 0.9 of them.
pub(super) fn divisible(channels: f64) -> usize {
    let nearest = (((channels + 4.0) / 8.0) as usize * 8).max(8);
    if (nearest as f64) < 0.9 * channels { nearest + 8 } else { nearest }
}
