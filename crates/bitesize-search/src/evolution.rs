//! A population of policies: parents of high reward, children by crossing and mutating them, each brought under the
//! limits and then widened until the slack is used up. No policy is evaluated twice.

use crate::additive::Costs;
use crate::enforce::enforce;
use crate::exact;
use crate::problem::{Problem, Side, set_width, width};
use crate::random::any_policy;
use crate::rules::cut_by_rules;
use crate::search::{Halt, Session, StopReason};
use bitesize_ir::{BitWidth, Policy};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Policies that may become parents.
const POPULATION: usize = 24;

/// Children in a row that are nothing new, after which there is nothing more to try.
const DRAWS: usize = 1000;

/// After each so many of them one more width is changed.
const TIRED: usize = 20;

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let mut seen = HashSet::new();
    let costs = exact::start(session, fallback, &mut seen)?;
    let start = session.leaders().to_vec();
    breed(session, fallback, &costs, start, &mut seen, 0.0)
}

/// Goes on from `start` (rewards and policies) and the rules' policy until nothing is left. A share `steps`, in 0..=1, of
/// the children differs from a parent by one width, and its slack is left as it is.
pub(crate) fn breed(
    session: &mut Session,
    fallback: &Policy,
    costs: &Costs,
    start: Vec<(f64, Policy)>,
    seen: &mut HashSet<Policy>,
    steps: f64,
) -> Result<StopReason, Halt> {
    let problem = session.problem;
    let mut rng = ChaCha8Rng::seed_from_u64(session.settings.seed);
    let mut population: Vec<(f64, Policy)> = Vec::new();
    let join = |population: &mut Vec<(f64, Policy)>, reward: f64, policy: Policy| {
        let place = population.partition_point(|(other, _)| *other >= reward);
        population.insert(place, (reward, policy));
        population.truncate(POPULATION);
    };
    start.into_iter().for_each(|(reward, policy)| join(&mut population, reward, policy));
    if let Some(policy) = cut_by_rules(problem).map(|policy| fill(problem, costs, policy, &mut rng))
        && let Some(reward) = session.try_new(seen, &policy)?
    {
        join(&mut population, reward, policy);
    }
    let mut draws = 0;
    while session.left() > 0 && draws < DRAWS {
        if session.out_of_patience(0) {
            return Ok(StopReason::Patience);
        }
        let step = match steps > 0.0 && !population.is_empty() && rng.random_bool(steps) {
            true => step(problem, parent(&population, &mut rng), seen, &mut rng),
            false => None,
        };
        let child = match step {
            Some(step) => step,
            None => {
                let child = child(problem, &population, draws, &mut rng);
                let Some(child) = enforce(problem, child, Some(fallback)) else { continue };
                fill(problem, costs, child, &mut rng)
            }
        };
        draws += 1;
        if let Some(reward) = session.try_new(seen, &child)? {
            draws = 0;
            join(&mut population, reward, child);
        }
    }
    Ok(if draws < DRAWS { StopReason::Episodes } else { StopReason::Finished })
}

/// One of `population`, which is not empty, the better the more often.
fn parent<'p>(population: &'p [(f64, Policy)], rng: &mut impl Rng) -> &'p Policy {
    // The product of two uniform numbers favours the front.
    let place = rng.random_range(0.0..1.0f64) * rng.random_range(0.0..1.0);
    &population[(place * population.len() as f64) as usize].1
}

/// A policy that fits, is not in `seen`, and differs from `policy` by one level of one width, if there is any.
fn step(problem: &Problem, policy: &Policy, seen: &HashSet<Policy>, rng: &mut impl Rng) -> Option<Policy> {
    let mut steps = Vec::new();
    for (row, side) in problem.slots() {
        let Some(now) = width(policy, row, side) else { continue };
        let allowed = problem.allowed(row, side);
        for bits in allowed.iter().find(|bits| *bits > now).into_iter().chain(allowed.below(now)) {
            let mut step = policy.clone();
            set_width(&mut step, row, side, bits);
            if !seen.contains(&step) && problem.fits(&step) {
                steps.push(step);
            }
        }
    }
    let chosen = (!steps.is_empty()).then(|| rng.random_range(0..steps.len()))?;
    Some(steps.swap_remove(chosen))
}

/// Of two parents, the better the more often, row by row; then one to three widths changed, more where `draws` children
/// in a row were nothing new.
fn child(problem: &Problem, population: &[(f64, Policy)], draws: usize, rng: &mut impl Rng) -> Policy {
    if population.is_empty() {
        return any_policy(problem, rng);
    }
    let (mut child, other) = (parent(population, rng).clone(), parent(population, rng));
    if rng.random_bool(0.5) {
        for (row, of_other) in child.rows.iter_mut().zip(&other.rows) {
            if rng.random_bool(0.5) {
                row.clone_from(of_other);
            }
        }
    }
    let slots: Vec<(usize, Side)> =
        problem.slots().filter(|(row, side)| problem.allowed(*row, *side).len() > 1).collect();
    for _ in 0..rng.random_range(1..=3 + draws / TIRED) {
        if slots.is_empty() {
            break;
        }
        let (row, side) = slots[rng.random_range(0..slots.len())];
        let Some(now) = width(&child, row, side) else { continue };
        let others: Vec<BitWidth> = problem.allowed(row, side).iter().filter(|bits| *bits != now).collect();
        set_width(&mut child, row, side, others[rng.random_range(0..others.len())]);
    }
    child
}

/// Widens what the limits leave room for, most often what promises the most for its bytes.
pub(crate) fn fill(problem: &Problem, costs: &Costs, mut policy: Policy, rng: &mut impl Rng) -> Policy {
    let mut open: Vec<(f64, usize, Side)> = Vec::new();
    for (row, side) in problem.slots() {
        let Some(now) = width(&policy, row, side) else { continue };
        if let Some(wider) = problem.allowed(row, side).iter().find(|bits| *bits > now) {
            let gain = costs.get(row, side, now) - costs.get(row, side, wider);
            let bytes = match side {
                Side::Weights => problem.packed_bytes(row, wider) - problem.packed_bytes(row, now),
                Side::Activations => 1,
            };
            let price = if gain.is_finite() { gain / bytes.max(1) as f64 } else { 0.0 };
            open.push((price * rng.random_range(0.3..1.0), row, side));
        }
    }
    open.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, row, side) in open {
        let Some(now) = width(&policy, row, side) else { continue };
        for wider in problem.allowed(row, side).iter().rev().filter(|bits| *bits > now) {
            let mut wide = policy.clone();
            set_width(&mut wide, row, side, wider);
            if problem.fits(&wide) {
                policy = wide;
                break;
            }
        }
    }
    policy
}
