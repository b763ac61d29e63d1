//! Two processes on one folder: one goes on, the other is refused.

use super::outcome::Outcome;
use super::scenario::{Beginning, Scenario, Scenarios, command_line};
use super::state::State;
use super::workshop::{Failure, Ran, Started};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// When the second starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// With the first.
    AtOnce,
    /// While the first is at work.
    Later,
}

/// The scenario of the first, and the words of the second.
#[rustfmt::skip]
const PAIRS: [(&str, When, &[&str]); 14] = [
    ("fit, auto", When::Later, &["fit", "NEW", "SMALL", "BUDGET", "--episodes", "80", "--resume"]),
    ("fit, auto", When::Later, &["fit", "NEW", "SMALL", "BUDGET", "--episodes", "80"]),
    ("fit, auto", When::AtOnce, &["fit", "NEW", "SMALL", "BUDGET", "--episodes", "80"]),
    ("fit, ddpg", When::AtOnce, &["fit", "NEW", "SMALL", "BUDGET", "--search", "ddpg", "--episodes", "25", "--resume"]),
    ("fit, pareto", When::Later, &["fit", "NEW", "SMALL", "BUDGET", "--episodes", "60", "--pareto=2", "--resume"]),
    ("fit, auto", When::Later, &["search", "DIR", "--resume"]),
    ("fit, auto", When::Later, &["emit", "DIR"]),
    ("fit, auto", When::Later, &["verify", "DIR"]),
    ("search", When::Later, &["search", "DIR", "BUDGET", "--eval-samples", "64", "--episodes", "80"]),
    ("search", When::Later, &["search", "DIR", "--resume"]),
    ("search", When::Later, &["emit", "DIR"]),
    ("verify", When::Later, &["verify", "DIR"]),
    ("verify", When::Later, &["emit", "DIR"]),
    ("verify", When::Later, &["fit", "-o", "DIR", "--resume"]),
];

/// Starts every pair.
pub(super) fn run(scenarios: &Scenarios) -> Result<Outcome, Failure> {
    let mut table =
        String::from("| first | second | exit codes | the one refused says | result |\n|---|---|---|---|---|\n");
    let mut failures = Vec::new();
    for (number, (first, when, second)) in PAIRS.iter().enumerate() {
        let scenario = scenarios.named(first);
        let folder = scenarios.begin(scenario.beginning, &format!("together-{number}"))?;
        let [one, other] = both(scenarios, scenario, *when, second, &folder)?;
        let differences = scenario.undisturbed.differences(&State::of(&folder)?);
        let refused = if one.code == Some(0) { &other } else { &one };
        let shown = folder.display().to_string();
        let wrong = match (one.code, other.code) {
            (Some(0), Some(1)) | (Some(1), Some(0)) if !differences.is_empty() => Some(differences.join(", ")),
            (Some(0), Some(1)) | (Some(1), Some(0)) => {
                let said = refused.message();
                let clear = said.contains(&shown) && said.to_lowercase().contains("lock");
                (!clear).then(|| format!("it names not both the folder and the lock: {}", said.replace(&shown, "DIR")))
            }
            _ => Some(format!("exit codes {} and {}; {}", one.ending(), other.ending(), differences.join(", "))),
        };
        let second = words_shown(second, *when);
        let result = if wrong.is_none() { "as undisturbed" } else { "**wrong**" };
        let said = refused.message().replace(&shown, "DIR").replace('|', "\\|");
        writeln!(table, "| {first} | {second} | {}, {} | {said} | {result} |", one.ending(), other.ending())?;
        eprintln!("together: {first} and {second}: {}", wrong.as_deref().unwrap_or("one refused"));
        failures.extend(wrong.map(|wrong| format!("{first} and {second}: {wrong}")));
        fs::remove_dir_all(&folder)?;
    }
    Ok(Outcome { table, failures })
}

/// Runs both to their ends.
fn both(
    scenarios: &Scenarios,
    scenario: &Scenario,
    when: When,
    second: &[&str],
    folder: &Path,
) -> Result<[Ran; 2], Failure> {
    let workshop = scenarios.workshop;
    let mut first = workshop.start(&scenario.line(workshop, folder))?;
    if when == When::Later {
        wait_until_at_work(&mut first, scenario, folder)?;
    }
    let second = workshop.run(&command_line(workshop, second, folder))?;
    Ok([first.finish()?, second])
}

/// A new run is at work when it has written something; another one when it has run for a third of its time.
fn wait_until_at_work(first: &mut Started, scenario: &Scenario, folder: &Path) -> Result<(), Failure> {
    let limit = scenario.duration * 2;
    let begin = std::time::Instant::now();
    let at_work = || match scenario.beginning {
        Beginning::Nothing => folder.join("config.toml").exists(),
        _ => begin.elapsed() > scenario.duration / 3,
    };
    while !at_work() && !first.has_ended()? && begin.elapsed() < limit {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    Ok(())
}

fn words_shown(words: &[&str], when: When) -> String {
    let words: Vec<&str> =
        words.iter().copied().filter(|word| !["NEW", "SMALL", "BUDGET", "DIR"].contains(word)).collect();
    let words = words.join(" ");
    if when == When::AtOnce { format!("`{words}` at once") } else { format!("`{words}`") }
}
