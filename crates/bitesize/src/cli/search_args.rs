//! How widths are chosen: the arguments that `fit` and `search` share.

use crate::args::{ConstraintArgs, at_least_one, sweep_steps};
use anyhow::Context as _;
use bitesize::input::Model;
use bitesize::run::config::{GIVEN, SearchConfig, TIME_LIMITS};
use bitesize::usage;
use bitesize_ir::{BitWidth, Policy, PolicySpace};
use bitesize_search::to_compact;
use bitesize_search::{RewardKind, Strategy};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::path::Path;

/// How widths are chosen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Search")]
pub(crate) struct SearchArgs {
    /// The strategy
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = strategies())]
    search: String,
    /// Take these widths and search nothing: a policy file, or W/A as in 8/8
    #[arg(long, value_name = "FILE|W/A", conflicts_with = "search")]
    policy: Option<String>,
    /// Evaluations at most, one an episode; probes of single widths count by their share of the samples, and are all made
    /// [default: 200; 600 for ddpg]
    #[arg(long, visible_alias = "evaluations", value_name = "N", value_parser = at_least_one)]
    episodes: Option<usize>,
    /// What is maximised on the held-out samples: loss (how little the output's distribution departs from the float
    /// network's; no labels) or accuracy
    #[arg(long, value_name = "WHAT", default_value = "loss")]
    reward: RewardKind,
    /// Stop the search at the first evaluation that ends after so many seconds; what it found then depends on the machine
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(TIME_LIMITS))]
    time_limit: Option<u64>,
    /// Training samples held out to judge policies by
    #[arg(long, value_name = "N", default_value = "512", value_parser = at_least_one)]
    eval_samples: usize,
    /// Stop after this many episodes without a new best
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    patience: Option<usize>,
    /// Sweep budgets too, STEPS levels of FLASH times as many of RAM down to the least that do, and write what each
    /// delivers as CSV and SVG; --flash and --ram may then be left out [STEPS where left out: 4]
    #[arg(
        long,
        value_name = "STEPS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "4",
        value_parser = sweep_steps,
        conflicts_with = "policy"
    )]
    pareto: Option<usize>,
    #[command(flatten)]
    constraints: ConstraintArgs,
}

/// Every strategy with its line of help.
fn strategies() -> PossibleValuesParser {
    let value = |strategy: Strategy| PossibleValue::new(strategy.name()).help(strategy.description());
    PossibleValuesParser::new(Strategy::ALL.map(value))
}

impl SearchArgs {
    /// Whether FLASH and RAM need not be limited: packed weights or instructions are, or budgets are swept.
    pub(crate) fn needs_no_budget(&self) -> bool {
        self.pareto.is_some() || self.constraints.has_limit()
    }

    /// The settings, with policy and constraints checked against `model`.
    pub(crate) fn config(&self, model: &Model) -> anyhow::Result<SearchConfig> {
        let policy = self.policy.as_deref().map(|text| read_policy(text, &model.space)).transpose()?;
        Ok(SearchConfig {
            strategy: if policy.is_some() { GIVEN.into() } else { self.search.clone() },
            policy: policy.as_ref().map(to_compact),
            episodes: self.episodes.unwrap_or(self.search.parse().map_or(1, Strategy::usual_episodes)),
            reward: self.reward,
            time_limit: self.time_limit,
            eval_samples: self.eval_samples,
            patience: self.patience,
            pareto: self.pareto,
            trial: None,
            constraints: self.constraints.read(model)?,
        })
    }
}

/// A policy file, or `W/A`.
fn read_policy(text: &str, space: &PolicySpace) -> anyhow::Result<Policy> {
    let path = Path::new(text);
    // A folder may be called `8/8`.
    if path.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        let file = bitesize::files::read_text(path).with_context(|| format!("cannot read the policy `{text}`"))?;
        return Policy::from_toml(&file, space).with_context(|| format!("cannot use the policy `{text}`"));
    }
    match parse_uniform(text) {
        Ok((weights, activations)) => Ok(Policy::uniform(space, weights, activations)),
        Err(problem) if text.contains(".toml") => Err(usage(format!("there is no policy file `{text}`; {problem}"))),
        Err(problem) => Err(usage(problem)),
    }
}

/// `8/8`: weights, then activations.
fn parse_uniform(text: &str) -> Result<(BitWidth, BitWidth), String> {
    let wrong = || format!("`{text}` is not W/A with 2, 4 or 8 bits each, as in 4/8");
    let (weights, activations) = text.split_once('/').ok_or_else(wrong)?;
    let width = |t: &str| t.trim().parse::<u8>().ok().and_then(|b| BitWidth::try_from(b).ok()).ok_or_else(wrong);
    Ok((width(weights)?, width(activations)?))
}
