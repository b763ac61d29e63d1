//! The rule-based cut: one policy, no search.

use crate::outcome::StopReason;
use crate::rules::cut_by_rules;
use crate::session::{Halt, Session};
use bitesize_ir::Policy;

/// Runs the strategy. `fallback` keeps every limit, for where the cut gets stuck.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let policy = cut_by_rules(session.problem).unwrap_or_else(|| fallback.clone());
    session.episode(&policy)?;
    Ok(StopReason::Finished)
}
