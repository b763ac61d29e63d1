//! Widths at random, cut until every limit holds: what a search has to beat.

use crate::enforce::enforce_or;
use crate::outcome::StopReason;
use crate::problem::Problem;
use crate::session::{Halt, Session};
use crate::widths::set_width;
use bitesize_ir::{BitWidth, Policy};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws in a row that bring nothing new, after which there is nothing more to try.
const DRAWS: usize = 1000;

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let mut rng = ChaCha8Rng::seed_from_u64(session.settings.seed);
    let mut draws = 0;
    while session.left() > 0 && draws < DRAWS {
        let policy = enforce_or(session.problem, any_policy(session.problem, &mut rng), fallback);
        draws = if session.try_new(&policy)?.is_some() { 0 } else { draws + 1 };
        if session.out_of_patience(0) {
            return Ok(StopReason::Patience);
        }
    }
    Ok(if draws < DRAWS { StopReason::Episodes } else { StopReason::Finished })
}

/// Every width drawn from those allowed.
pub(crate) fn any_policy(problem: &Problem, rng: &mut impl Rng) -> Policy {
    let mut policy = problem.uniform(BitWidth::B8);
    for (row, side) in problem.slots() {
        let allowed: Vec<BitWidth> = problem.allowed(row, side).iter().collect();
        set_width(&mut policy, row, side, allowed[rng.random_range(0..allowed.len())]);
    }
    policy
}
