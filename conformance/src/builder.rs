//! Builds small quantized models with seeded random numbers.

use bitesize_ir::grid::WeightGrid;
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{AveragePool, Clamp};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::Window;
use bitesize_ir::{
    ActivationQuant, BitWidth, InputEncoding, Network, Node, Op, Policy, PolicyRow, PolicySpace, QuantizedModel, Shape,
    TensorId, WeightQuant,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How weight levels are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// Any level.
    Random,
    /// The lowest level everywhere.
    Lowest,
    /// The highest level everywhere.
    Highest,
    /// Lowest and highest in turn.
    Ends,
    /// Random, but every other channel has only zeros and no bias (on a grid that has a zero).
    Dead,
}

/// How biases are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bias {
    /// Of the size of the sums.
    Typical,
    /// Next to 2^30 accumulator steps before any shift, with both signs.
    Large,
    /// Past 2^30 steps by the factor, so that the channel's scale has to grow.
    Past(f64),
}

/// How the output's scale is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// So that outputs spread over the codes.
    Natural,
    /// So that the largest channel's `s_in * s_w / s_out` is this.
    Factor(f64),
}

impl Spread {
    /// What weights are scaled by so that the output's scale stays in its range where the factor is tiny.
    fn shrink(self) -> f64 {
        match self {
            Self::Natural => 1.0,
            Self::Factor(factor) => factor.min(1.0),
        }
    }
}

/// What kind of numbers a layer gets.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Weight levels.
    pub fill: Fill,
    /// Biases.
    pub bias: Bias,
    /// Output scale.
    pub spread: Spread,
}

impl Style {
    /// Nothing special.
    pub const PLAIN: Self = Self { fill: Fill::Random, bias: Bias::Typical, spread: Spread::Natural };
}

/// A model being built. Tensors and nodes are named for their operator and number.
#[derive(Clone, Debug)]
pub struct Builder {
    network: Network,
    activations: Vec<ActivationQuant>,
    output_channels: Option<Vec<ActivationQuant>>,
    weights: Vec<Option<WeightQuant>>,
    rng: ChaCha8Rng,
}

impl Builder {
    /// A network with an input of `shape` and codes of any zero point. The name seeds all random numbers.
    pub fn new(name: &str, shape: Shape) -> Self {
        let mut builder = Self::with_input(name, shape, InputEncoding::Real);
        builder.activations[0] = builder.encoding(BitWidth::B8, 2f64.powi(-4));
        builder
    }

    /// A network with a pixel input of these offsets, one for each channel.
    pub fn with_pixels(name: &str, h: usize, w: usize, offset: &[f64]) -> Self {
        let encoding = InputEncoding::Pixels { offset: offset.to_vec() };
        Self::with_input(name, Shape::new(h, w, offset.len()), encoding)
    }

    fn with_input(name: &str, shape: Shape, input_encoding: InputEncoding) -> Self {
        // FNV-1a: a new case does not change the numbers of the others.
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let network = Network {
            name: name.into(),
            tensors: vec![Tensor { name: "input".into(), shape }],
            nodes: Vec::new(),
            input: TensorId(0),
            output: TensorId(0),
            input_encoding,
            tail: None,
        };
        let activations = vec![ActivationQuant { bits: BitWidth::B8, scale: 1.0, zero: 0 }];
        Self { network, activations, output_channels: None, weights: Vec::new(), rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The shape of a tensor.
    pub fn shape(&self, tensor: TensorId) -> Shape {
        self.network.shape(tensor)
    }

    /// One of the widths.
    pub fn any_width(&mut self) -> BitWidth {
        BitWidth::ALL[self.rng.random_range(0..3)]
    }

    /// An operator with weights, whose float weights may be anything of the right length, with an output of
    /// `output_bits`. One time in three each the layer has no activation, a ReLU, or a clip within the range.
    pub fn layer(&mut self, mut op: Op, input: TensorId, widths: [BitWidth; 2], style: Style) -> TensorId {
        let [weight_bits, output_bits] = widths;
        let layout = WeightLayout::of(&op).expect("the operator has weights");
        let (channels, count) = (layout.out_channels(), op.parameters().map_or(0, |p| p.weights.len()));
        let source = self.activations[input.0];
        let base = self.rng.random_range(-10.0..-2f64).exp2() * style.spread.shrink();
        let mut scales: Vec<f64> = (0..channels).map(|_| base * self.rng.random_range(-2.0..0f64).exp2()).collect();
        if weight_bits == BitWidth::B2 {
            scales.iter_mut().skip(1).step_by(2).for_each(|scale| *scale = -*scale);
        }
        let grid = WeightGrid::of(weight_bits);
        let highest = f64::from(grid.highest());
        let largest_scale = scales.iter().fold(0.0, |max: f64, scale| max.max(scale.abs()));
        let step = source.scale * largest_scale;
        let products =
            (count as f64 / channels as f64).sqrt() * 0.6 * highest * 0.6 * f64::from(source.bits.max_code());
        let output_scale = match style.spread {
            Spread::Natural => 4.0 * step * products / f64::from(output_bits.max_code()),
            Spread::Factor(factor) => step / factor,
        };
        let dead = |channel: usize| style.fill == Fill::Dead && channel % 2 == 1 && grid.contains(0);
        let levels = (0..count).map(|i| {
            let c = layout.out_channel(i);
            if dead(c) { 0 } else { self.level(grid, style.fill, i) }
        });
        let levels: Vec<i8> = levels.collect();
        let limit = |c: usize| 2f64.powi(30) * source.scale * scales[c].abs();
        let biases = (0..channels).map(|c| {
            let sign = if c % 2 == 0 { 1.0 } else { -1.0 };
            match style.bias {
                _ if dead(c) => 0.0,
                Bias::Typical => self.rng.random_range(-0.5..0.5) * step * products,
                Bias::Large => sign * limit(c) * 0.999,
                Bias::Past(factor) => sign * limit(c) * factor,
            }
        });
        let bias: Vec<f64> = biases.collect();
        if let Some((float_weights, float_bias)) = op.parameters_mut() {
            let values = levels.iter().enumerate().map(|(i, &l)| (scales[layout.out_channel(i)] * f64::from(l)) as f32);
            *float_weights = values.collect();
            *float_bias = bias.iter().map(|&b| b as f32).collect();
        }
        let quant = self.encoding(output_bits, output_scale);
        let clamp = self.clamp(&quant);
        *op.clamp_mut().expect("an operator with weights can be clamped") = clamp;
        self.push(op, &[input], quant, Some(WeightQuant { bits: weight_bits, levels: levels.into(), scales, bias }))
    }

    /// An addition, with any clamp.
    pub fn add(&mut self, a: TensorId, b: TensorId, bits: BitWidth) -> TensorId {
        let ([a_lo, a_hi], [b_lo, b_hi]) = (self.range(a), self.range(b));
        let quant = self.covering([a_lo + b_lo, a_hi + b_hi], bits);
        let clamp = self.clamp(&quant);
        self.push(Op::Add(clamp), &[a, b], quant, None)
    }

    /// A concatenation.
    pub fn concat(&mut self, inputs: &[TensorId], bits: BitWidth) -> TensorId {
        let ranges = inputs.iter().map(|&id| self.range(id));
        let range = ranges.fold([0.0, 0.0], |[lo, hi]: [f64; 2], [a, b]| [lo.min(a), hi.max(b)]);
        let quant = self.covering(range, bits);
        self.push(Op::Concat, inputs, quant, None)
    }

    /// An average pool, with any clamp.
    pub fn average(&mut self, window: Window, count_include_pad: bool, input: TensorId, bits: BitWidth) -> TensorId {
        let quant = self.covering(self.range(input), bits);
        let clamp = self.clamp(&quant);
        self.push(Op::AveragePool(AveragePool { window, count_include_pad, clamp }), &[input], quant, None)
    }

    /// A max-pool or pad.
    pub fn pass(&mut self, op: Op, input: TensorId) -> TensorId {
        self.push(op, &[input], self.activations[input.0], None)
    }

    /// A clamp to some codes inside the range.
    pub fn clamp_inside(&mut self, input: TensorId) -> TensorId {
        let quant = self.activations[input.0];
        let clamp = self.narrow(&quant);
        self.push(Op::Clamp(clamp), &[input], quant, None)
    }

    /// The tensor at another width, each code of the narrower width standing for its own code of the wider; the same
    /// tensor where it has that width already.
    pub fn to_width(&mut self, input: TensorId, bits: BitWidth) -> TensorId {
        let source = self.activations[input.0];
        if source.bits == bits {
            return input;
        }
        let ratio = f64::from(source.bits.max_code()) / f64::from(bits.max_code());
        let zero = (f64::from(source.zero) / ratio + 0.5).floor() as u8;
        let quant = ActivationQuant { bits, scale: source.scale * ratio, zero };
        let pool = AveragePool { window: Window::of([1, 1]), count_include_pad: false, clamp: Clamp::NONE };
        self.push(Op::AveragePool(pool), &[input], quant, None)
    }

    /// Gives each channel of the last tensor, which must be that of a layer with 8 bits, an encoding of its own: scales from an
    /// eighth to eight times what they were, zero points anywhere.
    pub fn scales_of_channels(&mut self) {
        let last = self.activations.len() - 1;
        let quant = self.activations[last];
        let channels: Vec<ActivationQuant> = (0..self.network.tensors[last].shape.c)
            .map(|_| ActivationQuant {
                scale: quant.scale * self.rng.random_range(-3.0..3f64).exp2(),
                zero: self.rng.random(),
                ..quant
            })
            .collect();
        self.activations[last] = ActivationQuant::shared_by(&channels);
        self.output_channels = Some(channels);
    }

    /// The model with the last tensor, brought to 8 bits, as its output.
    pub fn finish(mut self) -> QuantizedModel {
        self.network.output = self.to_width(TensorId(self.network.tensors.len() - 1), BitWidth::B8);
        let space = PolicySpace::of(&self.network);
        let rows = space.rows.iter().map(|row| PolicyRow {
            name: row.name.clone(),
            weights: self.weights[row.node.0].as_ref().map(|w| w.bits),
            activations: row.activations.then(|| self.activations[self.network.node(row.node).output.0].bits),
        });
        let policy = Policy { rows: rows.collect() };
        QuantizedModel {
            equalized: Vec::new(),
            network: self.network.into(),
            policy,
            activations: self.activations,
            output_channels: self.output_channels,
            weights: self.weights,
        }
    }

    fn push(&mut self, op: Op, inputs: &[TensorId], quant: ActivationQuant, weights: Option<WeightQuant>) -> TensorId {
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.network.shape(id)).collect();
        let shape = op.output_shape(&shapes).unwrap_or_else(|problem| panic!("{}: {problem}", self.network.name));
        let output = TensorId(self.network.tensors.len());
        let name = format!("{}_{}", op.name(), self.network.nodes.len());
        self.network.tensors.push(Tensor { name: format!("{name}_out"), shape });
        self.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        self.activations.push(quant);
        self.weights.push(weights);
        output
    }

    fn level(&mut self, grid: WeightGrid, fill: Fill, index: usize) -> i8 {
        match fill {
            Fill::Random | Fill::Dead => {
                let levels: Vec<i8> = grid.levels().collect();
                levels[self.rng.random_range(0..levels.len())]
            }
            Fill::Lowest => grid.lowest(),
            Fill::Highest => grid.highest(),
            Fill::Ends => [grid.lowest(), grid.highest()][index % 2],
        }
    }

    /// An encoding with the zero point anywhere, more often than not inside the range.
    fn encoding(&mut self, bits: BitWidth, scale: f64) -> ActivationQuant {
        let last = bits.max_code();
        let zero = match self.rng.random_range(0..8u8) {
            0 => 0,
            1 => last,
            _ => self.rng.random_range(last / 3..=last - last / 3),
        };
        ActivationQuant { bits, scale, zero }
    }

    /// The real values of a tensor's lowest and highest code.
    fn range(&self, tensor: TensorId) -> [f64; 2] {
        let quant = self.activations[tensor.0];
        [quant.dequantize(0), quant.dequantize(quant.bits.max_code())]
    }

    /// An encoding of about this range, somewhat wider or narrower.
    fn covering(&mut self, [lo, hi]: [f64; 2], bits: BitWidth) -> ActivationQuant {
        let factor = self.rng.random_range(-1.0..0.5f64).exp2();
        ActivationQuant::from_range(lo * factor, hi * factor, bits)
    }

    fn clamp(&mut self, quant: &ActivationQuant) -> Clamp {
        match self.rng.random_range(0..3u8) {
            0 => Clamp::NONE,
            // Where most codes are negative a ReLU would leave nothing to compare.
            1 if quant.zero <= quant.bits.max_code() / 2 => Clamp::RELU,
            _ => self.narrow(quant),
        }
    }

    fn narrow(&mut self, quant: &ActivationQuant) -> Clamp {
        let last = f64::from(quant.bits.max_code());
        let bound = |part: f64| (quant.scale * (part * last - f64::from(quant.zero))) as f32;
        Clamp { lo: bound(self.rng.random_range(0.0..0.4)), hi: bound(self.rng.random_range(0.6..1.0)) }
    }
}
