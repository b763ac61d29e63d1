//! Tables and plots of the results.

use super::job::{Done, Reading, STEP};
use super::lines::{Reference, Results};
use super::plan::{CASES, NETWORKS, READINGS, SHARES, seeds};
use super::subject::Failure;
use crate::results::insert;
use bitesize::deliver::judge::PROBE_SAMPLES;
use bitesize::report::chart::{Chart, Line, Series, svg};
use bitesize_search::Strategy;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Rewards that differ by less are equal: what is left of summing them.
const SAME: f64 = 1e-9;

/// Every so many steps a point of a curve is drawn.
const PLOTTED: usize = 4;

/// Writes the tables of all networks that `results` know into `docs/strategies.md` below `root`, and a plot for each beside it.
pub(super) fn write(root: &Path, results: &Results) -> Result<(), Failure> {
    let (known, missing): (Vec<&str>, Vec<&str>) =
        NETWORKS.into_iter().partition(|network| results.reference(network).is_some());
    let mut text = String::new();
    if !missing.is_empty() {
        writeln!(text, "\nNot run yet: {}.", missing.join(", "))?;
    }
    for reference in known.iter().filter_map(|network| results.reference(network)) {
        network_tables(&mut text, reference, results)?;
    }
    summary(&mut text, &known, results)?;
    println!("{text}");
    insert(&root.join("docs/strategies.md"), "strategies", &text)?;
    fs::create_dir_all(root.join("docs/strategies"))?;
    for network in known {
        fs::write(root.join(format!("docs/strategies/{network}.svg")), plot(network, results)?)?;
    }
    Ok(())
}

/// What one strategy did in one case after some evaluations, for each seed.
struct Cell<'a> {
    runs: Vec<(&'a Done, &'a Reading)>,
}

impl<'a> Cell<'a> {
    fn of(results: &'a Results, network: &str, case: &str, strategy: Strategy, evaluations: usize) -> Self {
        let of_case = |done: &&Done| {
            (done.job.network.as_str(), done.job.case.as_str(), done.job.strategy) == (network, case, strategy)
        };
        let reading = |done: &'a Done| {
            let reading = done.readings.iter().find(|reading| reading.evaluations == evaluations)?;
            Some((done, reading))
        };
        Self { runs: results.done.iter().filter(of_case).filter_map(reading).collect() }
    }

    /// Whether there is a run for each seed.
    fn is_complete(&self, strategy: Strategy) -> bool {
        self.runs.len() == seeds(strategy).len()
    }

    fn mean(&self, value: impl Fn(&Done, &Reading) -> f64) -> f64 {
        self.runs.iter().map(|(done, reading)| value(done, reading)).sum::<f64>() / self.runs.len() as f64
    }

    fn reward(&self) -> f64 {
        self.mean(|_, reading| reading.reward)
    }

    fn delivered(&self) -> f64 {
        self.mean(|_, reading| reading.delivered.reward)
    }

    fn accuracy(&self) -> f64 {
        100.0 * self.mean(|_, reading| reading.delivered.accuracy)
    }

    /// The mean accuracy, with the least and the greatest where they differ.
    fn accuracies(&self) -> String {
        let all = || self.runs.iter().map(|(_, reading)| 100.0 * reading.delivered.accuracy);
        let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        if most - least < 0.005 {
            format!("{most:.2}")
        } else {
            format!("{:.2} ({least:.2} to {most:.2})", self.accuracy())
        }
    }
}

/// Evaluations of a search, its probes counted by their share of the samples.
fn spent(done: &Done) -> usize {
    done.episodes + (done.probes * PROBE_SAMPLES).div_ceil(SHARES.reward)
}

/// Per cent of FLASH and RAM in the name of a case.
fn shares(case: &str) -> Option<(u64, u64)> {
    let (flash, ram) = case.split_once('+')?;
    Some((flash.strip_prefix('f')?.parse().ok()?, ram.strip_prefix('r')?.parse().ok()?))
}

fn network_tables(out: &mut String, reference: &Reference, results: &Results) -> Result<(), Failure> {
    let Reference { network, float, uniform, flash_bytes, ram_bytes } = reference;
    writeln!(
        out,
        "\n### {network}\n\nFloat {:.2}, uniform 8 bits {:.2} with {flash_bytes} B of FLASH and {ram_bytes} B of RAM.\n\n\
         ![The best reward after so many evaluations](strategies/{network}.svg)",
        100.0 * float,
        100.0 * uniform
    )?;
    for case in CASES {
        let (flash, ram) = shares(case).ok_or_else(|| format!("`{case}` is no case"))?;
        let budget = (flash_bytes * flash / 100, ram_bytes * ram / 100);
        writeln!(out, "\nFLASH {flash} % ({} B), RAM {ram} % ({} B):\n", budget.0, budget.1)?;
        writeln!(
            out,
            "| strategy | reward, 100 | 600 | delivered, 100 | 600 | test, 100 | test, 600 | to float | to uniform 8 | FLASH used | \
             RAM used | evaluations + probes | s: evaluations + own |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        let best = READINGS.map(|evaluations| best_reward(results, network, case, evaluations));
        for strategy in Strategy::ALL {
            let [few, many] = READINGS.map(|evaluations| Cell::of(results, network, case, strategy, evaluations));
            if !(few.is_complete(strategy) && many.is_complete(strategy)) {
                writeln!(out, "| `{strategy}` | not run yet{}", " |".repeat(12))?;
                continue;
            }
            let reward = |cell: &Cell, best: f64| bold(format!("{:.5}", cell.reward()), cell.reward() >= best - SAME);
            let used = |bytes: &dyn Fn(&Reading) -> u64, budget: u64| {
                100.0 * many.mean(|_, reading| bytes(reading) as f64) / budget as f64
            };
            let own = many.mean(|done, _| done.seconds - done.evaluation_seconds);
            writeln!(
                out,
                "| `{strategy}` | {} | {} | {:.5} | {:.5} | {} | {} | {:+.2} | {:+.2} | {:.1} % | {:.1} % | {:.0} + {:.0} | {:.1} + {own:.1} |",
                reward(&few, best[0]),
                reward(&many, best[1]),
                few.delivered(),
                many.delivered(),
                few.accuracies(),
                many.accuracies(),
                many.accuracy() - 100.0 * float,
                many.accuracy() - 100.0 * uniform,
                used(&|reading| reading.delivered.flash_bytes, budget.0),
                used(&|reading| reading.delivered.ram_bytes, budget.1),
                many.mean(|done, _| done.different as f64),
                many.mean(|done, _| done.probes as f64),
                many.mean(|done, _| done.evaluation_seconds),
            )?;
        }
    }
    Ok(())
}

fn bold(text: String, is_best: bool) -> String {
    if is_best { format!("**{text}**") } else { text }
}

fn best_reward(results: &Results, network: &str, case: &str, evaluations: usize) -> f64 {
    let cells = Strategy::ALL.map(|strategy| (strategy, Cell::of(results, network, case, strategy, evaluations)));
    let complete = cells.iter().filter(|(strategy, cell)| cell.is_complete(*strategy));
    complete.map(|(_, cell)| cell.reward()).fold(0.0, f64::max)
}

fn summary(out: &mut String, networks: &[&str], results: &Results) -> Result<(), Failure> {
    let cases: Vec<(&str, &str)> =
        networks.iter().flat_map(|network| CASES.into_iter().map(move |case| (*network, case))).collect();
    writeln!(
        out,
        "\n### All {} cases\n\nMeans over cases and seeds. \"Best\" counts the cases in which no strategy has a higher mean reward.\n\n\
         | strategy | reward, 100 | 600 | delivered, 100 | 600 | test, 100 | 600 | best, 100 | 600 |\n|---|---|---|---|---|---|---|---|---|",
        cases.len()
    )?;
    for strategy in Strategy::ALL {
        let cells = READINGS.map(|evaluations| -> Vec<(Cell, f64)> {
            let cell = |(network, case): &(&str, &str)| {
                let cell = Cell::of(results, network, case, strategy, evaluations);
                (cell, best_reward(results, network, case, evaluations))
            };
            cases.iter().map(cell).collect()
        });
        if !cells.iter().flatten().all(|(cell, _)| cell.is_complete(strategy)) {
            writeln!(out, "| `{strategy}` | not run yet{}", " |".repeat(8))?;
            continue;
        }
        let mean = |column: usize, value: &dyn Fn(&Cell) -> f64| {
            cells[column].iter().map(|(cell, _)| value(cell)).sum::<f64>() / cases.len() as f64
        };
        let best = |column: usize| cells[column].iter().filter(|(cell, best)| cell.reward() >= best - SAME).count();
        writeln!(
            out,
            "| `{strategy}` | {:.5} | {:.5} | {:.5} | {:.5} | {:.2} | {:.2} | {} | {} |",
            mean(0, &|cell| cell.reward()),
            mean(1, &|cell| cell.reward()),
            mean(0, &|cell| cell.delivered()),
            mean(1, &|cell| cell.delivered()),
            mean(0, &|cell| cell.accuracy()),
            mean(1, &|cell| cell.accuracy()),
            best(0),
            best(1),
        )?;
    }
    Ok(())
}

/// The best reward so far over evaluations, probes counted, mean over seeds: a panel for each case. A strategy's line ends
/// where it does.
fn plot(network: &str, results: &Results) -> Result<String, Failure> {
    let panel = |case: &str| {
        let (flash, ram) = shares(case).unwrap_or_default();
        let series = Strategy::ALL.map(|strategy| {
            let mut cell = Cell::of(results, network, case, strategy, READINGS[1]);
            if !cell.is_complete(strategy) {
                cell.runs.clear();
            }
            let steps = cell.runs.iter().map(|(done, _)| done.curve.len()).max().unwrap_or(0);
            // A seed that ended sooner stays at its best; before all seeds have a policy there is no mean.
            let of = |done: &Done, step: usize| done.curve.get(step).or(done.curve.last()).copied().unwrap_or(0.0);
            let began = |step: &usize| cell.runs.iter().all(|(done, _)| of(done, *step) > 0.0);
            let drawn = (0..steps).filter(|step| step % PLOTTED == 0 || step + 1 == steps).filter(began);
            let mut points: Vec<_> =
                drawn.map(|step| ((step * STEP) as f64, cell.mean(|done, _| of(done, step)))).collect();
            if let Some(end) = cell.runs.iter().map(|(done, _)| spent(done)).max() {
                points.retain(|(evaluations, _)| *evaluations < end as f64);
                points.push((end as f64, cell.reward()));
            }
            Series { name: strategy.name().into(), points, line: Line::Solid }
        });
        Chart {
            title: format!("{network}: FLASH {flash} %, RAM {ram} %"),
            x_label: "evaluations".into(),
            y_label: "best reward, exp(-loss)".into(),
            series: series.into(),
        }
    };
    Ok(svg(&CASES.map(panel))?)
}
