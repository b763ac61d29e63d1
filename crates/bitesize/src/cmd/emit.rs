//! `bitesize emit`.

use super::{open_run, read_report};
use crate::args::package_name;
use anyhow::Context as _;
use bitesize::Ending;
use bitesize::console::Console;
use bitesize::inputs::Inputs;
use bitesize::model::Model;
use bitesize::stages::{self, Run, Samples};
use bitesize::{package, run};
use bitesize_ir::Policy;
use bitesize_ir::memory::Widths;
use clap::Args;
use std::path::PathBuf;

/// Writes the package.
#[derive(Args)]
pub(crate) struct EmitArgs {
    /// The run folder, as `bitesize search` leaves it
    folder: PathBuf,
    /// What the C package is called: every name and file of it begins so [default: as the run says]
    #[arg(long, value_name = "NAME", value_parser = package_name)]
    name: Option<String>,
}

impl EmitArgs {
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let (folder, mut config) = open_run(&self.folder)?;
        let renamed = self.name.filter(|name| *name != config.package.name);
        if let Some(name) = &renamed {
            config.package.name.clone_from(name);
        }
        let inputs = Inputs::of_run(&config, None, console)?;
        let platform = stages::platform_of(&config)?;
        let mut candidate = stages::kept_candidate(&inputs, &folder)?;

        let path = folder.join(run::POLICY);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let policy = Policy::from_toml(&text, &inputs.model.space)
            .with_context(|| format!("cannot use `{}`", path.display()))?;
        let changed = policy != candidate.model.policy;
        if changed {
            console.note(format_args!("{} was changed: the network is quantized anew", path.display()));
            let run = Run { config: &config, inputs: &inputs, folder: &folder, console, platform: &platform };
            candidate = stages::quantize_for(&run, &policy, &Samples::of(&config, &inputs)?.calibration)?;
        }
        let (flash, ram) = package::memory_of(&candidate, &platform.core);
        let budget = platform.budget();
        let fits = flash.total <= budget.flash_bytes && ram.total <= budget.ram_bytes;
        if let Some(mut report) = read_report(&folder)? {
            if changed {
                report.forget_delivered();
            }
            if renamed.is_some() {
                // What was proven is another text.
                report.verification = None;
            }
            report.package.name.clone_from(&config.package.name);
            let Model { network, space, .. } = &inputs.model;
            report.fits = fits;
            report.add_memory(network, &Widths::of(network, space, &policy), &flash, &ram);
            stages::write_report(&mut report, &folder, console)?;
        }
        let samples = stages::first_samples(&config, &inputs, package::KNOWN_ANSWERS)?;
        if renamed.is_some() {
            folder.write(run::CONFIG, config.to_toml().as_bytes())?;
        }
        package::write(&candidate, &platform.core, &config.package.name, &samples, &folder)?;
        bitesize::out_line!("{}", folder.join(run::PACKAGE).display());
        if !fits {
            bitesize::err_line!(
                "does not fit: the package takes FLASH {} B of {} B and RAM {} B of {} B",
                flash.total,
                budget.flash_bytes,
                ram.total,
                budget.ram_bytes
            );
            return Ok(Ending::DoesNotFit);
        }
        Ok(Ending::Done)
    }
}
