//! What a sweep of budgets found, as a table, a chart, and the policies of its front.

use super::chart::{Chart, Line, Series, svg};
use super::schema::MetricReport;
use crate::deliver::sweep::{Point, PointReport, Swept};
use crate::run::names::{PARETO, PARETO_CSV, PARETO_SVG};
use crate::run::{Commit, Provenance, Stage};
use crate::task::Metric;
use crate::task::metric::capitalized;
use bitesize_ir::PolicySpace;
use bitesize_search::RewardKind;
use bitesize_search::from_compact;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Puts the table, the chart and the policies of the front of `swept` into their places; `metric` is the run's own row of it.
///
/// # Errors
/// A chart that cannot be drawn, files that cannot be written.
pub fn put(
    swept: &Swept,
    space: &PolicySpace,
    metric: Option<&MetricReport>,
    made_from: Provenance,
    commit: &mut Commit,
) -> anyhow::Result<()> {
    commit.stage(Stage::Swept, made_from);
    commit.put(Stage::Swept, PARETO_CSV, csv(swept, metric).as_bytes())?;
    commit.put(Stage::Swept, PARETO_SVG, svg(&charts(swept, metric))?.as_bytes())?;
    let digits = swept.rows.len().to_string().len().max(2);
    let mut policies = Vec::new();
    for (number, row) in swept.rows.iter().enumerate().filter(|(_, row)| row.front) {
        let policy = from_compact(&row.point.policy, space).map_err(anyhow::Error::msg)?;
        policies.push((format!("{:0digits$}.toml", number + 1), policy.to_toml()));
    }
    commit.put_tree(Stage::Swept, PARETO, &policies)
}

fn csv(swept: &Swept, metric: Option<&MetricReport>) -> String {
    let name = metric.map_or("", |row| row.name.as_str());
    let mut text = String::from(
        "flash_budget,ram_budget,flash_bytes,ram_bytes,weight_bytes,instructions,reward,accuracy,metric,metric_name,front,chosen,policy\n",
    );
    for PointReport { point: p, accuracy, metric, front } in &swept.rows {
        let name = if metric.is_some() { name } else { "" };
        let [accuracy, metric] = [accuracy, metric].map(|value| value.map_or(String::new(), |value| value.to_string()));
        let instructions = p.instructions.map_or(String::new(), |count| count.to_string());
        let (budgets, bytes) = ((p.flash_budget, p.ram_budget), (p.flash_bytes, p.ram_bytes, p.weight_bytes));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{instructions},{},{accuracy},{metric},{name},{front},{},{}",
            budgets.0, budgets.1, bytes.0, bytes.1, bytes.2, p.reward, p.chosen, p.policy
        );
    }
    text
}

/// One panel over FLASH, one over RAM.
fn charts(swept: &Swept, metric: Option<&MetricReport>) -> Vec<Chart> {
    let known = metric.and_then(|row| Some((Metric::of_name(&row.name)?, row.float?)));
    let panel = |name: &str, other: &str, bytes: Of, level: Of| {
        let (title, what, float) = match (known, swept.reward) {
            (Some((metric, share)), _) if metric.is_fraction() => {
                (capitalized(metric.column()), format!("{}, %", metric.column()), 100.0 * share)
            }
            (Some((metric, value)), _) => (capitalized(metric.column()), metric.column().to_owned(), value),
            (None, kind) => {
                let of = if kind == RewardKind::Loss { "exp(-loss)" } else { kind.name() };
                ("Reward".to_owned(), format!("reward, {of}"), swept.float_reward)
            }
        };
        let value = |row: &PointReport| match known {
            Some((metric, _)) => {
                let factor = if metric.is_fraction() { 100.0 } else { 1.0 };
                row.metric.map_or(f64::NAN, |value| factor * value)
            }
            None => row.point.reward,
        };
        let place = |row: &PointReport| (kib(bytes(&row.point)), value(row));
        let levels: BTreeSet<u64> = swept.rows.iter().map(|row| level(&row.point)).collect();
        let mut series: Vec<Series> = levels
            .into_iter()
            .rev()
            .map(|at| Series {
                name: format!("{other} up to {:.1} KiB", kib(at)),
                points: joined(swept.rows.iter().filter(|row| level(&row.point) == at).map(place)),
                line: Line::Solid,
            })
            .collect();
        let ends = swept.rows.iter().map(|row| kib(bytes(&row.point)));
        let ends = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        series.push(Series {
            name: "float".into(),
            points: vec![(ends.0, float), (ends.1, float)],
            line: Line::Dashed,
        });
        let front = joined(swept.rows.iter().filter(|row| row.front).map(place));
        series.push(Series { name: "front (by reward)".into(), points: front, line: Line::None });
        Chart { title: format!("{title} over {name}"), x_label: format!("{name}, KiB"), y_label: what, series }
    };
    vec![
        panel("FLASH", "RAM", |p| p.flash_bytes, |p| p.ram_budget),
        panel("RAM", "FLASH", |p| p.ram_bytes, |p| p.flash_budget),
    ]
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
