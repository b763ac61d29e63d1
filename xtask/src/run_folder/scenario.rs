//! Commands to disturb: the folder that each begins with, and how it is given again.

use super::state::{State, copy_folder};
use super::workshop::{Failure, Ran, Workshop};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder that a command begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Beginning {
    /// None yet.
    Nothing,
    /// What `calibrate` leaves.
    Calibrated,
    /// What `fit` leaves.
    Finished,
    /// The same with widths of `policy.toml` changed by hand.
    Edited,
    /// What `fit` leaves, without its search: for a search anew.
    Delivered,
}

/// A command and what it leaves where nothing disturbs it.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) beginning: Beginning,
    words: &'static [&'static str],
    /// What it leaves.
    pub(super) undisturbed: State,
    /// How long it takes.
    pub(super) duration: Duration,
}

/// A limit that uniform 8 bits do not keep, so that there is something to search.
const BUDGET: [&str; 4] = ["--flash", "48KiB", "--ram", "12KiB"];

/// Name, beginning, and words: `DIR`, `MODEL`, `TRAIN`, `VAL` and the like are put in when it runs.
#[rustfmt::skip]
const COMMANDS: [(&str, Beginning, &[&str]); 10] = [
    ("fit, rules", Beginning::Nothing, &["fit", "NEW", "SMALL", "BUDGET", "--search", "rules"]),
    ("fit, auto", Beginning::Nothing, &["fit", "NEW", "SMALL", "BUDGET", "--episodes", "80"]),
    ("fit, ddpg", Beginning::Nothing, &["fit", "NEW", "SMALL", "BUDGET", "--search", "ddpg", "--episodes", "25"]),
    ("fit, pareto", Beginning::Nothing, &["fit", "NEW", "SMALL", "BUDGET", "--episodes", "60", "--pareto=2"]),
    ("calibrate", Beginning::Nothing, &["calibrate", "NEW", "--calibration-samples", "64"]),
    ("search", Beginning::Calibrated, &["search", "DIR", "BUDGET", "--eval-samples", "64", "--episodes", "80"]),
    ("search, anew", Beginning::Delivered, &["search", "DIR", "--flash", "47KiB", "--ram", "12KiB", "--eval-samples", "64", "--episodes", "80"]),
    ("emit, edited", Beginning::Edited, &["emit", "DIR"]),
    ("verify", Beginning::Finished, &["verify", "DIR"]),
    ("eval", Beginning::Finished, &["eval", "DIR", "--val", "VAL"]),
];

/// Beginnings and scenarios, each made once.
pub(super) struct Scenarios<'a> {
    pub(super) workshop: &'a Workshop,
    pub(super) all: Vec<Scenario>,
}

/// The words of a command line, with what stands for inputs and flags put in.
pub(super) fn command_line(workshop: &Workshop, words: &[&str], folder: &Path) -> Vec<String> {
    let input = |name: &str| workshop.input(name).display().to_string();
    let mut line = Vec::new();
    for word in words {
        match *word {
            "NEW" => {
                line.extend([input("model.onnx"), "--train".into(), input("train"), "--preprocess".into()]);
                line.extend([input("preprocess.toml"), "-o".into(), folder.display().to_string()]);
            }
            "SMALL" => {
                let small = "--calibration-samples 64 --eval-samples 64 --host-samples 4 --qemu-samples 1";
                line.extend(small.split(' ').map(String::from));
            }
            "BUDGET" => line.extend(BUDGET.map(String::from)),
            "DIR" => line.push(folder.display().to_string()),
            "VAL" => line.push(input("val")),
            "TRAIN" => line.push(input("train")),
            word => line.push(word.into()),
        }
    }
    line
}

/// Gives all weights 2 bits by hand, with a word of who did it. So a policy that fits goes on to fit: fewer bits for one
/// layer alone may need another kernel.
pub(super) fn edited(policy: &str) -> String {
    let widths = ["weights = 8", "weights = 4"];
    let text = widths.iter().fold(policy.to_owned(), |text, width| text.replace(width, "weights = 2"));
    format!("# by hand\n{text}")
}

impl Beginning {
    const ALL: [Self; 5] = [Self::Nothing, Self::Calibrated, Self::Finished, Self::Edited, Self::Delivered];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Calibrated => "calibrated",
            Self::Finished => "finished",
            Self::Edited => "edited",
            Self::Delivered => "delivered",
        }
    }
}

impl<'a> Scenarios<'a> {
    /// Runs every command undisturbed, side by side as the trials run later, so that they take as long.
    pub(super) fn new(workshop: &'a Workshop) -> Result<Self, Failure> {
        let mut scenarios = Self { workshop, all: Vec::new() };
        for beginning in Beginning::ALL {
            let folder = scenarios.kept(beginning);
            match beginning {
                Beginning::Nothing => {}
                Beginning::Calibrated => {
                    scenarios.make(&["calibrate", "NEW", "--calibration-samples", "64"], &folder)?
                }
                Beginning::Finished => {
                    scenarios.make(&["fit", "NEW", "SMALL", "BUDGET", "--search", "rules"], &folder)?;
                }
                Beginning::Edited => {
                    copy_folder(&scenarios.kept(Beginning::Finished), &folder)?;
                    let policy = folder.join("policy.toml");
                    fs::write(&policy, edited(&fs::read_to_string(&policy)?))?;
                }
                Beginning::Delivered => {
                    copy_folder(&scenarios.kept(Beginning::Finished), &folder)?;
                    fs::remove_file(folder.join("search.jsonl"))?;
                }
            }
        }
        let undisturbed = |command: &(&'static str, Beginning, &'static [&'static str])| {
            let (name, beginning, words) = *command;
            let folder = scenarios.begin(beginning, &format!("undisturbed-{name}"))?;
            let ran = workshop.run(&command_line(workshop, words, &folder))?;
            expect_done(name, &ran)?;
            Ok(Scenario { name, beginning, words, undisturbed: State::of(&folder)?, duration: ran.duration })
        };
        let all = side_by_side(COMMANDS.to_vec(), undisturbed)?;
        scenarios.all = all;
        Ok(scenarios)
    }

    /// Makes a folder by a command that nothing disturbs.
    pub(super) fn make(&self, words: &[&str], folder: &Path) -> Result<(), Failure> {
        expect_done(words[0], &self.workshop.run(&command_line(self.workshop, words, folder))?)
    }

    fn kept(&self, beginning: Beginning) -> PathBuf {
        self.workshop.path("runs").join(format!("begin-{}", beginning.name()))
    }

    /// A folder called `name` as `beginning` says.
    pub(super) fn begin(&self, beginning: Beginning, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.workshop.path("runs").join(name.replace(", ", "-"));
        self.begin_at(beginning, &folder)?;
        Ok(folder)
    }

    /// Fills `folder` as `beginning` says.
    pub(super) fn begin_at(&self, beginning: Beginning, folder: &Path) -> Result<(), Failure> {
        if beginning == Beginning::Nothing {
            return Ok(());
        }
        copy_folder(&self.kept(beginning), folder)
    }

    /// The scenario called `name`.
    pub(super) fn named(&self, name: &str) -> &Scenario {
        self.all.iter().find(|scenario| scenario.name == name).expect("only names of the table are asked for")
    }
}

impl Scenario {
    /// The command line in `folder`.
    pub(super) fn line(&self, workshop: &Workshop, folder: &Path) -> Vec<String> {
        command_line(workshop, self.words, folder)
    }

    /// How a user goes on after it was cut off: `fit` with `--resume`, `search` too where this one has begun (its number of
    /// episodes is in the settings), the others as they were given.
    pub(super) fn again(&self, workshop: &Workshop, folder: &Path) -> Result<Vec<String>, Failure> {
        let mut line = self.line(workshop, folder);
        if self.words[0] == "fit" {
            line.push("--resume".into());
        }
        let config = folder.join("config.toml");
        if self.words[0] == "search" && fs::read_to_string(&config)?.lines().any(|line| line == "episodes = 80") {
            line = command_line(workshop, &["search", "DIR", "--resume"], folder);
        }
        Ok(line)
    }
}

/// Fails where a command that nothing disturbs does not do its work.
pub(super) fn expect_done(name: &str, ran: &Ran) -> Result<(), Failure> {
    match ran.code {
        Some(0) => Ok(()),
        _ => Err(format!("{name}, undisturbed, ended with {}: {}{}", ran.ending(), ran.out, ran.err).into()),
    }
}

/// Does `work` for each of `jobs`, as many at a time as there are processors. Results are in the jobs' order.
pub(super) fn side_by_side<J: Send, T: Send>(
    jobs: Vec<J>,
    work: impl Fn(&J) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    use std::sync::{Mutex, PoisonError};
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let worker = || -> Result<(), Failure> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((i, job)) = next else { return Ok(()) };
            let result = work(&job)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a trial panicked")?)
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
