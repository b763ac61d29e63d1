//! What a search is given beside the problem: every number that a user may set.

use crate::score::RewardKind;
use serde::{Deserialize, Serialize};

/// What a search is given beside the problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// Episodes at most, at least 1. For strategies that measure single widths, what their probes cost
    /// ([`crate::Evaluator::probe_share`]) counts too.
    pub episodes: usize,
    /// Stop after this many episodes in a row without a new best, counted from when the strategy has begun to learn;
    /// `None` never does.
    pub patience: Option<usize>,
    /// What is maximised.
    #[serde(default)]
    pub reward: RewardKind,
    /// Where all chance comes from.
    pub seed: u64,
    /// The reward, in 0..=1, that the agent's are measured from: the float network's.
    pub reference_reward: f64,
    /// The loss of a network that answers the same to everything: of a classifier the logarithm of the number of classes.
    pub loss_of_knowing_nothing: f64,
    /// The agent's own.
    pub ddpg: DdpgSettings,
}

/// The agent's hyper-parameters. The defaults are those of HAQ's code unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DdpgSettings {
    /// Episodes at the start with uniformly random actions and no updates, 20.
    pub warm_up: usize,
    /// Width of both hidden layers of actor and critic, 300.
    pub hidden: usize,
    /// Adam's rate for the actor, 1e-4.
    pub actor_rate: f32,
    /// Adam's rate for the critic, 1e-3.
    pub critic_rate: f32,
    /// Share of the way that the target networks move to the learning ones after an update, 0.01.
    pub tau: f32,
    /// Factor of the value of the next state, 1.0.
    pub discount: f32,
    /// Transitions in an update, 64.
    pub batch: usize,
    /// Transitions that the replay holds for each row of the policy (HAQ's layers), 128; the oldest make room.
    pub replay_per_row: usize,
    /// Standard deviation of the first actions after warm-up, 0.5, of a normal distribution cut off at 0 and 1.
    pub sigma: f64,
    /// Factor of the standard deviation for each episode, 0.99, in a run of `sigma_episodes` after warm-up.
    pub sigma_decay: f64,
    /// Episodes after warm-up that `sigma_decay` is meant for, 580; in a shorter or longer run the decay is stretched, so
    /// that every run ends with the same exploration. HAQ has no such stretch: it always runs 600 episodes.
    pub sigma_episodes: usize,
    /// Rate of the moving average of the batches' mean reward, which is subtracted from rewards in an update, 0.5.
    pub baseline_rate: f32,
    /// Reward for each hundredth by which what is maximised passes the reference, 0.1.
    pub reward_scale: f64,
}

impl Default for DdpgSettings {
    fn default() -> Self {
        Self {
            warm_up: 20,
            hidden: 300,
            actor_rate: 1e-4,
            critic_rate: 1e-3,
            tau: 0.01,
            discount: 1.0,
            batch: 64,
            replay_per_row: 128,
            sigma: 0.5,
            sigma_decay: 0.99,
            sigma_episodes: 580,
            baseline_rate: 0.5,
            reward_scale: 0.1,
        }
    }
}
