//! The ONNX operators that are understood, one row each; [`OPERATORS`] is the whole list.

mod affine;
mod arithmetic;
mod clamp;
mod conv;
mod dense;
mod fold;
mod hints;
mod normalize;
mod pad;
mod pool;
mod reshape;
mod tail;
mod walk;
mod window;

pub(crate) use hints::{constant_hint, forgets_image, hint, keeps_shape};

use crate::builder::Value;
use crate::constant::Constant;
use crate::error::Reason;
use crate::node::NodeContext;

/// An operator that is understood.
pub(crate) struct Operator {
    /// As ONNX calls it.
    pub(crate) name: &'static str,
    /// The attributes that are understood; a node with another one is refused.
    pub(crate) attributes: &'static [&'static str],
    /// What it does to an activation.
    pub(crate) import: Option<Import>,
    /// What it does where every input is a constant.
    pub(crate) fold: Option<Fold>,
}

type Import = fn(&mut NodeContext) -> Result<Value, Reason>;

/// What an operator makes of constants.
#[derive(Clone, Copy)]
pub(crate) enum Fold {
    /// Its first output.
    One(fn(&NodeContext) -> Result<Constant, Reason>),
    /// All its outputs.
    Several(fn(&NodeContext) -> Result<Vec<Constant>, Reason>),
}

type FoldOne = fn(&NodeContext) -> Result<Constant, Reason>;

/// An operator on activations only.
const fn layer(name: &'static str, attributes: &'static [&'static str], import: Import) -> Operator {
    Operator { name, attributes, import: Some(import), fold: None }
}

/// An operator on constants only.
const fn folded(name: &'static str, attributes: &'static [&'static str], fold: FoldOne) -> Operator {
    Operator { name, attributes, import: None, fold: Some(Fold::One(fold)) }
}

/// An operator on either.
const fn both(name: &'static str, attributes: &'static [&'static str], import: Import, fold: FoldOne) -> Operator {
    Operator { name, attributes, import: Some(import), fold: Some(Fold::One(fold)) }
}

/// Every operator, by name.
#[rustfmt::skip]
pub(crate) const OPERATORS: &[Operator] = &[
    folded("Abs", &[], fold::abs),
    both("Add", &[], arithmetic::add, fold::add),
    folded("And", &[], fold::and),
    layer("ArgMax", &["axis", "keepdims", "select_last_index"], tail::arg_max),
    layer("AveragePool", &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"], pool::average_pool),
    layer("BatchNormalization", &["epsilon", "momentum", "spatial", "training_mode"], normalize::batch_normalization),
    both("Cast", &["to", "saturate"], arithmetic::cast, fold::cast),
    both("CastLike", &["saturate"], arithmetic::cast_like, fold::cast_like),
    folded("Ceil", &[], fold::ceil),
    both("Clip", &["max", "min"], clamp::clip, fold::clip),
    both("Concat", &["axis"], reshape::concat, fold::concat),
    folded("Constant", &["value", "value_float", "value_floats", "value_int", "value_ints"], fold::constant),
    folded("ConstantOfShape", &["value"], fold::constant_of_shape),
    layer("Conv", &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"], conv::conv),
    both("Div", &[], arithmetic::div, fold::div),
    layer("Dropout", &["is_test", "ratio", "seed"], arithmetic::dropout),
    folded("Equal", &[], fold::equal),
    folded("Exp", &[], fold::exp),
    folded("Expand", &[], fold::expand),
    both("Flatten", &["axis"], reshape::flatten, fold::flatten),
    folded("Floor", &[], fold::floor),
    folded("Gather", &["axis"], fold::gather),
    folded("GatherND", &["batch_dims"], fold::gather_nd),
    layer("Gemm", &["alpha", "beta", "transA", "transB"], dense::gemm),
    layer("GlobalAveragePool", &[], pool::global_average_pool),
    layer("GlobalMaxPool", &[], pool::global_max_pool),
    folded("Greater", &[], fold::greater),
    folded("GreaterOrEqual", &[], fold::greater_or_equal),
    both("Identity", &[], arithmetic::identity, fold::identity),
    folded("Less", &[], fold::less),
    folded("LessOrEqual", &[], fold::less_or_equal),
    folded("Log", &[], fold::log),
    layer("LogSoftmax", &["axis"], tail::log_softmax),
    layer("MatMul", &[], dense::mat_mul),
    both("Max", &[], clamp::max, fold::max),
    layer("MaxPool", &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"], pool::max_pool),
    both("Min", &[], clamp::min, fold::min),
    folded("Mod", &["fmod"], fold::modulo),
    both("Mul", &[], arithmetic::mul, fold::mul),
    both("Neg", &[], arithmetic::neg, fold::neg),
    folded("NonZero", &[], fold::non_zero),
    folded("Not", &[], fold::not),
    folded("Or", &[], fold::or),
    layer("Pad", &["mode", "pads", "value"], pad::pad),
    folded("Pow", &[], fold::pow),
    folded("Range", &[], fold::range),
    folded("Reciprocal", &[], fold::reciprocal),
    both("ReduceMax", &["axes", "keepdims", "noop_with_empty_axes"], pool::reduce_max, fold::reduce_max),
    both("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], pool::reduce_mean, fold::reduce_mean),
    folded("ReduceMin", &["axes", "keepdims", "noop_with_empty_axes"], fold::reduce_min),
    folded("ReduceProd", &["axes", "keepdims", "noop_with_empty_axes"], fold::reduce_prod),
    folded("ReduceSum", &["axes", "keepdims", "noop_with_empty_axes"], fold::reduce_sum),
    both("Relu", &[], clamp::relu, fold::relu),
    both("Reshape", &["allowzero"], reshape::reshape, fold::reshape),
    folded("Round", &[], fold::round),
    both("Shape", &["end", "start"], reshape::shape, fold::shape),
    layer("Sigmoid", &[], tail::sigmoid),
    folded("Sign", &[], fold::sign),
    both("Size", &[], reshape::size, fold::size),
    folded("Slice", &["axes", "ends", "starts"], fold::slice),
    layer("Softmax", &["axis"], tail::softmax),
    Operator { name: "Split", attributes: &["axis", "num_outputs", "split"], import: None, fold: Some(Fold::Several(fold::split)) },
    folded("Sqrt", &[], fold::sqrt),
    both("Squeeze", &["axes"], reshape::squeeze, fold::squeeze),
    both("Sub", &[], arithmetic::sub, fold::sub),
    both("Sum", &[], arithmetic::sum, fold::sum),
    layer("Tanh", &[], tail::tanh),
    both("Transpose", &["perm"], reshape::transpose, fold::transpose),
    both("Unsqueeze", &["axes"], reshape::unsqueeze, fold::unsqueeze),
    folded("Where", &[], fold::choose),
];

/// The operator called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_no_operator_does_nothing() {
        assert!(OPERATORS.is_sorted_by(|a, b| a.name < b.name));
        for operator in OPERATORS {
            assert!(operator.import.is_some() || operator.fold.is_some(), "{}", operator.name);
        }
    }
}
