//! Constants from numbers and shapes, and changes of type.

use super::common::{broadcast_dims, broadcast_indices, input, paid, picked, single, with_dims};
use crate::builder::Value;
use crate::constant::{Constant, Data, MAX_AXES};
use crate::error::Reason;
use crate::node::NodeContext;
use crate::ops::reshape;
use crate::proto::data_type;
use half::{bf16, f16};

pub(in crate::ops) fn constant(node: &NodeContext) -> Result<Constant, Reason> {
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

pub(in crate::ops) fn constant_of_shape(node: &NodeContext) -> Result<Constant, Reason> {
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

pub(in crate::ops) fn expand(node: &NodeContext) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    let dims = broadcast_dims(&constant.dims, &asked_dims(input(node, 1)?)?)?;
    let indices = broadcast_indices(constant, &dims);
    picked(node, constant, dims, indices)
}

/// The most numbers of a range: `paid` refuses fewer.
const MAX_RANGE: f64 = 1e15;

/// `start`, `start + delta`, ... before `limit`.
pub(in crate::ops) fn range(node: &NodeContext) -> Result<Constant, Reason> {
    let (start, limit, delta) = (single(node, 0, "start")?, single(node, 1, "limit")?, single(node, 2, "step")?);
    let count = |start: f64, limit: f64, delta: f64| {
        let steps = ((limit - start) / delta).ceil().max(0.0);
        let steps = Some(steps).filter(|_| delta != 0.0 && (limit - start).is_finite());
        let steps = steps.filter(|steps| *steps <= MAX_RANGE).map(|steps| steps as usize);
        steps.ok_or_else(|| Reason::new(format!("its range from {start} to {limit} by {delta} does not end")))
    };
    match (start, limit, delta) {
        (Data::Float(start), Data::Float(limit), Data::Float(delta)) => {
            let (start, limit, delta) = (start[0], limit[0], delta[0]);
            let count = count(start.into(), limit.into(), delta.into())?;
            node.budget().spend(count, 4)?;
            Ok(Constant::floats((0..count).map(|i| start + i as f32 * delta).collect()))
        }
        (Data::Int(start), Data::Int(limit), Data::Int(delta)) => {
            let (start, limit, delta) = (start[0], limit[0], delta[0]);
            if delta == 0 {
                return Err(Reason::new("its step is 0"));
            }
            // As for floats: the distance over the step, rounded up.
            let (distance, step) = (i128::from(limit) - i128::from(start), i128::from(delta));
            let steps = (distance * step.signum() + step.abs() - 1).div_euclid(step.abs()).max(0);
            let count = usize::try_from(steps).unwrap_or(usize::MAX);
            node.budget().spend(count, 8)?;
            Ok(Constant::ints((0..count as i64).map(|i| start + i * delta).collect()))
        }
        _ => Err(Reason::new("it mixes integers and floats")),
    }
}

/// Narrow floats round to the nearest value that they have; booleans are 0 and 1.
pub(in crate::ops) fn cast(node: &NodeContext) -> Result<Constant, Reason> {
    use data_type::*;
    let constant = input(node, 0)?;
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    let rounded = |round: fn(f32) -> f32| {
        let constant = constant.converted(true, node.budget())?;
        paid(node, &constant.dims, 4)?;
        let values: Vec<f32> = constant.as_floats()?.iter().map(|v| round(*v)).collect();
        with_dims(constant.dims, values.into())
    };
    match to {
        FLOAT | DOUBLE => constant.converted(true, node.budget()),
        FLOAT16 => rounded(|v| f16::from_f32(v).to_f32()),
        BFLOAT16 => rounded(|v| bf16::from_f32(v).to_f32()),
        INT32 | INT64 => constant.converted(false, node.budget()),
        BOOL => {
            paid(node, &constant.dims, 8)?;
            let values: Vec<i64> = match &constant.data {
                Data::Float(values) => values.iter().map(|v| i64::from(*v != 0.0)).collect(),
                Data::Int(values) => values.iter().map(|v| i64::from(*v != 0)).collect(),
            };
            with_dims(constant.dims.clone(), values.into())
        }
        other => Err(Reason::new(format!("it turns a constant into {}", data_type::name(other)))),
    }
}

pub(in crate::ops) fn cast_like(node: &NodeContext) -> Result<Constant, Reason> {
    let float = match node.input(1) {
        Some(Value::Constant(like)) => matches!(like.data, Data::Float(_)),
        _ => true,
    };
    input(node, 0)?.converted(float, node.budget())
}

pub(in crate::ops) fn identity(node: &NodeContext) -> Result<Constant, Reason> {
    input(node, 0).cloned()
}

pub(in crate::ops) fn shape(node: &NodeContext) -> Result<Constant, Reason> {
    reshape::shape_of(node, &input(node, 0)?.dims)
}

pub(in crate::ops) fn size(node: &NodeContext) -> Result<Constant, Reason> {
    Ok(Constant::ints(vec![input(node, 0)?.data.len() as i64]).scalar())
}
