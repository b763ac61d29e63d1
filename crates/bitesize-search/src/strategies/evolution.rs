//! A population of policies: parents of high reward, children by crossing and mutating them, each brought under the
//! limits and then widened until the slack is used up. No policy is evaluated twice.
//!
//! `auto` takes a part of its children from steps: one width changed by a level, and others only to make room for it or to
//! use the room that it leaves. Crossing and widening move many widths at once and pass such neighbours over. It also lets
//! what was evaluated correct the costs ([`crate::surrogate`]), and evaluates the optimum of their sum again and again.

use crate::additive::solve;
use crate::costs::Costs;
use crate::draft::Draft;
use crate::enforce::enforce_or;
use crate::outcome::StopReason;
use crate::problem::Problem;
use crate::rules::cut_by_rules;
use crate::session::{Halt, Session};
use crate::strategies::exact;
use crate::strategies::random::any_policy;
use crate::surrogate::Surrogate;
use crate::widths::{Side, set_width, width};
use bitesize_ir::{BitWidth, Policy};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Policies that may become parents.
const POPULATION: usize = 24;

/// Children in a row that are nothing new, after which there is nothing more to try.
const DRAWS: usize = 1000;

/// After each so many children in a row that are nothing new up to one more width is changed.
const TIRED: usize = 20;

/// Of up to so many steps the one that the costs find best is evaluated; of one now and then, since the costs err.
const TOURNAMENT: usize = 8;

/// After each so many evaluations the optimum of the corrected costs is sought anew.
const SOLVE: usize = 25;

/// The share of steps among the guided children.
const STEPS: f64 = 0.5;

/// Runs the strategy: what `exact` evaluates, the rules' policy, and children until nothing is left. `fallback` keeps every
/// limit. Where the search is `guided`, evaluations correct the costs and, once the population is full, children are steps
/// from a parent too and, now and then, the optimum of the costs.
pub(crate) fn run(session: &mut Session, fallback: &Policy, guided: bool) -> Result<StopReason, Halt> {
    let mut surrogate = Surrogate::new(session.problem, exact::start(session, fallback)?);
    let problem = session.problem;
    let mut rng = ChaCha8Rng::seed_from_u64(session.settings.seed);
    let mut population = Population::default();
    session.ranked().into_iter().for_each(|episode| population.join(episode.reward, episode.policy.clone()));
    if let Some(policy) = cut_by_rules(problem).map(|policy| fill(problem, surrogate.costs(), policy, &[], &mut rng))
        && let Some(reward) = session.try_new(&policy)?
    {
        population.join(reward, policy);
    }
    let mut counters = Counters::default();
    while session.left() > 0 && counters.draws < DRAWS {
        if session.out_of_patience(0) {
            return Ok(StopReason::Patience);
        }
        if guided {
            let new = &session.episodes()[counters.learned..];
            new.iter().for_each(|episode| surrogate.learn(&episode.policy, episode.loss));
            counters.learned = session.episodes().len();
        }
        let costs = surrogate.costs();
        let lost = session.knows_nothing();
        let guided = guided && !lost && population.is_full();
        let promising = if guided && session.episodes().len() >= counters.solve_at {
            counters.solve_at = session.episodes().len() + SOLVE;
            optimum(session, costs, &mut rng)
        } else if guided && rng.random_bool(STEPS) {
            promising_step(session, costs, &population, &mut rng)
        } else {
            None
        };
        let child = match promising {
            Some(child) => child,
            None if lost && counters.strays < POPULATION => {
                counters.strays += 1;
                enforce_or(problem, any_policy(problem, &mut rng), fallback)
            }
            None => {
                let child = enforce_or(problem, child(problem, &population, counters.draws, &mut rng), fallback);
                if lost { child } else { fill(problem, costs, child, &[], &mut rng) }
            }
        };
        counters.draws += 1;
        if let Some(reward) = session.try_new(&child)? {
            counters.draws = 0;
            population.join(reward, child);
        }
    }
    Ok(if counters.draws < DRAWS { StopReason::Episodes } else { StopReason::Finished })
}

/// How far a run is.
#[derive(Default)]
struct Counters {
    /// Children in a row that were nothing new.
    draws: usize,
    /// Policies at random, tried while nothing is known.
    strays: usize,
    /// Episodes that the costs have learned from.
    learned: usize,
    /// The number of episodes at which the optimum of the costs is sought anew.
    solve_at: usize,
}

/// Policies with their rewards, at most [`POPULATION`], best first.
#[derive(Default)]
struct Population {
    members: Vec<(f64, Policy)>,
}

impl Population {
    /// Takes in `policy`, after those of the same reward; the last of too many goes.
    fn join(&mut self, reward: f64, policy: Policy) {
        let place = self.members.partition_point(|(other, _)| *other >= reward);
        self.members.insert(place, (reward, policy));
        self.members.truncate(POPULATION);
    }

    fn is_full(&self) -> bool {
        self.members.len() == POPULATION
    }

    /// One of them, of which there must be one, the better the more often.
    fn parent(&self, rng: &mut impl Rng) -> &Policy {
        // The product of two uniform numbers favours the front.
        let place = rng.random_range(0.0..1.0f64) * rng.random_range(0.0..1.0);
        &self.members[(place * self.members.len() as f64) as usize].1
    }
}

/// A policy that was not met before: the optimum of the sum of costs or, where that was met, of costs that are all changed a
/// little. `None` where that was met too.
fn optimum(session: &Session, costs: &Costs, rng: &mut impl Rng) -> Option<Policy> {
    let best = |costs: &Costs| solve(session.problem, costs, 1).policies.into_iter().map(|(_, policy)| policy).next();
    let new = |policy: &Policy| !session.has_met(policy);
    best(costs).filter(new).or_else(|| best(&costs.map(|cost| cost * rng.random_range(0.7..1.4))).filter(new))
}

/// Of one to [`TOURNAMENT`] steps from parents the one of the least sum of costs, if there is any.
fn promising_step(session: &Session, costs: &Costs, population: &Population, rng: &mut impl Rng) -> Option<Policy> {
    let steps: Vec<Policy> = (0..rng.random_range(1..=TOURNAMENT))
        .filter_map(|_| step(session, costs, population.parent(rng), rng))
        .collect();
    let sum = |policy: &Policy| costs.total(session.problem, policy);
    steps.into_iter().min_by(|a, b| sum(a).total_cmp(&sum(b)))
}

/// A policy that fits and was not met before: `policy` with one width changed by a level, and the slack left as it is or
/// filled by others; where it passes a limit, another makes room for it. `None` if there is none.
fn step(session: &Session, costs: &Costs, policy: &Policy, rng: &mut impl Rng) -> Option<Policy> {
    let problem = session.problem;
    let (mut narrower, mut steps) = (Vec::new(), Vec::new());
    for (row, side) in problem.slots() {
        let Some(now) = width(policy, row, side) else { continue };
        let allowed = problem.allowed(row, side);
        narrower.extend(allowed.below(now).map(|bits| (row, side, bits)));
        steps.extend(allowed.iter().find(|bits| *bits > now).map(|bits| (row, side, bits)));
    }
    steps.extend(&narrower);
    // What makes room: narrower widths for bytes, and where instructions are limited, wider ones too.
    let others = if problem.limits().instructions.is_some() { steps.clone() } else { narrower };
    let mut draft = Draft::of(problem, policy.clone());
    let mut kept: Vec<(usize, Side)> = Vec::new();
    while !steps.is_empty() {
        for (row, side) in kept.drain(..) {
            let before = width(policy, row, side);
            before.into_iter().for_each(|bits| draft.set(row, side, bits));
        }
        let (row, side, bits) = steps.swap_remove(rng.random_range(0..steps.len()));
        draft.set(row, side, bits);
        kept.push((row, side));
        if !draft.fits() && !others.is_empty() {
            let (row, side, bits) = others[rng.random_range(0..others.len())];
            if kept.contains(&(row, side)) {
                continue;
            }
            draft.set(row, side, bits);
            kept.push((row, side));
        }
        if !draft.fits() {
            continue;
        }
        let mut step = draft.policy().clone();
        if kept.len() > 1 || rng.random_bool(0.5) {
            step = fill(problem, costs, step, &kept, rng);
        }
        if !session.has_met(&step) {
            return Some(step);
        }
    }
    None
}

/// Of two parents, the better the more often, row by row; then one to three widths changed, up to one more for each
/// [`TIRED`] of `draws` children in a row that were nothing new. `population` is not empty.
fn child(problem: &Problem, population: &Population, draws: usize, rng: &mut impl Rng) -> Policy {
    let (mut child, other) = (population.parent(rng).clone(), population.parent(rng));
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

/// Widens what the limits leave room for, except `kept`, most often what promises the most for its bytes.
fn fill(problem: &Problem, costs: &Costs, policy: Policy, kept: &[(usize, Side)], rng: &mut impl Rng) -> Policy {
    let mut open: Vec<(f64, usize, Side)> = Vec::new();
    for (row, side) in problem.slots().filter(|slot| !kept.contains(slot)) {
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
    let mut draft = Draft::of(problem, policy);
    for (_, row, side) in open {
        let Some(now) = width(draft.policy(), row, side) else { continue };
        let wider = problem.allowed(row, side).iter().rev().filter(|bits| *bits > now);
        let fitting = wider.into_iter().find(|wider| {
            draft.set(row, side, *wider);
            draft.fits()
        });
        if fitting.is_none() {
            draft.set(row, side, now);
        }
    }
    draft.into_policy()
}
