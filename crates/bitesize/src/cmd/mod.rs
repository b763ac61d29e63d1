//! The subcommands, one file each.

mod boards;
mod fit;
mod inspect;

use bitesize::Ending;
use bitesize::console::Console;
use clap::Subcommand;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// The whole road: calibrate, search, quantize, emit C, verify it
    Fit(Box<fit::FitArgs>),
    /// Show layers, FLASH and RAM at each width, and which boards would do; needs no data
    Inspect(inspect::InspectArgs),
    /// List the boards and cores that are known
    Boards(boards::BoardsArgs),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        match self {
            Self::Fit(args) => args.run(console),
            Self::Inspect(args) => args.run(console),
            Self::Boards(args) => args.run(),
        }
    }
}
