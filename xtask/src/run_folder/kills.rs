//! Kills at random moments, each followed by the command that goes on.

use super::outcome::Outcome;
use super::scenario::{Beginning, Scenario, Scenarios, side_by_side};
use super::state::State;
use super::workshop::{Failure, Ran, Workshop};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How often a moment is drawn anew because the command had ended before it.
const MOST_DRAWS: usize = 50;

/// Of so many trials of a command one kills what goes on too.
const SECOND_KILL: usize = 3;

/// What became of one trial.
struct Trial {
    scenario: usize,
    kills: usize,
    /// The killed command had delivered everything already, and is refused for that.
    was_done: bool,
    /// What is not as it has to be, with when the kills came.
    wrong: Option<String>,
}

/// Kills `count` times at moments that `seed` draws, the scenarios in turn.
pub(super) fn run(scenarios: &Scenarios, count: usize, seed: u64) -> Result<Outcome, Failure> {
    let trials = side_by_side((0..count).collect(), |number| trial(scenarios, *number, seed))?;
    let mut table = String::from(
        "| command | undisturbed, s | killed | killed again | done before the kill | as undisturbed |\n|---|---|---|---|---|---|\n",
    );
    for (i, scenario) in scenarios.all.iter().enumerate() {
        let mine: Vec<&Trial> = trials.iter().filter(|trial| trial.scenario == i).collect();
        let again = mine.iter().filter(|trial| trial.kills > 1).count();
        let done = mine.iter().filter(|trial| trial.was_done).count();
        let good = mine.iter().filter(|trial| trial.wrong.is_none()).count();
        let seconds = scenario.duration.as_secs_f64();
        let (name, count) = (scenario.name, mine.len());
        writeln!(table, "| {name} | {seconds:.1} | {count} | {again} | {done} | {good} of {count} |")?;
    }
    let good = trials.iter().filter(|trial| trial.wrong.is_none()).count();
    let kills: usize = trials.iter().map(|trial| trial.kills).sum();
    writeln!(table, "\nSeed {seed}: {kills} kills in {count} trials, {good} of {count} end as if undisturbed.")?;
    Ok(Outcome { table, failures: trials.into_iter().filter_map(|trial| trial.wrong).collect() })
}

fn trial(scenarios: &Scenarios, number: usize, seed: u64) -> Result<Trial, Failure> {
    let workshop = scenarios.workshop;
    let index = number % scenarios.all.len();
    let scenario = &scenarios.all[index];
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    chance.set_stream(number as u64);
    let folder = workshop.path("runs").join(format!("kill-{number}"));
    let mut moments = vec![first_kill(scenarios, scenario, &folder, &mut chance)?];
    let mut wrong = lost_edit(scenario, &folder)?;
    let mut ran = None;
    if (number / scenarios.all.len()) % SECOND_KILL == SECOND_KILL - 1 {
        let moment = scenario.duration.mul_f64(chance.random_range(0.0..1.0));
        let before = State::of(&folder)?;
        let killed = workshop.start(&scenario.again(workshop, &folder)?)?.kill_after(moment)?;
        if killed.killed {
            moments.push(moment.as_secs_f64());
            wrong = wrong.or(lost_edit(scenario, &folder)?);
        } else {
            ran = Some((before, killed));
        }
    }
    let (before, ran) = match ran {
        Some(ended) => ended,
        None => (State::of(&folder)?, workshop.run(&scenario.again(workshop, &folder)?)?),
    };
    let (was_done, problem) = judge(scenario, &before, &ran, &State::of(&folder)?, workshop);
    let at: Vec<String> = moments.iter().map(|moment| format!("{moment:.3} s")).collect();
    let wrong = wrong.or(problem).map(|wrong| format!("{}, killed at {}: {wrong}", scenario.name, at.join(" and ")));
    eprintln!("kills: trial {number}: {}", wrong.as_deref().unwrap_or("as undisturbed"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(Trial { scenario: index, kills: moments.len(), was_done, wrong })
}

/// Runs the command from its beginning and kills it; when, in seconds.
fn first_kill(
    scenarios: &Scenarios,
    scenario: &Scenario,
    folder: &Path,
    chance: &mut ChaCha8Rng,
) -> Result<f64, Failure> {
    for _ in 0..MOST_DRAWS {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        scenarios.begin_at(scenario.beginning, folder)?;
        let moment = scenario.duration.mul_f64(chance.random_range(0.0..1.0));
        let line = scenario.line(scenarios.workshop, folder);
        if scenarios.workshop.start(&line)?.kill_after(moment)?.killed {
            return Ok(moment.as_secs_f64());
        }
    }
    Err(format!("{} ends before every kill", scenario.name).into())
}

/// What is wrong where a policy that was edited is neither as the user wrote it nor as the whole command leaves it.
pub(super) fn lost_edit(scenario: &Scenario, folder: &Path) -> Result<Option<String>, Failure> {
    if scenario.beginning != Beginning::Edited {
        return Ok(None);
    }
    let text = State::of(folder)?.text("policy.toml");
    let kept = text.starts_with("# by hand\n") || text == scenario.undisturbed.text("policy.toml");
    Ok((!kept).then(|| "the edited policy is gone".into()))
}

/// Whether the killed command was done already, and what is wrong after the one that went on.
pub(super) fn judge(
    scenario: &Scenario,
    before: &State,
    ran: &Ran,
    after: &State,
    workshop: &Workshop,
) -> (bool, Option<String>) {
    let differences = scenario.undisturbed.differences(after);
    match ran.code {
        Some(0) if differences.is_empty() => (false, None),
        Some(0) => (false, Some(differences.join(", "))),
        // Nothing is left to do, and a new run is rightly refused to write over what is there.
        Some(1) if before.is_unchanged(after) && differences.is_empty() => (true, None),
        _ => {
            let message = ran.message().replace(&workshop.path("runs").display().to_string(), "RUNS");
            (false, Some(format!("going on ends with {}: {message}", ran.ending())))
        }
    }
}
