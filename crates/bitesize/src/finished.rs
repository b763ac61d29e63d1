//! Whether a run has come to its end and nothing has changed since, and the rest of its proof.

use crate::deliver::delivered::refuse_edited_policy;
use crate::deliver::opened::Opened;
use crate::deliver::{Chosen, Emitted, Proven, Tuned};
use crate::fit::{Until, refuse_other_inputs};
use crate::report::{Report, files};
use crate::run::names::{DIARY, PARETO_POINTS, PROBES, TRIALS};
use crate::run::{Stage, journal};
use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use bitesize_verify::Runner;

/// The stages whose files a run leaves, the settings left out.
const STAGES: [Stage; 8] = [
    Stage::Calibrated,
    Stage::Prepared,
    Stage::Tuned,
    Stage::Finetuned,
    Stage::Delivered,
    Stage::Emitted,
    Stage::Swept,
    Stage::Reported,
];

/// The report of the run of `opened`, where it came to its end; `None` where there is something left to do.
///
/// # Errors
/// Files of other inputs, or that were altered.
pub fn finished(opened: &Opened, until: Until) -> anyhow::Result<Option<Report>> {
    let folder = opened.folder;
    refuse_edited_policy(opened)?;
    if folder.ledger().entry(Stage::Reported).is_some_and(|entry| entry.is_outdated) {
        return Ok(None);
    }
    let Some(report) = files::read(folder)? else { return Ok(None) };
    if until == Until::Proven && !files::is_finished(&report, folder) {
        return Ok(None);
    }
    opened.refuse_other_known_inputs(Stage::Reported, &files::made_from(opened, report.is_validated())?)?;
    let mut is_whole = true;
    if report.fits {
        let platform = opened.platform()?;
        refuse_other_inputs(opened, &platform)?;
        if let Some(search) = &report.search {
            let probes = Chosen::probes_made_from(opened)?.hash();
            let chosen = Chosen::made_from(opened, &platform)?.hash();
            let swept = report.pareto.as_ref().map_or(0, Vec::len);
            for (name, made_from, lines) in [
                (DIARY, &chosen, search.episodes),
                (PROBES, &probes, search.probes),
                (TRIALS, &chosen, search.trials),
                (PARETO_POINTS, &chosen, swept),
            ] {
                is_whole &= refuse_altered_journal(opened, name, made_from, lines)?;
            }
        }
    }
    is_whole &= folder.refuse_altered(&STAGES)?;
    Ok(Some(report).filter(|_| is_whole))
}

/// Runs what was not run, or failed, when the package of the finished run of `opened` was verified, and puts it into
/// `report`, which is the run's.
///
/// # Errors
/// A package of other inputs, or none; files that cannot be read or written;
/// [`Interrupted`](crate::observe::Interrupted).
pub fn prove_rest(opened: &Opened, mut report: Report) -> anyhow::Result<Report> {
    let Opened { config, folder, .. } = *opened;
    let platform = opened.platform()?;
    let made_from = Tuned::made_from(opened, &platform)?;
    let (delivered, _) = Emitted::kept(opened, made_from, &platform.core)?;
    let samples = opened.calibration_samples(config.verify.host_samples.max(config.verify.qemu_samples))?;
    let mut runners = Runner::usual(&platform.core.name);
    runners.retain(|runner| report.is_open(runner.name()));
    report.update_verification(&Proven::of(opened, &delivered, &runners, &samples)?.results);
    let mut commit = folder.begin()?;
    files::put(&mut report, opened, None, &mut commit)?;
    commit.finish()?;
    Ok(report)
}

/// Refuses a journal `name` made from what has the hash `made_from` that is not as it was when it had `lines` lines or
/// more; whether it is there.
fn refuse_altered_journal(opened: &Opened, name: &str, made_from: &str, lines: usize) -> anyhow::Result<bool> {
    let path = opened.folder.join(name);
    let text = match crate::files::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(lines == 0),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.shown())),
    };
    let is_cut = !text.is_empty() && !text.ends_with('\n');
    let problem = match journal::parse(&text, made_from) {
        Err(line) => format!("line {line} differs from what bitesize wrote there"),
        Ok(found) if found.len() < lines || is_cut => "lines are missing at its end".to_owned(),
        Ok(_) => return Ok(true),
    };
    bail!(
        "`{}` is damaged or was altered: {problem}; put back the file as it was, or remove it, and --resume makes it again",
        path.shown()
    )
}
