//! Operators where every input is a constant: weights written as expressions, and shape arithmetic.
//!
//! Whatever is made is paid for from the import's budget before it is made.

use super::walk::{Indices, row_major_strides, sliced};
use super::{clamp, reshape};
use crate::builder::Value;
use crate::constant::{Constant, Data, MAX_AXES, elements};
use crate::error::Reason;
use crate::node::{NodeContext, positive_axis};
use crate::proto::data_type;

/// The constant input `index`; what follows runs only where all inputs are constants.
fn input<'a>(node: &'a NodeContext, index: usize) -> Result<&'a Constant, Reason> {
    match node.input(index) {
        Some(Value::Constant(constant)) => Ok(constant),
        _ => Err(Reason::new(format!("input {index} is missing"))),
    }
}

/// `data` under `dims`, if they agree.
fn with_dims(dims: Vec<usize>, data: Data) -> Result<Constant, Reason> {
    if dims.len() > MAX_AXES {
        return Err(Reason::new(format!("a constant would have {} axes", dims.len())));
    }
    if elements(&dims) != Some(data.len()) {
        return Err(Reason::new(format!("{} constant values cannot have the shape {dims:?}", data.len())));
    }
    Ok(Constant { dims, data })
}

/// Pays for a constant of `dims` whose elements take `width` bytes; gives their number.
fn paid(node: &NodeContext, dims: &[usize], width: usize) -> Result<usize, Reason> {
    if dims.len() > MAX_AXES {
        return Err(Reason::new(format!("a constant would have {} axes", dims.len())));
    }
    let count = elements(dims).ok_or_else(|| Reason::new(format!("a constant of {dims:?} is too large")))?;
    node.budget().spend(count, width)?;
    Ok(count)
}

/// The elements at `indices`, under `dims`.
fn picked(
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
fn broadcast_indices(constant: &Constant, dims: &[usize]) -> Indices {
    let missing = dims.len() - constant.dims.len();
    let own = row_major_strides(&constant.dims);
    let stride = |axis: usize| match axis.checked_sub(missing) {
        Some(axis) if constant.dims[axis] != 1 => own[axis] as isize,
        _ => 0,
    };
    Indices::new(0, dims.to_vec(), (0..dims.len()).map(stride).collect())
}

/// The dimensions that two shapes broadcast to.
fn broadcast_dims(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Reason> {
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

fn binary(
    node: &NodeContext,
    float: impl Fn(f32, f32) -> f32,
    int: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Constant, Reason> {
    if node.inputs.len() != 2 {
        return Err(Reason::new(format!("it has {} inputs instead of two", node.inputs.len())));
    }
    let (a, b) = (input(node, 0)?, input(node, 1)?);
    let dims = broadcast_dims(&a.dims, &b.dims)?;
    paid(node, &dims, a.data.width())?;
    let pairs = broadcast_indices(a, &dims).zip(broadcast_indices(b, &dims));
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => pairs.map(|(i, j)| float(a[i], b[j])).collect::<Vec<_>>().into(),
        (Data::Int(a), Data::Int(b)) => {
            let values: Option<Vec<i64>> = pairs.map(|(i, j)| int(a[i], b[j])).collect();
            values.ok_or_else(|| Reason::new("its integer arithmetic overflows or divides by 0"))?.into()
        }
        _ => return Err(Reason::new("it mixes integers and floats")),
    };
    with_dims(dims, data)
}

fn unary(node: &NodeContext, float: impl Fn(f32) -> f32, int: impl Fn(i64) -> Option<i64>) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    paid(node, &constant.dims, constant.data.width())?;
    let data = match &constant.data {
        Data::Float(values) => values.iter().map(|v| float(*v)).collect::<Vec<_>>().into(),
        Data::Int(values) => {
            let values: Option<Vec<i64>> = values.iter().map(|v| int(*v)).collect();
            values.ok_or_else(|| Reason::new("its integer arithmetic overflows"))?.into()
        }
    };
    with_dims(constant.dims.clone(), data)
}

pub(super) fn add(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a + b, i64::checked_add)
}

pub(super) fn sub(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a - b, i64::checked_sub)
}

pub(super) fn mul(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a * b, i64::checked_mul)
}

pub(super) fn div(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a / b, i64::checked_div)
}

pub(super) fn min(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, f32::min, |a, b| Some(a.min(b)))
}

pub(super) fn max(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, f32::max, |a, b| Some(a.max(b)))
}

pub(super) fn neg(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, |v| -v, i64::checked_neg)
}

pub(super) fn relu(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, |v| v.max(0.0), |v| Some(v.max(0)))
}

pub(super) fn sqrt(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::sqrt, |_| None)
}

pub(super) fn identity(node: &NodeContext) -> Result<Constant, Reason> {
    input(node, 0).cloned()
}

pub(super) fn clip(node: &NodeContext) -> Result<Constant, Reason> {
    let bounds = clamp::clip_bounds(node)?;
    unary(node, |v| bounds.apply(v), |_| None)
}

pub(super) fn constant(node: &NodeContext) -> Result<Constant, Reason> {
    if let Some(tensor) = node.tensor("value")? {
        Ok(tensor)
    } else if let Some(values) = node.floats("value_floats")? {
        node.budget().spend(values.len(), 4)?;
        Ok(Constant::floats(values))
    } else if let Some(values) = node.ints("value_ints")? {
        node.budget().spend(values.len(), 8)?;
        Ok(Constant::ints(values))
    } else if node.has("value_float") {
        Ok(Constant::floats(vec![node.float("value_float", 0.0)?]).scalar())
    } else if node.has("value_int") {
        Ok(Constant::ints(vec![node.int("value_int", 0)?]).scalar())
    } else {
        Err(Reason::new("it has no value"))
    }
}

fn asked_dims(constant: &Constant) -> Result<Vec<usize>, Reason> {
    let asked = constant.as_ints()?;
    if asked.len() > MAX_AXES {
        return Err(Reason::new(format!("it asks for {} axes", asked.len())));
    }
    let dims: Result<Vec<usize>, _> = asked.iter().map(|d| usize::try_from(*d)).collect();
    dims.map_err(|_| Reason::new("it asks for a negative dimension"))
}

pub(super) fn constant_of_shape(node: &NodeContext) -> Result<Constant, Reason> {
    let dims = asked_dims(input(node, 0)?)?;
    let value = node.tensor("value")?.map(|c| c.data);
    let count = paid(node, &dims, value.as_ref().map_or(4, Data::width))?;
    let data = match value {
        None => vec![0.0; count].into(),
        Some(Data::Float(value)) if value.len() == 1 => vec![value[0]; count].into(),
        Some(Data::Int(value)) if value.len() == 1 => vec![value[0]; count].into(),
        Some(_) => return Err(Reason::new("its value is not one number")),
    };
    with_dims(dims, data)
}

pub(super) fn expand(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    let dims = broadcast_dims(&constant.dims, &asked_dims(input(node, 1)?)?)?;
    let indices = broadcast_indices(constant, &dims);
    picked(node, constant, dims, indices)
}

pub(super) fn cast(node: &NodeContext) -> Result<Constant, Reason> {
    use data_type::*;
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    let float = match to {
        FLOAT | DOUBLE => true,
        INT32 | INT64 => false,
        other => return Err(Reason::new(format!("it turns a constant into {}", data_type::name(other)))),
    };
    input(node, 0)?.converted(float, node.budget())
}

pub(super) fn cast_like(node: &NodeContext) -> Result<Constant, Reason> {
    let float = match node.input(1) {
        Some(Value::Constant(like)) => matches!(like.data, Data::Float(_)),
        _ => true,
    };
    input(node, 0)?.converted(float, node.budget())
}

pub(super) fn shape(node: &NodeContext) -> Result<Constant, Reason> {
    reshape::shape_of(node, &input(node, 0)?.dims)
}

pub(super) fn size(node: &NodeContext) -> Result<Constant, Reason> {
    Ok(Constant::ints(vec![input(node, 0)?.data.len() as i64]).scalar())
}

pub(super) fn reshape(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::reshape_target(node, &constant.dims)?, constant.data.clone())
}

pub(super) fn flatten(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::flatten_target(node, &constant.dims)?, constant.data.clone())
}

pub(super) fn squeeze(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::squeeze_target(node, &constant.dims)?, constant.data.clone())
}

pub(super) fn unsqueeze(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::unsqueeze_target(node, &constant.dims)?, constant.data.clone())
}

pub(super) fn transpose(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    let order = reshape::permutation(node, constant.dims.len())?;
    let strides = row_major_strides(&constant.dims);
    let dims: Vec<usize> = order.iter().map(|axis| constant.dims[*axis]).collect();
    let strides: Vec<isize> = order.iter().map(|axis| strides[*axis] as isize).collect();
    picked(node, constant, dims.clone(), Indices::new(0, dims, strides))
}

/// The number of elements before, along and after `axis`.
fn around(dims: &[usize], axis: usize) -> (usize, usize, usize) {
    (dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product())
}

pub(super) fn gather(node: &NodeContext) -> Result<Constant, Reason> {
    let (constant, wanted) = (input(node, 0)?, input(node, 1)?);
    let axis = positive_axis(node.int("axis", 0)?, constant.dims.len())?;
    let (before, along, after) = around(&constant.dims, axis);
    let dims = [&constant.dims[..axis], &wanted.dims[..], &constant.dims[axis + 1..]].concat();
    // What is wanted may be far more than it is worth looking at.
    paid(node, &dims, wanted.data.width())?;
    let wanted: Vec<usize> = wanted.as_ints()?.iter().map(|i| positive_axis(*i, along)).collect::<Result<_, _>>()?;
    // Without elements there is nothing to walk, however large the other dimensions are.
    let before = if dims.contains(&0) { 0 } else { before };
    let wanted = &wanted;
    let first = (0..before).flat_map(|block| wanted.iter().map(move |i| (block * along + i) * after));
    picked(node, constant, dims, first.flat_map(|first| first..first + after))
}

pub(super) fn concat(node: &NodeContext) -> Result<Constant, Reason> {
    let parts: Vec<&Constant> = (0..node.inputs.len()).map(|i| input(node, i)).collect::<Result<_, _>>()?;
    let first = parts.first().ok_or_else(|| Reason::new("it has no inputs"))?;
    let axis = positive_axis(node.int("axis", 0)?, first.dims.len())?;
    let fits = |part: &&Constant| {
        let same = |i: usize| i == axis || part.dims[i] == first.dims[i];
        part.dims.len() == first.dims.len() && (0..part.dims.len()).all(same)
    };
    if !parts.iter().all(fits) {
        return Err(Reason::new("the constants that it joins have different shapes"));
    }
    let mut dims = first.dims.clone();
    let along = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.dims[axis]));
    dims[axis] = along.ok_or_else(|| Reason::new("the constants that it joins are too large"))?;
    let count = paid(node, &dims, first.data.width())?;
    // Without elements there is nothing to walk, however large the other dimensions are.
    let before = if count == 0 { 0 } else { dims[..axis].iter().product() };
    let data = if parts.iter().all(|p| matches!(p.data, Data::Float(_))) {
        let parts: Vec<&[f32]> = parts.iter().map(|part| part.as_floats()).collect::<Result<_, _>>()?;
        joined(&parts, before).into()
    } else {
        let parts: Vec<&[i64]> = parts.iter().map(|part| part.as_ints()).collect::<Result<_, _>>()?;
        joined(&parts, before).into()
    };
    with_dims(dims, data)
}

/// The first of `blocks` equal blocks of each part, then the second of each, and so on.
fn joined<T: Copy>(parts: &[&[T]], blocks: usize) -> Vec<T> {
    let mut all = Vec::new();
    for block in 0..blocks {
        for part in parts {
            let size = part.len() / blocks;
            all.extend_from_slice(&part[block * size..(block + 1) * size]);
        }
    }
    all
}

pub(super) fn reduce_prod(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    let rank = constant.dims.len();
    let axes = node.axes(18, 1, rank)?.filter(|axes| !axes.is_empty()).unwrap_or_else(|| (0..rank).collect());
    if axes.len() != rank {
        return Err(Reason::new("it reduces only some axes of a constant"));
    }
    let dims = if node.int("keepdims", 1)? == 0 { vec![] } else { vec![1; rank] };
    // One number is made, but looking at all takes its time.
    node.budget().spend(constant.data.len(), 4)?;
    let data = match &constant.data {
        Data::Float(values) => vec![values.iter().product::<f32>()].into(),
        Data::Int(values) => {
            let product = values.iter().try_fold(1i64, |product, v| product.checked_mul(*v));
            vec![product.ok_or_else(|| Reason::new("its product overflows"))?].into()
        }
    };
    with_dims(dims, data)
}

pub(super) fn slice(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    let rank = constant.dims.len();
    let list = |name: &str, index: usize| -> Result<Option<Vec<i64>>, Reason> {
        if node.opset < 10 {
            return node.ints(name);
        }
        node.short_ints(index, name)
    };
    let missing = |what: &str| Reason::new(format!("its {what} are missing"));
    let starts = list("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = list("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Reason::new("its starts, ends, axes and steps differ in number"));
    }
    let mut dims = constant.dims.clone();
    let own = row_major_strides(&constant.dims);
    let mut strides: Vec<isize> = own.iter().map(|s| *s as isize).collect();
    let mut start = 0;
    let mut sliced_axes = Vec::new();
    for i in 0..starts.len() {
        let axis = positive_axis(axes[i], rank)?;
        if sliced_axes.contains(&axis) {
            return Err(Reason::new(format!("it slices axis {axis} twice")));
        }
        sliced_axes.push(axis);
        let (first, count) = sliced(constant.dims[axis], starts[i], ends[i], steps[i])?;
        start += first * own[axis];
        dims[axis] = count;
        // With two indices or more the step is smaller than the axis.
        strides[axis] = if count > 1 { strides[axis] * steps[i] as isize } else { 0 };
    }
    picked(node, constant, dims.clone(), Indices::new(start, dims, strides))
}
