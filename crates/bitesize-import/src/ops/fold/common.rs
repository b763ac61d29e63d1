//! What all folds share: reading their inputs, paying for what they make, broadcasting.

use crate::builder::Value;
use crate::constant::{Constant, Data, MAX_AXES, elements};
use crate::error::Reason;
use crate::node::NodeContext;
use crate::ops::walk::{Indices, row_major_strides};

/// The constant input `index`; what follows runs only where all inputs are constants.
pub(super) fn input<'a>(node: &'a NodeContext, index: usize) -> Result<&'a Constant, Reason> {
    match node.input(index) {
        Some(Value::Constant(constant)) => Ok(constant),
        _ => Err(Reason::new(format!("input {index} is missing"))),
    }
}

/// `data` under `dims`, if they agree.
pub(super) fn with_dims(dims: Vec<usize>, data: Data) -> Result<Constant, Reason> {
    if dims.len() > MAX_AXES {
        return Err(Reason::new(format!("a constant would have {} axes", dims.len())));
    }
    if elements(&dims) != Some(data.len()) {
        return Err(Reason::new(format!("{} constant values cannot have the shape {dims:?}", data.len())));
    }
    Ok(Constant { dims, data })
}

/// Pays for a constant of `dims` whose elements take `width` bytes; gives their number.
pub(super) fn paid(node: &NodeContext, dims: &[usize], width: usize) -> Result<usize, Reason> {
    if dims.len() > MAX_AXES {
        return Err(Reason::new(format!("a constant would have {} axes", dims.len())));
    }
    let count = elements(dims).ok_or_else(|| Reason::new(format!("a constant of {dims:?} is too large")))?;
    node.budget().spend(count, width)?;
    Ok(count)
}

/// The elements at `indices`, under `dims`.
pub(super) fn picked(
    node: &NodeContext,
    constant: &Constant,
    dims: Vec<usize>,
    indices: impl Iterator<Item = usize>,
) -> Result<Constant, Reason> {
    paid(node, &dims, constant.data.width())?;
    let data = match &constant.data {
        Data::Float(values) => indices.filter_map(|i| values.get(i).copied()).collect::<Vec<_>>().into(),
        Data::Int(values) => indices.filter_map(|i| values.get(i).copied()).collect::<Vec<_>>().into(),
    };
    with_dims(dims, data)
}

/// The indices of `constant` that broadcasting it to `dims` reads.
pub(super) fn broadcast_indices(constant: &Constant, dims: &[usize]) -> Indices {
    let missing = dims.len() - constant.dims.len();
    let own = row_major_strides(&constant.dims);
    let stride = |axis: usize| match axis.checked_sub(missing) {
        Some(axis) if constant.dims[axis] != 1 => own[axis] as isize,
        _ => 0,
    };
    Indices::new(0, dims.to_vec(), (0..dims.len()).map(stride).collect())
}

/// The dimensions that two shapes broadcast to.
pub(super) fn broadcast_dims(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Reason> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
    let joined = |axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, b) => Some(b),
        (a, 1) => Some(a),
        _ => None,
    };
    let dims: Option<Vec<usize>> = (0..rank).map(joined).collect();
    dims.ok_or_else(|| Reason::new(format!("constants of {a:?} and {b:?} do not fit")))
}

/// The constant input `index` where it is one number.
pub(super) fn single(node: &NodeContext, index: usize, what: &str) -> Result<Data, Reason> {
    let constant = input(node, index)?;
    match constant.data.len() {
        1 => Ok(constant.data.clone()),
        count => Err(Reason::new(format!("its {what} (input {index}) is {count} numbers instead of one"))),
    }
}
