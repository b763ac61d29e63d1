//! What kernels compute.

/// The kernel kinds that emitted code is made of. [`Op::ChannelAffine`](crate::Op::ChannelAffine) has none: it does not survive rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelKind {
    /// [`Op::Conv2d`](crate::Op::Conv2d).
    Conv2d,
    /// [`Op::DepthwiseConv2d`](crate::Op::DepthwiseConv2d).
    DepthwiseConv2d,
    /// [`Op::FullyConnected`](crate::Op::FullyConnected).
    FullyConnected,
    /// [`Op::Add`](crate::Op::Add).
    Add,
    /// [`Op::Concat`](crate::Op::Concat): called once for each input.
    Concat,
    /// [`Op::MaxPool`](crate::Op::MaxPool).
    MaxPool,
    /// [`Op::AveragePool`](crate::Op::AveragePool).
    AveragePool,
    /// [`Op::Clamp`](crate::Op::Clamp).
    Clamp,
    /// [`Op::Pad`](crate::Op::Pad).
    Pad,
    /// [`Op::Flatten`](crate::Op::Flatten).
    Flatten,
}

impl KernelKind {
    /// Every kind, in the order of the variants.
    pub const ALL: [Self; 10] = [
        Self::Conv2d,
        Self::DepthwiseConv2d,
        Self::FullyConnected,
        Self::Add,
        Self::Concat,
        Self::MaxPool,
        Self::AveragePool,
        Self::Clamp,
        Self::Pad,
        Self::Flatten,
    ];

    /// The name used in reports, target files and C identifiers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv2d => "conv2d",
            Self::DepthwiseConv2d => "depthwise_conv2d",
            Self::FullyConnected => "fully_connected",
            Self::Add => "add",
            Self::Concat => "concat",
            Self::MaxPool => "max_pool",
            Self::AveragePool => "average_pool",
            Self::Clamp => "clamp",
            Self::Pad => "pad",
            Self::Flatten => "flatten",
        }
    }
}
