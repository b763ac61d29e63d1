//! `bitesize emit`.

use crate::args::{absolute, package_name, trained};
use crate::console::{err_line, out_line};
use crate::open::config_of;
use bitesize::Ending;
use bitesize::deliver::emission;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::observe::Monitor;
use bitesize::run::RunFolder;
use bitesize::run::names::PACKAGE;
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::path::PathBuf;

/// Writes the package.
#[derive(Args)]
pub(crate) struct EmitArgs {
    /// The run folder, as `bitesize search` leaves it
    #[arg(value_parser = trained())]
    folder: PathBuf,
    /// What the C package is called: every name and file of it begins so [default: as the run says]
    #[arg(long, value_name = "NAME", value_parser = package_name)]
    name: Option<String>,
    /// Training data, where those of the run have moved
    #[arg(long, value_name = "DATA")]
    train: Option<PathBuf>,
}

impl EmitArgs {
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let folder = RunFolder::open(&self.folder)?;
        let mut config = config_of(&folder)?;
        let is_renamed = self.name.as_ref().is_some_and(|name| *name != config.package.name);
        config.package.name = self.name.unwrap_or(config.package.name);
        if let Some(train) = &self.train {
            config.data.train = absolute(train)?;
        }
        let hint = "where the training data have moved, say so with --train DATA";
        let inputs = inputs_of(&config, Some(&config.data.train), None, monitor)
            .map_err(|error| if config.data.train.exists() { error } else { error.context(hint) })?;

        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        let misfit = emission::emit(opened, is_renamed)?;
        if let Some(misfit) = &misfit {
            err_line!("{misfit}");
        }
        out_line!("{}", folder.join(PACKAGE).shown());
        Ok(Ending::of_fit(misfit.is_none()))
    }
}
