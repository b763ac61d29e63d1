//! `--pareto`: the run's search under many budgets, and the front of what they deliver.
//!
//! Every point is what the run would deliver under the budget of that point. Points share scores, probes and quantized
//! networks, which depend on the policy alone, so that a point costs less than a run.

use super::candidate::Candidate;
use super::contest::{Contest, Shared, Undeliverable, Winner};
use super::diary::Diary;
use crate::observe::{Interrupted, Monitor};
use crate::run::Journal;
use crate::task::Measured;
use anyhow::{Context as _, bail};
use bitesize_ir::BitWidth;
use bitesize_ir::target::Budget;
use bitesize_search::problem::Problem;
use bitesize_search::{Diagnosis, Fitting, RewardKind, fitting_policy_of_little_flash};
use bitesize_search::{from_compact, to_compact};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// The least budget is above the least bytes by this part of them: at the least itself there is nothing to choose.
const SLACK: u64 = 50;

/// Parts into which the way to a budget is cut where the least one is sought on it.
const WAY: u64 = 64;

/// What is delivered under one budget: a line of `pareto.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// FLASH that had to be kept.
    pub flash_budget: u64,
    /// RAM that had to be kept.
    pub ram_budget: u64,
    /// FLASH that is taken.
    pub flash_bytes: u64,
    /// RAM that is taken.
    pub ram_bytes: u64,
    /// Packed weights, part of `flash_bytes`.
    pub weight_bytes: u64,
    /// Predicted instructions of an inference; absent where the core's file says nothing of them.
    #[serde(default)]
    pub instructions: Option<u64>,
    /// After the final quantization, on the held-out training samples.
    pub reward: f64,
    /// `search`, or the name of the baseline that is better.
    pub chosen: String,
    /// One word a row.
    pub policy: String,
}

impl Point {
    /// What `winner` delivers under `budget`.
    fn of(budget: Sizes, winner: &Winner) -> anyhow::Result<Self> {
        let finalist = winner.finalist();
        Ok(Self {
            flash_budget: budget.flash,
            ram_budget: budget.ram,
            flash_bytes: finalist.footprint.flash_bytes,
            ram_bytes: finalist.footprint.ram_bytes,
            weight_bytes: finalist.footprint.weight_bytes,
            instructions: Some(finalist.footprint.instructions).filter(|count| *count > 0),
            reward: finalist.reward.context("the policy delivered has no reward")?,
            chosen: finalist.name.clone(),
            policy: to_compact(&finalist.policy),
        })
    }

    fn budget(&self) -> Sizes {
        Sizes { flash: self.flash_budget, ram: self.ram_budget }
    }

    /// Whether it takes no more than `other` and is no worse, and one of it is better.
    fn dominates(&self, other: &Self) -> bool {
        let no_worse =
            self.flash_bytes <= other.flash_bytes && self.ram_bytes <= other.ram_bytes && self.reward >= other.reward;
        no_worse
            && (self.flash_bytes < other.flash_bytes || self.ram_bytes < other.ram_bytes || self.reward > other.reward)
    }
}

/// A point with what is known once there are all: a row of `pareto.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointReport {
    /// What is delivered.
    #[serde(flatten)]
    pub point: Point,
    /// The share of right answers on the validation data, where there are some and answers are right or wrong.
    pub accuracy: Option<f64>,
    /// The task's metric on the validation data, where those have labels.
    #[serde(default)]
    pub metric: Option<f64>,
    /// Whether no other point dominates it.
    pub front: bool,
}

/// A budget of the sweep: bytes of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    flash: u64,
    ram: u64,
}

impl From<Sizes> for Budget {
    fn from(sizes: Sizes) -> Self {
        Self::of(sizes.flash, sizes.ram)
    }
}

/// What [`sweep`] works with.
pub struct Sweep<'a> {
    /// Network, limits and judging of the run itself.
    pub contest: Contest<'a>,
    /// Levels of each budget.
    pub steps: usize,
    /// What the run delivers under its own budget.
    pub winner: &'a Winner,
}

/// What a sweep found.
pub struct Swept {
    /// By falling FLASH, then by falling RAM.
    pub rows: Vec<PointReport>,
    /// The network of every policy in `rows`.
    pub networks: Vec<Candidate>,
    /// What rewards are of.
    pub reward: RewardKind,
    /// The float network's reward.
    pub float_reward: f64,
}

impl Swept {
    /// Takes what was found of policies, in their compact form.
    pub fn set_measured(&mut self, measured: &HashMap<String, Measured>) {
        for row in &mut self.rows {
            let found = measured.get(&row.point.policy);
            row.accuracy = found.and_then(Measured::fraction);
            row.metric = found.and_then(Measured::first).map(|(_, value)| value);
        }
    }
}

/// Chooses under every budget of `sweep`; budgets under which nothing can be delivered are left out.
///
/// Each finished point goes into `journal`, which has `lines` already, and is taken from there.
///
/// # Errors
/// [`Interrupted`]; points of another sweep, or that cannot be written; as
/// [`Contest::hold`].
pub fn sweep(sweep: &Sweep, shared: &mut Shared, mut journal: Journal, lines: &[String]) -> anyhow::Result<Swept> {
    let Contest { problem, judge, settings, .. } = sweep.contest;
    let budgets = budgets(problem, sweep.steps, judge.monitor)?;
    let known = known_points(lines, problem, &budgets)?;
    let step = judge.monitor.step("pareto", budgets.len());
    let mut points: Vec<Point> = Vec::new();
    for (done, budget) in budgets.iter().enumerate() {
        step.set(done, budgets.len());
        points.extend(match known.iter().find(|point| point.budget() == *budget) {
            Some(point) => Some(point.clone()),
            None => {
                let point = point(sweep, shared, *budget)?;
                point.iter().try_for_each(|point| journal.add(&serde_json::to_string(point)?))?;
                point
            }
        });
    }
    let mut networks = Vec::new();
    for policy in points.iter().map(|point| point.policy.as_str()).collect::<BTreeSet<_>>() {
        let policy = from_compact(policy, problem.space()).map_err(anyhow::Error::msg)?;
        networks.push(match shared.kept(&policy) {
            Some(network) => network.clone(),
            None => judge.monitor.quietly(|| judge.quantizer.sequential("pareto", &policy))?,
        });
    }
    let front = |point: &Point| !points.iter().any(|other| other.dominates(point));
    let rows: Vec<PointReport> = points
        .iter()
        .map(|point| PointReport { point: point.clone(), accuracy: None, metric: None, front: front(point) })
        .collect();
    let on_front = rows.iter().filter(|row| row.front).count();
    let (found, policies) = (rows.len(), networks.len());
    step.finish(format_args!(
        "{} budgets, {found} of them with a policy, {on_front} on the front, {policies} policies",
        budgets.len()
    ));
    Ok(Swept { rows, networks, reward: judge.reward, float_reward: settings.reference_reward })
}

/// What is delivered under `budget`; `None` where nothing can be.
fn point(sweep: &Sweep, shared: &mut Shared, budget: Sizes) -> anyhow::Result<Option<Point>> {
    let Contest { problem, judge, .. } = sweep.contest;
    judge.monitor.checkpoint()?;
    if Budget::from(budget) == problem.budget() {
        return Point::of(budget, sweep.winner).map(Some);
    }
    let problem = problem.with_budget(budget.into());
    let Some(fitting) = judge.monitor.ask(|effort| Fitting::of(&problem, effort))? else { return Ok(None) };
    let contest = Contest { problem: &problem, fitting: &fitting, ..sweep.contest };
    match judge.monitor.quietly(|| contest.hold(shared, &mut Diary::none())) {
        Ok(winner) => Point::of(budget, &winner).map(Some),
        Err(error) if error.is::<Undeliverable>() => {
            judge.monitor.warn(format_args!("under FLASH {} B and RAM {} B {error:#}", budget.flash, budget.ram));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `steps` levels of FLASH times `steps` levels of RAM, from the widest; fewer where levels are the same.
fn budgets(problem: &Problem, steps: usize, monitor: &Monitor) -> Result<Vec<Sizes>, Interrupted> {
    let widest = problem.footprint(&problem.uniform(BitWidth::B8));
    let own = problem.budget();
    let within = |bytes: u64, limit: Option<u64>| limit.map_or(bytes, |limit| limit.min(bytes));
    let most =
        Sizes { flash: within(widest.flash_bytes, own.flash_bytes), ram: within(widest.ram_bytes, own.ram_bytes) };
    let least = least(problem, most, monitor)?;
    let of_flash = levels(most.flash, least.flash, steps);
    let of_ram = levels(most.ram, least.ram, steps);
    Ok(of_flash.iter().flat_map(|flash| of_ram.iter().map(move |ram| Sizes { flash: *flash, ram: *ram })).collect())
}

/// From `most` down to `least`, evenly, each once.
fn levels(most: u64, least: u64, steps: usize) -> Vec<u64> {
    let (steps, extent) = (steps as u64, most.saturating_sub(least));
    let mut levels: Vec<u64> = (0..steps).map(|step| most - extent * step / (steps - 1)).collect();
    levels.dedup();
    levels
}

/// A budget near the least that a policy keeps, of both kinds of memory together; at most `most`.
fn least(problem: &Problem, most: Sizes, monitor: &Monitor) -> Result<Sizes, Interrupted> {
    let under = |flash, ram| problem.with_budget(Sizes { flash, ram }.into());
    let diagnosis = |flash, ram| monitor.ask(|effort| Diagnosis::of(&under(flash, ram), effort));
    let alone = diagnosis(0, 0)?;
    let together = diagnosis(alone.least_flash.bytes, alone.least_ram.bytes)?.would_do;
    let slack = |bytes: u64, most: u64| (bytes + bytes / SLACK).min(most);
    let near = |flash, ram| Sizes { flash: slack(flash, most.flash), ram: slack(ram, most.ram) };
    let budget = near(together.flash_bytes, together.ram_bytes);
    if monitor.ask(|effort| Fitting::of(&under(budget.flash, budget.ram), effort))?.is_some() {
        return Ok(budget);
    }
    if problem.limits().instructions.is_some() {
        // What comes nearest may take too many of them.
        let from = Sizes { flash: alone.least_flash.bytes, ram: alone.least_ram.bytes };
        return least_on_the_way(problem, from, most, monitor);
    }
    // What comes nearest without limits may pass those of the run, which some policy keeps.
    let fitting = monitor.ask(|effort| fitting_policy_of_little_flash(&under(most.flash, most.ram), effort))?;
    Ok(fitting
        .map(|policy| problem.footprint(&policy))
        .map_or(most, |footprint| near(footprint.flash_bytes, footprint.ram_bytes)))
}

/// The least budget that a policy was found to keep, of those on the straight way from `from` to `most`; `most` if none.
fn least_on_the_way(problem: &Problem, from: Sizes, most: Sizes, monitor: &Monitor) -> Result<Sizes, Interrupted> {
    let part = |from: u64, most: u64, parts: u64| from.min(most) + most.saturating_sub(from) * parts / WAY;
    let at = |parts| Sizes { flash: part(from.flash, most.flash, parts), ram: part(from.ram, most.ram, parts) };
    let (mut low, mut high) = (0, WAY);
    while low < high {
        let middle = (low + high) / 2;
        let problem = problem.with_budget(at(middle).into());
        match monitor.ask(|effort| Fitting::of(&problem, effort))? {
            Some(_) => high = middle,
            None => low = middle + 1,
        }
    }
    Ok(at(high))
}

/// The points that an earlier run has finished.
fn known_points(lines: &[String], problem: &Problem, budgets: &[Sizes]) -> anyhow::Result<Vec<Point>> {
    let points: Result<Vec<Point>, _> = lines.iter().map(|line| serde_json::from_str(line)).collect();
    let points = points.context("a line is no point of a sweep")?;
    for (line, point) in points.iter().enumerate() {
        if !budgets.contains(&point.budget()) || !is_of(point, problem) {
            bail!("line {} is of another network, target or version", line + 1);
        }
    }
    Ok(points)
}

/// Whether `point` can have been found for `problem`.
fn is_of(point: &Point, problem: &Problem) -> bool {
    let Ok(policy) = from_compact(&point.policy, problem.space()) else { return false };
    let footprint = problem.footprint(&policy);
    let told = (point.flash_bytes, point.ram_bytes, point.weight_bytes);
    told == (footprint.flash_bytes, footprint.ram_bytes, footprint.weight_bytes)
        && problem.with_budget(point.budget().into()).fits(&policy)
        && point.reward.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(flash_bytes: u64, ram_bytes: u64, reward: f64) -> Point {
        let (flash_budget, ram_budget) = (flash_bytes, ram_bytes);
        let (chosen, policy) = ("search".into(), "W8A8".into());
        Point {
            flash_budget,
            ram_budget,
            flash_bytes,
            ram_bytes,
            weight_bytes: 1,
            instructions: None,
            reward,
            chosen,
            policy,
        }
    }

    #[test]
    fn levels_are_even_and_end_where_they_should() {
        let cases: [(u64, u64, usize, &[u64]); 4] =
            [(100, 10, 4, &[100, 70, 40, 10]), (100, 10, 2, &[100, 10]), (10, 9, 5, &[10, 9]), (7, 7, 3, &[7])];
        for (most, least, steps, expected) in cases {
            assert_eq!(levels(most, least, steps), expected, "{most} {least} {steps}");
        }
    }

    #[test]
    fn a_point_is_dominated_by_what_is_no_worse_and_somewhere_better() {
        let middle = point(100, 50, 0.5);
        let cases = [
            (point(100, 50, 0.5), false),
            (point(99, 50, 0.5), true),
            (point(100, 49, 0.5), true),
            (point(100, 50, 0.6), true),
            (point(90, 40, 0.4), false),
            (point(101, 1, 0.9), false),
        ];
        for (other, expected) in cases {
            assert_eq!(other.dominates(&middle), expected, "{other:?}");
        }
    }
}
