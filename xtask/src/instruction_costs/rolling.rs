//! What it takes that layers take turns: the same pools, computed at once and in a chain.

use crate::counted;
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{Chain, InputRows, MemoryPlan, PlannedSegment, RowNode, Scheduling, tensor_bytes};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::{CoreCosts, RollingInstructions};
use bitesize_ir::{BitWidth, NodeId, Shape, TensorId};
use bitesize_verify::Runner;

/// Layers of a chain: where a layer lacks rows the one before it is asked, so that a step takes more in longer ones.
const LAYERS: usize = 12;

/// Max pools of `kernel` by 1, one after the other, over an image of `shape`.
fn pools(shape: Shape, kernel: usize) -> IntNetwork {
    let window =
        Window { pads: Pads { top: kernel / 2, bottom: kernel / 2, ..Pads::default() }, ..Window::of([kernel, 1]) };
    let tensor = |i| IntTensor { name: format!("t{i}"), shape, bits: BitWidth::B8, zero: 0 };
    let node = |i| IntNode {
        name: format!("pool{i}"),
        op: IntOp::MaxPool { window },
        inputs: vec![TensorId(i)],
        output: TensorId(i + 1),
    };
    IntNetwork {
        name: "pools".into(),
        tensors: (0..=LAYERS).map(tensor).collect(),
        nodes: (0..LAYERS).map(node).collect(),
        input: TensorId(0),
        output: TensorId(LAYERS),
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        output_channels: Vec::new(),
        input_is_pixels: false,
        tail: None,
    }
}

/// The layers at once, and in a chain; and the chain.
fn plans(network: &IntNetwork) -> ([MemoryPlan; 2], Chain) {
    let shape = network.tensors[0].shape;
    let rows = |node: &IntNode| RowNode {
        layer: network.layer_shape(node),
        implementation: Implementation::Whole,
        inputs: node.inputs.clone(),
        output: node.output,
    };
    let nodes: Vec<RowNode> = network.nodes.iter().map(rows).collect();
    let chain = Chain::of(&nodes, 0, |tensor| tensor == network.output, None);
    let bytes = tensor_bytes(shape, BitWidth::B8);
    let state = bytes * network.tensors.len();
    let layers = MemoryPlan {
        arena_bytes: state + chain.state_bytes(),
        lower_bound: 0,
        cut_short: false,
        tensors: (0..network.tensors.len()).map(|tensor| tensor * bytes).collect(),
        scratch: vec![None; LAYERS],
        segments: (0..LAYERS).map(|node| PlannedSegment::Layer(NodeId(node))).collect(),
        at_once: vec![shape.h; LAYERS],
        input: InputRows::Image,
        scheduling: Scheduling::Layers,
        peak: NodeId(0),
        alive: vec![0; LAYERS],
        implementations: vec![Implementation::Whole; LAYERS],
    };
    let segments = vec![PlannedSegment::Chain { chain: chain.clone(), state }];
    let rolling = MemoryPlan { segments, scheduling: Scheduling::Auto, ..layers.clone() };
    ([layers, rolling], chain)
}

/// Instructions that the chain of pools takes more than the pools at once; its steps and the bytes that it moves.
fn more(shape: Shape, kernel: usize, runner: Runner, core: &CoreCosts) -> Result<(f64, f64, f64), String> {
    let network = pools(shape, kernel);
    let (plans, chain) = plans(&network);
    let count = |plan: &MemoryPlan| {
        let result = counted::run_network(&network, plan, 0, runner, core)?;
        result.instructions.ok_or_else(|| format!("{}: {}", result.runner, result.status))
    };
    let [layers, rolling] = [count(&plans[0])?, count(&plans[1])?];
    let moved: usize = chain.moved_rows.iter().map(|rows| rows * shape.w * shape.c).sum();
    Ok((rolling as f64 - layers as f64, chain.steps as f64, moved as f64))
}

/// Of a step, the calls of kernels counted with it, from rows of which none is moved; of a byte from rows of which all are.
pub(super) fn measured(runner: Runner, core: &CoreCosts) -> Result<RollingInstructions, String> {
    let (plain, steps, _) = more(Shape::new(16, 1, 4), 1, runner, core)?;
    let (narrow, narrow_steps, narrow_moved) = more(Shape::new(16, 1, 64), 3, runner, core)?;
    let (wide, wide_steps, wide_moved) = more(Shape::new(16, 8, 64), 3, runner, core)?;
    let moved_byte =
        (wide / wide_steps - narrow / narrow_steps) / (wide_moved / wide_steps - narrow_moved / narrow_steps);
    // A window's rows are there at once or not: the chain of windows asks more often than that of single rows.
    let step = ((narrow - narrow_moved * moved_byte) / narrow_steps).max(plain / steps);
    Ok(RollingInstructions { step: step.max(0.0), moved_byte: moved_byte.max(0.0) })
}
