//! What a run tells its user on stderr: notes, warnings, progress. And how it is asked to stop.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);

/// Asks the run to stop at its next step, as Ctrl-C does.
pub fn request_stop() {
    STOP.store(true, Ordering::SeqCst);
}

/// Whether the run has been asked to stop.
pub fn stop_requested() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// The run was asked to stop and did; its folder can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Fails with [`Interrupted`] where the run has been asked to stop.
///
/// # Errors
/// [`Interrupted`].
pub fn checkpoint() -> Result<(), Interrupted> {
    if stop_requested() { Err(Interrupted) } else { Ok(()) }
}

/// Writes to stdout. Where nobody reads it any more, as behind `| head`, the rest is dropped and the run goes on.
pub fn print(text: std::fmt::Arguments) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        print_error(format_args!("warning: cannot write to stdout: {error}\n"));
    }
}

/// Writes to stderr; where that fails there is nobody to tell.
pub fn print_error(text: std::fmt::Arguments) {
    let _ = std::io::stderr().write_fmt(text);
}

/// As `println!`, but a closed pipe is no panic.
#[macro_export]
macro_rules! out_line {
    ($($text:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `eprintln!`, but a closed pipe is no panic.
#[macro_export]
macro_rules! err_line {
    ($($text:tt)*) => { $crate::console::print_error(format_args!("{}\n", format_args!($($text)*))) };
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings only.
    Quiet,
    /// Notes and progress.
    Normal,
    /// Details of rewrites and layers too.
    Verbose,
}

/// Where notes, warnings and progress go: stderr.
#[derive(Debug)]
pub struct Console {
    verbosity: Verbosity,
    /// Whether notes and progress are left out for now.
    quiet: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

impl Console {
    /// A console that tells as much as `verbosity` says.
    pub fn new(verbosity: Verbosity) -> Self {
        Self { verbosity, quiet: AtomicBool::new(false), warnings: Mutex::default() }
    }

    /// Tells something that every user should read.
    pub fn note(&self, text: impl Display) {
        if self.tells(Verbosity::Normal) {
            crate::err_line!("{text}");
        }
    }

    /// Tells something that is asked for with `-v`.
    pub fn detail(&self, text: impl Display) {
        if self.tells(Verbosity::Verbose) {
            crate::err_line!("{text}");
        }
    }

    /// Tells something that may be wrong, once; it is kept for the report too.
    pub fn warn(&self, text: impl Display) {
        let text = text.to_string();
        let mut warnings = self.told();
        if !warnings.contains(&text) {
            crate::err_line!("warning: {text}");
            warnings.push(text);
        }
    }

    /// The warnings told so far. A panic elsewhere leaves whole texts behind, so a poisoned lock is as good as any.
    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether notes are told.
    pub fn is_talkative(&self) -> bool {
        self.tells(Verbosity::Normal)
    }

    /// Does `work` with warnings told only: its stages would stand in the way of the one that is shown.
    pub fn quietly<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.quiet.swap(true, Ordering::Relaxed);
        let result = work();
        self.quiet.store(before, Ordering::Relaxed);
        result
    }

    /// Whether what is meant for `verbosity` is told.
    fn tells(&self, verbosity: Verbosity) -> bool {
        self.verbosity >= verbosity && !self.quiet.load(Ordering::Relaxed)
    }

    /// Every warning so far.
    pub fn warnings(&self) -> Vec<String> {
        self.told().clone()
    }

    /// Progress of `what` over `total` steps.
    pub fn stage(&self, what: &str, total: usize) -> Stage {
        Stage::new(what, total, self.tells(Verbosity::Normal))
    }
}

/// Progress of one stage: a bar on a terminal, a plain line now and then elsewhere.
pub struct Stage {
    bar: ProgressBar,
    what: String,
    plain: bool,
    start: Instant,
    told: Cell<Instant>,
}

/// How often a plain line is printed.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

impl Stage {
    fn new(what: &str, total: usize, shown: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if shown && terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template = "{prefix:<22} [{bar:30}] {pos}/{len} {elapsed} eta {eta} {msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        let now = Instant::now();
        Self { bar, what: what.to_owned(), plain: shown && !terminal, start: now, told: Cell::new(now) }
    }

    /// `done` of `total` steps are done.
    pub fn set(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        if self.plain && self.told.get().elapsed() >= PLAIN_INTERVAL {
            self.told.set(Instant::now());
            let elapsed = self.start.elapsed();
            let left = elapsed.mul_f64((total.saturating_sub(done)) as f64 / done.max(1) as f64);
            let message = self.bar.message();
            crate::err_line!(
                "{}: {done}/{total}, {} s, about {} s left {message}",
                self.what,
                elapsed.as_secs(),
                left.as_secs()
            );
        }
    }

    /// What stands behind the bar.
    pub fn message(&self, text: impl Display) {
        self.bar.set_message(text.to_string());
    }

    /// A callback that shows progress and stops where the run was asked to.
    pub fn callback(&self) -> impl FnMut(usize, usize) -> ControlFlow<()> + '_ {
        |done, total| {
            self.set(done, total);
            if stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }

    /// Ends the stage with a line that stays.
    pub fn finish(self, text: impl Display) {
        self.bar.finish_and_clear();
        let shown = self.plain || !self.bar.is_hidden();
        if shown {
            crate::err_line!("{}: {text} ({:.1} s)", self.what, self.start.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}
