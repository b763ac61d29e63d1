//! A full disk and one that cannot be written to, before each command.

use super::outcome::Outcome;
use super::scenario::{Scenario, Scenarios, side_by_side};
use super::state::State;
use super::workshop::{Failure, Ran};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is wrong with the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// So many bytes are free.
    Full(u64),
    ReadOnly,
}

const FAULTS: [Fault; 5] =
    [Fault::Full(0), Fault::Full(4 << 10), Fault::Full(16 << 10), Fault::Full(64 << 10), Fault::ReadOnly];

const COMMANDS: [&str; 7] = ["fit, rules", "fit, auto", "calibrate", "search", "emit, edited", "verify", "eval"];

/// Bytes of each disk: more than a run takes.
const SIZE: &str = "size=32m";

/// A small file system of its own; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(place: PathBuf) -> Result<Self, Failure> {
        fs::create_dir_all(&place)?;
        mount(&["-t", "tmpfs", "-o", SIZE, "tmpfs"], &place)?;
        Ok(Self(place))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Fills it up so that `left` bytes stay free.
    fn fill(&self, left: u64) -> Result<(), Failure> {
        let mut file = File::create(self.filler())?;
        let block = [0; 4096];
        let mut bytes = 0;
        loop {
            match file.write_all(&block) {
                Ok(()) => bytes += block.len() as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(file.set_len(bytes.saturating_sub(left))?)
    }

    fn break_by(&self, fault: Fault) -> Result<(), Failure> {
        match fault {
            Fault::Full(left) => self.fill(left),
            Fault::ReadOnly => mount(&["-o", "remount,ro"], &self.0),
        }
    }

    fn mend(&self, fault: Fault) -> Result<(), Failure> {
        match fault {
            Fault::Full(_) => Ok(fs::remove_file(self.filler())?),
            Fault::ReadOnly => mount(&["-o", "remount,rw"], &self.0),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still holds it lets go with its process; nothing can be done here.
        let _ = Command::new("umount").arg(&self.0).stderr(Stdio::null()).status();
    }
}

fn mount(options: &[&str], place: &Path) -> Result<(), Failure> {
    let ran = Command::new("mount").args(options).arg(place).output().map_err(|error| format!("`mount`: {error}"))?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned().into()),
    }
}

/// Why no disk can be mounted here, if so.
pub(super) fn refusal() -> Option<String> {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return Some(error.to_string()),
    };
    Disk::new(folder.path().join("probe")).err().map(|error| error.to_string())
}

/// One command on one faulty disk.
struct Trial {
    fault: String,
    command: &'static str,
    code: String,
    said: String,
    wrong: Option<String>,
}

/// Breaks the disk in every way before every command, and mends it.
pub(super) fn run(scenarios: &Scenarios) -> Result<Outcome, Failure> {
    if let Some(reason) = refusal() {
        let said = format!("SKIPPED: full and read-only disks: no tmpfs can be mounted here ({reason})");
        eprintln!("\n{said}\n");
        return Ok(Outcome { table: format!("{said}\n"), failures: Vec::new() });
    }
    let jobs = COMMANDS.iter().flat_map(|name| FAULTS.map(|fault| (*name, fault))).collect();
    let trials = side_by_side(jobs, |(name, fault)| trial(scenarios, scenarios.named(name), *fault))?;
    let mut table = String::from("| command | disk | exit | what it says | afterwards |\n|---|---|---|---|---|\n");
    for Trial { fault, command, code, said, wrong } in &trials {
        let result = if wrong.is_none() { "nothing lost, goes on" } else { "**wrong**" };
        writeln!(table, "| {command} | {fault} | {code} | {said} | {result} |")?;
    }
    let failure = |trial: Trial| Some(format!("{}, {}: {}", trial.command, trial.fault, trial.wrong?));
    Ok(Outcome { table, failures: trials.into_iter().filter_map(failure).collect() })
}

fn trial(scenarios: &Scenarios, scenario: &Scenario, fault: Fault) -> Result<Trial, Failure> {
    let workshop = scenarios.workshop;
    let shown = match fault {
        Fault::Full(bytes) => format!("{} KiB free", bytes >> 10),
        Fault::ReadOnly => "read-only".into(),
    };
    let name = format!("{}-{}", scenario.name, shown).replace([' ', ','], "-");
    let disk = Disk::new(workshop.path("disks").join(name))?;
    let folder = disk.0.join("out");
    scenarios.begin_at(scenario.beginning, &folder)?;
    let before = State::of(&folder)?;
    disk.break_by(fault)?;
    let ran = workshop.run(&scenario.line(workshop, &folder))?;
    let after = State::of(&folder)?;
    disk.mend(fault)?;
    let mut wrong = judge(scenario, fault, &ran, [&before, &after], &disk.0);
    if wrong.is_none() && ran.code != Some(0) {
        let again = workshop.run(&scenario.again(workshop, &folder)?)?;
        let differences = scenario.undisturbed.differences(&State::of(&folder)?);
        wrong = match again.code {
            Some(0) if differences.is_empty() => None,
            Some(0) => Some(format!("afterwards {}", differences.join(", "))),
            _ => Some(format!("going on ends with {}: {}", again.ending(), again.message())),
        };
    }
    let plain = |text: &str| text.replace(&disk.0.display().to_string(), "DISK").replace('|', "\\|");
    let (said, wrong) = (plain(ran.message()), wrong.map(|wrong| plain(&wrong)));
    let said = if ran.code == Some(0) { "has room enough".into() } else { said };
    eprintln!("disk: {}, {shown}: {}", scenario.name, wrong.as_deref().unwrap_or("nothing lost"));
    Ok(Trial { fault: shown, command: scenario.name, code: ran.ending(), said, wrong })
}

/// What is wrong with how a command ended on a faulty disk.
fn judge(scenario: &Scenario, fault: Fault, ran: &Ran, [before, after]: [&State; 2], disk: &Path) -> Option<String> {
    let prints_anyway = scenario.name == "eval";
    let lost = before.lost(after);
    let place = disk.display().to_string();
    let mut names = scenario.undisturbed.0.keys().chain([&place]);
    let named = names.any(|name| ran.message().contains(name.as_str()));
    match (ran.code, fault) {
        (Some(0 | 1), Fault::ReadOnly) if !before.is_unchanged(after) => Some("the folder is not as it was".into()),
        (Some(0), _) if prints_anyway && ran.out.contains("integer") => None,
        (Some(0), Fault::ReadOnly) => Some("it claims to be done".into()),
        (Some(0), Fault::Full(_)) => {
            let differences = scenario.undisturbed.differences(after);
            (!differences.is_empty()).then(|| format!("it claims to be done, but {}", differences.join(", ")))
        }
        (Some(1), _) if !lost.is_empty() => Some(format!("lost or changed: {}", lost.join(", "))),
        (Some(1), _) if !named => Some(format!("it names no file: {}", ran.message())),
        (Some(1), _) => None,
        _ => Some(format!("it ends with {}: {}", ran.ending(), ran.message())),
    }
}
