//! Which of the boards that are known would do.

use bitesize_ir::target::Target;
use bitesize_search::Fitting;
use bitesize_search::problem::Problem;
use bitesize_verify::boards;

/// The boards on which some policy of the problem's network fits.
pub fn boards_that_would_do(problem: &Problem) -> Vec<String> {
    let fits = |target: &Target| {
        let Some(core) = boards::core(&target.core) else { return false };
        Fitting::of(&problem.on(&core, target.budget())).is_some()
    };
    boards::all().into_iter().filter(fits).map(|target| target.name).collect()
}
