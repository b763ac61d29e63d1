//! What no policy can go below, by proof.
//!
//! *FLASH.* All weights as narrow as they may be, and of each kind of kernel or stage at least its cheapest that the allowed
//! widths give.
//!
//! *RAM.* In each order in which the network may be computed, the largest, over its moments, of the bytes alive there with every tensor at the width that takes the least (a wider
//! input may save more scratch than it costs); of these the least, and the shallowest stack that the allowed widths give.
//!
//! *Instructions.* [`crate::instructions`].

use crate::instructions::instructions_lower_bound;
use crate::problem::{Limits, Problem};
use crate::widths::{Side, WidthSet};
use bitesize_ir::code::{Code, KernelKey, Role};
use bitesize_ir::memory::Widths;
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::{KernelCost, holds};
use bitesize_ir::{BitWidth, NodeId};
use std::collections::BTreeMap;

/// Whether a limit is below what any policy needs: where this is false there may be no policy all the same.
pub(crate) fn is_proved_impossible(problem: &Problem) -> bool {
    let Limits { budget, weight_bytes, instructions } = problem.limits();
    !holds(weight_bytes, least_weight_bytes(problem))
        || instructions.is_some_and(|limit| instructions_lower_bound(problem) > limit)
        || !budget.holds_flash(flash_lower_bound(problem))
        || !budget.holds_ram(ram_lower_bound(problem))
}

/// No policy has fewer bytes of packed weights, and one has as many.
pub(crate) fn least_weight_bytes(problem: &Problem) -> u64 {
    problem.weight_bytes(&problem.uniform(BitWidth::B2))
}

/// Which code each node might call.
struct PossibleCode<'p> {
    problem: &'p Problem<'p>,
    /// The widest that are allowed.
    widths: Widths,
}

impl<'p> PossibleCode<'p> {
    fn of(problem: &'p Problem<'p>) -> Self {
        Self { problem, widths: problem.widths(&problem.uniform(BitWidth::B8)) }
    }

    /// Code of which node `index` calls at least one piece of each role, whatever the policy.
    fn of_node(&mut self, index: usize) -> Vec<Code> {
        let problem = self.problem;
        let node = &problem.network().nodes[index];
        let mut keys = Vec::new();
        let choices = |tensor| problem.allowed_of_tensor(tensor);
        if node.op.kernel_kind() == Some(KernelKind::Concat) {
            // It calls one for each input, whatever the others are. That for the first is enough: there may be thousands.
            let key = |input, output| Code::Kernel(KernelKey { kind: KernelKind::Concat, input, second: None, output });
            let of_output = |output| choices(node.inputs[0]).iter().map(move |input| key(input, output));
            return choices(node.output).iter().flat_map(of_output).collect();
        }
        let seconds = match (problem.row_of_weights(NodeId(index)), node.inputs.get(1)) {
            (Some(row), _) => problem.allowed(row, Side::Weights),
            (None, Some(other)) => choices(*other),
            (None, None) => WidthSet::only(BitWidth::B8),
        };
        let touched = || node.inputs.iter().take(2).chain([&node.output]).map(|tensor| tensor.0);
        let before: Vec<BitWidth> = touched().map(|tensor| self.widths.tensors[tensor]).collect();
        for input in choices(node.inputs[0]).iter() {
            let outputs = if node.op.passes_encoding_on() { WidthSet::only(input) } else { choices(node.output) };
            for output in outputs.iter() {
                for second in seconds.iter() {
                    let widths = &mut self.widths;
                    widths.tensors[node.inputs[0].0] = input;
                    if let Some(other) = node.inputs.get(1).filter(|other| **other != node.inputs[0]) {
                        widths.tensors[other.0] = second;
                    }
                    widths.tensors[node.output.0] = output;
                    widths.weights[index] = widths.weights[index].map(|_| second);
                    keys.extend(problem.model().code_of(NodeId(index), widths));
                }
            }
        }
        touched().zip(before).for_each(|(tensor, bits)| self.widths.tensors[tensor] = bits);
        keys
    }

    /// For each role that node `index` has to fill, the least that `measure` gives for the code that might.
    fn least_by_role(&mut self, index: usize, measure: impl Fn(KernelCost) -> u64) -> BTreeMap<Role, u64> {
        let mut least = BTreeMap::new();
        for code in self.of_node(index) {
            let own = measure(self.problem.model().code(code));
            let of_role = least.entry(code.role()).or_insert(own);
            *of_role = own.min(*of_role);
        }
        least
    }
}

/// No policy takes less FLASH.
pub(crate) fn flash_lower_bound(problem: &Problem) -> u64 {
    let network = problem.network();
    let narrowest = problem.model().flash(&problem.widths(&problem.uniform(BitWidth::B2)));
    let layers: u64 = narrowest.layers.iter().map(|layer| layer.total()).sum();
    // Each role is filled at least once, and for its most demanding layer that costs at least this.
    let mut cheapest: BTreeMap<Role, u64> = BTreeMap::new();
    let mut possible = PossibleCode::of(problem);
    for index in 0..network.nodes.len() {
        for (role, code) in possible.least_by_role(index, |cost| cost.code_bytes) {
            let most = cheapest.entry(role).or_insert(0);
            *most = code.max(*most);
        }
    }
    problem.model().base_code_bytes() + layers + cheapest.values().sum::<u64>()
}

/// No policy takes less RAM.
pub(crate) fn ram_lower_bound(problem: &Problem) -> u64 {
    let model = problem.model();
    model.least_ram_bytes(|tensor| problem.allowed_of_tensor(tensor).iter(), least_deepest_stack_bytes(problem))
}

/// No policy has less stack of the entry point and the deepest kernel.
pub(crate) fn least_deepest_stack_bytes(problem: &Problem) -> u64 {
    let mut possible = PossibleCode::of(problem);
    let nodes = 0..problem.network().nodes.len();
    let stack = nodes.filter_map(|i| possible.least_by_role(i, |cost| cost.stack_bytes).into_values().max());
    problem.model().base_stack_bytes() + stack.max().unwrap_or(0)
}
