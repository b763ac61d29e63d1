//! The operators of a network, made ready.

use super::cache::{PackCache, Unpacked};
use super::conv::{Conv, Geometry};
use super::depthwise::Depthwise;
use super::kernel_sets::KernelSet;
use super::padded::Padded;
use super::plain::{Add, AveragePool, Plain, Pool, concat_table};
use super::set::InstructionSet;
use crate::network::{IntNetwork, IntOp, IntWeights, Rescale};
use crate::operators::OutputRange;
use bitesize_ir::NodeId;
use bitesize_ir::shape::{Window, nhwc_indices};

/// One operator.
#[derive(Debug)]
pub(crate) enum Step {
    Conv(Conv),
    Depthwise(Depthwise),
    Pad(Padded),
    Plain(Plain),
}

/// What steps are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker<'a> {
    pub(crate) network: &'a IntNetwork,
    pub(crate) set: InstructionSet,
    pub(crate) cache: Option<&'a PackCache>,
}

/// A layer with weights: groups (`None` where it is depthwise), levels and rescale.
struct Layer<'a> {
    groups: Option<usize>,
    window: &'a Window,
    weights: &'a IntWeights,
    rescale: &'a Rescale,
    padding: &'a [u8],
}

impl Maker<'_> {
    /// The step of a node that computes at most `images` images at once.
    pub(crate) fn step(&self, id: NodeId, images: usize) -> Step {
        let network = self.network;
        let node = network.node(id);
        let (input, output) = (network.tensor(node.inputs[0]), network.tensor(node.output));
        let range = |lo: &u8, hi: &u8| OutputRange { zero: output.zero, lo: *lo, hi: *hi };
        let pool = |window: &Window| Pool { input: input.shape, output: output.shape, window: *window };
        match &node.op {
            IntOp::Conv2d { window, groups, weights, rescale, padding } => {
                self.layer(id, images, Layer { groups: Some(*groups), window, weights, rescale, padding })
            }
            IntOp::DepthwiseConv2d { window, weights, rescale, padding } => {
                self.layer(id, images, Layer { groups: None, window, weights, rescale, padding })
            }
            IntOp::FullyConnected { weights, rescale } => {
                let window = &Window::of([1, 1]);
                self.layer(id, images, Layer { groups: Some(1), window, weights, rescale, padding: &[0] })
            }
            IntOp::Add { integers, lo, hi } => {
                let zeros = [input.zero, network.tensor(node.inputs[1]).zero];
                Step::Plain(Plain::Add(Add::new(*integers, zeros, range(lo, hi))))
            }
            IntOp::Concat { multipliers } => {
                let range = range(&0, &output.bits.max_code());
                let inputs = node.inputs.iter().map(|&id| network.tensor(id)).zip(multipliers);
                let part = |(tensor, multiplier): (&crate::IntTensor, &_)| {
                    (tensor.shape.c, concat_table(tensor.zero, *multiplier, range))
                };
                Step::Plain(Plain::Concat(inputs.map(part).collect()))
            }
            IntOp::MaxPool { window } => Step::Plain(Plain::MaxPool(pool(window))),
            IntOp::AveragePool { window, count_include_pad, multipliers, lo, hi } => {
                Step::Plain(Plain::AveragePool(AveragePool {
                    pool: pool(window),
                    count_include_pad: *count_include_pad,
                    multipliers: multipliers.clone(),
                    zero_in: input.zero,
                    range: range(lo, hi),
                }))
            }
            IntOp::Clamp { lo, hi } => Step::Plain(Plain::Clamp { lo: *lo, hi: *hi }),
            IntOp::Flatten { order } => {
                Step::Plain(Plain::Flatten(nhwc_indices(input.shape, order.iter().copied()).into()))
            }
            IntOp::Pad { pads } => Step::Pad(Padded::new(input.shape, *pads, &[input.zero])),
        }
    }

    fn layer(&self, id: NodeId, images: usize, layer: Layer) -> Step {
        let node = self.network.node(id);
        let output = self.network.tensor(node.output);
        let Layer { groups, window, weights, rescale, padding } = layer;
        let geometry = Geometry {
            input: self.network.tensor(node.inputs[0]).shape,
            output: output.shape,
            window,
            groups: groups.unwrap_or(1),
            padding,
        };
        let unpacked = Unpacked { node: id, depthwise: groups.is_none(), geometry, weights, rescale };
        let packed = self.cache.map_or_else(|| unpacked.pack(self.set), |cache| cache.packed(&unpacked, self.set));
        let layout = self.set.layout();
        match groups {
            Some(_) => Step::Conv(Conv::new(geometry, (rescale, output.zero), packed, layout, images)),
            None => Step::Depthwise(Depthwise::new(geometry, (rescale, output.zero), packed, layout)),
        }
    }
}

impl Step {
    /// Codes of padded images that the step needs room for, for at most `images` at once.
    pub(crate) fn scratch(&self, images: usize) -> usize {
        match self {
            Self::Conv(layer) if !layer.padded.is_plain() => layer.reach(images).max(images * layer.image),
            Self::Depthwise(layer) => layer.reach().max(layer.padded.shape.elements()),
            Self::Conv(_) | Self::Pad(_) | Self::Plain(_) => 0,
        }
    }

    /// Values of 16 bits that the step needs room for.
    pub(crate) fn words(&self, images: usize, kernels: KernelSet) -> usize {
        match self {
            Self::Conv(layer) => kernels.words(layer, images),
            Self::Depthwise(_) | Self::Pad(_) | Self::Plain(_) => 0,
        }
    }

    /// Sums that the step needs room for.
    pub(crate) fn sums(&self) -> usize {
        match self {
            Self::Plain(Plain::AveragePool(pool)) => pool.pool.input.c,
            Self::Conv(_) | Self::Depthwise(_) | Self::Pad(_) | Self::Plain(_) => 0,
        }
    }
}
