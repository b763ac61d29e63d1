//! What a run is after, once it is known that it can be had: whether the run fits is asked here, once.

use super::misfit::Misfit;
use super::opened::Opened;
use super::prepared::Asked;
use crate::ending::usage;
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::problem::Problem;
use bitesize_search::{Feasibility, Fitting, RewardKind};

/// What a run is after.
pub enum Aim {
    /// To deliver the widths that were given, which fit.
    Given(Policy),
    /// To search widths; some fit.
    Search(Fitting),
}

/// Refuses to maximise an accuracy that there is not.
fn refuse_reward_without_labels(opened: &Opened) -> anyhow::Result<()> {
    let asked = opened.config.search.as_ref().is_some_and(|search| search.reward == RewardKind::Accuracy);
    let (objective, train) = (&opened.inputs.objective, opened.train()?);
    if !asked || objective.fraction().is_some() && train.is_labelled() {
        return Ok(());
    }
    let why = if train.is_labelled() { "has no answers that are right or wrong" } else { "is judged without labels" };
    Err(usage(format!(
        "there is no accuracy to maximise: the task `{}` {why}; leave out --reward accuracy",
        objective.task
    )))
}

impl Aim {
    /// What the run of `opened` is after, under the limits of `problem`, which is one on `core`; or why there is nothing to deliver.
    ///
    /// # Errors
    /// Widths of another network were given; a reward that there is not; [`Interrupted`](crate::observe::Interrupted).
    pub fn of(opened: &Opened, problem: &Problem, core: &CoreCosts) -> anyhow::Result<Result<Self, Misfit>> {
        refuse_reward_without_labels(opened)?;
        Ok(match opened.given_policy()? {
            Some(policy) => match Misfit::of_given(problem, core, &policy, opened.monitor)? {
                Some(misfit) => Err(misfit),
                None => Ok(Self::Given(policy)),
            },
            None => match opened.monitor.ask(|effort| Feasibility::of(problem, effort))? {
                Feasibility::Fits(fitting) => Ok(Self::Search(fitting)),
                Feasibility::DoesNotFit(diagnosis) => Err(Misfit::of_all(problem, core, diagnosis, opened.monitor)?),
            },
        })
    }

    /// The widths at which layers have to be ready.
    pub fn asked(&self, problem: &Problem) -> Asked {
        match self {
            Self::Search(_) => Asked::AllAllowed,
            // What is delivered then is what tensors are compared with float by.
            Self::Given(policy) if *policy == problem.uniform(BitWidth::B8) => Asked::None,
            Self::Given(_) => Asked::OnlyWidest,
        }
    }
}
