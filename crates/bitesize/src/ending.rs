//! How a command ends.

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All is well. Exit code 0.
    Done,
    /// The network does not fit. Exit code 3.
    DoesNotFit,
    /// The package does not compute what the host says, or needs more than a bound that holds for the compiler. Exit code 4.
    Mismatch,
    /// Verification failed without an answer: a build, an emulator. That says nothing about the package. Exit code 1.
    Unproven,
}

impl Ending {
    /// How a command ends whose network `fits` or does not.
    pub fn of_fit(fits: bool) -> Self {
        if fits { Self::Done } else { Self::DoesNotFit }
    }
}

/// Wrong usage: the command line cannot mean anything. Exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// [`Usage`] as an error of the binary.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}
