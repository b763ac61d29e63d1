//! The command line. Each subcommand is a file: its arguments, and `run`.
#![forbid(unsafe_code)]

mod args;
mod boards;
mod calibrate;
mod command;
mod console;
mod emit;
mod eval;
mod fit;
mod inspect;
mod open;
mod search;
mod search_args;
mod target_args;
mod train;
mod tune;
mod tune_args;
mod verify;

use bitesize::observe::{Interrupted, Monitor};
use bitesize::{Ending, Usage};
use bitesize_ir::shown::visible;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use console::{INTERRUPTED, Terminal, Verbosity, err_line};
use std::process::ExitCode;

/// Fits a trained convolutional network into a microcontroller's FLASH and RAM: 2, 4 or 8 bits for every tensor, as
/// integer-only C that is proven to compute what the host says.
#[derive(Parser)]
#[command(version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: command::Command,
    /// Tell details too: which rewrites were applied, and why others were not
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// Tell warnings and errors only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Threads to compute with; results do not depend on it [default: one for each core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

const EXIT_CODES: &str = "Exit codes: 0 done and fits, 1 failed, 2 wrong usage, 3 does not fit, 4 verification refuted the \
                          package (bytes differ, or a bound was passed), 130 interrupted (go on with --resume)";

fn main() -> ExitCode {
    let mut command = Cli::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let (matches, cli) = match parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches))) {
        Ok((cli, matches)) => (matches, cli),
        Err(answer) => return tell_usage(&in_one_line(answer)),
    };
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    console::stop_on_signals(verbosity);
    console::outlive_file_size_limit();
    use_threads(cli.threads);
    let resume_command = cli.command.resume_command();
    let terminal = Terminal::new(verbosity);
    let monitor = Monitor::new(&terminal);
    match command::refuse_ignored(&command, &matches).and_then(|()| cli.command.run(&monitor)) {
        Ok(ending) => told(exit_code(ending)),
        Err(error) => fail(&error, resume_command),
    }
}

/// What the argument parser answers where nothing in the arguments can begin a line or steer the terminal: it puts them into its
/// messages as they are.
fn in_one_line(answer: clap::Error) -> clap::Error {
    let arguments: Vec<String> =
        std::env::args_os().map(|text| visible(&text.to_string_lossy()).into_owned()).collect();
    // Whatever is wrong with arguments is wrong with their visible form.
    Cli::command().try_get_matches_from(arguments).err().unwrap_or(answer)
}

/// What the argument parser answers: help, the version, or what is wrong with the command line.
fn tell_usage(answer: &clap::Error) -> ExitCode {
    if answer.use_stderr() {
        // Where that fails there is nobody to tell.
        let _ = answer.print();
    } else {
        console::note_out_failure(answer.print());
    }
    told(ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2)))
}

/// `code`, unless what belonged on stdout is not there: whoever reads it would take a part for the whole.
fn told(code: ExitCode) -> ExitCode {
    match console::out_failure() {
        None => code,
        Some(error) => {
            err_line!("error: cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The exit code of a command that did not fail.
fn exit_code(ending: Ending) -> ExitCode {
    ExitCode::from(match ending {
        Ending::Done => 0,
        Ending::Unproven => 1,
        Ending::DoesNotFit => 3,
        Ending::Mismatch => 4,
    })
}

/// Tells the error as one chain, each cause behind a colon.
fn fail(error: &anyhow::Error, resume_command: Option<String>) -> ExitCode {
    if error.is::<Interrupted>() {
        match resume_command {
            Some(command) => err_line!("interrupted; `{command}` goes on"),
            None => err_line!("interrupted"),
        }
        return ExitCode::from(INTERRUPTED);
    }
    err_line!("error: {error:#}");
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

fn use_threads(threads: Option<u16>) {
    if let Some(threads) = threads {
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        if let Err(error) = built {
            err_line!("warning: --threads {threads} has no effect: {error}");
        }
    }
}
