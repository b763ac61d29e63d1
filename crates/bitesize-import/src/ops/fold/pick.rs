//! Parts of constants, joined and in another order.

use super::common::{input, paid, picked, with_dims};
use crate::constant::{Constant, Data};
use crate::error::Reason;
use crate::node::{NodeContext, positive_axis};
use crate::ops::reshape;
use crate::ops::walk::{Indices, row_major_strides, sliced};

pub(in crate::ops) fn reshape(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::reshape_target(node, &constant.dims)?, constant.data.clone())
}

pub(in crate::ops) fn flatten(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::flatten_target(node, &constant.dims)?, constant.data.clone())
}

pub(in crate::ops) fn squeeze(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::squeeze_target(node, &constant.dims)?, constant.data.clone())
}

pub(in crate::ops) fn unsqueeze(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    with_dims(reshape::unsqueeze_target(node, &constant.dims)?, constant.data.clone())
}

pub(in crate::ops) fn transpose(node: &NodeContext) -> Result<Constant, Reason> {
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

pub(in crate::ops) fn gather(node: &NodeContext) -> Result<Constant, Reason> {
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

pub(in crate::ops) fn concat(node: &NodeContext) -> Result<Constant, Reason> {
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

pub(in crate::ops) fn slice(node: &NodeContext) -> Result<Constant, Reason> {
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

/// Parts along an axis: of the sizes that are given, or as many equal ones as there are outputs, the last the smallest.
pub(in crate::ops) fn split(node: &NodeContext) -> Result<Vec<Constant>, Reason> {
    let constant = input(node, 0)?;
    let axis = positive_axis(node.int("axis", 0)?, constant.dims.len())?;
    let along = constant.dims[axis];
    let outputs = node.proto.output.len();
    let given = if node.opset < 13 { node.ints("split")? } else { split_input(node)? };
    let sizes: Vec<usize> = match given {
        Some(sizes) => {
            let sizes: Result<Vec<usize>, _> = sizes.iter().map(|size| usize::try_from(*size)).collect();
            sizes.map_err(|_| Reason::new("a part has a negative size"))?
        }
        None => {
            if node.int("num_outputs", outputs as i64)? != outputs as i64 || outputs == 0 {
                return Err(Reason::new(format!(
                    "it has {outputs} outputs, and its attribute `num_outputs` says otherwise"
                )));
            }
            let size = along.div_ceil(outputs);
            (0..outputs).map(|i| size.min(along.saturating_sub(i * size))).collect()
        }
    };
    let sum = sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
    if sizes.len() != outputs || sum != Some(along) {
        return Err(Reason::new(format!("its {} parts do not make up {along} for its {outputs} outputs", sizes.len())));
    }
    let strides = row_major_strides(&constant.dims);
    let mut first = 0;
    let part = |size: usize| {
        let mut dims = constant.dims.clone();
        dims[axis] = size;
        let start = first * strides[axis];
        first += size;
        picked(node, constant, dims.clone(), Indices::new(start, dims, strides.iter().map(|s| *s as isize).collect()))
    };
    sizes.into_iter().map(part).collect()
}

/// The sizes of a Split's parts, as many as it has outputs.
fn split_input(node: &NodeContext) -> Result<Option<Vec<i64>>, Reason> {
    let Some(sizes) = node.optional_constant(1, "split")? else { return Ok(None) };
    node.budget().spend(sizes.data.len(), 8)?;
    sizes.as_ints().map(|sizes| Some(sizes.to_vec()))
}

/// The slices that the rows of a matrix of indices point to.
pub(in crate::ops) fn gather_nd(node: &NodeContext) -> Result<Constant, Reason> {
    let (constant, wanted) = (input(node, 0)?, input(node, 1)?);
    if node.int("batch_dims", 0)? != 0 {
        return Err(Reason::new("it gathers in batches (batch_dims)"));
    }
    let Some((depth, rows)) = wanted.dims.split_last().filter(|(depth, _)| **depth <= constant.dims.len()) else {
        return Err(Reason::new(format!("indices of {:?} do not fit a constant of {:?}", wanted.dims, constant.dims)));
    };
    let dims = [rows, &constant.dims[*depth..]].concat();
    // What is wanted may be far more than it is worth looking at.
    paid(node, &dims, 8)?;
    node.budget().spend(wanted.data.len(), 8)?;
    let strides = row_major_strides(&constant.dims);
    let slice: usize = constant.dims[*depth..].iter().product();
    let wanted = wanted.as_ints()?;
    let count = if dims.contains(&0) { 0 } else { rows.iter().product::<usize>() };
    let mut starts = Vec::with_capacity(count);
    for row in 0..count {
        let mut start = 0;
        for axis in 0..*depth {
            start += positive_axis(wanted[row * depth + axis], constant.dims[axis])? * strides[axis];
        }
        starts.push(start);
    }
    picked(node, constant, dims, starts.into_iter().flat_map(|start| start..start + slice))
}

/// The indices of the elements that are not 0: a row for each axis, a column for each element.
pub(in crate::ops) fn non_zero(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    node.budget().spend(constant.data.len(), 8)?;
    let places: Vec<usize> = match &constant.data {
        Data::Float(values) => (0..values.len()).filter(|i| values[*i] != 0.0).collect(),
        Data::Int(values) => (0..values.len()).filter(|i| values[*i] != 0).collect(),
    };
    let dims = vec![constant.dims.len(), places.len()];
    paid(node, &dims, 8)?;
    let strides = row_major_strides(&constant.dims);
    let mut indices = Vec::with_capacity(dims[0] * dims[1]);
    for (size, stride) in constant.dims.iter().zip(&strides) {
        indices.extend(places.iter().map(|place| (place / stride % size) as i64));
    }
    with_dims(dims, indices.into())
}
