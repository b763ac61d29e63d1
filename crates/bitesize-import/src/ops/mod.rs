//! The ONNX operators that are understood, one row each; [`OPERATORS`] is the whole list.

mod arithmetic;
mod clamp;
mod conv;
mod dense;
mod fold;
mod pool;
mod reshape;
mod tail;
mod walk;
mod window;

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
type Fold = fn(&NodeContext) -> Result<Constant, Reason>;

/// An operator on activations only.
const fn layer(name: &'static str, attributes: &'static [&'static str], import: Import) -> Operator {
    Operator { name, attributes, import: Some(import), fold: None }
}

/// An operator on constants only.
const fn folded(name: &'static str, attributes: &'static [&'static str], fold: Fold) -> Operator {
    Operator { name, attributes, import: None, fold: Some(fold) }
}

/// An operator on either.
const fn both(name: &'static str, attributes: &'static [&'static str], import: Import, fold: Fold) -> Operator {
    Operator { name, attributes, import: Some(import), fold: Some(fold) }
}

/// Every operator, by name.
#[rustfmt::skip]
pub(crate) const OPERATORS: &[Operator] = &[
    both("Add", &[], arithmetic::add, fold::add),
    layer("ArgMax", &["axis", "keepdims", "select_last_index"], tail::arg_max),
    layer("AveragePool", &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"], pool::average_pool),
    layer("BatchNormalization", &["epsilon", "momentum", "spatial", "training_mode"], arithmetic::batch_normalization),
    both("Cast", &["to", "saturate"], arithmetic::cast, fold::cast),
    both("CastLike", &["saturate"], arithmetic::cast_like, fold::cast_like),
    both("Clip", &["max", "min"], clamp::clip, fold::clip),
    both("Concat", &["axis"], reshape::concat, fold::concat),
    folded("Constant", &["value", "value_float", "value_floats", "value_int", "value_ints"], fold::constant),
    folded("ConstantOfShape", &["value"], fold::constant_of_shape),
    layer("Conv", &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"], conv::conv),
    both("Div", &[], arithmetic::div, fold::div),
    layer("Dropout", &["is_test", "ratio", "seed"], arithmetic::dropout),
    folded("Expand", &[], fold::expand),
    both("Flatten", &["axis"], reshape::flatten, fold::flatten),
    folded("Gather", &["axis"], fold::gather),
    layer("Gemm", &["alpha", "beta", "transA", "transB"], dense::gemm),
    layer("GlobalAveragePool", &[], pool::global_average_pool),
    layer("GlobalMaxPool", &[], pool::global_max_pool),
    both("Identity", &[], arithmetic::identity, fold::identity),
    layer("LogSoftmax", &["axis"], tail::log_softmax),
    layer("MatMul", &[], dense::mat_mul),
    both("Max", &[], clamp::max, fold::max),
    layer("MaxPool", &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"], pool::max_pool),
    both("Min", &[], clamp::min, fold::min),
    both("Mul", &[], arithmetic::mul, fold::mul),
    both("Neg", &[], arithmetic::neg, fold::neg),
    layer("Pad", &["mode", "pads", "value"], reshape::pad),
    layer("ReduceMax", &["axes", "keepdims", "noop_with_empty_axes"], pool::reduce_max),
    layer("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], pool::reduce_mean),
    folded("ReduceProd", &["axes", "keepdims", "noop_with_empty_axes"], fold::reduce_prod),
    both("Relu", &[], clamp::relu, fold::relu),
    both("Reshape", &["allowzero"], reshape::reshape, fold::reshape),
    both("Shape", &["end", "start"], reshape::shape, fold::shape),
    layer("Sigmoid", &[], tail::sigmoid),
    both("Size", &[], reshape::size, fold::size),
    folded("Slice", &["axes", "ends", "starts"], fold::slice),
    layer("Softmax", &["axis"], tail::softmax),
    folded("Sqrt", &[], fold::sqrt),
    both("Squeeze", &["axes"], reshape::squeeze, fold::squeeze),
    both("Sub", &[], arithmetic::sub, fold::sub),
    layer("Tanh", &[], tail::tanh),
    both("Transpose", &["perm"], reshape::transpose, fold::transpose),
    both("Unsqueeze", &["axes"], reshape::unsqueeze, fold::unsqueeze),
];

/// The operator called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

/// Whether the output of an operator, supported or not, has the shape of its (largest) input, so that the walk can go
/// on behind a refused one.
pub(crate) fn keeps_shape(name: &str) -> bool {
    matches!(
        name,
        "Add"
            | "BatchNormalization"
            | "Celu"
            | "Clip"
            | "Div"
            | "Dropout"
            | "Elu"
            | "Gelu"
            | "GroupNormalization"
            | "HardSigmoid"
            | "HardSwish"
            | "InstanceNormalization"
            | "LRN"
            | "LayerNormalization"
            | "LeakyRelu"
            | "LogSoftmax"
            | "Max"
            | "Min"
            | "Mish"
            | "Mul"
            | "PRelu"
            | "Pow"
            | "Selu"
            | "Sigmoid"
            | "Softmax"
            | "Softplus"
            | "Softsign"
            | "Sub"
            | "Sum"
            | "Swish"
            | "Tanh"
            | "ThresholdedRelu"
    )
}

/// What to do about an operator that is not in the list.
pub(crate) fn hint(name: &str) -> &'static str {
    match name {
        "HardSigmoid" | "HardSwish" | "Swish" | "Mish" | "Gelu" | "Elu" | "Selu" | "Celu" | "Softplus" | "Softsign"
        | "LeakyRelu" | "PRelu" | "ThresholdedRelu" | "Erf" => "train the network with Relu or Clip (ReLU6) instead",
        "QuantizeLinear"
        | "DequantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "ConvInteger"
        | "MatMulInteger"
        | "DynamicQuantizeLinear"
        | "FakeQuantize" => "export the float network: quantizing it is done here",
        "LSTM" | "GRU" | "RNN" | "Attention" | "LayerNormalization" | "MultiHeadAttention" => {
            "only convolutional networks are supported"
        }
        "InstanceNormalization" | "GroupNormalization" | "LpNormalization" | "LRN" => {
            "train with batch normalization, whose constants fold into the weights"
        }
        "If" | "Loop" | "Scan" => "export a network without control flow",
        "Sum" => "write the sum as a chain of Add",
        "ConvTranspose" | "Resize" | "Upsample" | "DepthToSpace" | "SpaceToDepth" => {
            "networks that enlarge or rearrange images are not supported"
        }
        "TopK" => "export the network up to its scores; the firmware takes the highest",
        "Dropout" | "BatchNormalization" => "export in inference mode",
        _ => "",
    }
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
