//! The report in the run folder.

use super::schema::Report;
use crate::deliver::opened::Opened;
use crate::run::names::{PACKAGE, REPORT_JSON, REPORT_MD};
use crate::run::{Commit, Provenance, RunFolder, Stage};
use bitesize_ir::shown::ShownPath as _;

const REMEDY: &str =
    "put back the file as it was, or remove it to have the run's report made again by `bitesize fit --resume`";

/// The tables of settings, all of which a report tells of.
const TABLES: [&str; 10] =
    ["seed", "model", "data", "preprocess", "calibration", "target", "search", "reconstruct", "package", "verify"];

/// What the report depends on: settings, network, and the validation data where its accuracy `is_measured` on them.
///
/// # Errors
/// Data that cannot be read.
pub fn made_from(opened: &Opened, is_measured: bool) -> anyhow::Result<Provenance> {
    let made_from = opened.made_from(&TABLES);
    Ok(match opened.inputs.val.as_ref().filter(|_| is_measured) {
        Some(val) => {
            let all: Vec<usize> = (0..val.len()).collect();
            made_from.with_contents("the validation data", val.content_hash(&all)?)
        }
        None => made_from,
    })
}

/// The report of the run in `folder`, where it has one.
///
/// # Errors
/// One that was altered, or that cannot be read.
pub fn read(folder: &RunFolder) -> anyhow::Result<Option<Report>> {
    let Some(bytes) = folder.read(Stage::Reported, REPORT_JSON, REMEDY)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    Report::from_json(&text)
        .map(Some)
        .map_err(|e| anyhow::anyhow!("`{}` cannot be used: {e}; {REMEDY}", folder.join(REPORT_JSON).shown()))
}

/// Puts both forms of `report` into their places, with the warnings so far; `made_from` is what it depends on, or `None`
/// where nothing but settings has changed since it was put there.
///
/// # Errors
/// They cannot be written.
pub fn put(
    report: &mut Report,
    opened: &Opened,
    made_from: Option<Provenance>,
    commit: &mut Commit,
) -> anyhow::Result<()> {
    let new: Vec<String> =
        opened.monitor.warnings().into_iter().filter(|warning| !report.warnings.contains(warning)).collect();
    report.warnings.extend(new);
    let before = || opened.folder.ledger().entry(Stage::Reported).map(|entry| entry.made_from.clone());
    let made_from = match made_from {
        Some(made_from) => made_from,
        None => before().unwrap_or_else(Provenance::new).with_all(opened.config.settings(&TABLES)),
    };
    commit.stage(Stage::Reported, made_from);
    commit.put(Stage::Reported, REPORT_MD, report.to_markdown().as_bytes())?;
    commit.put(Stage::Reported, REPORT_JSON, report.to_json().as_bytes())
}

/// Whether `report` is that of a run that came to its end in `folder`.
pub fn is_finished(report: &Report, folder: &RunFolder) -> bool {
    !report.fits || report.verification.is_some() && folder.join(PACKAGE).is_dir()
}
