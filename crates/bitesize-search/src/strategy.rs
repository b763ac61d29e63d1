//! The strategies that there are: what they are called, what help says of them, how many episodes they usually run.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A way of choosing a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The rule-based bit cutting of 2019 ([`crate::rules`]): one policy, no search.
    Rules,
    /// HAQ's reinforcement-learning agent.
    Ddpg,
    /// The optimum of an additive model of measured sensitivities.
    Exact,
    /// Least loss for each byte saved.
    Greedy,
    /// Policies at random.
    Random,
    /// A population, from what `exact` and `rules` find.
    Evolution,
    /// `evolution`, guided by costs that its evaluations correct.
    Auto,
}

impl Strategy {
    /// Every strategy, in the order in which help lists them.
    pub const ALL: [Self; 7] =
        [Self::Auto, Self::Exact, Self::Evolution, Self::Ddpg, Self::Greedy, Self::Rules, Self::Random];

    /// The name given to `--search`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Ddpg => "ddpg",
            Self::Exact => "exact",
            Self::Greedy => "greedy",
            Self::Random => "random",
            Self::Evolution => "evolution",
            Self::Auto => "auto",
        }
    }

    /// Episodes of a run for which no number is given: HAQ's 600 for its agent, which learns from them; 200 for the others,
    /// which take them up to use what is left.
    pub fn usual_episodes(self) -> usize {
        match self {
            Self::Ddpg => 600,
            Self::Auto | Self::Exact | Self::Evolution | Self::Greedy | Self::Rules | Self::Random => 200,
        }
    }

    /// One line of help.
    pub fn description(self) -> &'static str {
        match self {
            Self::Rules => "cut activations, then weights, by the 2019 rules until both budgets hold; no search",
            Self::Ddpg => "a reinforcement-learning agent (DDPG, as in HAQ) that learns widths from episodes",
            Self::Exact => "measure what each width costs, then the proved optimum of the sum",
            Self::Greedy => "cut what costs the least measured loss for each byte saved; no search",
            Self::Random => "random policies, cut until they fit: what others have to beat",
            Self::Evolution => "a population that starts from exact and rules and uses up slack bytes",
            Self::Auto => "exact, then evolution guided by costs that its evaluations correct",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|strategy| strategy.name()).collect();
            format!("`{text}` is not a search strategy: use one of {}", names.join(", "))
        })
    }
}
