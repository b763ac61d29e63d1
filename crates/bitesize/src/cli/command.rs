//! Which subcommand is asked for, and flags that would have no effect.

use crate::args::ReconstructArgs;
use crate::search_args::SearchArgs;
use crate::tune_args::TuneArgs;
use crate::{boards, calibrate, emit, eval, fit, inspect, search, train, tune, verify};
use bitesize::observe::Monitor;
use bitesize::{Ending, usage};
use clap::parser::ValueSource;
use clap::{ArgMatches, Subcommand};

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
    /// Train the network of the run in a folder at the widths that were chosen, and deliver it anew
    Tune(Box<tune::TuneCommandArgs>),
    /// Train a float network of the zoo on images of classes, to begin with
    Train(Box<train::TrainArgs>),
    /// Write the C package of the run in a folder
    Emit(emit::EmitArgs),
    /// Prove that the package of the run in a folder computes what the host says
    Verify(verify::VerifyArgs),
    /// Measure accuracy (or what the task asks for): of an ONNX file in float, of a run folder in float and integer
    Eval(Box<eval::EvalArgs>),
}

impl Command {
    /// The command that goes on where this one was interrupted, where there is one.
    pub(crate) fn resume_command(&self) -> Option<String> {
        match self {
            Self::Fit(args) => Some(args.resume_command()),
            Self::Search(args) => Some(args.resume_command()),
            Self::Tune(args) => Some(args.resume_command()),
            Self::Train(args) => args.resume_command(),
            _ => None,
        }
    }

    /// Runs it.
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        match self {
            Self::Fit(args) => args.run(monitor),
            Self::Inspect(args) => args.run(monitor),
            Self::Boards(args) => args.run(),
            Self::Calibrate(args) => args.run(monitor),
            Self::Search(args) => args.run(monitor),
            Self::Tune(args) => args.run(monitor),
            Self::Train(args) => args.run(monitor),
            Self::Emit(args) => args.run(monitor),
            Self::Verify(args) => args.run(monitor),
            Self::Eval(args) => args.run(monitor),
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
    let named = |a: &clap::Arg| a.get_long().unwrap_or(a.get_id().as_str()).to_owned();
    if name == "fit"
        && !has("finetune")
        && let Some(flag) = given.iter().find(|a| is_of::<TuneArgs>(a.get_id().as_str()))
    {
        return Err(usage(format!("--{} says how --finetune trains: give that too", named(flag))));
    }
    let (source, ignored): (&str, fn(&str) -> bool) = match name {
        "fit" if has("config") => {
            ("--config", |id| id != "config" && !is_of::<ReconstructArgs>(id) && !is_of_training(id))
        }
        "fit" if has("resume") && !has("model") => ("--resume without a model", |id| id != "resume"),
        "tune" if has("resume") && !has("epochs") => ("--resume without --epochs", |id| is_of::<TuneArgs>(id)),
        "train" if has("resume") => ("--resume", |id| id != "resume"),
        "search" if has("resume") => ("--resume", |id| is_of::<SearchArgs>(id) || is_of::<ReconstructArgs>(id)),
        _ => return Ok(()),
    };
    let harmless = ["output", "verbose", "quiet", "threads"];
    let flag = |a: &&clap::Arg| {
        let id = a.get_id().as_str();
        (ignored(id) && !harmless.contains(&id)).then(|| named(a))
    };
    let place = if name == "train" { "the checkpoint" } else { "the run's config.toml" };
    match given.iter().find_map(flag) {
        Some(flag) => Err(usage(format!("{source} takes every setting from {place}: leave out --{flag}"))),
        None => Ok(()),
    }
}

/// Whether the flag `id` is about training.
fn is_of_training(id: &str) -> bool {
    id == "finetune" || is_of::<TuneArgs>(id)
}

/// Whether the flag `id` is one of `T`.
fn is_of<T: clap::Args>(id: &str) -> bool {
    T::augment_args(clap::Command::new("flags")).get_arguments().any(|argument| argument.get_id() == id)
}
