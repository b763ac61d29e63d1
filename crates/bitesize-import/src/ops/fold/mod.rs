//! Operators where every input is a constant: weights written as expressions, and shape arithmetic.
//!
//! Whatever is made is paid for from the import's budget before it is made, and takes time in proportion.

mod common;
mod elementwise;
mod make;
mod pick;
mod reduce;

pub(super) use elementwise::{
    abs, add, and, ceil, choose, clip, div, equal, exp, floor, greater, greater_or_equal, less, less_or_equal, log,
    max, min, modulo, mul, neg, not, or, pow, reciprocal, relu, round, sign, sqrt, sub, sum,
};
pub(super) use make::{cast, cast_like, constant, constant_of_shape, expand, identity, range, shape, size};
pub(super) use pick::{
    concat, flatten, gather, gather_nd, non_zero, reshape, slice, split, squeeze, transpose, unsqueeze,
};
pub(super) use reduce::{reduce_max, reduce_mean, reduce_min, reduce_prod, reduce_sum};
