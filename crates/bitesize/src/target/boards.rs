//! Which of the boards that are known would do.

use super::ways::{Asked, OnBoards};
use crate::observe::{Interrupted, Monitor};
use bitesize_search::Fitting;
use bitesize_search::problem::Problem;
use bitesize_verify::boards;

/// The boards on which some policy of the problem's network fits.
///
/// # Errors
/// [`Interrupted`].
pub fn boards_that_would_do(problem: &Problem, monitor: &Monitor) -> Result<Vec<String>, Interrupted> {
    let mut would_do = Vec::new();
    let mut on_boards = OnBoards::of(problem, Asked::default());
    for target in boards::all() {
        for problem in on_boards.on(&target) {
            if monitor.ask(|effort| Fitting::of(&problem, effort))?.is_some() {
                would_do.push(target.name.clone());
                break;
            }
        }
    }
    Ok(would_do)
}
