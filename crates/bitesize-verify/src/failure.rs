//! Why verification ends early: all of it, or one job.

/// What verification as a whole cannot do.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Nothing would be proven.
    #[error("verification needs at least one sample: give --samples 1 or more, and a data folder that is not empty")]
    NoSamples,
    /// A sample is not an input of the network.
    #[error("sample {index} has {found} bytes, but the network's input has {expected}")]
    SampleSize {
        /// Which.
        index: usize,
        /// Bytes of the network's input.
        expected: usize,
        /// Bytes of the sample.
        found: usize,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Why a job ended early.
pub(crate) enum Failure {
    /// Something is wrong with the package, or with the machine that this runs on.
    Failed(String),
    /// A tool is missing.
    NotRun { reason: String, install: &'static str },
    /// The caller stopped it.
    Cancelled,
}
