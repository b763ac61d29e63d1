//! What it takes that layers take turns: the same pools, computed at once and in a chain.

use crate::counted;
use crate::repeated::{layer_by_layer, repeated, row_nodes};
use bitesize_integer::{IntNetwork, IntOp};
use bitesize_ir::memory::{Chain, MemoryPlan, PlannedSegment, Scheduling, tensor_bytes};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::{CoreCosts, RollingInstructions};
use bitesize_ir::{BitWidth, Shape};
use bitesize_verify::Runner;

/// Layers of a chain: where a layer lacks rows the one before it is asked, so that a step takes more in longer ones.
const LAYERS: usize = 12;

/// Max pools of `kernel` by 1, one after the other, over an image of `shape`.
fn pools(shape: Shape, kernel: usize) -> IntNetwork {
    let window =
        Window { pads: Pads { top: kernel / 2, bottom: kernel / 2, ..Pads::default() }, ..Window::of([kernel, 1]) };
    repeated(&IntOp::MaxPool { window }, shape, LAYERS)
}

/// The layers at once, and in a chain; and the chain.
fn plans(network: &IntNetwork) -> ([MemoryPlan; 2], Chain) {
    let chain = Chain::of(&row_nodes(network), 0, |tensor| tensor == network.output, None);
    let bytes = tensor_bytes(network.tensors[0].shape, BitWidth::B8);
    let state = bytes * network.tensors.len();
    let offsets = (0..network.tensors.len()).map(|tensor| tensor * bytes).collect();
    let layers = layer_by_layer(network, offsets, state + chain.state_bytes());
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
