//! `--pareto`: the run's search under many budgets, and the front of what they deliver.
//!
//! Every point is what the run would deliver under the budget of that point. Points share scores, probes and quantized
//! networks, which depend on the policy alone, so that a point costs less than a run.

use crate::choose::{Arena, Choice, Chosen, Diary, Shared, Undeliverable, choose_with};
use crate::console::checkpoint;
use crate::measure::Candidate;
use crate::plot::{Chart, Line, Series, svg};
use crate::run::{self, RunFolder};
use anyhow::{Context as _, anyhow};
use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, PolicySpace};
use bitesize_search::evaluate::RewardKind;
use bitesize_search::feasibility::{Diagnosis, fitting_policy};
use bitesize_search::problem::{Problem, from_compact, to_compact};
use bitesize_search::search::{Settings, Strategy};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::ops::RangeInclusive;

/// How many levels of each budget may be asked for.
pub const STEPS: RangeInclusive<usize> = 2..=20;

/// The least budget is above the least bytes by this part of them: at the least itself there is nothing to choose.
const SLACK: u64 = 50;

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
    /// After the final quantization, on the held-out training samples.
    pub reward: f64,
    /// `search`, or the name of the baseline that is better.
    pub chosen: String,
    /// One word a row.
    pub policy: String,
}

impl Point {
    /// What `chosen` delivers under `budget`.
    fn of(budget: Budget, chosen: &Chosen) -> anyhow::Result<Self> {
        let finalist = &chosen.finalists[chosen.best];
        Ok(Self {
            flash_budget: budget.flash_bytes,
            ram_budget: budget.ram_bytes,
            flash_bytes: finalist.memory.flash_bytes,
            ram_bytes: finalist.memory.ram_bytes,
            weight_bytes: finalist.memory.weight_bytes,
            reward: finalist.reward.context("the policy delivered has no reward")?,
            chosen: finalist.name.clone(),
            policy: to_compact(&finalist.policy),
        })
    }

    fn budget(&self) -> Budget {
        Budget { flash_bytes: self.flash_budget, ram_bytes: self.ram_budget }
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
    /// On the validation data, where there are some.
    pub accuracy: Option<f64>,
    /// Whether no other point dominates it.
    pub front: bool,
}

/// What [`sweep`] works with.
pub struct Sweep<'a> {
    /// Network, samples, and the run's own budget.
    pub arena: &'a Arena<'a>,
    /// The run's.
    pub strategy: Strategy,
    /// The run's.
    pub settings: &'a Settings,
    /// Levels of each budget.
    pub steps: usize,
    /// What the run delivers under its own budget.
    pub chosen: &'a Chosen,
    /// The float network's reward.
    pub float_reward: f64,
    /// Of the run's settings: points of others are not taken.
    pub fingerprint: String,
}

/// What a sweep found.
pub struct Swept {
    /// By falling FLASH, then by falling RAM.
    pub rows: Vec<PointReport>,
    /// The network of every policy in `rows`.
    pub networks: Vec<Candidate>,
    reward: RewardKind,
    float_reward: f64,
}

/// Chooses under every budget of `sweep`; budgets under which nothing can be delivered are left out.
///
/// Each finished point is kept in the run folder, and taken from there where an earlier run has left it.
///
/// # Errors
/// [`crate::console::Interrupted`]; points of other settings, or that cannot be written; as [`choose_with`].
pub fn sweep(sweep: &Sweep, shared: &mut Shared) -> anyhow::Result<Swept> {
    let Arena { problem, quantizer, console, folder, reward, .. } = *sweep.arena;
    let budgets = budgets(problem, sweep.steps);
    let mut kept = Kept::open(folder, problem, &budgets, &sweep.fingerprint)?;
    let stage = console.stage("pareto", budgets.len());
    let mut points: Vec<Point> = Vec::new();
    for (done, budget) in budgets.iter().enumerate() {
        stage.set(done, budgets.len());
        points.extend(match kept.take(*budget) {
            Some(point) => Some(point),
            None => {
                let point = point(sweep, shared, *budget)?;
                point.iter().try_for_each(|point| kept.add(point))?;
                point
            }
        });
    }
    let mut networks = Vec::new();
    for policy in points.iter().map(|point| point.policy.as_str()).collect::<BTreeSet<_>>() {
        let policy = from_compact(policy, problem.space()).map_err(anyhow::Error::msg)?;
        networks.push(match shared.kept(&policy) {
            Some(network) => network.clone(),
            None => console.quietly(|| quantizer.sequential("pareto", &policy))?,
        });
    }
    let front = |point: &Point| !points.iter().any(|other| other.dominates(point));
    let rows: Vec<PointReport> =
        points.iter().map(|point| PointReport { point: point.clone(), accuracy: None, front: front(point) }).collect();
    let on_front = rows.iter().filter(|row| row.front).count();
    let (found, policies) = (rows.len(), networks.len());
    stage.finish(format_args!(
        "{} budgets, {found} of them with a policy, {on_front} on the front, {policies} policies",
        budgets.len()
    ));
    Ok(Swept { rows, networks, reward, float_reward: sweep.float_reward })
}

/// What is delivered under `budget`; `None` where nothing can be.
fn point(sweep: &Sweep, shared: &mut Shared, budget: Budget) -> anyhow::Result<Option<Point>> {
    checkpoint()?;
    let Sweep { arena, strategy, settings, chosen, .. } = *sweep;
    if budget == arena.problem.budget() {
        return Point::of(budget, chosen).map(Some);
    }
    let problem = arena.problem.with_budget(budget);
    if !problem.fits(&problem.uniform(BitWidth::B8)) && fitting_policy(&problem).is_none() {
        return Ok(None);
    }
    let under_it = Arena { problem: &problem, ..*arena };
    let choice = || choose_with(&under_it, shared, &mut Diary::none(), strategy, settings);
    match arena.console.quietly(choice) {
        Ok(Choice::Chosen(chosen)) => Point::of(budget, &chosen).map(Some),
        Ok(Choice::DoesNotFit(_)) => Ok(None),
        Err(error) if error.is::<Undeliverable>() => {
            let Budget { flash_bytes, ram_bytes } = budget;
            arena.console.warn(format_args!("under FLASH {flash_bytes} B and RAM {ram_bytes} B {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `steps` levels of FLASH times `steps` levels of RAM, from the widest; fewer where levels are the same.
fn budgets(problem: &Problem, steps: usize) -> Vec<Budget> {
    let widest = problem.memory(&problem.uniform(BitWidth::B8));
    let own = problem.budget();
    let most =
        Budget { flash_bytes: own.flash_bytes.min(widest.flash_bytes), ram_bytes: own.ram_bytes.min(widest.ram_bytes) };
    let least = least(problem, most);
    let of_flash = levels(most.flash_bytes, least.flash_bytes, steps);
    let of_ram = levels(most.ram_bytes, least.ram_bytes, steps);
    let pairs = of_flash.iter().flat_map(|flash| of_ram.iter().map(move |ram| (*flash, *ram)));
    pairs.map(|(flash_bytes, ram_bytes)| Budget { flash_bytes, ram_bytes }).collect()
}

/// From `most` down to `least`, evenly, each once.
fn levels(most: u64, least: u64, steps: usize) -> Vec<u64> {
    let (steps, extent) = (steps as u64, most.saturating_sub(least));
    let mut levels: Vec<u64> = (0..steps).map(|step| most - extent * step / (steps - 1)).collect();
    levels.dedup();
    levels
}

/// A budget near the least that a policy keeps, of both kinds of memory together; at most `most`.
fn least(problem: &Problem, most: Budget) -> Budget {
    let alone = Diagnosis::of(&problem.with_budget(Budget { flash_bytes: 0, ram_bytes: 0 }));
    let (flash_bytes, ram_bytes) = (alone.least_flash.bytes, alone.least_ram.bytes);
    let together = Diagnosis::of(&problem.with_budget(Budget { flash_bytes, ram_bytes })).would_do;
    let slack = |bytes: u64, most: u64| (bytes + bytes / SLACK).min(most);
    let near = |flash_bytes, ram_bytes| Budget {
        flash_bytes: slack(flash_bytes, most.flash_bytes),
        ram_bytes: slack(ram_bytes, most.ram_bytes),
    };
    let budget = near(together.flash_bytes, together.ram_bytes);
    if fitting_policy(&problem.with_budget(budget)).is_some() {
        return budget;
    }
    // What comes nearest without limits may pass those of the run, which some policy keeps.
    let fitting = fitting_policy(&problem.with_budget(most)).map(|policy| problem.memory(&policy));
    fitting.map_or(most, |memory| near(memory.flash_bytes, memory.ram_bytes))
}

/// `pareto.jsonl`: a line that says which settings its points are of, then the points that an earlier run has finished, and
/// where this one goes on.
struct Kept {
    points: Vec<Point>,
    file: File,
}

impl Kept {
    fn open(folder: &RunFolder, problem: &Problem, budgets: &[Budget], fingerprint: &str) -> anyhow::Result<Self> {
        let shown = folder.join(run::PARETO_POINTS).display().to_string();
        let fail = || format!("cannot use the points in `{shown}`; remove the file, and they are made again");
        let text = folder.read_lines(run::PARETO_POINTS).with_context(fail)?;
        let head = format!("{}\n", serde_json::json!({ "settings": fingerprint }));
        if !text.is_empty() && !text.starts_with(&head) {
            return Err(anyhow!("its points are of other settings or another version")).with_context(fail);
        }
        let points: Result<Vec<Point>, _> = text.lines().skip(1).map(serde_json::from_str).collect();
        let points = points.with_context(fail)?;
        for (line, point) in points.iter().enumerate() {
            if !budgets.contains(&point.budget()) || !is_of(point, problem) {
                let line = line + 2;
                return Err(anyhow!("line {line} is of another network, target or version")).with_context(fail);
            }
        }
        let mut file = folder.append_to_lines(run::PARETO_POINTS, &text).with_context(fail)?;
        if text.is_empty() {
            file.write_all(head.as_bytes()).with_context(fail)?;
        }
        Ok(Self { points, file })
    }

    fn take(&self, budget: Budget) -> Option<Point> {
        self.points.iter().find(|point| point.budget() == budget).cloned()
    }

    fn add(&mut self, point: &Point) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(point)?;
        line.push('\n');
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush());
        written.with_context(|| format!("cannot write `{}`", run::PARETO_POINTS))
    }
}

/// Whether `point` can have been found for `problem`.
fn is_of(point: &Point, problem: &Problem) -> bool {
    let Ok(policy) = from_compact(&point.policy, problem.space()) else { return false };
    let memory = problem.memory(&policy);
    let told = (point.flash_bytes, point.ram_bytes, point.weight_bytes);
    told == (memory.flash_bytes, memory.ram_bytes, memory.weight_bytes)
        && problem.with_budget(point.budget()).fits(&policy)
        && point.reward.is_finite()
}

impl Swept {
    /// Takes accuracies by policy, in its compact form.
    pub fn set_accuracies(&mut self, accuracies: &HashMap<String, f64>) {
        self.rows.iter_mut().for_each(|row| row.accuracy = accuracies.get(&row.point.policy).copied());
    }

    /// Writes the table, the chart and the policies of the front; `float_accuracy` is that of the float network.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, space: &PolicySpace, float_accuracy: Option<f64>, folder: &RunFolder) -> anyhow::Result<()> {
        folder.write(run::PARETO_CSV, self.csv().as_bytes())?;
        folder.write(run::PARETO_SVG, svg(&self.charts(float_accuracy))?.as_bytes())?;
        let digits = self.rows.len().to_string().len().max(2);
        let mut policies = Vec::new();
        for (number, row) in self.rows.iter().enumerate().filter(|(_, row)| row.front) {
            let policy = from_compact(&row.point.policy, space).map_err(anyhow::Error::msg)?;
            policies.push((format!("{:0digits$}.toml", number + 1), policy.to_toml()));
        }
        folder.write_tree(run::PARETO, &policies)
    }

    fn csv(&self) -> String {
        let mut text = String::from(
            "flash_budget,ram_budget,flash_bytes,ram_bytes,weight_bytes,reward,accuracy,front,chosen,policy\n",
        );
        for PointReport { point: p, accuracy, front } in &self.rows {
            let accuracy = accuracy.map_or(String::new(), |share| share.to_string());
            let (budgets, bytes) = ((p.flash_budget, p.ram_budget), (p.flash_bytes, p.ram_bytes, p.weight_bytes));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{accuracy},{front},{},{}",
                budgets.0, budgets.1, bytes.0, bytes.1, bytes.2, p.reward, p.chosen, p.policy
            );
        }
        text
    }

    /// One panel over FLASH, one over RAM.
    fn charts(&self, float_accuracy: Option<f64>) -> Vec<Chart> {
        let panel = |name: &str, other: &str, bytes: Of, level: Of| {
            let (title, what, float) = match (float_accuracy, self.reward) {
                (Some(share), _) => ("Accuracy", "accuracy, %", 100.0 * share),
                (None, RewardKind::Loss) => ("Reward", "reward, exp(-loss)", self.float_reward),
                (None, RewardKind::Accuracy) => ("Reward", "reward, accuracy", self.float_reward),
            };
            let value = |row: &PointReport| match float_accuracy {
                Some(_) => row.accuracy.map_or(f64::NAN, |share| 100.0 * share),
                None => row.point.reward,
            };
            let place = |row: &PointReport| (kib(bytes(&row.point)), value(row));
            let levels: BTreeSet<u64> = self.rows.iter().map(|row| level(&row.point)).collect();
            let mut series: Vec<Series> = levels
                .into_iter()
                .rev()
                .map(|at| Series {
                    name: format!("{other} up to {:.1} KiB", kib(at)),
                    points: joined(self.rows.iter().filter(|row| level(&row.point) == at).map(place)),
                    line: Line::Solid,
                })
                .collect();
            let ends = self.rows.iter().map(|row| kib(bytes(&row.point)));
            let ends = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            series.push(Series {
                name: "float".into(),
                points: vec![(ends.0, float), (ends.1, float)],
                line: Line::Dashed,
            });
            let front = joined(self.rows.iter().filter(|row| row.front).map(place));
            series.push(Series { name: "front (by reward)".into(), points: front, line: Line::None });
            Chart {
                title: format!("{title} over {name}"),
                x_label: format!("{name}, KiB"),
                y_label: what.into(),
                series,
            }
        };
        vec![
            panel("FLASH", "RAM", |p| p.flash_bytes, |p| p.ram_budget),
            panel("RAM", "FLASH", |p| p.ram_bytes, |p| p.flash_budget),
        ]
    }
}

/// A number of a point.
type Of = fn(&Point) -> u64;

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

/// Points from left to right, each once.
fn joined(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(flash_bytes: u64, ram_bytes: u64, reward: f64) -> Point {
        let (flash_budget, ram_budget) = (flash_bytes, ram_bytes);
        let (chosen, policy) = ("search".into(), "W8A8".into());
        Point { flash_budget, ram_budget, flash_bytes, ram_bytes, weight_bytes: 1, reward, chosen, policy }
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
