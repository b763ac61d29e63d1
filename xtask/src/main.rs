//! Development commands: `cargo xtask <command>`.
#![forbid(unsafe_code)]

mod builds;
mod counted;
mod entry_costs;
#[cfg(unix)]
mod fuzz;
mod instruction_costs;
mod kernel_costs;
mod kernel_speed;
mod objects;
mod repeated;
mod results;
#[cfg(unix)]
mod run_folder;
mod strategies;
mod train_speed;

use std::process::ExitCode;

/// A command: its name, what it does, and the function that does it.
type Row = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const COMMANDS: &[Row] = &[
    (
        "kernel-costs",
        "measure the kernels and write targets/cores/*.toml; with --check, compare only",
        kernel_costs::run,
    ),
    ("builds", "build packages with every compiler and for every core, run them, and print a table", builds::run),
    #[cfg(unix)]
    ("fuzz", "hand mutated files to every reader for some minutes, and keep those at which one fails", fuzz::run),
    ("results", "run fit on the reference networks and write the tables of docs/results.md", results::run),
    #[cfg(unix)]
    (
        "run-folder",
        "kill runs, fill their disks and alter their inputs, and write the tables of docs/run-folder.md",
        run_folder::run,
    ),
    (
        "strategies",
        "compare the search strategies on the reference networks and write the tables of docs/strategies.md",
        strategies::run,
    ),
    ("search-study", "run the searches that the environment names on networks", strategies::study::run),
    (
        "instruction-costs",
        "count what the kernels' instructions are made of and write it into targets/cores/*.toml; with --check, compare only",
        instruction_costs::run,
    ),
    ("train-speed", "time steps of training beside PyTorch's", train_speed::run),
    ("kernel-speed", "count the kernels' instructions for each multiply-accumulate", kernel_speed::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().and_then(|name| COMMANDS.iter().find(|row| row.0 == name));
    let Some((name, _, run)) = command else {
        eprintln!("usage: cargo xtask <command>\n");
        for (name, what, _) in COMMANDS {
            eprintln!("  {name:<16} {what}");
        }
        return ExitCode::from(2);
    };
    match run(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{name}: {problem}");
            ExitCode::FAILURE
        }
    }
}
