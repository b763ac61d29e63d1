//! `Gemm` and `MatMul` with constant weights.

use crate::builder::{Activation, PerElement, Value};
use crate::constant::Constant;
use crate::error::Reason;
use crate::node::NodeContext;
use bitesize_ir::op::{Clamp, Conv2d, FullyConnected};
use bitesize_ir::shape::Window;
use bitesize_ir::{Axis, Op, Shape};
use std::rc::Rc;

/// `alpha * A' * B' + beta * C`.
pub(super) fn gemm(node: &mut NodeContext) -> Result<Value, Reason> {
    let weights = Matrix::read(node.constant(1, "weight")?, node.int("transB", 0)? != 0, node.float("alpha", 1.0)?)?;
    let beta = node.float("beta", 1.0)?;
    let bias = match node.optional_constant(2, "bias")? {
        Some(bias) => read_bias(&bias, weights.columns, beta)?,
        None => vec![0.0; weights.columns],
    };
    let mut input = node.pending_activation(0)?;
    if input.layout.rank() != 2 {
        return Err(Reason::new(format!("its input has {} axes instead of 2", input.layout.rank())));
    }
    if node.int("transA", 0)? != 0 {
        input.layout = input.layout.permuted(&[1, 0]);
    }
    dense(node, &input, &weights, bias)
}

/// `A * B`; a following Add of a constant is folded later.
pub(super) fn mat_mul(node: &mut NodeContext) -> Result<Value, Reason> {
    if let Some(Value::Constant(_)) = node.input(0) {
        return Err(
            Reason::new("its first factor is a constant").hint("only activations times constant weights are supported")
        );
    }
    let weights = Matrix::read(node.constant(1, "weight")?, false, 1.0)?;
    let input = node.pending_activation(0)?;
    let bias = vec![0.0; weights.columns];
    dense(node, &input, &weights, bias)
}

/// A constant matrix `[rows][columns]`, stored either way round.
struct Matrix {
    rows: usize,
    columns: usize,
    constant: Rc<Constant>,
    factor: f32,
    transposed: bool,
}

impl Matrix {
    fn read(constant: Rc<Constant>, transposed: bool, factor: f32) -> Result<Self, Reason> {
        let [rows, columns] = constant.dims[..] else {
            return Err(Reason::new(format!("its weight has the dimensions {:?} instead of two", constant.dims)));
        };
        if rows == 0 || columns == 0 {
            return Err(Reason::new("its weight is empty"));
        }
        constant.as_floats()?;
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        Ok(Self { rows, columns, constant, factor, transposed })
    }

    /// The columns one after the other, the rows of each at `places`.
    fn columns_at(&self, places: &[usize]) -> Result<Vec<f32>, Reason> {
        let values = self.constant.as_floats()?;
        let mut ordered = vec![0.0; self.rows * self.columns];
        for (column, ordered) in ordered.chunks_exact_mut(self.rows).enumerate() {
            for (row, place) in places.iter().enumerate() {
                let at = if self.transposed { column * self.rows + row } else { row * self.columns + column };
                ordered[*place] = values[at] * self.factor;
            }
        }
        Ok(ordered)
    }
}

/// The bias of a Gemm for each output: a scalar, a row, or equal rows.
fn read_bias(bias: &Constant, outputs: usize, beta: f32) -> Result<Vec<f32>, Reason> {
    let per_output = match bias.dims[..] {
        [] | [1] | [1, 1] => false,
        [n] | [1, n] if n == outputs => true,
        _ => return Err(Reason::new(format!("its bias has the dimensions {:?} for {outputs} outputs", bias.dims))),
    };
    let values = bias.as_floats()?;
    Ok((0..outputs).map(|i| beta * values[if per_output { i } else { 0 }]).collect())
}

/// Puts what is pending into weights that sum over all elements: `w (x scale + shift) + b = (w scale) x + (w shift + b)`.
fn take_up(pending: &PerElement, weights: &mut [f32], bias: &mut [f32]) {
    for (column, bias) in weights.chunks_exact_mut(pending.scale.len()).zip(bias) {
        let mut sum = f64::from(*bias);
        for ((weight, scale), shift) in column.iter_mut().zip(&pending.scale).zip(&pending.shift) {
            sum += f64::from(*weight) * shift;
            *weight = (f64::from(*weight) * scale) as f32;
        }
        *bias = sum as f32;
    }
}

/// The product over the last axis of `input`. Where that axis runs over pixels as well as channels, it is a
/// convolution with a kernel of the image's size; where pixels lie outside it, a convolution at each of them.
fn dense(node: &mut NodeContext, input: &Activation, weights: &Matrix, mut bias: Vec<f32>) -> Result<Value, Reason> {
    let shape = node.builder.shape(input.tensor);
    let last = input.layout.rank().checked_sub(1).ok_or_else(|| Reason::new("its input is a single number"))?;
    let summed = input.layout.axes()[last].clone();
    let size: usize = summed.iter().map(|axis| axis.size(shape)).product();
    if size != weights.rows {
        return Err(Reason::new(format!(
            "its weight takes {} features, its input {:?} has {size}",
            weights.rows,
            input.layout.dims(shape)
        )));
    }
    if shape.c > 1 && !summed.contains(&Axis::C) {
        return Err(Reason::new("it multiplies along height or width instead of channels")
            .hint("only sums over the channels, or over the whole image, are supported"));
    }
    let has = |axis| summed.contains(&axis);
    let kernel = Shape::new(if has(Axis::H) { shape.h } else { 1 }, if has(Axis::W) { shape.w } else { 1 }, shape.c);
    // Where each row of the matrix goes in the kernel's [kh][kw][c].
    let places = crate::layout::Layout::new(&[&summed], kernel).nhwc_indices(kernel);
    node.budget().spend(weights.rows * weights.columns + weights.columns, 4)?;
    let mut ordered = weights.columns_at(&places)?;
    if let Some(pending) = &input.pending {
        if kernel != shape {
            return Err(Reason::elsewhere(pending.refusal.clone()));
        }
        take_up(pending, &mut ordered, &mut bias);
    }
    let clamp = Clamp::NONE;
    let op = if shape.pixels() == 1 {
        Op::FullyConnected(FullyConnected { weights: ordered, bias, clamp })
    } else {
        Op::Conv2d(Conv2d { window: Window::of([kernel.h, kernel.w]), groups: 1, weights: ordered, bias, clamp })
    };
    let output = if weights.columns > 1 { vec![Axis::C] } else { Vec::new() };
    node.emit_like(op, &[input], input.layout.with_axis(last, output))
}
