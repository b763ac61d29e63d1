//! Networks and data that do not lie in the repository.

use std::path::{Path, PathBuf};

/// The folder of networks and data, `None` (told loudly, for `test`) where it is absent.
pub fn shared(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    if path.join("models").is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {test}: there is no {}; set BITESIZE_SHARED to the shared folder", path.display());
    None
}
