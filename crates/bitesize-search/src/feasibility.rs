//! What no policy can go below: the least FLASH, the least RAM, and whether both budgets can be kept together.
//!
//! *Least FLASH.* For given activation widths the least is exact: kernels are shared only by layers of one kind with
//! the same input and output width, so FLASH is a sum over such groups, and within a group one weight width is best
//! (a second one adds code, and a wider one adds weights). What remains is to choose the activations: uniform 8, 4
//! and 2 bits and those of the rules are tried, and improved one width at a time. Beside what was reached stands a
//! lower bound: all weights at 2 bits, and of each kind of kernel at least its cheapest that the fixed widths allow.
//!
//! *Least RAM.* The same search over activation widths, each with the weight widths whose kernels need the least
//! stack. Lower bound: the largest, over the nodes, of the bytes alive there with every free tensor at 2 bits (or
//! wider, where a wider input saves more scratch than it costs), and the shallowest stack that the fixed widths allow.
//!
//! *Both.* From the activations of the rules, the uniform ones and those of the least RAM, each with the weights of
//! least FLASH: the least FLASH among those that keep both budgets, or else one width at a time towards the least
//! excess. A budget below a lower bound is proved impossible; otherwise, where nothing fits, the answer is the policy
//! that comes nearest.

use crate::constraints::WidthSet;
use crate::problem::{Limits, Memory, Problem, Side, set_width, width};
use crate::rules::{cut_activations, first_largest};
use bitesize_ir::memory::{Widths, kernel_keys, scratch_bytes, tensor_bytes};
use bitesize_ir::size::format_size;
use bitesize_ir::target::KernelKey;
use bitesize_ir::{BitWidth, Policy, TensorId};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// The least of one kind of memory over all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Least {
    /// What `policy` takes.
    pub bytes: u64,
    /// No policy takes less than this; where it equals `bytes`, `policy` is proved best.
    pub lower_bound: u64,
    /// The policy that takes `bytes`.
    pub policy: Policy,
}

/// Whether both budgets can be kept together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This policy keeps both.
    Fits(Policy),
    /// Proved: a budget is below a lower bound.
    Impossible,
    /// No policy that keeps both was found, and none was proved not to exist.
    NotFound,
}

/// What the network needs at least, and what pins it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was asked for.
    pub limits: Limits,
    /// The least bytes of packed weights that the allowed widths give.
    pub least_weight_bytes: u64,
    /// The least FLASH, whatever the RAM.
    pub least_flash: Least,
    /// The least RAM, whatever the FLASH.
    pub least_ram: Least,
    /// Whether both budgets can be kept together.
    pub verdict: Verdict,
    /// Bytes of the fitting policy or, where there is none, of the policy that comes nearest: a budget that would do.
    pub would_do: Memory,
    /// What is alive at the peak of the policy of least RAM.
    pub peak: Peak,
}

/// What is alive when the most bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Name of the node that runs then.
    pub node: String,
    /// Bytes of its tensors and scratch, and of what waits for later nodes.
    pub alive_bytes: usize,
    /// Bytes of the node's scratch, part of `alive_bytes`.
    pub scratch_bytes: usize,
    /// The tensors alive, largest first.
    pub tensors: Vec<PeakTensor>,
}

/// A tensor alive at the peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeakTensor {
    /// Its name.
    pub name: String,
    /// Its packed bytes.
    pub bytes: usize,
    /// Its width.
    pub bits: BitWidth,
    /// Whether no policy can change the width.
    pub fixed: bool,
}

impl Diagnosis {
    /// Diagnoses `problem`; takes up to half a second for networks of 60 rows.
    pub fn of(problem: &Problem) -> Self {
        let least_flash = least_flash(problem);
        let least_ram = least_ram(problem);
        let (nearest, would_do) = nearest(problem, &least_ram.policy);
        let limits = problem.limits();
        let budget = limits.budget;
        let least_weight_bytes = problem.weight_bytes(&problem.uniform(BitWidth::B2));
        let verdict = if limits.hold(would_do) {
            Verdict::Fits(nearest)
        } else if budget.flash_bytes < least_flash.lower_bound
            || budget.ram_bytes < least_ram.lower_bound
            || limits.weight_bytes < least_weight_bytes
        {
            Verdict::Impossible
        } else {
            Verdict::NotFound
        };
        let peak = Peak::of(problem, &least_ram.policy);
        Self { limits, least_weight_bytes, least_flash, least_ram, verdict, would_do, peak }
    }

    /// Why nothing fits; `None` where a policy was found that does, which is mostly known sooner.
    pub fn of_misfit(problem: &Problem) -> Option<Self> {
        if !is_proved_impossible(problem) && least_flash_that_fits(problem, &starts(problem)).is_some() {
            return None;
        }
        Some(Self::of(problem)).filter(|diagnosis| diagnosis.fitting().is_none())
    }

    /// A policy that keeps both budgets, where one was found.
    pub fn fitting(&self) -> Option<&Policy> {
        match &self.verdict {
            Verdict::Fits(policy) => Some(policy),
            Verdict::Impossible | Verdict::NotFound => None,
        }
    }
}

impl Peak {
    /// The peak of `policy`.
    pub fn of(problem: &Problem, policy: &Policy) -> Self {
        let (network, widths) = (problem.network(), problem.widths(policy));
        let alive = problem.model().alive_bytes(&widths);
        let step = first_largest(&alive);
        let Some(node) = network.nodes.get(step) else {
            return Self { node: String::new(), alive_bytes: 0, scratch_bytes: 0, tensors: Vec::new() };
        };
        let tensor = |id: TensorId| PeakTensor {
            name: network.tensor(id).name.clone(),
            bytes: tensor_bytes(network.shape(id), widths.tensors[id.0]),
            bits: widths.tensors[id.0],
            fixed: problem.row_of(id).is_none(),
        };
        let mut tensors: Vec<PeakTensor> = problem.alive_at(step).map(tensor).collect();
        tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.bytes));
        let scratch_bytes = scratch_bytes(network, node, &widths);
        Self { node: node.name.clone(), alive_bytes: alive[step], scratch_bytes, tensors }
    }
}

/// A policy that keeps both budgets, wherever [`Diagnosis::fitting`] has one, in less time: for where all that
/// matters is whether there is one.
pub fn fitting_policy(problem: &Problem) -> Option<Policy> {
    if is_proved_impossible(problem) {
        return None;
    }
    least_flash_that_fits(problem, &starts(problem))
        .or_else(|| {
            Some(nearest(problem, &least_ram(problem).policy)).filter(|(_, memory)| problem.limits().hold(*memory))
        })
        .map(|(policy, _)| policy)
}

/// Whether a limit is below what any policy needs: where this is false there may be a policy all the same.
pub fn is_proved_impossible(problem: &Problem) -> bool {
    let Limits { budget, weight_bytes } = problem.limits();
    weight_bytes < problem.weight_bytes(&problem.uniform(BitWidth::B2))
        || budget.flash_bytes < flash_lower_bound(problem)
        || budget.ram_bytes < ram_lower_bound(problem)
}

/// `policy` with the weight widths of least FLASH for its activation widths (exact), the wider where it costs nothing.
pub fn with_weights_of_least_flash(problem: &Problem, policy: &Policy) -> Policy {
    with_best_weights(problem, policy, |key, packed| problem.model().kernel(key).code_bytes + packed)
}

/// `policy` with the weight widths whose kernels need the least stack, the wider where it costs nothing.
fn with_weights_of_least_stack(problem: &Problem, policy: &Policy) -> Policy {
    with_best_weights(problem, policy, |key, _| problem.model().kernel(key).stack_bytes)
}

/// `policy` with the narrowest weights that are allowed.
fn with_narrowest_weights(problem: &Problem, policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Weights) {
        set_width(&mut policy, row, side, problem.allowed(row, side).narrowest());
    }
    policy
}

/// Gives the rows of each group (kernels of one kind, input and output width) the weight widths of least `cost`
/// together, which is told a kernel and the packed bytes of the weights that it reads.
fn with_best_weights(problem: &Problem, policy: &Policy, cost: impl Fn(KernelKey, u64) -> u64) -> Policy {
    let (widths, rows) = (problem.widths(policy), &problem.space().rows);
    let node = |row: usize| problem.network().node(rows[row].node);
    let mut groups: BTreeMap<KernelKey, Vec<usize>> = BTreeMap::new();
    for row in (0..rows.len()).filter(|row| rows[*row].weights) {
        for key in kernel_keys(node(row), rows[row].node.0, &widths) {
            groups.entry(KernelKey { second: None, ..key }).or_default().push(row);
        }
    }
    let mut policy = policy.clone();
    for (key, members) in groups {
        let best = WidthSet::every().filter_map(|set| {
            let chosen: Option<Vec<BitWidth>> =
                members.iter().map(|row| problem.allowed(*row, Side::Weights).narrowest_in(set)).collect();
            let chosen = chosen?;
            let total = set.iter().filter(|bits| chosen.contains(bits)).map(|bits| {
                let own = members.iter().zip(&chosen).filter(|(_, width)| **width == bits);
                let packed = own.map(|(row, _)| problem.packed_bytes(*row, bits)).sum();
                cost(KernelKey { second: Some(bits), ..key }, packed)
            });
            Some((total.sum::<u64>(), chosen))
        });
        if let Some((_, chosen)) = best.min_by_key(|(total, _)| *total) {
            for (row, bits) in members.into_iter().zip(chosen) {
                set_width(&mut policy, row, Side::Weights, bits);
            }
        }
    }
    policy
}

/// Activation widths to start from: those of the rules, then uniform 8, 4 and 2 bits; weights at 2 bits.
fn starts(problem: &Problem) -> Vec<Policy> {
    let mut by_rules = problem.uniform(BitWidth::B8);
    cut_activations(problem, &mut by_rules);
    let uniform = BitWidth::ALL.into_iter().rev().map(|bits| problem.uniform(bits));
    std::iter::once(by_rules).chain(uniform).collect()
}

/// Improves `start` one activation width at a time, `complete` choosing the weights, until no single change lowers
/// `cost` or it is at most `enough`.
fn descend<C: PartialOrd>(
    problem: &Problem,
    start: &Policy,
    complete: impl Fn(&Problem, &Policy) -> Policy,
    cost: impl Fn(&Policy) -> C,
    enough: C,
) -> (C, Policy) {
    let mut best = complete(problem, start);
    let mut lowest = cost(&best);
    let mut improved = true;
    while improved && lowest > enough {
        improved = false;
        for row in 0..best.rows.len() {
            for bits in problem.allowed(row, Side::Activations).iter() {
                if width(&best, row, Side::Activations).is_none_or(|now| now == bits) {
                    continue;
                }
                let mut candidate = best.clone();
                set_width(&mut candidate, row, Side::Activations, bits);
                let candidate = complete(problem, &candidate);
                let value = cost(&candidate);
                if value < lowest {
                    (lowest, best, improved) = (value, candidate, true);
                }
            }
        }
    }
    (lowest, best)
}

/// The best of [`descend`] from each of `starts`, the first where several are.
fn descend_from(
    problem: &Problem,
    starts: &[Policy],
    complete: impl Fn(&Problem, &Policy) -> Policy,
    cost: impl Fn(&Policy) -> u64,
    lower_bound: u64,
) -> Least {
    let mut best: Option<(u64, Policy)> = None;
    for start in starts {
        if best.as_ref().is_some_and(|(bytes, _)| *bytes <= lower_bound) {
            break;
        }
        let (bytes, policy) = descend(problem, start, &complete, &cost, lower_bound);
        if best.as_ref().is_none_or(|(other, _)| bytes < *other) {
            best = Some((bytes, policy));
        }
    }
    let (bytes, policy) = best.expect("there is always a uniform policy to start from");
    Least { bytes, lower_bound, policy }
}

fn least_flash(problem: &Problem) -> Least {
    let cost = |policy: &Policy| problem.model().flash_bytes(&problem.widths(policy));
    let bound = flash_lower_bound(problem);
    descend_from(problem, &starts(problem), with_weights_of_least_flash, cost, bound)
}

fn least_ram(problem: &Problem) -> Least {
    let cost = |policy: &Policy| problem.model().ram_bytes(&problem.widths(policy));
    let bound = ram_lower_bound(problem);
    let mut starts = starts(problem);
    starts.reverse();
    descend_from(problem, &starts, with_weights_of_least_stack, cost, bound)
}

/// The widths that `tensor` may have.
fn tensor_widths(problem: &Problem, tensor: TensorId) -> WidthSet {
    problem.row_of(tensor).map_or(WidthSet::only(BitWidth::B8), |row| problem.allowed(row, Side::Activations))
}

/// The kernels that `node` might call under some policy.
fn possible_kernels(problem: &Problem, index: usize) -> Vec<KernelKey> {
    let node = &problem.network().nodes[index];
    let mut keys = Vec::new();
    let mut widths = problem.widths(&problem.uniform(BitWidth::B8));
    let choices = |tensor| tensor_widths(problem, tensor);
    let weights = problem.space().rows.iter().position(|row| row.node.0 == index && row.weights);
    let seconds = match (weights, node.inputs.get(1)) {
        (Some(row), _) => problem.allowed(row, Side::Weights),
        (None, Some(other)) => choices(*other),
        (None, None) => WidthSet::only(BitWidth::B8),
    };
    for input in choices(node.inputs[0]).iter() {
        let outputs = if node.op.passes_encoding_on() { WidthSet::only(input) } else { choices(node.output) };
        for output in outputs.iter() {
            for second in seconds.iter() {
                widths.tensors[node.inputs[0].0] = input;
                if let Some(other) = node.inputs.get(1).filter(|other| **other != node.inputs[0]) {
                    widths.tensors[other.0] = second;
                }
                widths.tensors[node.output.0] = output;
                widths.weights[index] = widths.weights[index].map(|_| second);
                keys.extend(kernel_keys(node, index, &widths));
            }
        }
    }
    keys
}

/// No policy takes less FLASH.
pub(crate) fn flash_lower_bound(problem: &Problem) -> u64 {
    let network = problem.network();
    let narrowest = problem.model().flash(&problem.widths(&problem.uniform(BitWidth::B2)));
    let layers: u64 = narrowest.layers.iter().map(|layer| layer.total()).sum();
    // Each kind needs at least one kernel, and that of its most demanding layer costs at least this.
    let mut cheapest = BTreeMap::new();
    for (index, node) in network.nodes.iter().enumerate() {
        let code = possible_kernels(problem, index).into_iter().map(|key| problem.model().kernel(key).code_bytes).min();
        if let (Some(kind), Some(code)) = (node.op.kernel_kind(), code) {
            let most = cheapest.entry(kind).or_insert(0);
            *most = code.max(*most);
        }
    }
    problem.model().base_code_bytes() + layers + cheapest.values().sum::<u64>()
}

fn ram_lower_bound(problem: &Problem) -> u64 {
    let network = problem.network();
    let narrowest = problem.widths(&problem.uniform(BitWidth::B2));
    let alive = problem.model().alive_bytes(&narrowest);
    let arena = (0..network.nodes.len()).map(|step| {
        let node = &network.nodes[step];
        let input = node.inputs[0];
        let of_input = |widths: &Widths| {
            tensor_bytes(network.shape(input), widths.tensors[input.0]) + scratch_bytes(network, node, widths)
        };
        let rest = alive[step] - of_input(&narrowest);
        let wider = tensor_widths(problem, input).iter().map(|bits| {
            let mut widths = narrowest.clone();
            widths.tensors[input.0] = bits;
            of_input(&widths)
        });
        rest + wider.min().unwrap_or(0)
    });
    arena.max().unwrap_or(0) as u64 + least_stack_bytes(problem)
}

/// No policy takes less stack.
pub(crate) fn least_stack_bytes(problem: &Problem) -> u64 {
    let stack = (0..problem.network().nodes.len()).filter_map(|i| {
        possible_kernels(problem, i).into_iter().map(|key| problem.model().kernel(key).stack_bytes).min()
    });
    problem.model().base_stack_bytes() + stack.max().unwrap_or(0)
}

/// Of `starts`, each with the weights of least FLASH, the one of least FLASH that keeps both budgets; and its bytes.
fn least_flash_that_fits(problem: &Problem, starts: &[Policy]) -> Option<(Policy, Memory)> {
    let completed =
        |start| [with_weights_of_least_flash, with_narrowest_weights].map(|complete| complete(problem, start));
    starts
        .iter()
        .flat_map(completed)
        .map(|policy| (problem.memory(&policy), policy))
        .filter(|(memory, _)| problem.limits().hold(*memory))
        .min_by_key(|(memory, _)| memory.flash_bytes)
        .map(|(memory, policy)| (policy, memory))
}

/// The policy of least FLASH among those that keep both budgets, or else the one that comes nearest; and its bytes.
fn nearest(problem: &Problem, of_least_ram: &Policy) -> (Policy, Memory) {
    let mut starts = starts(problem);
    starts.push(of_least_ram.clone());
    if let Some(found) = least_flash_that_fits(problem, &starts) {
        return found;
    }
    let excess = |policy: &Policy| problem.limits().excess(problem.memory(policy));
    let mut best: Option<(f64, Policy)> = None;
    for complete in [with_weights_of_least_flash, with_weights_of_least_stack, with_narrowest_weights] {
        let mut completed: Vec<Policy> = starts.iter().map(|start| complete(problem, start)).collect();
        // Tight budgets bring several starts to the same widths.
        let mut seen = HashSet::new();
        completed.retain(|policy| seen.insert(policy.clone()));
        for start in &completed {
            if best.as_ref().is_some_and(|(excess, _)| *excess == 0.0) {
                break;
            }
            let (value, policy) = descend(problem, start, complete, excess, 0.0);
            if best.as_ref().is_none_or(|(other, _)| value < *other) {
                best = Some((value, policy));
            }
        }
    }
    let (_, policy) = best.expect("there is always a uniform policy to start from");
    let memory = problem.memory(&policy);
    (policy, memory)
}

/// What is needed, beside what is given; what pins the peak.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |least: &Least| {
            let proof = if least.bytes == least.lower_bound {
                "proved".to_owned()
            } else {
                format!("no policy goes below {}", format_size(least.lower_bound))
            };
            format!("{} ({proof})", format_size(least.bytes))
        };
        let limit = |bytes| if bytes == u64::MAX { "without limit".to_owned() } else { format_size(bytes) };
        let Limits { budget, weight_bytes } = self.limits;
        writeln!(f, "budget       FLASH {}, RAM {}", limit(budget.flash_bytes), limit(budget.ram_bytes))?;
        if weight_bytes != u64::MAX {
            let least = format_size(self.least_weight_bytes);
            writeln!(f, "weights      at most {}, the least is {least} (proved)", limit(weight_bytes))?;
        }
        writeln!(f, "least FLASH  {}", line(&self.least_flash))?;
        writeln!(f, "least RAM    {}", line(&self.least_ram))?;
        let verdict = match self.verdict {
            Verdict::Fits(_) => "fits with",
            Verdict::Impossible => "does not fit; this would do:",
            Verdict::NotFound => "no policy found that fits; this would do:",
        };
        let Memory { flash_bytes, ram_bytes, .. } = self.would_do;
        writeln!(f, "together     {verdict} FLASH {}, RAM {}", format_size(flash_bytes), format_size(ram_bytes))?;
        write!(f, "{}", self.peak)
    }
}

/// The node, then one line a tensor.
impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peak of RAM  {} B of tensors and scratch during `{}`", self.alive_bytes, self.node)?;
        for tensor in &self.tensors {
            let fixed = if tensor.fixed { ", fixed" } else { "" };
            write!(f, "\n  {:<24} {:>9} B at {} bits{fixed}", tensor.name, tensor.bytes, tensor.bits)?;
        }
        if self.scratch_bytes > 0 {
            write!(f, "\n  {:<24} {:>9} B", "(scratch)", self.scratch_bytes)?;
        }
        Ok(())
    }
}
