//! The kernels that a network calls, and the two files that hold them.

use crate::names::KernelNames;
use crate::writer::CWriter;
use bitesize_integer::{IntNetwork, IntNode};
use bitesize_ir::grid::BitWidth;
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::KernelKey;
use std::collections::BTreeSet;

const LAYERS: &str = include_str!("../../../runtime/layers.h");
const COMMON: &str = include_str!("../../../runtime/common.h");
const ROWS: &str = include_str!("../../../runtime/rows.h");
const WINDOW: &str = include_str!("../../../runtime/window.h");
const CONV2D: &str = include_str!("../../../runtime/conv2d.h");
const DEPTHWISE_CONV2D: &str = include_str!("../../../runtime/depthwise_conv2d.h");
const FULLY_CONNECTED: &str = include_str!("../../../runtime/fully_connected.h");
const ADD: &str = include_str!("../../../runtime/add.h");
const CONCAT: &str = include_str!("../../../runtime/concat.h");
const MAX_POOL: &str = include_str!("../../../runtime/max_pool.h");
const AVERAGE_POOL: &str = include_str!("../../../runtime/average_pool.h");
const CLAMP: &str = include_str!("../../../runtime/clamp.h");
const PAD: &str = include_str!("../../../runtime/pad.h");
const FLATTEN: &str = include_str!("../../../runtime/flatten.h");

/// The kernels that `network` calls.
pub fn kernel_keys(network: &IntNetwork) -> BTreeSet<KernelKey> {
    network.nodes.iter().flat_map(|node| node_keys(network, node)).collect()
}

/// The kernels that one node calls, as [`KernelKey::of_calls`] says.
pub(crate) fn node_keys(network: &IntNetwork, node: &IntNode) -> impl Iterator<Item = KernelKey> {
    let inputs = node.inputs.iter().map(|input| network.tensor(*input).bits);
    let weights = node.op.weights().map(|weights| weights.bits);
    KernelKey::of_calls(node.op.kernel_kind(), inputs, weights, network.tensor(node.output).bits)
}

/// The templates that a kind is made of, in the order in which they must stand.
fn templates(kind: KernelKind) -> &'static [&'static str] {
    match kind {
        KernelKind::Conv2d => &[ROWS, CONV2D],
        KernelKind::DepthwiseConv2d => &[ROWS, WINDOW, DEPTHWISE_CONV2D],
        KernelKind::FullyConnected => &[ROWS, FULLY_CONNECTED],
        KernelKind::Add => &[ADD],
        KernelKind::Concat => &[CONCAT],
        KernelKind::MaxPool => &[WINDOW, MAX_POOL],
        KernelKind::AveragePool => &[WINDOW, AVERAGE_POOL],
        KernelKind::Clamp => &[CLAMP],
        KernelKind::Pad => &[PAD],
        KernelKind::Flatten => &[FLATTEN],
    }
}

/// The widths that the template takes, in its order.
fn widths(key: KernelKey) -> Vec<BitWidth> {
    let one_width = matches!(key.kind, KernelKind::MaxPool | KernelKind::Clamp | KernelKind::Pad | KernelKind::Flatten);
    let output = if one_width { None } else { Some(key.output) };
    [Some(key.input), key.second, output].into_iter().flatten().collect()
}

fn signature(key: KernelKey, names: &KernelNames) -> String {
    format!("void {}(const {} *layer, uint8_t *arena)", names.kernel(key), names.layer_type(key.kind))
}

const TITLE: &str = "The integer kernels that the network calls. SPDX-License-Identifier: MIT OR Apache-2.0";

/// The kernels' header: descriptors, and the kernels in `keys`.
pub(crate) fn header(keys: &BTreeSet<KernelKey>, names: &KernelNames) -> String {
    let mut c = CWriter::new();
    c.comment(TITLE);
    c.header(&names.of_runtime("BITESIZE_KERNELS_H"), "<stdint.h>", |c| {
        c.verbatim(&names.of_runtime(LAYERS));
        c.blank();
        c.comment(
            "The numbers in a name are the widths of the input, of the weights or second input, and of the output.",
        );
        for key in keys {
            c.line(format!("{};", signature(*key, names)));
        }
    });
    c.finish()
}

/// The kernels' source: the templates that `keys` need, and an instance for each.
pub(crate) fn source(keys: &BTreeSet<KernelKey>, names: &KernelNames) -> String {
    let mut c = CWriter::new();
    c.comment(TITLE);
    c.line(format!("#include \"{}\"", names.header()));
    c.blank();
    c.verbatim(&names.of_runtime(COMMON));
    let mut written: Vec<&str> = Vec::new();
    for template in keys.iter().flat_map(|key| templates(key.kind)) {
        if !written.contains(template) {
            written.push(template);
            c.blank();
            c.verbatim(&names.of_runtime(template));
        }
    }
    for key in keys {
        c.blank();
        let widths: Vec<String> = widths(*key).iter().map(ToString::to_string).collect();
        let call = format!("{}(layer, arena, {});", names.template(key.kind), widths.join(", "));
        c.block(&signature(*key, names), |c| c.line(call));
    }
    c.finish()
}

/// The kernels in `keys` as two files, header and source, whose names all begin with `prefix`: for packages emitted
/// with [`shared_kernels`](crate::EmitOptions::shared_kernels), and for measuring what a kernel costs.
pub fn instances(keys: &BTreeSet<KernelKey>, prefix: &str) -> [(String, String); 2] {
    let names = KernelNames::new(prefix);
    [(names.header(), header(keys, &names)), (names.source(), source(keys, &names))]
}

/// The C type of the descriptor of a kind, among kernels of `prefix`.
pub fn layer_type(kind: KernelKind, prefix: &str) -> String {
    KernelNames::new(prefix).layer_type(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::grid::WeightGrid;

    #[test]
    fn the_runtime_knows_the_grid_of_2_bits() {
        let grid = WeightGrid::of(BitWidth::B2);
        let line = format!("#define BITESIZE_LEVEL_LOWEST_2 ({})\n", grid.lowest());
        assert!(COMMON.contains(&line), "runtime/common.h lacks `{line}`");
    }
}
