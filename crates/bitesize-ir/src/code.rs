//! Pieces of kernel code that layers share: FLASH holds each that is called once.
//!
//! A layer is computed by a kernel of its own combination of widths, or by a loop over rows that is composed of stages. A
//! stage knows one width, so layers of any widths share stages: what mixing widths costs is the stages of the widths that
//! occur, not of their combinations.

use crate::grid::BitWidth;
use crate::network::{Network, Node};
use crate::op::{KernelKind, Op};

/// How a layer is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// By a kernel of the layer's widths: little code for one combination of them, little scratch.
    #[default]
    Whole,
    /// Row by row, composed of stages: on cores that multiply two lanes at a time many times faster, with more scratch.
    Rows,
}

impl Implementation {
    /// How `node` is computed where `has_rows` says that rows are to be had.
    pub fn of(network: &Network, node: &Node, has_rows: bool) -> Self {
        let groups = if let Op::Conv2d(conv) = &node.op { conv.groups } else { 1 };
        let of_kind = |kind| Self::of_kind(kind, groups, network.shape(node.output).c, has_rows);
        node.op.kernel_kind().map_or(Self::Whole, of_kind)
    }

    /// The same of a layer of `kind` with `groups` (1 where it has none) and `out_c` output channels.
    ///
    /// Groups have to start on a byte of the output at every width: four output channels do.
    pub fn of_kind(kind: KernelKind, groups: usize, out_c: usize, has_rows: bool) -> Self {
        let rows = match kind {
            KernelKind::Conv2d => groups == 1 || (out_c / groups).is_multiple_of(4),
            KernelKind::DepthwiseConv2d | KernelKind::FullyConnected => true,
            KernelKind::Add
            | KernelKind::Concat
            | KernelKind::MaxPool
            | KernelKind::AveragePool
            | KernelKind::Clamp
            | KernelKind::Pad
            | KernelKind::Flatten => false,
        };
        if has_rows && rows { Self::Rows } else { Self::Whole }
    }
}

/// The widths that one kernel is specialised for.
///
/// `second` is the weights' width, the second input's for an addition, and `None` for kernels that read one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelKey {
    /// What it computes.
    pub kind: KernelKind,
    /// Width of the (first) input.
    pub input: BitWidth,
    /// Width of the weights or the second input.
    pub second: Option<BitWidth>,
    /// Width of the output.
    pub output: BitWidth,
}

impl KernelKey {
    /// `conv2d_8_4_8`: kind, input, second (where there is one), output.
    pub fn name(&self) -> String {
        match self.second {
            Some(second) => format!("{}_{}_{}_{}", self.kind.name(), self.input, second, self.output),
            None => format!("{}_{}_{}", self.kind.name(), self.input, self.output),
        }
    }

    /// The kernels that an operator of `kind` calls, in the order of its inputs: a concatenation one for each input,
    /// every other operator one in all. `weights` is their width, where it has some.
    pub fn of_calls(
        kind: KernelKind,
        inputs: impl Iterator<Item = BitWidth> + Clone,
        weights: Option<BitWidth>,
        output: BitWidth,
    ) -> impl Iterator<Item = Self> {
        let second = match kind {
            KernelKind::Conv2d | KernelKind::DepthwiseConv2d | KernelKind::FullyConnected => weights,
            KernelKind::Add => inputs.clone().nth(1),
            KernelKind::Concat
            | KernelKind::MaxPool
            | KernelKind::AveragePool
            | KernelKind::Clamp
            | KernelKind::Pad
            | KernelKind::Flatten => None,
        };
        let calls = if kind == KernelKind::Concat { usize::MAX } else { 1 };
        inputs.take(calls).map(move |input| Self { kind, input, second, output })
    }

    /// Every key that a network can ask for.
    pub fn all() -> Vec<Self> {
        let mut keys = Vec::new();
        for kind in KernelKind::ALL {
            for input in BitWidth::ALL {
                match kind {
                    KernelKind::Conv2d | KernelKind::DepthwiseConv2d | KernelKind::FullyConnected | KernelKind::Add => {
                        for second in BitWidth::ALL {
                            keys.extend(BitWidth::ALL.map(|output| Self { kind, input, second: Some(second), output }));
                        }
                    }
                    KernelKind::Concat | KernelKind::AveragePool => {
                        keys.extend(BitWidth::ALL.map(|output| Self { kind, input, second: None, output }));
                    }
                    KernelKind::MaxPool | KernelKind::Clamp | KernelKind::Pad | KernelKind::Flatten => {
                        keys.push(Self { kind, input, second: None, output: input });
                    }
                }
            }
        }
        keys
    }
}

/// What a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageKind {
    /// The loop of a convolution.
    Conv2dRows,
    /// The loop of a depthwise convolution.
    DepthwiseConv2dRows,
    /// The loop of a fully connected layer.
    FullyConnectedRows,
    /// From input codes to lanes; by input width. Convolutions and fully connected layers.
    GatherLanes,
    /// Two pixels times weights, to codes of 8 bits; by weight width. Convolutions.
    MultiplyPixels,
    /// One vector times weights, to codes of 8 bits; by weight width. Fully connected layers.
    MultiplyVector,
    /// From codes of 8 bits to the output; by output width. Convolutions and fully connected layers.
    Pack,
    /// From input codes to lanes, channels apart; by input width. Depthwise convolutions.
    Spread,
    /// From weights to lanes, channels apart; by weight width. Depthwise convolutions.
    Levels,
    /// From codes of 8 bits of four channels to the output; by output width. Depthwise convolutions.
    PackStrip,
}

impl StageKind {
    /// Every kind, in the order of the variants.
    pub const ALL: [Self; 10] = [
        Self::Conv2dRows,
        Self::DepthwiseConv2dRows,
        Self::FullyConnectedRows,
        Self::GatherLanes,
        Self::MultiplyPixels,
        Self::MultiplyVector,
        Self::Pack,
        Self::Spread,
        Self::Levels,
        Self::PackStrip,
    ];

    /// The name used in core files and C identifiers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv2dRows => "conv2d_rows",
            Self::DepthwiseConv2dRows => "depthwise_conv2d_rows",
            Self::FullyConnectedRows => "fully_connected_rows",
            Self::GatherLanes => "gather_lanes",
            Self::MultiplyPixels => "multiply_pixels",
            Self::MultiplyVector => "multiply_vector",
            Self::Pack => "pack",
            Self::Spread => "spread",
            Self::Levels => "levels",
            Self::PackStrip => "pack_strip",
        }
    }

    /// Whether it is the loop that calls the others; a loop has no width.
    pub fn is_loop(self) -> bool {
        matches!(self, Self::Conv2dRows | Self::DepthwiseConv2dRows | Self::FullyConnectedRows)
    }
}

/// The stages that a layer is composed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    /// The loop over rows.
    pub rows: StageKind,
    /// By input width.
    pub input: StageKind,
    /// By weight width.
    pub weights: StageKind,
    /// By output width.
    pub output: StageKind,
}

impl Stages {
    /// Those of `kind`, `None` for kinds that have no rows.
    pub fn of(kind: KernelKind) -> Option<Self> {
        let stages = |[rows, input, weights, output]: [StageKind; 4]| Some(Self { rows, input, weights, output });
        match kind {
            KernelKind::Conv2d => {
                stages([StageKind::Conv2dRows, StageKind::GatherLanes, StageKind::MultiplyPixels, StageKind::Pack])
            }
            KernelKind::DepthwiseConv2d => {
                stages([StageKind::DepthwiseConv2dRows, StageKind::Spread, StageKind::Levels, StageKind::PackStrip])
            }
            KernelKind::FullyConnected => stages([
                StageKind::FullyConnectedRows,
                StageKind::GatherLanes,
                StageKind::MultiplyVector,
                StageKind::Pack,
            ]),
            KernelKind::Add
            | KernelKind::Concat
            | KernelKind::MaxPool
            | KernelKind::AveragePool
            | KernelKind::Clamp
            | KernelKind::Pad
            | KernelKind::Flatten => None,
        }
    }

    /// The loops of which `stage` is a part; of a loop, itself.
    pub fn loops_of(stage: StageKind) -> impl Iterator<Item = StageKind> {
        let stages = KernelKind::ALL.into_iter().filter_map(Self::of);
        stages.filter(move |s| [s.rows, s.input, s.weights, s.output].contains(&stage)).map(|s| s.rows)
    }
}

/// A stage at its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stage {
    /// What it does.
    pub kind: StageKind,
    /// Its width; `None` for loops.
    pub bits: Option<BitWidth>,
}

impl Stage {
    /// `multiply_pixels_4`, or the kind's name for loops.
    pub fn name(self) -> String {
        match self.bits {
            Some(bits) => format!("{}_{bits}", self.kind.name()),
            None => self.kind.name().into(),
        }
    }

    /// Every stage that a network can ask for.
    pub fn all() -> Vec<Self> {
        let of_kind = |kind: StageKind| match kind.is_loop() {
            true => vec![Self { kind, bits: None }],
            false => BitWidth::ALL.map(|bits| Self { kind, bits: Some(bits) }).to_vec(),
        };
        StageKind::ALL.into_iter().flat_map(of_kind).collect()
    }
}

/// A piece of code that is in a package once, however many layers call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// A kernel of one combination of widths.
    Kernel(KernelKey),
    /// A stage of kernels that are composed.
    Stage(Stage),
}

/// What a piece of code is, its widths left open: of each role that a layer has, it calls one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A kernel of this kind.
    Kernel(KernelKind),
    /// A stage of this kind.
    Stage(StageKind),
}

impl Code {
    /// The name used in core files and C identifiers.
    pub fn name(self) -> String {
        match self {
            Self::Kernel(key) => key.name(),
            Self::Stage(stage) => stage.name(),
        }
    }

    /// Its role.
    pub fn role(self) -> Role {
        match self {
            Self::Kernel(key) => Role::Kernel(key.kind),
            Self::Stage(stage) => Role::Stage(stage.kind),
        }
    }

    /// What an operator of `kind` calls: kernels as [`KernelKey::of_calls`] says, or stages. Without a width of the weights
    /// that it has, the code that depends on it is left out.
    pub fn of_calls(
        implementation: Implementation,
        kind: KernelKind,
        inputs: impl Iterator<Item = BitWidth> + Clone,
        weights: Option<BitWidth>,
        output: BitWidth,
    ) -> impl Iterator<Item = Self> {
        let stages = Stages::of(kind);
        let rows = if implementation == Implementation::Rows { stages } else { None };
        let left_out = rows.is_some() || stages.is_some() && weights.is_none();
        let first = inputs.clone().next();
        let whole = (!left_out).then(|| KernelKey::of_calls(kind, inputs, weights, output).map(Self::Kernel));
        let stage = |kind, bits| Self::Stage(Stage { kind, bits });
        let composed = rows.map(|of| {
            [
                Some(stage(of.rows, None)),
                first.map(|bits| stage(of.input, Some(bits))),
                weights.map(|bits| stage(of.weights, Some(bits))),
                Some(stage(of.output, Some(output))),
            ]
        });
        whole.into_iter().flatten().chain(composed.into_iter().flatten().flatten())
    }

    /// The code of an operator of `kind` that depends on its weights' width, this left open: layers for which it is the same
    /// share it. `None` for kinds without weights. [`Self::with_weights`] fills the width in.
    pub fn of_weights(
        implementation: Implementation,
        kind: KernelKind,
        input: BitWidth,
        output: BitWidth,
    ) -> Option<Self> {
        let stages = Stages::of(kind)?;
        Some(match implementation {
            Implementation::Whole => Self::Kernel(KernelKey { kind, input, second: None, output }),
            Implementation::Rows => Self::Stage(Stage { kind: stages.weights, bits: None }),
        })
    }

    /// That of [`Self::of_weights`] for weights of `bits`.
    pub fn with_weights(self, bits: BitWidth) -> Self {
        match self {
            Self::Kernel(key) => Self::Kernel(KernelKey { second: Some(bits), ..key }),
            Self::Stage(stage) => Self::Stage(Stage { bits: Some(bits), ..stage }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn stages_have_names_of_their_own_and_loops_call_them() {
        let stages = Stage::all();
        let names: BTreeSet<String> = stages.iter().map(|stage| stage.name()).collect();
        assert_eq!(names.len(), stages.len());
        for stage in stages {
            assert!(Stages::loops_of(stage.kind).count() > 0, "nobody calls {}", stage.name());
        }
        let loops: Vec<StageKind> = Stages::loops_of(StageKind::GatherLanes).collect();
        assert_eq!(loops, [StageKind::Conv2dRows, StageKind::FullyConnectedRows]);
    }

    #[test]
    fn what_a_layer_calls() {
        let names = |implementation, kind, weights| -> Vec<String> {
            let inputs = [BitWidth::B4, BitWidth::B2].into_iter();
            Code::of_calls(implementation, kind, inputs, weights, BitWidth::B8).map(Code::name).collect()
        };
        let (whole, rows) = (Implementation::Whole, Implementation::Rows);
        let two = Some(BitWidth::B2);
        assert_eq!(names(whole, KernelKind::Conv2d, two), ["conv2d_4_2_8"]);
        assert_eq!(names(whole, KernelKind::Conv2d, None), [""; 0]);
        assert_eq!(
            names(rows, KernelKind::Conv2d, two),
            ["conv2d_rows", "gather_lanes_4", "multiply_pixels_2", "pack_8"]
        );
        assert_eq!(names(rows, KernelKind::Conv2d, None), ["conv2d_rows", "gather_lanes_4", "pack_8"]);
        assert_eq!(names(rows, KernelKind::Add, None), ["add_4_2_8"]);
        assert_eq!(names(whole, KernelKind::Concat, None), ["concat_4_8", "concat_2_8"]);
        for implementation in [whole, rows] {
            let kind = KernelKind::DepthwiseConv2d;
            let open = Code::of_weights(implementation, kind, BitWidth::B4, BitWidth::B8).expect("it has weights");
            let name = open.with_weights(BitWidth::B2).name();
            assert!(names(implementation, kind, two).contains(&name), "{name}");
        }
        assert_eq!(Code::of_weights(rows, KernelKind::Add, BitWidth::B4, BitWidth::B8), None);
    }
}
