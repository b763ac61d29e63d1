//! Kills at each move of a file: moments that last microseconds, which kills at random hardly meet.
//!
//! `strace` kills the command when it is about to make a system call that puts a name into a folder or takes one out of it,
//! at the first such call, then at the second, and so on to the last.

use super::kills::{judge, lost_edit};
use super::outcome::Outcome;
use super::scenario::{Scenario, Scenarios, side_by_side};
use super::state::State;
use super::workshop::Failure;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// The calls by which names change.
const CALLS: [&str; 5] = ["rename", "linkat", "unlink", "unlinkat", "mkdir"];

/// Commands that move files, of each kind one; a search adds no other move than these make.
const COMMANDS: [&str; 4] = ["fit, rules", "calibrate", "search, anew", "emit, edited"];

/// No command makes more calls of one kind.
const MOST_CALLS: usize = 1000;

/// What became of the kills at one kind of call.
struct Killed {
    kills: usize,
    wrong: Vec<String>,
}

/// Kills each command at each call.
pub(super) fn run(scenarios: &Scenarios) -> Result<Outcome, Failure> {
    if !Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success()) {
        return Err("`strace` is not installed, which kills at single system calls: install the package strace".into());
    }
    let jobs = COMMANDS.iter().flat_map(|name| CALLS.map(|call| (*name, call))).collect();
    let killed = side_by_side(jobs, |(name, call)| at_each(scenarios, scenarios.named(name), call))?;
    let mut table =
        format!("| command | {} | as undisturbed |\n|---|{}---|\n", CALLS.join(" | "), "---|".repeat(CALLS.len()));
    for (name, row) in COMMANDS.iter().zip(killed.chunks(CALLS.len())) {
        let counts: Vec<String> = row.iter().map(|killed| killed.kills.to_string()).collect();
        let kills: usize = row.iter().map(|killed| killed.kills).sum();
        let good = kills - row.iter().map(|killed| killed.wrong.len()).sum::<usize>();
        writeln!(table, "| {name} | {} | {good} of {kills} |", counts.join(" | "))?;
    }
    Ok(Outcome { table, failures: killed.into_iter().flat_map(|killed| killed.wrong).collect() })
}

/// Kills the command of `scenario` at the first `call`, the second, and so on, each followed by the command that goes on.
fn at_each(scenarios: &Scenarios, scenario: &Scenario, call: &str) -> Result<Killed, Failure> {
    let workshop = scenarios.workshop;
    let mut killed = Killed { kills: 0, wrong: Vec::new() };
    for number in 1..=MOST_CALLS {
        let folder = scenarios.begin(scenario.beginning, &format!("{}-{call}-{number}", scenario.name))?;
        let ran = workshop.run_until_call(&scenario.line(workshop, &folder), call, number)?;
        if !ran.killed {
            if ran.code != Some(0) {
                return Err(format!("{} under strace ended with {}: {}", scenario.name, ran.ending(), ran.err).into());
            }
            fs::remove_dir_all(&folder)?;
            return Ok(killed);
        }
        let lost = lost_edit(scenario, &folder)?;
        let before = State::of(&folder)?;
        let again = workshop.run(&scenario.again(workshop, &folder)?)?;
        let (_, problem) = judge(scenario, &before, &again, &State::of(&folder)?, workshop);
        let wrong = lost.or(problem);
        eprintln!("moves: {} at {call} {number}: {}", scenario.name, wrong.as_deref().unwrap_or("as undisturbed"));
        killed.kills += 1;
        killed.wrong.extend(wrong.map(|wrong| format!("{}, killed at {call} {number}: {wrong}", scenario.name)));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
    }
    Err(format!("{} makes more than {MOST_CALLS} calls of {call}", scenario.name).into())
}
