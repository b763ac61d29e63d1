//! The subcommands, one file each.

mod boards;
mod calibrate;
mod emit;
mod eval;
mod fit;
mod inspect;
mod search;
mod verify;

use anyhow::Context as _;
use bitesize::Ending;
use bitesize::console::{Console, Interrupted};
use bitesize::report::Report;
use bitesize::run::{self, RunConfig, RunFolder};
use bitesize::usage;
use clap::parser::ValueSource;
use clap::{ArgMatches, Subcommand};
use std::path::Path;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// The whole road: calibrate, search, quantize, emit C, verify it
    Fit(Box<fit::FitArgs>),
    /// Show layers, FLASH and RAM at each width, and which boards would do; needs no data
    Inspect(Box<inspect::InspectArgs>),
    /// List the boards and cores that are known
    Boards(boards::BoardsArgs),
    /// Find the range of every tensor and start a run folder with them
    Calibrate(Box<calibrate::CalibrateArgs>),
    /// Choose widths for the run in a folder and quantize the network for delivery
    Search(Box<search::SearchCommandArgs>),
    /// Write the C package of the run in a folder
    Emit(emit::EmitArgs),
    /// Prove that the package of the run in a folder computes what the host says
    Verify(verify::VerifyArgs),
    /// Measure accuracy: of an ONNX file in float, of a run folder in float and integer
    Eval(Box<eval::EvalArgs>),
}

impl Command {
    /// Whether it goes on with an interrupted run where `--resume` is given.
    pub(crate) fn has_resume(&self) -> bool {
        matches!(self, Self::Fit(_) | Self::Search(_))
    }

    /// Runs it.
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        match self {
            Self::Fit(args) => args.run(console),
            Self::Inspect(args) => args.run(console),
            Self::Boards(args) => args.run(),
            Self::Calibrate(args) => args.run(console),
            Self::Search(args) => args.run(console),
            Self::Emit(args) => args.run(console),
            Self::Verify(args) => args.run(console),
            Self::Eval(args) => args.run(console),
        }
    }
}

/// Refuses flags beside `--config` or `--resume` that would have no effect, since every setting comes from a file.
///
/// # Errors
/// The first of them.
pub(crate) fn refuse_ignored(command: &clap::Command, matches: &ArgMatches) -> anyhow::Result<()> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(command) = command.find_subcommand(name) else { return Ok(()) };
    let given: Vec<&clap::Arg> = command
        .get_arguments()
        .filter(|a| matches.ids().any(|id| id == a.get_id()))
        .filter(|a| matches.value_source(a.get_id().as_str()) == Some(ValueSource::CommandLine))
        .collect();
    let has = |id: &str| given.iter().any(|a| a.get_id() == id);
    let (source, ignored): (&str, fn(&str) -> bool) = match name {
        "fit" if has("config") => ("--config", |id| id != "config"),
        "fit" if has("resume") && !has("model") => ("--resume without a model", |id| id != "resume"),
        "search" if has("resume") => ("--resume", |id| SEARCH_FLAGS.contains(&id)),
        _ => return Ok(()),
    };
    let harmless = ["output", "verbose", "quiet", "threads"];
    let flag = |a: &&clap::Arg| {
        let id = a.get_id().as_str();
        (ignored(id) && !harmless.contains(&id)).then(|| a.get_long().unwrap_or(id).to_owned())
    };
    match given.iter().find_map(flag) {
        Some(flag) => {
            Err(usage(format!("{source} takes every setting from the run's config.toml: leave out --{flag}")))
        }
        None => Ok(()),
    }
}

/// The flags of a search that its config.toml keeps.
const SEARCH_FLAGS: [&str; 12] = [
    "search",
    "policy",
    "episodes",
    "reward",
    "time_limit",
    "eval_samples",
    "patience",
    "pareto",
    "weight_bytes",
    "weights",
    "activations",
    "pins",
];

/// Reads the settings of a run.
fn read_config(path: &Path) -> anyhow::Result<RunConfig> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the settings `{}`", path.display()))?;
    RunConfig::from_toml(&text).map_err(|e| anyhow::anyhow!("the settings `{}`: {e}", path.display()))
}

/// Opens the run folder `path` with its settings.
fn open_run(path: &Path) -> anyhow::Result<(RunFolder, RunConfig)> {
    let folder = RunFolder::open(path)?;
    let config = read_config(&folder.join(run::CONFIG))?;
    Ok((folder, config))
}

/// The report of the run in `folder`, where it has one.
fn read_report(folder: &RunFolder) -> anyhow::Result<Option<Report>> {
    let path = folder.join(run::REPORT_JSON);
    match std::fs::read_to_string(&path) {
        Ok(text) => Report::from_json(&text)
            .map(Some)
            .map_err(|e| anyhow::anyhow!("`{}` cannot be used: {e}; remove it to go on", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Keeps what was written where the run was interrupted.
fn keep_if_interrupted(ending: &anyhow::Result<Ending>, folder: &mut RunFolder) {
    if matches!(ending, Err(error) if error.is::<Interrupted>()) {
        folder.keep();
    }
}
