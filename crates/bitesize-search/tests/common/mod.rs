//! Networks and kernel costs made up for tests. Weights are all zero: the search looks at shapes only.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use bitesize_ir::code::{Code, KernelKey, Stage};
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected, KernelKind};
use bitesize_ir::shape::{Pads, Shape, Window};
use bitesize_ir::target::{CoreCosts, InstructionCosts, KernelCost, LayerCost, RollingCosts, RowCosts};
use bitesize_ir::work_names::work_names;
use bitesize_ir::{BitWidth, InputEncoding, Network, Node, Op, PolicySpace, Tensor, TensorId};

/// A network under construction; each operator returns the tensor that it writes.
pub struct Builder {
    network: Network,
}

impl Builder {
    pub fn new(input: Shape) -> Self {
        let tensors = vec![Tensor { name: "input".into(), shape: input }];
        let (id, input_encoding) = (TensorId(0), InputEncoding::Real);
        let network = Network {
            name: "test".into(),
            tensors,
            nodes: Vec::new(),
            input: id,
            output: id,
            input_encoding,
            tail: None,
        };
        Self { network }
    }

    pub fn shape(&self, tensor: TensorId) -> Shape {
        self.network.shape(tensor)
    }

    pub fn push(&mut self, name: &str, op: Op, inputs: &[TensorId]) -> TensorId {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.network.shape(*id)).collect();
        let shape = op.output_shape(&shapes).expect("a test's operator fits its inputs");
        let output = TensorId(self.network.tensors.len());
        let name = format!("{name}{}", self.network.nodes.len());
        self.network.tensors.push(Tensor { name: format!("{name}_out"), shape });
        self.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    pub fn conv(&mut self, x: TensorId, out_c: usize, kernel: usize, stride: usize) -> TensorId {
        let c = self.shape(x).c;
        let op = Op::Conv2d(Conv2d {
            window: window(kernel, stride),
            groups: 1,
            weights: vec![0.0; out_c * kernel * kernel * c],
            bias: vec![0.0; out_c],
            clamp: Clamp::RELU,
        });
        self.push("conv", op, &[x])
    }

    pub fn depthwise(&mut self, x: TensorId, kernel: usize, stride: usize) -> TensorId {
        let c = self.shape(x).c;
        let op = Op::DepthwiseConv2d(DepthwiseConv2d {
            window: window(kernel, stride),
            weights: vec![0.0; kernel * kernel * c],
            bias: vec![0.0; c],
            clamp: Clamp::RELU,
        });
        self.push("dw", op, &[x])
    }

    pub fn add(&mut self, a: TensorId, b: TensorId) -> TensorId {
        self.push("add", Op::Add(Clamp::NONE), &[a, b])
    }

    pub fn concat(&mut self, parts: &[TensorId]) -> TensorId {
        self.push("concat", Op::Concat, parts)
    }

    pub fn max_pool(&mut self, x: TensorId) -> TensorId {
        self.push("max_pool", Op::MaxPool(Window { stride: [2, 2], ..Window::of([2, 2]) }), &[x])
    }

    /// A pool over one pixel, which passes everything on.
    pub fn same_pool(&mut self, x: TensorId) -> TensorId {
        self.push("max_pool", Op::MaxPool(Window::of([1, 1])), &[x])
    }

    /// Global average pool and a classifier.
    pub fn finish(mut self, x: TensorId, classes: usize) -> Network {
        let Shape { h, w, c } = self.shape(x);
        let pool = AveragePool { window: Window::of([h, w]), count_include_pad: false, clamp: Clamp::NONE };
        let x = self.push("pool", Op::AveragePool(pool), &[x]);
        let op = FullyConnected { weights: vec![0.0; classes * c], bias: vec![0.0; classes], clamp: Clamp::NONE };
        self.network.output = self.push("fc", Op::FullyConnected(op), &[x]);
        self.network.validate().expect("a test's network is legal");
        self.network
    }
}

fn window(kernel: usize, stride: usize) -> Window {
    Window { stride: [stride, stride], pads: Pads::all(kernel / 2), ..Window::of([kernel, kernel]) }
}

/// MobileNetV1 at `size` x `size` pixels, channels times `eighths` / 8: 28 layers with weights.
pub fn mobilenet_v1(eighths: usize, size: usize, classes: usize) -> Network {
    let mut net = Builder::new(Shape::new(size, size, 3));
    let mut x = net.conv(TensorId(0), 32 * eighths / 8, 3, 2);
    let blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1)];
    for (channels, stride) in blocks.into_iter().chain([(512, 1), (1024, 2), (1024, 1)]) {
        x = net.depthwise(x, 3, stride);
        x = net.conv(x, channels * eighths / 8, 1, 1);
    }
    net.finish(x, classes)
}

/// Inverted residual blocks with additions, as in MobileNetV2.
pub fn residual(blocks: usize) -> Network {
    let mut net = Builder::new(Shape::new(32, 32, 3));
    let mut x = net.conv(TensorId(0), 16, 3, 1);
    for _ in 0..blocks {
        let wide = net.conv(x, 64, 1, 1);
        let deep = net.depthwise(wide, 3, 1);
        let narrow = net.conv(deep, 16, 1, 1);
        x = net.add(x, narrow);
    }
    let x = net.max_pool(x);
    net.finish(x, 10)
}

/// Convolutions, residual additions, concatenations and pools.
pub fn network_of(layers: &[(usize, usize, usize)]) -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let mut x = TensorId(0);
    let mut earlier = vec![x];
    for (kind, size, pick) in layers {
        let other = earlier[pick % earlier.len()];
        let shape = net.shape(x);
        x = match kind {
            0 => net.depthwise(x, 3, 1),
            1 if net.shape(other) == shape && other != x => net.add(x, other),
            2 if net.shape(other).h == shape.h && other != x => net.concat(&[x, other]),
            3 if shape.h >= 2 => net.max_pool(x),
            4 => net.conv(x, 4 * size, 3, 1),
            _ => net.conv(x, 6 * size, 1, 1),
        };
        earlier.push(x);
    }
    net.finish(x, 5)
}

/// A chain of `layers` convolutions and a classifier: 2 * `layers` + 2 free widths (weights and activations of each
/// convolution, activations of the pool, weights of the classifier).
pub fn chain(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let x = (0..layers).fold(TensorId(0), |x, i| net.conv(x, 32 + 16 * i, 3, 1));
    net.finish(x, 4)
}

pub fn space(network: &Network) -> PolicySpace {
    PolicySpace::of(network)
}

/// Costs of the order of a Cortex-M4's: narrower operands need more code and stack.
pub fn costs() -> CoreCosts {
    let of = |bits: BitWidth| match bits {
        BitWidth::B8 => 0,
        BitWidth::B4 => 1,
        BitWidth::B2 => 2,
    };
    let kernel = |key: KernelKey| {
        let narrow = of(key.input) + key.second.map_or(0, of) + of(key.output);
        KernelCost { code_bytes: 400 + 60 * narrow, stack_bytes: 96 + 8 * narrow }
    };
    CoreCosts {
        name: "test".into(),
        compiler: String::new(),
        flags: Vec::new(),
        base_code_bytes: 200,
        base_stack_bytes: 40,
        layers: KernelKind::ALL.map(|kind| (kind, LayerCost { descriptor_bytes: 60, call_bytes: 20 })).into(),
        kernels: KernelKey::all().into_iter().map(|key| (key.name(), kernel(key))).collect(),
        by_rows: true,
        rows: None,
        rolling: Some(RollingCosts {
            code_bytes: 500,
            stack_bytes: 48,
            driver_stack_bytes: 100,
            part_bytes: 30,
            chain_bytes: 40,
            band_bytes: 12,
            member_bytes: 28,
            push_bytes: 120,
            push_alone_bytes: 180,
        }),
        instructions: None,
        scheduling: Scheduling::Layers,
        input: InputRows::Image,
    }
}

/// [`costs`] of a core that computes row by row.
pub fn costs_of_rows() -> CoreCosts {
    let stage = |stage: Stage| {
        let narrow = match stage.bits {
            None => 5,
            Some(BitWidth::B8) => 0,
            Some(BitWidth::B4) => 1,
            Some(BitWidth::B2) => 2,
        };
        (stage.name(), KernelCost { code_bytes: 150 + 40 * narrow, stack_bytes: 200 + 12 * narrow })
    };
    let costs = costs();
    let stages = Stage::all().into_iter().map(stage).collect();
    CoreCosts { rows: Some(RowCosts { layers: costs.layers.clone(), stages }), ..costs }
}

/// Which widths take the fewest instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fewest {
    /// The widest activations: narrower ones have to be unpacked, as measured kernels do.
    Wide,
    /// The narrowest of all.
    Narrow,
    /// Any: drawn from the seed.
    Any(u64),
}

impl Fewest {
    /// By which operands of a kind of code take fewer instructions.
    fn factor(self, name: &str, bits: [Option<BitWidth>; 3]) -> f64 {
        let narrow = |bits: Option<BitWidth>| bits.map_or(0.0, |bits| 2.0 - bits.index() as f64);
        let [input, second, output] = bits.map(narrow);
        match self {
            Self::Wide => 4.0 + 1.1 * input - 0.1 * second + 0.4 * output,
            Self::Narrow => 8.0 - 1.3 * input - 0.6 * second - 0.4 * output,
            Self::Any(seed) => {
                let mixed = name.bytes().fold(seed.wrapping_mul(0x9e37_79b9) + 1, |sum, byte| {
                    (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                2.0 + (mixed >> 20) as f64 % 1000.0 / 100.0
            }
        }
    }
}

/// `core` with instructions of which `fewest` says what takes the fewest: each thing that code does takes some.
pub fn with_instructions(core: CoreCosts, fewest: Fewest) -> CoreCosts {
    let kernels =
        KernelKey::all().into_iter().map(|key| (Code::Kernel(key), [Some(key.input), key.second, Some(key.output)]));
    let stages = Stage::all().into_iter().map(|stage| (Code::Stage(stage), [stage.bits, None, None]));
    let of_code = |(code, bits): (Code, [Option<BitWidth>; 3])| {
        let factor = fewest.factor(&code.name(), bits);
        let costs = (1..=work_names(code.role()).len()).map(|place| factor * place as f64).collect();
        (code.name(), costs)
    };
    let code = kernels.chain(stages).map(of_code).collect();
    CoreCosts { instructions: Some(InstructionCosts { base: 100, code, rolling: None }), ..core }
}

/// [`costs`] with kernels so large that they outweigh small layers.
pub fn costs_of_large_kernels(factor: u64) -> CoreCosts {
    let mut costs = costs();
    for kernel in costs.kernels.values_mut() {
        kernel.code_bytes *= factor;
    }
    costs
}

/// [`costs_of_large_kernels`], and [`costs_of_rows`] with stages as large; both layer by layer and where layers may take turns.
pub fn all_costs_of_large_kernels(factor: u64) -> [CoreCosts; 4] {
    let [whole, rows] = both_costs_of_large_kernels(factor);
    let rolling = [&whole, &rows].map(|core| core.with_schedule(Scheduling::Auto, InputRows::Image));
    let [rolling_whole, rolling_rows] = rolling;
    [whole, rows, rolling_whole, rolling_rows]
}

/// [`costs_of_large_kernels`], and [`costs_of_rows`] with stages as large.
pub fn both_costs_of_large_kernels(factor: u64) -> [CoreCosts; 2] {
    let mut rows = costs_of_rows();
    for stage in rows.rows.iter_mut().flat_map(|rows| rows.stages.values_mut()) {
        stage.code_bytes *= factor;
    }
    [costs_of_large_kernels(factor), rows]
}
