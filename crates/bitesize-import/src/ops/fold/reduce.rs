//! Reductions of constants over some of their axes.

use super::common::{input, paid, with_dims};
use crate::constant::{Constant, Data};
use crate::error::Reason;
use crate::node::NodeContext;
use crate::ops::walk::{Indices, row_major_strides};

/// How two numbers become one, and what many begin with.
struct Reduction {
    first: (f64, i64),
    float: fn(f64, f64) -> f64,
    int: fn(i64, i64) -> Option<i64>,
    /// Whether the result is divided by the number of those reduced.
    is_mean: bool,
    /// Whether there is no result for no numbers.
    nothing_is_error: bool,
}

const SUM: Reduction =
    Reduction { first: (0.0, 0), float: |a, b| a + b, int: i64::checked_add, is_mean: false, nothing_is_error: false };

pub(in crate::ops) fn reduce_max(node: &NodeContext) -> Result<Constant, Reason> {
    let first = (f64::NEG_INFINITY, i64::MIN);
    reduce(node, 18, &Reduction { first, float: f64::max, int: |a, b| Some(a.max(b)), nothing_is_error: true, ..SUM })
}

pub(in crate::ops) fn reduce_mean(node: &NodeContext) -> Result<Constant, Reason> {
    reduce(node, 18, &Reduction { is_mean: true, nothing_is_error: true, ..SUM })
}

pub(in crate::ops) fn reduce_min(node: &NodeContext) -> Result<Constant, Reason> {
    let first = (f64::INFINITY, i64::MAX);
    reduce(node, 18, &Reduction { first, float: f64::min, int: |a, b| Some(a.min(b)), nothing_is_error: true, ..SUM })
}

pub(in crate::ops) fn reduce_prod(node: &NodeContext) -> Result<Constant, Reason> {
    reduce(node, 18, &Reduction { first: (1.0, 1), float: |a, b| a * b, int: i64::checked_mul, ..SUM })
}

pub(in crate::ops) fn reduce_sum(node: &NodeContext) -> Result<Constant, Reason> {
    reduce(node, 13, &SUM)
}

/// Reduces over the axes, given as input from opset `since` on, as `by` says.
fn reduce(node: &NodeContext, since: i64, by: &Reduction) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    let rank = constant.dims.len();
    let axes = match node.axes(since, 1, rank)? {
        Some(axes) if !axes.is_empty() => axes,
        _ if node.int("noop_with_empty_axes", 0)? != 0 => return Ok(constant.clone()),
        _ => (0..rank).collect(),
    };
    let reduced = |axis: usize| axes.contains(&axis);
    let kept: Vec<usize> = (0..rank).map(|axis| if reduced(axis) { 1 } else { constant.dims[axis] }).collect();
    let count = paid(node, &kept, 8)?;
    let each = constant.data.len().checked_div(count).unwrap_or(0);
    if count > 0 && each == 0 && by.nothing_is_error {
        return Err(Reason::new("it reduces a constant without elements"));
    }
    // Little may be made, but looking at all takes its time.
    node.budget().spend(constant.data.len(), constant.data.width())?;
    let own = row_major_strides(&kept);
    let strides = (0..rank).map(|axis| if reduced(axis) { 0 } else { own[axis] as isize }).collect();
    let places = Indices::new(0, constant.dims.clone(), strides);
    let data: Data = match &constant.data {
        Data::Float(values) => {
            let mut made = vec![by.first.0; count];
            for (place, value) in places.zip(values.iter()) {
                made[place] = (by.float)(made[place], f64::from(*value));
            }
            let divisor = if by.is_mean { each as f64 } else { 1.0 };
            made.into_iter().map(|v| (v / divisor) as f32).collect::<Vec<_>>().into()
        }
        Data::Int(values) => {
            let mut made = vec![by.first.1; count];
            for (place, value) in places.zip(values.iter()) {
                made[place] =
                    (by.int)(made[place], *value).ok_or_else(|| Reason::new("its integer arithmetic overflows"))?;
            }
            let divisor = if by.is_mean { each as i64 } else { 1 };
            made.into_iter().map(|v| v / divisor).collect::<Vec<_>>().into()
        }
    };
    let dims = match node.int("keepdims", 1)? {
        0 => (0..rank).filter(|axis| !reduced(*axis)).map(|axis| constant.dims[axis]).collect(),
        _ => kept,
    };
    with_dims(dims, data)
}
