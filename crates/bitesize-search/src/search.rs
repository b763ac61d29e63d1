//! Runs a strategy on a problem that some policy fits.

use crate::evaluate::EvaluationError;
use crate::feasibility::Fitting;
use crate::memo::Memo;
use crate::outcome::{Outcome, StopReason};
use crate::problem::Problem;
use crate::session::{Halt, OnRecord, Session};
use crate::settings::SearchSettings;
use crate::strategies::{ddpg, evolution, exact, greedy, random, rules};
use crate::strategy::Strategy;
use bitesize_ir::BitWidth;

/// Searches `problem`, which `fitting` was found for, with `strategy`.
///
/// Where uniform 8 bits keeps every limit it is the answer of every strategy, evaluated once. The same problem,
/// settings and rewards give the same records and the same outcome, whatever `rewards` knows beforehand.
///
/// # Errors
/// The message of an evaluation that failed.
pub fn search(
    problem: &Problem,
    fitting: &Fitting,
    strategy: Strategy,
    settings: &SearchSettings,
    rewards: &mut Memo,
    on_record: &mut OnRecord,
) -> Result<Outcome, EvaluationError> {
    let mut session = Session::new(problem, settings, rewards, on_record);
    let fallback = fitting.policy();
    let ended = if fitting.uniform_fits() {
        session.episode(&problem.uniform(BitWidth::B8)).map(|_| StopReason::UniformFits)
    } else {
        match strategy {
            Strategy::Rules => rules::run(&mut session, fallback),
            Strategy::Ddpg => ddpg::run(&mut session, fallback),
            Strategy::Exact => exact::run(&mut session, fallback),
            Strategy::Greedy => greedy::run(&mut session, fallback),
            Strategy::Random => random::run(&mut session, fallback),
            Strategy::Evolution => evolution::run(&mut session, fallback, false),
            Strategy::Auto => evolution::run(&mut session, fallback, true),
        }
    };
    match ended {
        Ok(reason) | Err(Halt::Stopped(reason)) => Ok(session.end(reason)),
        Err(Halt::Failed(error)) => Err(error),
    }
}
