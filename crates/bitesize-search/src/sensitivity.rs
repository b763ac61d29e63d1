//! What single widths cost, measured: the loss with one width changed and all others as they are, less the loss before.

use crate::costs::Costs;
use crate::problem::Problem;
use crate::session::{Halt, Session};
use crate::widths::{Side, set_width, width};
use bitesize_ir::memory::Moment;
use bitesize_ir::target::holds;
use bitesize_ir::{BitWidth, TensorId};

/// What narrowing by one level costs at least, in nats: far less than chance, so that bytes are not saved for nothing.
const LEAST: f64 = 1e-6;

/// The cost of 2 bits is at most so many times that of 4: the middle of the 25 to 60 times by which the squared rounding
/// error grows, so that a 4-bit probe that met luck is brought back to what is usual.
const NARROWER: f64 = 40.0;

/// Networks of so few widths are measured whole.
const FEW: usize = 16;

/// Probes what is narrower than the widest allowed widths, each alone. Activation widths that `considered` does not name
/// stay as they are.
pub(crate) fn probed_costs(session: &mut Session, considered: &[bool]) -> Result<Costs, Halt> {
    let problem = session.problem;
    let widest = problem.uniform(BitWidth::B8);
    let base = session.probe(&widest)?;
    let mut costs = Costs::new(problem.space().rows.len());
    for (row, side) in problem.slots() {
        let Some(now) = width(&widest, row, side) else { continue };
        costs.set(row, side, now, 0.0);
        if side == Side::Activations && !considered[row] {
            continue;
        }
        let mut before = 0.0f64;
        for bits in problem.allowed(row, side).iter().rev().filter(|bits| *bits < now) {
            let mut changed = widest.clone();
            set_width(&mut changed, row, side, bits);
            // A narrower width never costs less than a wider one.
            before = (session.probe(&changed)? - base).max(before + LEAST);
            costs.set(row, side, bits, before);
        }
        // A probe that finds 4 bits as good as 8 has met chance.
        let [two, four] = [BitWidth::B2, BitWidth::B4].map(|bits| costs.get(row, side, bits));
        if now == BitWidth::B8 && two.is_finite() && four.is_finite() {
            costs.set(row, side, BitWidth::B4, four.max(two / NARROWER));
        }
    }
    Ok(costs)
}

/// Rows whose activations may have to be cut: for RAM those alive while more is than the budget holds, at the widest
/// widths; where these take too many instructions, those whose narrower widths take fewer. All in small networks.
pub(crate) fn pressing(problem: &Problem) -> Vec<bool> {
    let rows = problem.space().rows.len();
    if problem.space().choices() <= FEW {
        return vec![true; rows];
    }
    let widths = problem.widths(&problem.uniform(BitWidth::B8));
    // Narrower inputs need scratch and deeper stacks: steps near the budget count too.
    let limit = problem.budget().ram_bytes.map(|limit| limit / 100 * 97);
    let mut pressing = vec![false; rows];
    if let Some((Moment { timeline, .. }, _)) = problem.model().peak(&widths) {
        let alive = problem.model().alive_bytes(timeline, &widths);
        let stack = problem.model().stack_bytes(timeline, problem.model().deepest_stack_bytes(&widths));
        for (at, _) in alive.iter().enumerate().filter(|(_, bytes)| !holds(limit, **bytes as u64 + stack)) {
            problem.rows_alive_at(Moment { timeline, at }).for_each(|row| pressing[row] = true);
        }
    }
    if !problem.instructions_fit(&problem.uniform(BitWidth::B8)) {
        for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Activations) {
            pressing[row] |= problem.allowed(row, side).iter().any(|bits| saves_instructions(problem, row, bits));
        }
    }
    pressing
}

/// Whether some node takes fewer instructions where the activations of `row` have `bits`, and its other tensors the widest
/// widths or that one too.
fn saves_instructions(problem: &Problem, row: usize, bits: BitWidth) -> bool {
    let mut widths = problem.widths(&problem.uniform(BitWidth::B8));
    problem.nodes_beside(row).iter().any(|id| {
        let node = problem.network().node(*id);
        let tensors: Vec<TensorId> = node.inputs.iter().chain([&node.output]).copied().collect();
        let mut count = |bits_of: &dyn Fn(TensorId) -> BitWidth| {
            tensors.iter().for_each(|tensor| widths.tensors[tensor.0] = bits_of(*tensor));
            problem.least_instructions_of(*id, &mut widths)
        };
        let widest = |tensor: TensorId| problem.allowed_of_tensor(tensor).widest();
        let alone = |tensor: TensorId| if problem.row_of(tensor) == Some(row) { bits } else { widest(tensor) };
        let all = |tensor: TensorId| problem.allowed_of_tensor(tensor).at_most(bits);
        let before = count(&widest);
        count(&alone).min(count(&all)) < before
    })
}
