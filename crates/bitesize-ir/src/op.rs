//! The closed set of operators. A new one is a variant here; the compiler lists the places still to fill.

pub use crate::kernel_kind::KernelKind;

use crate::output_shape::{Geometry, expect_length, one_input};
use crate::shape::{Axis, Pads, Shape, Window};
use std::fmt;

/// What a node computes. All of it is per image: there is no batch in the IR.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution, grouped or not, with bias and a fused clamp.
    Conv2d(Conv2d),
    /// Convolution of each channel with a kernel of its own (as many outputs as inputs).
    DepthwiseConv2d(DepthwiseConv2d),
    /// Matrix times vector plus bias; its input is `1 x 1 x in_c`.
    FullyConnected(FullyConnected),
    /// Sum of two tensors of one shape, with a fused clamp.
    Add(Clamp),
    /// Concatenation of two or more tensors along the channels.
    Concat,
    /// Largest value of each window; padding is ignored.
    MaxPool(Window),
    /// Mean of each window.
    AveragePool(AveragePool),
    /// Elementwise clamp that could not be fused.
    Clamp(Clamp),
    /// Zeros (real value 0) round the image, where they could not be folded into a window.
    Pad(Pads),
    /// All elements as one vector, walking along the axes in this order, the last the fastest: how a flattened output comes
    /// in its source's order. Each axis is named once.
    Flatten([Axis; 3]),
    /// `x * scale[c] + shift[c]`: batch-norm and constant arithmetic before rewriting. None is left afterwards:
    /// what folds into no neighbour becomes a 1x1 [`DepthwiseConv2d`].
    ChannelAffine(ChannelAffine),
}

/// Parameters of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Geometry.
    pub window: Window,
    /// Groups; divides input and output channels.
    pub groups: usize,
    /// OHWI: `[out_c][kh][kw][in_c / groups]`.
    pub weights: Vec<f32>,
    /// One for each output channel (zeros where the source had none).
    pub bias: Vec<f32>,
    /// Fused activation.
    pub clamp: Clamp,
}

/// Parameters of a depthwise convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthwiseConv2d {
    /// Geometry.
    pub window: Window,
    /// `[kh][kw][c]`.
    pub weights: Vec<f32>,
    /// One for each channel.
    pub bias: Vec<f32>,
    /// Fused activation.
    pub clamp: Clamp,
}

/// Parameters of a fully connected layer.
#[derive(Clone, Debug, PartialEq)]
pub struct FullyConnected {
    /// `[out_c][in_c]`.
    pub weights: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
    /// Fused activation.
    pub clamp: Clamp,
}

/// Parameters of an average pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AveragePool {
    /// Geometry; the dilation is 1.
    pub window: Window,
    /// Whether padding counts in the divisor (as zeros).
    pub count_include_pad: bool,
    /// Fused activation.
    pub clamp: Clamp,
}

impl AveragePool {
    /// The largest area of a window: the sum of so many codes of 8 bits stays within 32 bits.
    pub const MAX_AREA: usize = i32::MAX as usize / 255;
}

/// Per-channel affine map.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelAffine {
    /// Factor for each channel.
    pub scale: Vec<f32>,
    /// Summand for each channel.
    pub shift: Vec<f32>,
    /// Fused activation.
    pub clamp: Clamp,
}

/// Bounds on real values: `max(lo, min(x, hi))`. Infinite bounds do nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Lower bound, `-inf` for none.
    pub lo: f32,
    /// Upper bound, `+inf` for none.
    pub hi: f32,
}

impl Clamp {
    /// No bounds.
    pub const NONE: Self = Self { lo: f32::NEG_INFINITY, hi: f32::INFINITY };
    /// `max(0, x)`.
    pub const RELU: Self = Self { lo: 0.0, hi: f32::INFINITY };
    /// `min(max(0, x), 6)`.
    pub const RELU6: Self = Self { lo: 0.0, hi: 6.0 };

    /// Whether it changes nothing.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The clamped value; NaN stays NaN.
    pub fn apply(self, x: f32) -> f32 {
        if x < self.lo {
            self.lo
        } else if x > self.hi {
            self.hi
        } else {
            x
        }
    }

    /// This clamp followed by `next`, as one clamp.
    pub fn then(self, next: Self) -> Self {
        Self { lo: next.apply(self.lo), hi: next.apply(self.hi) }
    }
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            f.write_str("none")
        } else if *self == Self::RELU {
            f.write_str("relu")
        } else if *self == Self::RELU6 {
            f.write_str("relu6")
        } else {
            write!(f, "clamp[{},{}]", self.lo, self.hi)
        }
    }
}

/// Weights and bias of an operator that has them, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// The weights in the operator's own layout.
    pub weights: &'a [f32],
    /// One for each output channel.
    pub bias: &'a [f32],
}

impl Op {
    /// The kernel kind, `None` for [`Op::ChannelAffine`].
    pub fn kernel_kind(&self) -> Option<KernelKind> {
        Some(match self {
            Self::Conv2d(_) => KernelKind::Conv2d,
            Self::DepthwiseConv2d(_) => KernelKind::DepthwiseConv2d,
            Self::FullyConnected(_) => KernelKind::FullyConnected,
            Self::Add(_) => KernelKind::Add,
            Self::Concat => KernelKind::Concat,
            Self::MaxPool(_) => KernelKind::MaxPool,
            Self::AveragePool(_) => KernelKind::AveragePool,
            Self::Clamp(_) => KernelKind::Clamp,
            Self::Pad(_) => KernelKind::Pad,
            Self::Flatten(_) => KernelKind::Flatten,
            Self::ChannelAffine(_) => return None,
        })
    }

    /// The name used in reports and text forms.
    pub fn name(&self) -> &'static str {
        self.kernel_kind().map_or("channel_affine", KernelKind::name)
    }

    /// Weights and bias, where the operator has a quantizable weight tensor.
    pub fn parameters(&self) -> Option<Parameters<'_>> {
        match self {
            Self::Conv2d(op) => Some(Parameters { weights: &op.weights, bias: &op.bias }),
            Self::DepthwiseConv2d(op) => Some(Parameters { weights: &op.weights, bias: &op.bias }),
            Self::FullyConnected(op) => Some(Parameters { weights: &op.weights, bias: &op.bias }),
            Self::Add(_)
            | Self::Concat
            | Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::Clamp(_)
            | Self::Pad(_)
            | Self::Flatten(_)
            | Self::ChannelAffine(_) => None,
        }
    }

    /// Weights and bias for changing in place, where there are any.
    pub fn parameters_mut(&mut self) -> Option<(&mut Vec<f32>, &mut Vec<f32>)> {
        match self {
            Self::Conv2d(op) => Some((&mut op.weights, &mut op.bias)),
            Self::DepthwiseConv2d(op) => Some((&mut op.weights, &mut op.bias)),
            Self::FullyConnected(op) => Some((&mut op.weights, &mut op.bias)),
            _ => None,
        }
    }

    /// Whether the output keeps its input's scale, zero point and width (so that it owns no width of its own).
    pub fn passes_encoding_on(&self) -> bool {
        match self {
            Self::MaxPool(_) | Self::Clamp(_) | Self::Pad(_) | Self::Flatten(_) => true,
            Self::Conv2d(_)
            | Self::DepthwiseConv2d(_)
            | Self::FullyConnected(_)
            | Self::Add(_)
            | Self::Concat
            | Self::AveragePool(_)
            | Self::ChannelAffine(_) => false,
        }
    }

    /// The fused (or own) clamp; [`Clamp::NONE`] for operators that cannot have one.
    pub fn clamp(&self) -> Clamp {
        match self {
            Self::Conv2d(op) => op.clamp,
            Self::DepthwiseConv2d(op) => op.clamp,
            Self::FullyConnected(op) => op.clamp,
            Self::Add(clamp) | Self::Clamp(clamp) => *clamp,
            Self::AveragePool(op) => op.clamp,
            Self::ChannelAffine(op) => op.clamp,
            Self::Concat | Self::MaxPool(_) | Self::Pad(_) | Self::Flatten(_) => Clamp::NONE,
        }
    }

    /// Whether the operator can carry a clamp.
    pub fn can_clamp(&self) -> bool {
        match self {
            Self::Conv2d(_)
            | Self::DepthwiseConv2d(_)
            | Self::FullyConnected(_)
            | Self::Add(_)
            | Self::Clamp(_)
            | Self::AveragePool(_)
            | Self::ChannelAffine(_) => true,
            Self::Concat | Self::MaxPool(_) | Self::Pad(_) | Self::Flatten(_) => false,
        }
    }

    /// The clamp for changing in place, where the operator can carry one.
    pub fn clamp_mut(&mut self) -> Option<&mut Clamp> {
        match self {
            Self::Conv2d(op) => Some(&mut op.clamp),
            Self::DepthwiseConv2d(op) => Some(&mut op.clamp),
            Self::FullyConnected(op) => Some(&mut op.clamp),
            Self::Add(clamp) | Self::Clamp(clamp) => Some(clamp),
            Self::AveragePool(op) => Some(&mut op.clamp),
            Self::ChannelAffine(op) => Some(&mut op.clamp),
            Self::Concat | Self::MaxPool(_) | Self::Pad(_) | Self::Flatten(_) => None,
        }
    }

    /// The shape of the output over `inputs`.
    ///
    /// # Errors
    /// A sentence that says which rule the inputs or the parameters break.
    pub fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let geometry = match self {
            Self::Conv2d(Conv2d { window, groups, weights, bias, .. }) => {
                Geometry::Conv2d { window, groups: *groups, weights: weights.len(), out_c: bias.len() }
            }
            Self::DepthwiseConv2d(DepthwiseConv2d { window, weights, bias, .. }) => {
                Geometry::DepthwiseConv2d { window, weights: weights.len(), biases: bias.len() }
            }
            Self::FullyConnected(op) => Geometry::FullyConnected { weights: op.weights.len(), out_c: op.bias.len() },
            Self::Add(_) => Geometry::Add,
            Self::Concat => Geometry::Concat,
            Self::MaxPool(window) => Geometry::MaxPool(window),
            Self::AveragePool(op) => Geometry::AveragePool(&op.window),
            Self::Clamp(_) => Geometry::Clamp,
            Self::Pad(pads) => Geometry::Pad(pads),
            Self::Flatten(order) => Geometry::Flatten(order),
            Self::ChannelAffine(op) => {
                let input = one_input(self.name(), inputs)?;
                expect_length("the scale", op.scale.len(), input.c)?;
                expect_length("the shift", op.shift.len(), input.c)?;
                return Ok(input);
            }
        };
        geometry.output_shape(inputs)
    }

    /// Multiply-accumulates over one image: weights times the output pixels they serve, 0 without weights.
    pub fn macs(&self, output: Shape) -> u64 {
        self.parameters().map_or(0, |p| p.weights.len() as u64 * output.pixels() as u64)
    }
}
