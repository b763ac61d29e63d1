//! `bitesize emit`.

use super::{open_run, read_report};
use crate::args::{absolute, package_name};
use bitesize::Ending;
use bitesize::console::Console;
use bitesize::inputs::Inputs;
use bitesize::model::Model;
use bitesize::report::Report;
use bitesize::stages::{self, Run, Samples};
use bitesize::{package, run};
use bitesize_ir::memory::Widths;
use bitesize_search::constraints::Constraints;
use bitesize_search::feasibility::Diagnosis;
use bitesize_search::problem::to_compact;
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
    /// Training data, where those of the run have moved
    #[arg(long, value_name = "DATA")]
    train: Option<PathBuf>,
}

impl EmitArgs {
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let (folder, mut config) = open_run(&self.folder)?;
        let renamed = self.name.filter(|name| *name != config.package.name);
        if let Some(name) = &renamed {
            config.package.name.clone_from(name);
        }
        if let Some(train) = &self.train {
            config.data.train = absolute(train)?;
        }
        let hint = "where the training data have moved, say so with --train DATA";
        let inputs = Inputs::of_run(&config, None, console)
            .map_err(|error| if config.data.train.exists() { error } else { error.context(hint) })?;
        let platform = stages::platform_of(&config)?;
        let mut candidate = stages::kept_candidate(&inputs, &folder)?;

        let path = folder.join(run::POLICY);
        let policy = stages::written_policy(&inputs, &folder)?;
        let changed = policy != candidate.model.policy;
        if changed {
            inputs.refuse_other_training_data(&config)?;
            console.note(format_args!("{} was changed: the network is quantized anew", path.display()));
            let run = Run { config: &config, inputs: &inputs, folder: &folder, console, platform: &platform };
            candidate = stages::quantize_for(&run, &policy, &Samples::of(&config, &inputs)?.calibration)?;
            // From now on the run is that of these widths, also when it is resumed or made again.
            if let Some(search) = &mut config.search {
                search.strategy = "policy".into();
                search.policy = Some(to_compact(&policy));
                search.pareto = None;
                // Which widths a search may choose does not bind who chooses by hand; limits of bytes do.
                let weight_bytes = search.constraints.weight_bytes;
                search.constraints = Constraints { weight_bytes, ..Constraints::default() };
            }
        }
        let (flash, ram) = package::memory_of(&candidate, &platform.core);
        let problem = stages::problem_of(&config, &inputs.model, &platform)?;
        let fits = problem.fits(&policy);
        let earlier = read_report(&folder)?;
        let has_report = earlier.is_some();
        let mut report = earlier.unwrap_or_else(|| Report::new(&config, &inputs, &platform));
        if changed {
            report.forget_delivered();
            run::SWEEP.into_iter().try_for_each(|name| folder.remove(name))?;
        }
        if renamed.is_some() {
            // What was proven is another text.
            report.verification = None;
        }
        report.package.name.clone_from(&config.package.name);
        report.fits = fits;
        if fits {
            let Model { network, space, .. } = &inputs.model;
            report.add_memory(network, &Widths::of(network, space, &policy), &flash, &ram);
        } else {
            stages::tell_misfit(&Diagnosis::of(&problem), Some(&policy), &problem, &mut report);
        }
        if has_report {
            stages::write_report(&mut report, &folder, console)?;
        }
        let samples = stages::first_samples(&config, &inputs, package::KNOWN_ANSWERS)?;
        if renamed.is_some() || changed {
            folder.write(run::CONFIG, config.to_toml().as_bytes())?;
        }
        package::write(&candidate, &platform.core, &config.package.name, &samples, &folder)?;
        bitesize::out_line!("{}", folder.join(run::PACKAGE).display());
        Ok(if fits { Ending::Done } else { Ending::DoesNotFit })
    }
}
