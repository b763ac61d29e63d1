//! The shapes that operators compute from those of their inputs, for float and integer networks alike.

use crate::kernel_kind::KernelKind;
use crate::shape::{Axis, Pads, Shape, Window};

/// What an operator computes, as far as its output's shape goes.
#[derive(Clone, Copy, Debug)]
pub enum Geometry<'a> {
    /// A convolution with `weights` weights and `out_c` output channels.
    Conv2d {
        /// The window.
        window: &'a Window,
        /// Groups.
        groups: usize,
        /// Number of weights.
        weights: usize,
        /// Output channels.
        out_c: usize,
    },
    /// A depthwise convolution.
    DepthwiseConv2d {
        /// The window.
        window: &'a Window,
        /// Number of weights.
        weights: usize,
        /// Number of biases.
        biases: usize,
    },
    /// A fully connected layer with `weights` weights and `out_c` outputs.
    FullyConnected {
        /// Number of weights.
        weights: usize,
        /// Outputs.
        out_c: usize,
    },
    /// A sum of two tensors.
    Add,
    /// A concatenation along the channels.
    Concat,
    /// The largest value of each window.
    MaxPool(&'a Window),
    /// The mean of each window.
    AveragePool(&'a Window),
    /// A clamp.
    Clamp,
    /// Rows and columns round the image.
    Pad(&'a Pads),
    /// All elements as one vector, the axes in this order.
    Flatten(&'a [Axis; 3]),
}

impl Geometry<'_> {
    fn kind(self) -> KernelKind {
        match self {
            Self::Conv2d { .. } => KernelKind::Conv2d,
            Self::DepthwiseConv2d { .. } => KernelKind::DepthwiseConv2d,
            Self::FullyConnected { .. } => KernelKind::FullyConnected,
            Self::Add => KernelKind::Add,
            Self::Concat => KernelKind::Concat,
            Self::MaxPool(_) => KernelKind::MaxPool,
            Self::AveragePool(_) => KernelKind::AveragePool,
            Self::Clamp => KernelKind::Clamp,
            Self::Pad(_) => KernelKind::Pad,
            Self::Flatten(_) => KernelKind::Flatten,
        }
    }

    /// The shape of the output over `inputs`.
    ///
    /// # Errors
    /// A sentence that says which rule the inputs or the parameters break.
    pub fn output_shape(self, inputs: &[Shape]) -> Result<Shape, String> {
        match self {
            Self::Add => add(inputs),
            Self::Concat => concat(inputs),
            of_one => of_one.over(one_input(self.kind().name(), inputs)?),
        }
    }

    /// The shape over the only input.
    fn over(self, input: Shape) -> Result<Shape, String> {
        match self {
            Self::Conv2d { window, groups, weights, out_c } => {
                if groups == 0 || !input.c.is_multiple_of(groups) || !out_c.is_multiple_of(groups) {
                    return Err(format!("{groups} groups do not divide {} input and {out_c} output channels", input.c));
                }
                expect_length("the weight tensor", weights, out_c * window.area() * (input.c / groups))?;
                slide(window, input, out_c)
            }
            Self::DepthwiseConv2d { window, weights, biases } => {
                expect_length("the weight tensor", weights, window.area() * input.c)?;
                expect_length("the bias", biases, input.c)?;
                slide(window, input, input.c)
            }
            Self::FullyConnected { weights, out_c } => {
                if input.pixels() != 1 {
                    return Err(format!("fully_connected takes a vector, found {input}"));
                }
                expect_length("the weight tensor", weights, out_c * input.c)?;
                Ok(Shape::vector(out_c))
            }
            Self::MaxPool(window) => pool(window, input),
            Self::AveragePool(window) => {
                if window.dilation != [1, 1] {
                    return Err("average_pool with a dilation other than 1".into());
                }
                pool(window, input)
            }
            Self::Pad(pads) => {
                Ok(Shape::new(input.h + pads.top + pads.bottom, input.w + pads.left + pads.right, input.c))
            }
            Self::Flatten(order) => {
                if let Some(missing) = Axis::ALL.into_iter().find(|axis| !order.contains(axis)) {
                    return Err(format!("its order {order:?} lacks {missing:?}"));
                }
                Ok(Shape::vector(input.elements()))
            }
            Self::Clamp | Self::Add | Self::Concat => Ok(input),
        }
    }
}

/// The only input of operator `name`.
///
/// # Errors
/// A sentence with the number of inputs, where it is another.
pub(crate) fn one_input(name: &str, inputs: &[Shape]) -> Result<Shape, String> {
    match inputs {
        [input] => Ok(*input),
        _ => Err(format!("{name} takes one input, found {}", inputs.len())),
    }
}

/// That `what` has as many values as are expected.
///
/// # Errors
/// A sentence with both numbers.
pub(crate) fn expect_length(what: &str, found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} has {found} values instead of {expected}")) }
}

fn slide(window: &Window, input: Shape, channels: usize) -> Result<Shape, String> {
    let misfit = || {
        format!(
            "a {}x{} window with stride {:?}, dilation {:?} and pads {} does not fit an input of {input}",
            window.kernel[0], window.kernel[1], window.stride, window.dilation, window.pads
        )
    };
    let [h, w] = window.output(input).ok_or_else(misfit)?;
    Ok(Shape::new(h, w, channels))
}

fn pool(window: &Window, input: Shape) -> Result<Shape, String> {
    let output = slide(window, input, input.c)?;
    if !window.touches_everywhere(input) {
        return Err(format!(
            "a {}x{} window with pads {} sees nothing but padding",
            window.kernel[0], window.kernel[1], window.pads
        ));
    }
    Ok(output)
}

fn add(inputs: &[Shape]) -> Result<Shape, String> {
    match inputs {
        [a, b] if a == b => Ok(*a),
        [a, b] => Err(format!("add takes two inputs of one shape, found {a} and {b}")),
        _ => Err(format!("add takes two inputs, found {}", inputs.len())),
    }
}

fn concat(inputs: &[Shape]) -> Result<Shape, String> {
    let [first, rest @ ..] = inputs else {
        return Err("concat takes at least two inputs, found none".into());
    };
    if rest.is_empty() {
        return Err("concat takes at least two inputs, found one".into());
    }
    if let Some(other) = rest.iter().find(|s| (s.h, s.w) != (first.h, first.w)) {
        return Err(format!("concat takes inputs of one height and width, found {first} and {other}"));
    }
    Ok(Shape::new(first.h, first.w, inputs.iter().map(|s| s.c).sum()))
}
