//! Arithmetic, comparisons and choices, element by element.

use super::common::{broadcast_dims, broadcast_indices, input, paid, with_dims};
use crate::constant::{Constant, Data};
use crate::error::Reason;
use crate::node::NodeContext;
use crate::ops::clamp;

fn overflow() -> Reason {
    Reason::new("its integer arithmetic overflows or divides by 0")
}

fn mixed() -> Reason {
    Reason::new("it mixes integers and floats")
}

/// An operator on two constants `a` and `b`.
fn join(
    node: &NodeContext,
    a: &Constant,
    b: &Constant,
    float: impl Fn(f32, f32) -> f32,
    int: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Constant, Reason> {
    let dims = broadcast_dims(&a.dims, &b.dims)?;
    paid(node, &dims, a.data.width())?;
    let pairs = broadcast_indices(a, &dims).zip(broadcast_indices(b, &dims));
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => pairs.map(|(i, j)| float(a[i], b[j])).collect::<Vec<_>>().into(),
        (Data::Int(a), Data::Int(b)) => {
            let values: Option<Vec<i64>> = pairs.map(|(i, j)| int(a[i], b[j])).collect();
            values.ok_or_else(overflow)?.into()
        }
        _ => return Err(mixed()),
    };
    with_dims(dims, data)
}

/// The two inputs.
fn two<'a>(node: &'a NodeContext) -> Result<(&'a Constant, &'a Constant), Reason> {
    if node.inputs.len() != 2 {
        return Err(Reason::new(format!("it has {} inputs instead of two", node.inputs.len())));
    }
    Ok((input(node, 0)?, input(node, 1)?))
}

fn binary(
    node: &NodeContext,
    float: impl Fn(f32, f32) -> f32,
    int: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Constant, Reason> {
    let (a, b) = two(node)?;
    join(node, a, b, float, int)
}

/// An operator on any number of inputs, one after the other.
fn all(
    node: &NodeContext,
    float: impl Fn(f32, f32) -> f32,
    int: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Constant, Reason> {
    let mut joined = input(node, 0)?.clone();
    for index in 1..node.inputs.len() {
        joined = join(node, &joined, input(node, index)?, &float, &int)?;
    }
    Ok(joined)
}

/// A comparison, which is 0 or 1.
fn compare(
    node: &NodeContext,
    float: impl Fn(f32, f32) -> bool,
    int: impl Fn(i64, i64) -> bool,
) -> Result<Constant, Reason> {
    let (a, b) = two(node)?;
    let dims = broadcast_dims(&a.dims, &b.dims)?;
    paid(node, &dims, 8)?;
    let pairs = broadcast_indices(a, &dims).zip(broadcast_indices(b, &dims));
    let values: Vec<i64> = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => pairs.map(|(i, j)| i64::from(float(a[i], b[j]))).collect(),
        (Data::Int(a), Data::Int(b)) => pairs.map(|(i, j)| i64::from(int(a[i], b[j]))).collect(),
        _ => return Err(mixed()),
    };
    with_dims(dims, values.into())
}

fn unary(node: &NodeContext, float: impl Fn(f32) -> f32, int: impl Fn(i64) -> Option<i64>) -> Result<Constant, Reason> {
    let constant = input(node, 0)?;
    paid(node, &constant.dims, constant.data.width())?;
    let data = match &constant.data {
        Data::Float(values) => values.iter().map(|v| float(*v)).collect::<Vec<_>>().into(),
        Data::Int(values) => {
            let values: Option<Vec<i64>> = values.iter().map(|v| int(*v)).collect();
            values.ok_or_else(|| Reason::new("it is not defined for its integers"))?.into()
        }
    };
    with_dims(constant.dims.clone(), data)
}

pub(in crate::ops) fn abs(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::abs, i64::checked_abs)
}

pub(in crate::ops) fn add(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a + b, i64::checked_add)
}

pub(in crate::ops) fn and(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |_, _| f32::NAN, |a, b| Some(i64::from(a != 0 && b != 0)))
}

pub(in crate::ops) fn ceil(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::ceil, |_| None)
}

/// `x` where the condition is not 0, else `y`.
pub(in crate::ops) fn choose(node: &NodeContext) -> Result<Constant, Reason> {
    let (condition, x, y) = (input(node, 0)?, input(node, 1)?, input(node, 2)?);
    let dims = broadcast_dims(&condition.dims, &broadcast_dims(&x.dims, &y.dims)?)?;
    paid(node, &dims, x.data.width())?;
    let choices = condition.as_ints()?;
    let is_first = broadcast_indices(condition, &dims).map(|i| choices[i] != 0);
    let pairs = is_first.zip(broadcast_indices(x, &dims).zip(broadcast_indices(y, &dims)));
    let data = match (&x.data, &y.data) {
        (Data::Float(x), Data::Float(y)) => {
            pairs.map(|(first, (i, j))| if first { x[i] } else { y[j] }).collect::<Vec<_>>().into()
        }
        (Data::Int(x), Data::Int(y)) => {
            pairs.map(|(first, (i, j))| if first { x[i] } else { y[j] }).collect::<Vec<_>>().into()
        }
        _ => return Err(mixed()),
    };
    with_dims(dims, data)
}

pub(in crate::ops) fn clip(node: &NodeContext) -> Result<Constant, Reason> {
    if let Data::Float(_) = input(node, 0)?.data {
        let bounds = clamp::clip_bounds(node)?;
        return unary(node, |v| bounds.apply(v), |_| None);
    }
    let bound = |index, what, default| match node.optional_constant(index, what)? {
        Some(bound) => match bound.as_ints()? {
            [bound] => Ok(*bound),
            many => Err(Reason::new(format!("its {what} is {} numbers instead of one", many.len()))),
        },
        None => Ok(default),
    };
    let (lo, hi) = (bound(1, "lower bound", i64::MIN)?, bound(2, "upper bound", i64::MAX)?);
    unary(node, |v| v, |v| Some(v.max(lo).min(hi)))
}

pub(in crate::ops) fn div(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a / b, i64::checked_div)
}

pub(in crate::ops) fn equal(node: &NodeContext) -> Result<Constant, Reason> {
    compare(node, |a, b| a == b, |a, b| a == b)
}

pub(in crate::ops) fn exp(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::exp, |_| None)
}

pub(in crate::ops) fn floor(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::floor, |_| None)
}

pub(in crate::ops) fn greater(node: &NodeContext) -> Result<Constant, Reason> {
    compare(node, |a, b| a > b, |a, b| a > b)
}

pub(in crate::ops) fn greater_or_equal(node: &NodeContext) -> Result<Constant, Reason> {
    compare(node, |a, b| a >= b, |a, b| a >= b)
}

pub(in crate::ops) fn less(node: &NodeContext) -> Result<Constant, Reason> {
    compare(node, |a, b| a < b, |a, b| a < b)
}

pub(in crate::ops) fn less_or_equal(node: &NodeContext) -> Result<Constant, Reason> {
    compare(node, |a, b| a <= b, |a, b| a <= b)
}

pub(in crate::ops) fn log(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::ln, |_| None)
}

pub(in crate::ops) fn max(node: &NodeContext) -> Result<Constant, Reason> {
    all(node, f32::max, |a, b| Some(a.max(b)))
}

pub(in crate::ops) fn min(node: &NodeContext) -> Result<Constant, Reason> {
    all(node, f32::min, |a, b| Some(a.min(b)))
}

/// The remainder: with the sign of the divisor, or with `fmod` that of the dividend, which floats need.
pub(in crate::ops) fn modulo(node: &NodeContext) -> Result<Constant, Reason> {
    let of_dividend = node.int("fmod", 0)? != 0;
    if !of_dividend && matches!(input(node, 0)?.data, Data::Float(_)) {
        return Err(Reason::new("it takes a remainder of floats without its attribute `fmod`"));
    }
    let signed_as_divisor = |a: i64, b: i64| {
        let rest = a.checked_rem(b)?;
        Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
    };
    let int = |a: i64, b: i64| if of_dividend { a.checked_rem(b) } else { signed_as_divisor(a, b) };
    binary(node, |a, b| a % b, int)
}

pub(in crate::ops) fn mul(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a * b, i64::checked_mul)
}

pub(in crate::ops) fn neg(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, |v| -v, i64::checked_neg)
}

pub(in crate::ops) fn not(node: &NodeContext) -> Result<Constant, Reason> {
    input(node, 0)?.as_ints()?;
    unary(node, |v| v, |v| Some(i64::from(v == 0)))
}

pub(in crate::ops) fn or(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |_, _| f32::NAN, |a, b| Some(i64::from(a != 0 || b != 0)))
}

/// A power; the exponent may be of another type than the base, which gives the type of the result.
pub(in crate::ops) fn pow(node: &NodeContext) -> Result<Constant, Reason> {
    let (base, exponent) = two(node)?;
    let exponent = match (&base.data, &exponent.data) {
        (Data::Int(_), Data::Float(_)) => return Err(mixed()),
        (Data::Float(_), Data::Int(_)) => exponent.converted(true, node.budget())?,
        _ => exponent.clone(),
    };
    let int = |base: i64, exponent: i64| base.checked_pow(u32::try_from(exponent).ok()?);
    join(node, base, &exponent, f32::powf, int)
}

pub(in crate::ops) fn reciprocal(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, |v| 1.0 / v, |_| None)
}

pub(in crate::ops) fn relu(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, |v| v.max(0.0), |v| Some(v.max(0)))
}

/// To the nearest integer, halves to the even one.
pub(in crate::ops) fn round(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::round_ties_even, |_| None)
}

pub(in crate::ops) fn sign(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, |v| if v == 0.0 { 0.0 } else { v.signum() }, |v| Some(v.signum()))
}

pub(in crate::ops) fn sqrt(node: &NodeContext) -> Result<Constant, Reason> {
    unary(node, f32::sqrt, |_| None)
}

pub(in crate::ops) fn sub(node: &NodeContext) -> Result<Constant, Reason> {
    binary(node, |a, b| a - b, i64::checked_sub)
}

pub(in crate::ops) fn sum(node: &NodeContext) -> Result<Constant, Reason> {
    all(node, |a, b| a + b, i64::checked_add)
}
