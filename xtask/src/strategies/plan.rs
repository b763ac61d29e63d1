//! Which searches there are: networks, budgets, evaluations, seeds.

use super::job::Job;
use bitesize::input::Shares;
use bitesize_search::Strategy;

/// The networks, in the order of the tables.
pub(super) const NETWORKS: [&str; 4] =
    ["cifar10_mobilenet_v1", "cifar10_mobilenet_v2", "cifar10_mnasnet", "mlperf_resnet8"];

/// Shares of the FLASH and RAM of uniform 8 bits. The last is near the tightest: the least that `bitesize inspect` finds is
/// 30 to 34 % and 25 to 26 %.
pub(super) const CASES: [&str; 3] = ["f70+r70", "f50+r50", "f36+r30"];

/// Evaluations at which searches are read.
pub(super) const READINGS: [usize; 2] = [100, 600];

const SEEDS: [u64; 3] = [1, 2, 3];

pub(super) const SHARES: Shares = Shares { calibration: 512, reward: 500 };

/// Whether chance plays in `strategy`.
fn has_chance(strategy: Strategy) -> bool {
    match strategy {
        Strategy::Auto | Strategy::Evolution | Strategy::Random | Strategy::Ddpg => true,
        Strategy::Exact | Strategy::Greedy | Strategy::Rules => false,
    }
}

/// The seeds that `strategy` runs with.
pub(super) fn seeds(strategy: Strategy) -> &'static [u64] {
    if has_chance(strategy) { &SEEDS } else { &SEEDS[..1] }
}

/// The searches of `network`, those of the agent or all others, the longest first, so that all threads end together. The agent
/// runs for each number of evaluations by itself, since it explores in another way; the others are read on their way.
pub(super) fn jobs(network: &str, agent: bool) -> Vec<Job> {
    let mut jobs = Vec::new();
    for strategy in Strategy::ALL.into_iter().filter(|strategy| (*strategy == Strategy::Ddpg) == agent) {
        let evaluations = if strategy == Strategy::Ddpg { &READINGS[..] } else { &READINGS[1..] };
        for (case, evaluations) in CASES.iter().flat_map(|case| evaluations.iter().map(move |e| (case, *e))) {
            for seed in seeds(strategy) {
                jobs.push(Job { network: network.into(), case: (*case).into(), strategy, seed: *seed, evaluations });
            }
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse((job.evaluations, has_chance(job.strategy))));
    jobs
}
