//! The whole road, from a network and data to verified C, in one page of calls.

use crate::deliver::held_out::HeldOut;
use crate::deliver::opened::Opened;
use crate::deliver::validated::validate;
use crate::deliver::{Aim, Calibrated, Chosen, Delivered, Emitted, Misfit, Prepared, Proven, Tuned, quality};
use crate::report::{self, Report};
use crate::run::Stage;
use crate::target::Platform;
use bitesize_ir::Policy;
use bitesize_verify::Runner;

/// How far to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the integer network.
    Delivered,
    /// To C that is proven.
    Proven,
}

/// What a walk came to.
pub struct Walked {
    /// All that is known.
    pub report: Report,
    /// The widths that are delivered, where any are.
    pub policy: Option<Policy>,
    /// Why there is nothing to deliver, where that is so.
    pub misfit: Option<Misfit>,
}

/// Does everything that the run of `opened` asks for, as far as `until`, and keeps it in the run's folder stage by stage;
/// what the folder holds of the same inputs is taken from there.
///
/// # Errors
/// Anything that cannot be read, computed or written; files of other inputs, or that were altered;
/// [`Interrupted`](crate::observe::Interrupted).
pub fn walk(opened: Opened, until: Until) -> anyhow::Result<Walked> {
    let Opened { inputs, folder, .. } = opened;
    let platform = opened.platform()?;
    let problem = opened.problem(&platform)?;
    let mut report = Report::new(&opened, &platform);
    refuse_other_inputs(&opened, &platform)?;
    opened.keep()?;

    let aim = match Aim::of(&opened, &problem, &platform.core)? {
        Ok(aim) => aim,
        Err(misfit) => {
            report.add_misfit(&misfit, &platform, &problem);
            let mut commit = folder.begin()?;
            commit.forget_outdated(&[Stage::Delivered, Stage::Emitted, Stage::Swept]);
            let made_from = report::files::made_from(&opened, false)?;
            report::files::put(&mut report, &opened, Some(made_from), &mut commit)?;
            commit.finish()?;
            return Ok(Walked { report, policy: None, misfit: Some(misfit) });
        }
    };
    let calibrated = Calibrated::of(opened)?.keep()?;
    let prepared = Prepared::of(&calibrated, &problem, aim.asked(&problem))?;
    let held_out = HeldOut::of_run(&opened)?;
    let mut chosen = Chosen::of(&prepared, &held_out, &platform, &problem, &aim)?;
    report.add_choice(&chosen.winner);
    if let Some(qualities) = quality::at_widest(&chosen, &problem)? {
        report.add_qualities(&qualities);
    }

    let tuned = Tuned::of(&chosen, &platform)?;
    chosen.warn_of(&tuned.candidate, &tuned.found, &problem)?;
    report.add_held_out(&held_out.objective, tuned.found.1.clone());
    report.add_reconstruction(&tuned, held_out.batch.len());
    report.add_training(&tuned, held_out.batch.len());

    let made_from = Tuned::made_from(&opened, &platform)?;
    let delivered = Delivered::of(tuned.candidate.clone(), &platform.core);
    report.add_memory(&platform, &problem, delivered.policy());
    let mut commit = folder.begin()?;
    delivered.put(&opened, made_from.clone(), None, &mut commit)?;
    commit.finish()?;
    if until == Until::Proven {
        let emitted = Emitted::of(&opened, &delivered, &platform.core, &calibrated.samples)?;
        let mut commit = folder.begin()?;
        emitted.put(Emitted::made_from(&opened, made_from.clone()), &mut commit)?;
        commit.finish()?;
    }

    let mut swept = chosen.sweep(&platform, &problem, &aim)?;
    if let Some(val) = inputs.val.as_ref().filter(|_| until == Until::Proven) {
        let validated = validate(val, &opened, &chosen.winner, &tuned, swept.as_mut())?;
        report.add_validation(&validated, &chosen.winner);
    }
    if until == Until::Proven {
        let runners = Runner::usual(&platform.core.name);
        report.update_verification(&Proven::of(&opened, &delivered, &runners, &calibrated.samples)?.results);
    }

    inputs.tell_skipped(opened.monitor);
    let mut commit = folder.begin()?;
    if let Some(swept) = swept {
        let made_from = Chosen::made_from(&opened, &platform)?;
        report::pareto::put(&swept, &inputs.model.space, report.metric.as_ref(), made_from, &mut commit)?;
        report.pareto = Some(swept.rows);
    }
    commit.forget_outdated(&[Stage::Emitted, Stage::Swept]);
    let made_from = report::files::made_from(&opened, report.is_validated())?;
    report::files::put(&mut report, &opened, Some(made_from), &mut commit)?;
    commit.finish()?;
    Ok(Walked { report, policy: Some(delivered.policy().clone()), misfit: None })
}

/// Refuses to go on in a folder whose stages were made from other inputs, before anything in it is touched.
pub(crate) fn refuse_other_inputs(opened: &Opened, platform: &Platform) -> anyhow::Result<()> {
    if opened.folder.ledger().is_empty() {
        return Ok(());
    }
    let chosen = Chosen::made_from(opened, platform)?;
    opened.refuse_other_inputs(Stage::Calibrated, &Calibrated::made_from(opened)?)?;
    opened.refuse_other_inputs(Stage::Chosen, &chosen)?;
    let tuned = Tuned::made_from(opened, platform)?;
    opened.refuse_other_inputs(Stage::Tuned, &Tuned::reconstruction_made_from(opened, platform)?)?;
    opened.refuse_other_inputs(Stage::Finetuned, &tuned)?;
    opened.refuse_other_inputs(Stage::Emitted, &Emitted::made_from(opened, tuned.clone()))?;
    opened.refuse_other_inputs(Stage::Delivered, &tuned)
}
