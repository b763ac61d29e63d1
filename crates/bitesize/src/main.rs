//! The command line. Each subcommand is a file of `cmd`: its arguments, and `run`.
#![forbid(unsafe_code)]

mod args;
mod cmd;

use bitesize::console::{self, Console, Interrupted, Verbosity};
use bitesize::{Ending, Usage};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use std::process::ExitCode;

/// Fits a trained convolutional network into a microcontroller's FLASH and RAM: 2, 4 or 8 bits for every tensor, as
/// integer-only C that is proven to compute what the host says.
#[derive(Parser)]
#[command(version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
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

const EXIT_CODES: &str = "Exit codes: 0 done and fits, 1 failed, 2 wrong usage, 3 does not fit, 4 verification found a \
                          mismatch, 130 interrupted (go on with --resume)";

fn main() -> ExitCode {
    let mut command = Cli::command();
    let matches = command.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    stop_on_ctrl_c();
    use_threads(cli.threads);
    let resumes = cli.command.has_resume();
    let result = cmd::refuse_ignored(&command, &matches).and_then(|()| cli.command.run(&Console::new(verbosity)));
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::DoesNotFit) => ExitCode::from(3),
        Ok(Ending::Mismatch) => ExitCode::from(4),
        Ok(Ending::NotBuilt) => ExitCode::from(1),
        Err(error) => fail(&error, resumes),
    }
}

/// Tells the error as one chain, each cause behind a colon.
fn fail(error: &anyhow::Error, resumes: bool) -> ExitCode {
    if error.is::<Interrupted>() {
        bitesize::err_line!(
            "{}",
            if resumes { "interrupted; the same command with --resume goes on" } else { "interrupted" }
        );
        return ExitCode::from(130);
    }
    bitesize::err_line!("error: {error:#}");
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// The first Ctrl-C asks the run to stop and leave a folder that can be resumed, the second ends it at once.
fn stop_on_ctrl_c() {
    let handler = || {
        if console::stop_requested() {
            std::process::exit(130);
        }
        bitesize::err_line!("stopping ...");
        console::request_stop();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        bitesize::err_line!("warning: Ctrl-C will end the run at once: {error}");
    }
}

fn use_threads(threads: Option<u16>) {
    if let Some(threads) = threads {
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        if let Err(error) = built {
            bitesize::err_line!("warning: --threads {threads} has no effect: {error}");
        }
    }
}
