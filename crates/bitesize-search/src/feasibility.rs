//! Does it fit? Found out once for a problem, and handed on.
//!
//! A limit below a lower bound is proved to be impossible; otherwise, where no policy that fits is found, the answer is
//! the one that comes nearest. What is answered is a policy or a [`Diagnosis`], which is made only where it is one.

use crate::bounds::is_proved_impossible;
use crate::diagnosis::Diagnosis;
use crate::effort::{Effort, Stopped};
use crate::least::{Least, Nearest, least_flash_that_fits, least_ram, nearest, starts};
use crate::problem::Problem;
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
    /// Whether some policy keeps all limits of `problem`, each search for one within `effort`.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn of(problem: &Problem, effort: &Effort) -> Result<Self, Stopped> {
        let diagnosis = match sought(problem, effort)? {
            Sought::Found(fitting) => return Ok(Self::Fits(fitting)),
            Sought::Impossible => Diagnosis::of(problem, effort)?,
            Sought::Missed { least_ram, nearest } => Diagnosis::with(problem, least_ram, nearest, effort)?,
        };
        Ok(Self::DoesNotFit(Box::new(diagnosis)))
    }

    /// Whether `policy`, which was given, does; where not, each search for what would do within `effort`.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn of_policy(problem: &Problem, policy: &Policy, effort: &Effort) -> Result<Self, Stopped> {
        if problem.fits(policy) {
            let uniform_fits = problem.fits(&problem.uniform(BitWidth::B8));
            return Ok(Self::Fits(Fitting { policy: policy.clone(), uniform_fits }));
        }
        Ok(Self::DoesNotFit(Box::new(Diagnosis::of(problem, effort)?)))
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
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn of(problem: &Problem, effort: &Effort) -> Result<Option<Self>, Stopped> {
        Ok(match sought(problem, effort)? {
            Sought::Found(fitting) => Some(fitting),
            Sought::Impossible | Sought::Missed { .. } => None,
        })
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

/// Whether there is a policy that keeps all limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// There is.
    Fits,
    /// It is proved that there is none.
    Impossible,
    /// None was found, and none was proved not to exist.
    NotFound {
        /// The number of policies tried after which the search met the limit of its effort; `None` where it ended by itself.
        limit_reached: Option<u64>,
    },
}

/// Whether some policy keeps all limits of `problem`, each search for one within `effort`.
///
/// # Errors
/// [`Stopped`].
pub fn some_policy_fits(problem: &Problem, effort: &Effort) -> Result<Existence, Stopped> {
    Ok(match sought(problem, effort)? {
        Sought::Found(_) => Existence::Fits,
        Sought::Impossible => Existence::Impossible,
        Sought::Missed { nearest, .. } => Existence::NotFound { limit_reached: nearest.limit_reached },
    })
}

/// A policy that keeps all limits of `problem` and takes little FLASH, also where uniform 8 bits keeps them; `None` where
/// none was found. Each search for one is within `effort`.
///
/// # Errors
/// [`Stopped`].
pub fn fitting_policy_of_little_flash(problem: &Problem, effort: &Effort) -> Result<Option<Policy>, Stopped> {
    Ok(match sought_below_uniform(problem, effort)? {
        Sought::Found(fitting) => Some(fitting.policy),
        Sought::Impossible | Sought::Missed { .. } => None,
    })
}

/// What looking for a policy that fits leads to.
enum Sought {
    Found(Fitting),
    /// A limit is below a lower bound.
    Impossible,
    /// This is the least RAM that was found, and what comes nearest to fitting.
    Missed {
        least_ram: Least,
        nearest: Nearest,
    },
}

fn sought(problem: &Problem, effort: &Effort) -> Result<Sought, Stopped> {
    let uniform = problem.uniform(BitWidth::B8);
    if problem.fits(&uniform) {
        return Ok(Sought::Found(Fitting { policy: uniform, uniform_fits: true }));
    }
    sought_below_uniform(problem, effort)
}

/// As [`sought`], where uniform 8 bits is not wanted.
fn sought_below_uniform(problem: &Problem, effort: &Effort) -> Result<Sought, Stopped> {
    if is_proved_impossible(problem) {
        return Ok(Sought::Impossible);
    }
    let found = |policy| Sought::Found(Fitting { policy, uniform_fits: false });
    if let Some((policy, _)) = least_flash_that_fits(problem, &starts(problem, &effort.begin())) {
        return Ok(found(policy));
    }
    let least_ram = least_ram(problem, effort)?;
    let nearest = nearest(problem, &least_ram.policy, effort)?;
    Ok(if problem.limits().hold(nearest.footprint) {
        found(nearest.policy)
    } else {
        Sought::Missed { least_ram, nearest }
    })
}
