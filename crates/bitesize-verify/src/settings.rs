//! With which programs, how long and on how many threads to verify, and who is told.

use crate::result::Progress;
use std::num::NonZero;
use std::time::Duration;

/// The programs that verification starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The host's C compiler.
    pub host_compiler: String,
    /// The cross compiler.
    pub arm_compiler: String,
    /// The emulator.
    pub emulator: String,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            host_compiler: "cc".into(),
            arm_compiler: "arm-none-eabi-gcc".into(),
            emulator: "qemu-system-arm".into(),
        }
    }
}

/// How to verify.
pub struct VerifySettings<'a> {
    /// The programs to use.
    pub tools: Tools,
    /// The longest that one run of a compiler may take.
    pub compile_limit: Duration,
    /// The longest that all cases of one runner may take.
    pub run_limit: Duration,
    /// How many jobs may run side by side.
    pub workers: NonZero<usize>,
    /// Asked many times a second; true stops everything.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Told what happens, from several threads.
    pub progress: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl Default for VerifySettings<'_> {
    /// The usual programs, 5 minutes for a compilation, 30 for a run, a worker a core, no progress.
    fn default() -> Self {
        Self {
            tools: Tools::default(),
            compile_limit: Duration::from_secs(300),
            run_limit: Duration::from_secs(1800),
            workers: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
            cancelled: &|| false,
            progress: &|_| {},
        }
    }
}
