//! What several test programs need.

use std::path::{Path, PathBuf};

/// `name` in the folder that `BITESIZE_SHARED` names; `None`, said loudly, where it is absent.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: `{}` is not there; BITESIZE_SHARED names the folder", path.display());
    None
}
