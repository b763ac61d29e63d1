//! What verification tells: while it runs, and at its end.

use crate::machine::Runner;
use bitesize_ir::memory::{FlashUse, RamUse};
use bitesize_ir::target::CoreCosts;
use std::fmt;
use std::time::Duration;

/// What the memory model says of a package on a runner's core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// FLASH in bytes, holding for [`Self::compiler`].
    pub flash_bytes: u64,
    /// The arena in bytes, kernel scratch included.
    pub arena_bytes: u64,
    /// Upper bound of the stack in bytes.
    pub stack_bytes: u64,
    /// Instructions of an inference; `None` where the core's file says nothing of them.
    pub instructions: Option<u64>,
    /// The compiler that the core's costs were measured with.
    pub compiler: String,
}

impl Prediction {
    /// Of a network's memory and instructions on `core`.
    pub fn new(flash: &FlashUse, ram: &RamUse, instructions: Option<u64>, core: &CoreCosts) -> Self {
        Self {
            flash_bytes: flash.total,
            arena_bytes: ram.arena,
            stack_bytes: ram.stack,
            instructions,
            compiler: core.compiler.clone(),
        }
    }
}

/// How a runner ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// All bytes equal, all sizes within their bounds.
    Passed,
    /// Some answer differs.
    Mismatch(Mismatch),
    /// It needs more memory than a bound that was made for the compiler in use.
    OverBound {
        /// What, the bound and what was found.
        reason: String,
    },
    /// It did not compile, crashed or took too long; or it is not the package that was predicted.
    Failed {
        /// What and why.
        reason: String,
    },
    /// A tool is missing, or a folder to work in.
    NotRun {
        /// Which.
        reason: String,
        /// The Debian packages that would bring it, separated by spaces; empty where none would.
        install: &'static str,
    },
}

/// The first byte that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// As `sample 3`.
    pub case: String,
    /// Index of the byte in the output.
    pub byte: usize,
    /// The interpreter's.
    pub expected: u8,
    /// The package's.
    pub found: u8,
}

/// What one runner found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerResult {
    /// As `qemu-m4`.
    pub runner: &'static str,
    /// How it ended.
    pub status: Status,
    /// Samples whose answers were compared; [`PATTERNS`](crate::PATTERNS) made ones come on top. 0 where nothing ran.
    pub samples: usize,
    /// Cases with at least one byte that differs.
    pub mismatches: usize,
    /// Instructions of the first sample's inference, to within one tick of SysTick (40 or 50).
    pub instructions: Option<u64>,
    /// What was predicted of them.
    pub predicted_instructions: Option<u64>,
    /// Instructions of each layer (a node of the network) in that inference, where they were asked for, to within a tick.
    pub layers: Option<Vec<u64>>,
    /// Largest stack in bytes over all cases but the first.
    pub stack_bytes: Option<u64>,
    /// FLASH in bytes from the linked image.
    pub flash_bytes: Option<u64>,
    /// RAM in bytes: variables from the linked image, and the predicted bound of the stack (the measured stack where
    /// nothing was predicted).
    pub ram_bytes: Option<u64>,
    /// What the compiler calls itself.
    pub compiler: Option<String>,
    /// What is worth telling though it is no failure.
    pub notes: Vec<String>,
    /// Wall-clock time, compilation included.
    pub elapsed: Duration,
}

impl Status {
    /// The word of [`Self::Passed`].
    pub const PASSED: &'static str = "passed";
    /// The word of [`Self::Mismatch`].
    pub const MISMATCH: &'static str = "mismatch";
    /// The word of [`Self::OverBound`].
    pub const OVER_BOUND: &'static str = "over bound";
    /// The word of [`Self::Failed`].
    pub const FAILED: &'static str = "failed";
    /// The word of [`Self::NotRun`].
    pub const NOT_RUN: &'static str = "not run";

    /// What a table says: `passed`, `mismatch`, `over bound`, `failed`, `not run`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => Self::PASSED,
            Self::Mismatch(_) => Self::MISMATCH,
            Self::OverBound { .. } => Self::OVER_BOUND,
            Self::Failed { .. } => Self::FAILED,
            Self::NotRun { .. } => Self::NOT_RUN,
        }
    }
}

impl fmt::Display for Status {
    /// The word, and what there is to say about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Passed => Ok(()),
            Self::Mismatch(Mismatch { case, byte, expected, found }) => {
                write!(f, ": {case}, output byte {byte}: the interpreter says {expected}, the package {found}")
            }
            Self::OverBound { reason } | Self::Failed { reason } => write!(f, ": {reason}"),
            Self::NotRun { reason, install: "" } => write!(f, ": {reason}"),
            Self::NotRun { reason, install } => write!(f, ": {reason}; on Debian or Ubuntu: apt install {install}"),
        }
    }
}

impl RunnerResult {
    pub(crate) fn new(runner: Runner) -> Self {
        Self {
            runner: runner.name(),
            status: Status::Passed,
            samples: 0,
            mismatches: 0,
            instructions: None,
            predicted_instructions: None,
            layers: None,
            stack_bytes: None,
            flash_bytes: None,
            ram_bytes: None,
            compiler: None,
            notes: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }
}

/// What happens during verification.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A runner's package is being compiled.
    Compiling {
        /// The runner's name.
        runner: &'a str,
    },
    /// A runner has answered some of its cases.
    Running {
        /// The runner's name.
        runner: &'a str,
        /// Cases answered.
        done: usize,
        /// Cases in all.
        total: usize,
    },
    /// A runner is done.
    Finished(&'a RunnerResult),
}
