//! The kernels that a network calls, and the two files that hold them.

use crate::names::KernelNames;
use crate::writer::CWriter;
use bitesize_integer::{IntNetwork, IntNode};
use bitesize_ir::NodeId;
use bitesize_ir::code::{Code, KernelKey, Stage, StageKind};
use bitesize_ir::grid::BitWidth;
use bitesize_ir::memory::MemoryPlan;
use bitesize_ir::op::KernelKind;
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
const STAGES: &str = include_str!("../../../runtime/stages.h");
const LANES: &str = include_str!("../../../runtime/lanes.h");
const GATHER: &str = include_str!("../../../runtime/gather.h");
const MULTIPLY_PIXELS: &str = include_str!("../../../runtime/multiply_pixels.h");
const MULTIPLY_VECTOR: &str = include_str!("../../../runtime/multiply_vector.h");
const PACK: &str = include_str!("../../../runtime/pack.h");
const PACK_STRIP: &str = include_str!("../../../runtime/pack_strip.h");
const SPREAD: &str = include_str!("../../../runtime/spread.h");
const CONV2D_ROWS: &str = include_str!("../../../runtime/conv2d_rows.h");
const DEPTHWISE_CONV2D_ROWS: &str = include_str!("../../../runtime/depthwise_conv2d_rows.h");
const FULLY_CONNECTED_ROWS: &str = include_str!("../../../runtime/fully_connected_rows.h");

/// The code that `network` calls where its nodes are computed as `plan` says.
pub fn code_of(network: &IntNetwork, plan: &MemoryPlan) -> BTreeSet<Code> {
    network.iter().flat_map(|(id, node)| node_code(network, id, node, plan)).collect()
}

/// The code that one node calls, as [`Code::of_calls`] says.
pub(crate) fn node_code(
    network: &IntNetwork,
    id: NodeId,
    node: &IntNode,
    plan: &MemoryPlan,
) -> impl Iterator<Item = Code> {
    let inputs = node.inputs.iter().map(|input| network.tensor(*input).bits);
    let weights = node.op.weights().map(|weights| weights.bits);
    let output = network.tensor(node.output).bits;
    Code::of_calls(plan.implementations[id.0], node.op.kernel_kind(), inputs, weights, output)
}

/// The templates that a piece of code is made of, in the order in which they must stand.
fn templates(code: Code) -> &'static [&'static str] {
    match code {
        Code::Kernel(key) => kernel_templates(key.kind),
        Code::Stage(stage) => stage_templates(stage.kind),
    }
}

fn stage_templates(kind: StageKind) -> &'static [&'static str] {
    match kind {
        StageKind::Conv2dRows => &[LANES, GATHER, CONV2D_ROWS],
        StageKind::DepthwiseConv2dRows => &[LANES, DEPTHWISE_CONV2D_ROWS],
        StageKind::FullyConnectedRows => &[LANES, FULLY_CONNECTED_ROWS],
        StageKind::GatherLanes => &[LANES, GATHER],
        StageKind::MultiplyPixels => &[LANES, MULTIPLY_PIXELS],
        StageKind::MultiplyVector => &[LANES, MULTIPLY_VECTOR],
        StageKind::Pack => &[LANES, PACK],
        StageKind::Spread | StageKind::Levels => &[LANES, SPREAD],
        StageKind::PackStrip => &[LANES, PACK, PACK_STRIP],
    }
}

fn kernel_templates(kind: KernelKind) -> &'static [&'static str] {
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

fn kernel_signature(key: KernelKey, names: &KernelNames) -> String {
    let step = if has_rows(key.kind) { names.of_runtime(STEP_PARAMETER) } else { String::new() };
    format!("void {}(const {} *layer, uint8_t *arena{step})", names.code(Code::Kernel(key)), names.layer_type(key.kind))
}

/// How a kernel is told which rows to compute.
const STEP_PARAMETER: &str = ", const bitesize_step *step";

/// Whether a layer of this kind is told which rows to compute; others make a vector of their whole input.
pub(crate) fn has_rows(kind: KernelKind) -> bool {
    !matches!(kind, KernelKind::FullyConnected | KernelKind::Flatten)
}

/// What a stage is told, and what of it the template is told.
fn stage_parameters(kind: StageKind) -> (&'static str, &'static str) {
    match kind {
        StageKind::Conv2dRows => {
            ("const bitesize_conv2d_rows_layer *layer, uint8_t *arena, const bitesize_step *step", "layer, arena, step")
        }
        StageKind::DepthwiseConv2dRows => (
            "const bitesize_depthwise_conv2d_rows_layer *layer, uint8_t *arena, const bitesize_step *step",
            "layer, arena, step",
        ),
        StageKind::FullyConnectedRows => {
            ("const bitesize_fully_connected_rows_layer *layer, uint8_t *arena", "layer, arena")
        }
        StageKind::GatherLanes => ("bitesize_code_run *run", "run"),
        StageKind::MultiplyPixels | StageKind::MultiplyVector => ("bitesize_block *block", "block"),
        StageKind::Pack => ("const bitesize_tile *tile", "tile"),
        StageKind::Spread => ("const bitesize_strip *strip", "strip"),
        StageKind::Levels => ("const bitesize_strip_weights *strip", "strip"),
        StageKind::PackStrip => ("const bitesize_strip_codes *strip", "strip"),
    }
}

/// The name of a stage's template in `runtime/`.
fn stage_template(kind: StageKind) -> String {
    match kind {
        StageKind::Conv2dRows => "bitesize_conv2d_by_rows".into(),
        StageKind::DepthwiseConv2dRows => "bitesize_depthwise_conv2d_by_rows".into(),
        StageKind::FullyConnectedRows => "bitesize_fully_connected_by_rows".into(),
        kind => format!("bitesize_{}", kind.name()),
    }
}

fn signature(code: Code, names: &KernelNames) -> String {
    match code {
        Code::Kernel(key) => kernel_signature(key, names),
        Code::Stage(stage) => {
            format!("void {}({})", names.code(code), names.of_runtime(stage_parameters(stage.kind).0))
        }
    }
}

/// The statement that makes `code` of its template.
fn instance(code: Code, names: &KernelNames) -> String {
    match code {
        Code::Kernel(key) => {
            let widths: Vec<String> = widths(key).iter().map(ToString::to_string).collect();
            let step = if has_rows(key.kind) { "step, " } else { "" };
            format!("{}(layer, arena, {step}{});", names.template(key.kind), widths.join(", "))
        }
        Code::Stage(Stage { kind, bits }) => {
            let (template, (_, arguments)) = (stage_template(kind), stage_parameters(kind));
            let bits = bits.map_or_else(String::new, |bits| format!(", {bits}"));
            names.of_runtime(&format!("{template}({arguments}{bits});"))
        }
    }
}

fn has_stages(codes: &BTreeSet<Code>) -> bool {
    codes.iter().any(|code| matches!(code, Code::Stage(_)))
}

const TITLE: &str = "The integer kernels that the network calls. SPDX-License-Identifier: MIT OR Apache-2.0";

/// The kernels' header: descriptors, and the code in `codes`.
pub(crate) fn header(codes: &BTreeSet<Code>, names: &KernelNames) -> String {
    let mut c = CWriter::new();
    c.comment(TITLE);
    c.header(&names.of_runtime("BITESIZE_KERNELS_H"), "<stdint.h>", |c| {
        c.verbatim(&names.of_runtime(LAYERS));
        if has_stages(codes) {
            c.blank();
            c.verbatim(&names.of_runtime(STAGES));
        }
        c.blank();
        c.comment(
            "The numbers in a name are the widths of the input, of the weights or second input, and of the output; a stage \
             has one.",
        );
        for code in codes {
            c.line(format!("{};", signature(*code, names)));
        }
    });
    c.finish()
}

/// The kernels' source: the templates that `codes` need, and an instance for each.
pub(crate) fn source(codes: &BTreeSet<Code>, names: &KernelNames) -> String {
    let mut c = CWriter::new();
    c.comment(TITLE);
    c.line(format!("#include \"{}\"", names.header()));
    if has_stages(codes) {
        c.line("#include <string.h>");
    }
    c.blank();
    c.verbatim(&names.of_runtime(COMMON));
    let mut written: Vec<&str> = Vec::new();
    for template in codes.iter().flat_map(|code| templates(*code)) {
        if !written.contains(template) {
            written.push(template);
            c.blank();
            c.verbatim(&names.of_runtime(template));
        }
    }
    for code in codes {
        c.blank();
        c.block(&signature(*code, names), |c| c.line(instance(*code, names)));
    }
    c.finish()
}

/// The code in `codes` as two files, header and source, whose names all begin with `prefix`: for packages emitted
/// with [`shared_kernels`](crate::EmitOptions::shared_kernels), and for measuring what a kernel costs.
pub fn instances(codes: &BTreeSet<Code>, prefix: &str) -> [(String, String); 2] {
    let names = KernelNames::new(prefix);
    [(names.header(), header(codes, &names)), (names.source(), source(codes, &names))]
}

/// The C type of the descriptor of a kind that is computed row by row, among kernels of `prefix`.
pub fn rows_layer_type(kind: KernelKind, prefix: &str) -> String {
    KernelNames::new(prefix).rows_layer_type(kind)
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
    fn the_runtime_has_the_columns_that_scratch_is_counted_for() {
        let line = format!("#define BITESIZE_COLUMNS {}u\n", bitesize_ir::memory::COLUMNS);
        assert!(STAGES.contains(&line), "runtime/stages.h lacks `{line}`");
    }

    #[test]
    fn the_runtime_knows_the_grid_of_2_bits() {
        let grid = WeightGrid::of(BitWidth::B2);
        let line = format!("#define BITESIZE_LEVEL_LOWEST_2 ({})\n", grid.lowest());
        assert!(COMMON.contains(&line), "runtime/common.h lacks `{line}`");
    }
}
