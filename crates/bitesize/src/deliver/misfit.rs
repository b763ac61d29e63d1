//! "Does not fit" as an answer: why nothing does, or the policy given does not, and what would do.

use crate::observe::{Interrupted, Monitor};
use crate::target::boards_that_would_do;
use bitesize_ir::Policy;
use bitesize_ir::size::{format_millions, format_size};
use bitesize_search::problem::{Footprint, Problem};
use bitesize_search::{Diagnosis, Feasibility};
use std::fmt;

/// Why there is nothing to deliver.
pub struct Misfit {
    /// What the network needs at least, and what pins it there.
    pub diagnosis: Box<Diagnosis>,
    /// The policy that was given, with its bytes; `None` where any could have been chosen.
    pub given: Option<(Policy, Footprint)>,
    /// The boards on which some policy fits.
    pub boards: Vec<String>,
}

impl Misfit {
    /// Why no policy fits.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn of_all(problem: &Problem, diagnosis: Box<Diagnosis>, monitor: &Monitor) -> Result<Self, Interrupted> {
        Ok(Self { diagnosis, given: None, boards: boards_that_would_do(problem, monitor)? })
    }

    /// Why `policy` does not fit; `None` where it does.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn of_given(problem: &Problem, policy: &Policy, monitor: &Monitor) -> Result<Option<Self>, Interrupted> {
        Ok(match monitor.ask(|effort| Feasibility::of_policy(problem, policy, effort))? {
            Feasibility::Fits(_) => None,
            Feasibility::DoesNotFit(diagnosis) => {
                let given = Some((policy.clone(), problem.footprint(policy)));
                Some(Self { diagnosis, given, boards: boards_that_would_do(problem, monitor)? })
            }
        })
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.given.is_some() { "the given policy does not fit" } else { "no policy was found that fits" };
        writeln!(f, "does not fit: {what} the budget.\n{}", self.diagnosis)?;
        if let Some((_, footprint)) = &self.given {
            let [flash, ram] = [footprint.flash_bytes, footprint.ram_bytes].map(format_size);
            write!(f, "the given policy takes FLASH {flash}, RAM {ram}")?;
            match footprint.instructions {
                0 => writeln!(f)?,
                count => writeln!(f, ", {} instructions", format_millions(count))?,
            }
        }
        let boards = if self.boards.is_empty() { "none of those known".to_owned() } else { self.boards.join(", ") };
        write!(f, "boards that would do: {boards}")
    }
}
