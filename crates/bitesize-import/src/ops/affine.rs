//! `x * scale + shift` with constants: for each channel an operator of the network, for each element left to the dense
//! layer behind it.

use crate::builder::{Activation, PerElement, Value};
use crate::constant::Constant;
use crate::error::Reason;
use crate::layout::Layout;
use crate::node::NodeContext;
use crate::ops::walk::{Indices, row_major_strides};
use bitesize_ir::Axis;
use bitesize_ir::Op;
use bitesize_ir::op::{ChannelAffine, Clamp};
use std::rc::Rc;

/// How numbers are spread over an activation.
pub(super) struct Spread {
    /// How the axes of the result run over the activation's tensor.
    layout: Layout,
    /// For each of those axes how far apart the numbers of neighbours are; 0 where they are the same.
    strides: Vec<isize>,
    /// What is told where a number for each element is one too many.
    otherwise: Reason,
}

impl Spread {
    /// One number for every place along `axis`.
    pub(super) fn along(axis: usize, layout: &Layout, otherwise: Reason) -> Self {
        let strides = (0..layout.rank()).map(|a| isize::from(a == axis)).collect();
        Self { layout: layout.clone(), strides, otherwise }
    }

    /// One number for all of `input`.
    pub(super) fn number(input: &Activation) -> Self {
        let otherwise = Reason::new("it is one number for all");
        Self { layout: input.layout.clone(), strides: vec![0; input.layout.rank()], otherwise }
    }

    /// A constant broadcast to `input`.
    fn of(constant: &Constant, input: &Activation, sizes: &[usize]) -> Result<Self, Reason> {
        let rank = input.layout.rank().max(constant.dims.len());
        let layout = input.layout.extended_to(rank);
        let before = rank - constant.dims.len();
        let own = row_major_strides(&constant.dims);
        let mut strides = vec![0; rank];
        for (axis, dim) in constant.dims.iter().enumerate().filter(|(_, dim)| **dim != 1) {
            let size = (axis + before).checked_sub(rank - sizes.len()).map_or(1, |axis| sizes[axis]);
            if *dim != size {
                return Err(Reason::new(format!("a constant of shape {:?} does not fit {sizes:?}", constant.dims))
                    .hint("a constant may be a number, or one value for each channel"));
            }
            strides[axis + before] = own[axis] as isize;
        }
        let otherwise = Reason::new(format!("its constant of shape {:?} varies from pixel to pixel", constant.dims)).hint(
            "a constant may be a number, or one value for each channel; one for each pixel folds only into a Gemm or MatMul \
             over the whole image that follows at once",
        );
        Ok(Self { layout, strides, otherwise })
    }

    /// For each channel the place of its number; `None` where numbers differ within a channel.
    fn of_channels(&self, channels: usize) -> Option<Vec<usize>> {
        let varying = |axis: &usize| self.strides[*axis] != 0 && !self.layout.axes()[*axis].is_empty();
        let varying: Vec<usize> = (0..self.strides.len()).filter(varying).collect();
        match varying[..] {
            [] => Some(vec![0; channels]),
            [axis] if self.layout.axes()[axis] == [Axis::C] => {
                Some((0..channels).map(|c| c * self.strides[axis] as usize).collect())
            }
            _ => None,
        }
    }
}

/// A constant operand.
pub(super) struct Numbers {
    pub(super) values: Vec<f64>,
    spread: Spread,
}

/// The operands of an elementwise operator of which one is a constant.
pub(super) enum Operands {
    /// `x ? c`.
    ActivationFirst(Activation, Numbers),
    /// `c ? x`.
    ConstantFirst(Numbers, Activation),
}

pub(super) fn operands(node: &NodeContext) -> Result<Operands, Reason> {
    if node.inputs.len() != 2 {
        return Err(Reason::new(format!("it has {} inputs instead of two", node.inputs.len())));
    }
    if node.images() == 2 {
        return Err(Reason::new("both inputs are activations, neither is a constant")
            .hint("train without gates and attention: only a constant can be the other operand"));
    }
    let image = usize::from(!node.input(0).is_some_and(Value::is_of_image));
    let constant = node.constant(1 - image, "constant")?;
    let input = node.pending_activation(image)?;
    let floats = constant.as_floats()?;
    let spread = Spread::of(&constant, &input, &input.layout.dims(node.builder.shape(input.tensor)))?;
    node.budget().spend(floats.len(), 8)?;
    let numbers = Numbers { values: floats.iter().map(|v| f64::from(*v)).collect(), spread };
    Ok(if image == 0 { Operands::ActivationFirst(input, numbers) } else { Operands::ConstantFirst(numbers, input) })
}

/// `x * scale + shift`, both from the constant.
pub(super) fn affine(
    node: &mut NodeContext,
    input: &Activation,
    constant: &Numbers,
    scale_and_shift: impl Fn(f64) -> (f64, f64),
) -> Result<Value, Reason> {
    scaled(node, input, &constant.spread, |place| scale_and_shift(constant.values[place]))
}

/// `x * scale + shift`, the numbers of a place being spread over `input`.
pub(super) fn scaled(
    node: &mut NodeContext,
    input: &Activation,
    spread: &Spread,
    of_place: impl Fn(usize) -> (f64, f64),
) -> Result<Value, Reason> {
    let shape = node.builder.shape(input.tensor);
    node.budget().spend(shape.c, 16)?;
    if let (Some(places), None) = (spread.of_channels(shape.c), &input.pending) {
        let (scale, shift) = places.into_iter().map(of_place).map(|(a, b)| (a as f32, b as f32)).unzip();
        let op = Op::ChannelAffine(ChannelAffine { scale, shift, clamp: Clamp::NONE });
        return node.emit_like(op, &[input], spread.layout.clone());
    }
    node.budget().spend(shape.elements(), 24)?;
    let refusal = match &input.pending {
        Some(pending) => pending.refusal.clone(),
        None => spread.otherwise.clone().at(&node.place(), &node.proto.op_type),
    };
    let (mut scale, mut shift) = match &input.pending {
        Some(pending) => (pending.scale.clone(), pending.shift.clone()),
        None => (vec![1.0; shape.elements()], vec![0.0; shape.elements()]),
    };
    let places = Indices::new(0, spread.layout.dims(shape), spread.strides.clone());
    for (element, place) in spread.layout.nhwc_indices(shape).into_iter().zip(places) {
        let (by, and) = of_place(place);
        scale[element] *= by;
        shift[element] = shift[element] * by + and;
    }
    let pending = Some(Rc::new(PerElement { scale, shift, refusal }));
    Ok(Value::Activation(Activation { tensor: input.tensor, layout: spread.layout.clone(), pending }))
}
