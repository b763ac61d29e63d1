//! What to do about operators that are not supported, and how the walk goes on behind them.

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
            | "Erf"
            | "Exp"
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
            | "RMSNormalization"
            | "Relu"
            | "Selu"
            | "Sigmoid"
            | "Softmax"
            | "Softplus"
            | "Softsign"
            | "Sub"
            | "Sqrt"
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
        "ConvTranspose" | "Resize" | "Upsample" | "DepthToSpace" | "SpaceToDepth" => {
            "networks that enlarge or rearrange images are not supported"
        }
        "TopK" => "export the network up to its scores; the firmware takes the highest",
        "Dropout" | "BatchNormalization" => "export in inference mode",
        _ => "",
    }
}

/// What to do about an operator that is supported on constants only.
pub(crate) fn constant_hint(name: &str) -> &'static str {
    match name {
        "Slice" | "Split" | "Gather" | "GatherND" => {
            "activations are not cut: a 1x1 convolution with weights of 0 and 1 picks channels, and one with a stride pixels"
        }
        "Abs" | "Ceil" | "Exp" | "Floor" | "Log" | "Pow" | "Reciprocal" | "Round" | "Sqrt" => {
            "it is computed on constants only; train the network with Relu or Clip (ReLU6) instead"
        }
        _ => "the operator is supported only where it can be computed beforehand",
    }
}

/// Whether the output of an operator does not depend on the image even where an input does.
pub(crate) fn forgets_image(name: &str) -> bool {
    matches!(name, "Shape" | "Size" | "EyeLike" | "RandomNormalLike" | "RandomUniformLike")
}
