//! The whole road, from a network and data to verified C, in one page of calls.

use crate::Ending;
use crate::console::Console;
use crate::inputs::Inputs;
use crate::package;
use crate::report::Report;
use crate::run::{self, RunConfig, RunFolder};
use crate::stages::{self, Decision, Run, Samples};

/// Runs everything that `config` says and writes it into `folder`.
///
/// # Errors
/// Anything that cannot be read, computed or written; [`crate::console::Interrupted`].
pub fn fit(config: &RunConfig, inputs: &Inputs, folder: &mut RunFolder, console: &Console) -> anyhow::Result<Ending> {
    let ending = steps(config, inputs, folder, console)?;
    folder.keep();
    Ok(ending)
}

fn steps(config: &RunConfig, inputs: &Inputs, folder: &RunFolder, console: &Console) -> anyhow::Result<Ending> {
    let platform = stages::platform_of(config)?;
    let run = Run { config, inputs, folder, console, platform: &platform };
    let model = &inputs.model;
    let problem = stages::problem_of(config, model, &platform)?;
    let mut report = Report::new(config, inputs, &platform);
    folder.write(run::CONFIG, config.to_toml().as_bytes())?;

    let given = stages::given_policy(config, inputs)?;
    if let Some(diagnosis) = stages::misfit(&problem, given.as_ref()) {
        stages::tell_misfit(&diagnosis, given.as_ref(), &problem, &mut report);
        stages::write_report(&mut report, folder, console)?;
        return Ok(Ending::DoesNotFit);
    }
    let samples = Samples::of(config, inputs)?;
    let (chosen, mut swept) = match stages::decide(&run, &problem, &samples, &mut report)? {
        Decision::Delivered(chosen, swept) => (chosen, swept),
        Decision::DoesNotFit(diagnosis) => {
            stages::tell_misfit(&diagnosis, None, &problem, &mut report);
            stages::write_report(&mut report, folder, console)?;
            return Ok(Ending::DoesNotFit);
        }
    };
    let candidate = chosen.delivered()?;
    package::write(candidate, &platform.core, &config.package.name, &samples.calibration, folder)?;
    if let Some(val) = &inputs.val {
        stages::measure(val, inputs, (&chosen, swept.as_mut()), &mut report, console)?;
    }
    if let Some(swept) = swept {
        stages::keep_sweep(&run, swept, &mut report)?;
    }
    stages::prove(&run, candidate, &samples.calibration, &mut report)?;
    inputs.tell_skipped(console);
    stages::write_report(&mut report, folder, console)?;
    crate::console::print(format_args!("{}", report.summary()));
    Ok(report.ending())
}
