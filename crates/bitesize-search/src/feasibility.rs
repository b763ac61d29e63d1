//! Does it fit? Found out once for a problem, and handed on.
//!
//! A limit below a lower bound is proved to be impossible; otherwise, where no policy that fits is found, the answer is
//! the one that comes nearest. What is answered is a policy or a [`Diagnosis`], which is made only where it is one.

use crate::bounds::is_proved_impossible;
use crate::diagnosis::Diagnosis;
use crate::least::{Least, least_flash_that_fits, least_ram, nearest, starts};
use crate::problem::{Footprint, Problem};
use bitesize_ir::{BitWidth, Policy};

/// Whether a problem's limits can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feasibility {
    /// They can.
    Fits(Fitting),
    /// No policy was found that does, or the one that was given does not; and why.
    DoesNotFit(Box<Diagnosis>),
}

impl Feasibility {
    /// Whether some policy keeps all limits of `problem`.
    pub fn of(problem: &Problem) -> Self {
        match sought(problem) {
            Sought::Found(fitting) => Self::Fits(fitting),
            Sought::Impossible => Self::DoesNotFit(Box::new(Diagnosis::of(problem))),
            Sought::Missed { least_ram, nearest } => {
                Self::DoesNotFit(Box::new(Diagnosis::with(problem, least_ram, nearest)))
            }
        }
    }

    /// Whether `policy`, which was given, does.
    pub fn of_policy(problem: &Problem, policy: &Policy) -> Self {
        if problem.fits(policy) {
            let uniform_fits = problem.fits(&problem.uniform(BitWidth::B8));
            return Self::Fits(Fitting { policy: policy.clone(), uniform_fits });
        }
        Self::DoesNotFit(Box::new(Diagnosis::of(problem)))
    }
}

/// That a problem's limits can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitting {
    policy: Policy,
    uniform_fits: bool,
}

impl Fitting {
    /// As [`Feasibility::of`] finds it, in less time where nothing fits: for where nobody asks why.
    pub fn of(problem: &Problem) -> Option<Self> {
        match sought(problem) {
            Sought::Found(fitting) => Some(fitting),
            Sought::Impossible | Sought::Missed { .. } => None,
        }
    }

    /// A policy that keeps all limits.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether uniform 8 bits (or what is allowed instead) does, which then is the answer.
    pub fn uniform_fits(&self) -> bool {
        self.uniform_fits
    }
}

/// Whether some policy keeps all limits of `problem`; `None` where none was found and none was proved not to exist.
pub fn some_policy_fits(problem: &Problem) -> Option<bool> {
    match sought(problem) {
        Sought::Found(_) => Some(true),
        Sought::Impossible => Some(false),
        Sought::Missed { .. } => None,
    }
}

/// A policy that keeps all limits of `problem` and takes little FLASH, also where uniform 8 bits keeps them; `None` where
/// none was found.
pub fn fitting_policy_of_little_flash(problem: &Problem) -> Option<Policy> {
    match sought_below_uniform(problem) {
        Sought::Found(fitting) => Some(fitting.policy),
        Sought::Impossible | Sought::Missed { .. } => None,
    }
}

/// What looking for a policy that fits leads to.
enum Sought {
    Found(Fitting),
    /// A limit is below a lower bound.
    Impossible,
    /// This is the least RAM that was found, and what comes nearest to fitting.
    Missed {
        least_ram: Least,
        nearest: (Policy, Footprint),
    },
}

fn sought(problem: &Problem) -> Sought {
    let uniform = problem.uniform(BitWidth::B8);
    if problem.fits(&uniform) {
        return Sought::Found(Fitting { policy: uniform, uniform_fits: true });
    }
    sought_below_uniform(problem)
}

/// As [`sought`], where uniform 8 bits is not wanted.
fn sought_below_uniform(problem: &Problem) -> Sought {
    if is_proved_impossible(problem) {
        return Sought::Impossible;
    }
    let found = |policy| Sought::Found(Fitting { policy, uniform_fits: false });
    if let Some((policy, _)) = least_flash_that_fits(problem, &starts(problem)) {
        return found(policy);
    }
    let least_ram = least_ram(problem);
    let nearest = nearest(problem, &least_ram.policy);
    if problem.limits().hold(nearest.1) { found(nearest.0) } else { Sought::Missed { least_ram, nearest } }
}
