//! What can be wrong with data.

use bitesize_ir::shown::ShownPath as _;
use std::path::{Path, PathBuf};

/// What can be wrong with data or with how it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused.
    #[error("cannot read `{}`", .path.shown())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It was read and is not usable.
    #[error("`{}`: {problem}", .path.shown())]
    Unusable {
        /// What was read.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The preprocessing contradicts itself or the network.
    #[error("preprocessing: {0}")]
    Preprocess(String),
}

impl DataError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn unusable(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_owned(), problem: problem.into() }
    }
}
