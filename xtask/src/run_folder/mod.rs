//! `cargo xtask run-folder`: tries the run folder as users meet it, with the built binary on the example of the
//! repository, and writes the tables of `docs/run-folder.md`.
//!
//! Runs are killed at random moments and at each move of a file, meet another process in their folder, a full disk or one that cannot be written to,
//! and inputs that changed since the last command. What is expected is written where it is checked; what fails is listed
//! below the tables, and the command ends with an error.

mod alteration;
mod altered;
mod disk;
mod kills;
mod moves;
mod outcome;
mod scenario;
mod state;
mod together;
mod workshop;

use crate::results::insert;
use outcome::Outcome;
use scenario::Scenarios;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use workshop::{Failure, Workshop};

/// The parts, in the order of the tables.
const PARTS: [&str; 5] = ["kills", "moves", "together", "disk", "altered"];

const USUAL_KILLS: usize = 200;

/// Set where the command runs with a name space of its own, in which it may mount.
const INSIDE: &str = "BITESIZE_RUN_FOLDER_INSIDE";

const USAGE: &str = "arguments: [kills|moves|together|disk|altered] [NUMBER OF KILLS] [SEED]";

/// What is asked for.
struct Asked {
    parts: Vec<&'static str>,
    kills: usize,
    seed: u64,
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let (parts, numbers) = match arguments.split_first() {
            Some((word, rest)) if word.parse::<usize>().is_err() => {
                let part = PARTS.into_iter().find(|part| part == word);
                (vec![part.ok_or_else(|| format!("`{word}` is no part; {USAGE}"))?], rest)
            }
            _ => (PARTS.to_vec(), arguments),
        };
        let number = |text: &String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number; {USAGE}"));
        match numbers {
            [] => Ok(Self { parts, kills: USUAL_KILLS, seed: 0 }),
            [kills] => Ok(Self { parts, kills: number(kills)? as usize, seed: 0 }),
            [kills, seed] => Ok(Self { parts, kills: number(kills)? as usize, seed: number(seed)? }),
            _ => Err(USAGE.into()),
        }
    }
}

/// Tries every part, or the one that is named. `arguments`: a part, the number of kills (default 200) and the seed of
/// their moments (default 0). All parts together write the tables; one alone prints its own.
///
/// # Errors
/// A check that failed; a binary that cannot be built or an undisturbed run that fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let asked = Asked::read(arguments)?;
    if asked.parts.contains(&"disk") {
        enter_name_space()?;
    }
    try_all(&asked).map_err(|error| error.to_string())
}

/// Starts the command anew where mounting is allowed without being root: in a name space of its own. Where there is none,
/// or it is not needed, does nothing.
fn enter_name_space() -> Result<(), String> {
    let unshare = ["--user", "--map-root-user", "--mount"];
    let allowed = || Command::new("unshare").args(unshare).arg("true").output().is_ok_and(|ran| ran.status.success());
    if std::env::var_os(INSIDE).is_some() || disk::refusal().is_none() || !allowed() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let error =
        Command::new("unshare").args(unshare).arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    Err(format!("`unshare`: {error}"))
}

fn try_all(asked: &Asked) -> Result<(), Failure> {
    let whole = asked.parts.len() == PARTS.len();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run-folder.md");
    if whole && !page.is_file() {
        return Err(format!("{} is missing, where the tables go; a part alone needs it not", page.display()).into());
    }
    let workshop = Workshop::new()?;
    let scenarios = Scenarios::new(&workshop)?;
    let mut failed = 0;
    let mut found: Vec<(&str, Outcome)> = Vec::new();
    for part in &asked.parts {
        let begin = std::time::Instant::now();
        let outcome = match *part {
            "kills" => kills::run(&scenarios, asked.kills, asked.seed)?,
            "moves" => moves::run(&scenarios)?,
            "together" => together::run(&scenarios)?,
            "disk" => disk::run(&scenarios)?,
            _ => altered::run(&scenarios)?,
        };
        println!("## {part}\n\n{}", outcome.markdown());
        eprintln!("{part}: {:.0} s", begin.elapsed().as_secs_f64());
        failed += outcome.failures.len();
        found.push((part, outcome));
    }
    if whole {
        for (part, outcome) in &found {
            insert(&page, &format!("run-folder {part}"), &outcome.markdown())?;
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} checks failed").into()) }
}
