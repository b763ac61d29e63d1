//! Opening the run folder of a command.

use anyhow::Context as _;
use bitesize::observe::Interrupted;
use bitesize::run::names::CONFIG;
use bitesize::run::{RunConfig, RunFolder};
use bitesize_ir::shown::ShownPath as _;
use std::path::Path;

/// Reads the settings of a run.
pub(crate) fn read_config(path: &Path) -> anyhow::Result<RunConfig> {
    let text =
        bitesize::files::read_text(path).with_context(|| format!("cannot read the settings `{}`", path.shown()))?;
    RunConfig::from_toml(&text).map_err(|e| anyhow::anyhow!("the settings `{}`: {e}", path.shown()))
}

/// The settings of the run in `folder`.
pub(crate) fn config_of(folder: &RunFolder) -> anyhow::Result<RunConfig> {
    read_config(&folder.join(CONFIG))
}

/// Keeps what was written where the run came to an end or was interrupted.
pub(crate) fn keep_if_resumable<T>(result: &anyhow::Result<T>, folder: &mut RunFolder) {
    if result.as_ref().map_or_else(|error| error.is::<Interrupted>(), |_| true) {
        folder.keep();
    }
}
