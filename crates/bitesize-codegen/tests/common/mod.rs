//! Networks drawn at random, and packages of them compiled and run.

#![allow(dead_code)] // each test binary uses its part

pub(crate) mod compiler;
pub(crate) mod networks;
pub(crate) mod plans;

use bitesize_ir::code::{KernelKey, Stage};
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::{CoreCosts, KernelCost, LayerCost, RowCosts};

/// Costs of no core, for tests that only need a plan: without rows, and with them.
pub(crate) fn both_costs() -> [CoreCosts; 2] {
    let whole = costs();
    let stage = KernelCost { code_bytes: 0, stack_bytes: 0 };
    let stages = Stage::all().into_iter().map(|key| (key.name(), stage)).collect();
    let rows = RowCosts { layers: whole.layers.clone(), stages };
    [whole.clone(), CoreCosts { rows: Some(rows), ..whole }]
}

/// Those without rows.
pub(crate) fn costs() -> CoreCosts {
    let layer = LayerCost { descriptor_bytes: 0, call_bytes: 0 };
    let kernel = KernelCost { code_bytes: 0, stack_bytes: 0 };
    CoreCosts {
        name: "none".into(),
        compiler: "none".into(),
        flags: Vec::new(),
        base_code_bytes: 0,
        base_stack_bytes: 0,
        layers: KernelKind::ALL.into_iter().map(|kind| (kind, layer)).collect(),
        kernels: KernelKey::all().into_iter().map(|key| (key.name(), kernel)).collect(),
        by_rows: true,
        rows: None,
        rolling: None,
        instructions: None,
        scheduling: Scheduling::Layers,
        input: InputRows::Image,
    }
}
