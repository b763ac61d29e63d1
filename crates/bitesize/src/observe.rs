//! What library code tells while it works, and how it is asked to stop: through an [`Observer`] that is handed in.
//!
//! The library prints nothing and reads no flag of the process. It is given a [`Monitor`], which passes on to the
//! observer and keeps the warnings for the report.

use bitesize_search::{Effort, Stopped};
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Hears what a run tells, and says when it is to stop. Each method but the first two may be left out.
pub trait Observer: Sync {
    /// Something that may be wrong.
    fn warning(&self, text: &str);

    /// Whether the run is to stop at its next step. Asked many times a second.
    fn wants_stop(&self) -> bool;

    /// Something that every user should read.
    fn note(&self, _text: &str) {}

    /// Something for those who ask for details.
    fn detail(&self, _text: &str) {}

    /// A step `name` of `total` parts begins; what it tells goes to the gauge that is given back, `None` to hear nothing.
    fn step(&self, _name: &str, _total: usize) -> Option<Box<dyn Gauge>> {
        None
    }
}

/// Shows how far a step is. Dropped without [`Gauge::finish`] where the step ends early.
pub trait Gauge {
    /// `done` of `total` parts are done; `message` says what was reached.
    fn set(&self, done: usize, total: usize, message: &str);

    /// The step is done; `text` says what came of it.
    fn finish(self: Box<Self>, text: &str);
}

/// An observer that hears nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn warning(&self, _: &str) {}

    fn wants_stop(&self) -> bool {
        false
    }
}

/// The run was asked to stop and did; its folder can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// What library code tells to: an observer, and a memory of the warnings.
pub struct Monitor<'a> {
    observer: &'a dyn Observer,
    /// Whether notes and steps are left out for now.
    quiet: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Monitor<'a> {
    /// Tells everything to `observer`.
    pub fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, quiet: AtomicBool::new(false), warnings: Mutex::default() }
    }

    /// For work that nobody watches.
    pub fn unobserved() -> Monitor<'static> {
        Monitor::new(&Unobserved)
    }

    /// Tells something that every user should read.
    pub fn note(&self, text: impl Display) {
        if !self.is_quiet() {
            self.observer.note(&text.to_string());
        }
    }

    /// Tells something that is asked for with `--verbose`.
    pub fn detail(&self, text: impl Display) {
        if !self.is_quiet() {
            self.observer.detail(&text.to_string());
        }
    }

    /// Tells something that may be wrong, once; it is kept for the report too.
    pub fn warn(&self, text: impl Display) {
        let text = text.to_string();
        let mut warnings = self.told();
        if !warnings.contains(&text) {
            self.observer.warning(&text);
            warnings.push(text);
        }
    }

    /// Every warning so far.
    pub fn warnings(&self) -> Vec<String> {
        self.told().clone()
    }

    /// The warnings told so far. A panic elsewhere leaves whole texts behind, so a poisoned lock is as good as any.
    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Does `work` with warnings told only: its steps would stand in the way of the one that is shown.
    pub fn quietly<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.quiet.swap(true, Ordering::Relaxed);
        let result = work();
        self.quiet.store(before, Ordering::Relaxed);
        result
    }

    /// Whether the run has been asked to stop.
    pub fn stop_requested(&self) -> bool {
        self.observer.wants_stop()
    }

    /// Fails where the run has been asked to stop.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn checkpoint(&self) -> Result<(), Interrupted> {
        if self.stop_requested() { Err(Interrupted) } else { Ok(()) }
    }

    /// Whether to go on, as the callbacks of other crates are asked.
    pub fn go_on(&self) -> ControlFlow<()> {
        if self.stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// What `question` finds out about what fits, with the usual effort, unless the run is asked to stop meanwhile.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn ask<T>(&self, question: impl FnOnce(&Effort) -> Result<T, Stopped>) -> Result<T, Interrupted> {
        question(&Effort::watched(&|| self.go_on())).map_err(|Stopped| Interrupted)
    }

    /// Begins a step `name` of `total` parts.
    pub fn step(&self, name: &str, total: usize) -> Step<'_> {
        let gauge = if self.is_quiet() { None } else { self.observer.step(name, total) };
        Step { monitor: self, gauge, message: RefCell::default() }
    }
}

/// Progress of one step.
pub struct Step<'a> {
    monitor: &'a Monitor<'a>,
    gauge: Option<Box<dyn Gauge>>,
    message: RefCell<String>,
}

impl Step<'_> {
    /// `done` of `total` parts are done.
    pub fn set(&self, done: usize, total: usize) {
        if let Some(gauge) = &self.gauge {
            gauge.set(done, total, &self.message.borrow());
        }
    }

    /// What stands beside the progress from now on.
    pub fn message(&self, text: impl Display) {
        *self.message.borrow_mut() = text.to_string();
    }

    /// A callback that shows progress and stops where the run was asked to.
    pub fn callback(&self) -> impl FnMut(usize, usize) -> ControlFlow<()> + '_ {
        |done, total| {
            self.set(done, total);
            self.monitor.go_on()
        }
    }

    /// Ends the step with a line that stays.
    pub fn finish(self, text: impl Display) {
        if let Some(gauge) = self.gauge {
            gauge.finish(&text.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn warning(&self, text: &str) {
            self.0.lock().unwrap().push(format!("warning: {text}"));
        }

        fn wants_stop(&self) -> bool {
            true
        }

        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.into());
        }
    }

    #[test]
    fn warnings_are_told_once_and_also_where_notes_are_not() {
        let heard = Heard::default();
        let monitor = Monitor::new(&heard);
        monitor.quietly(|| {
            monitor.note("hidden");
            monitor.warn("odd");
        });
        monitor.warn("odd");
        monitor.note("shown");
        assert_eq!(*heard.0.lock().unwrap(), ["warning: odd", "shown"]);
        assert_eq!((monitor.warnings(), monitor.checkpoint()), (vec!["odd".to_owned()], Err(Interrupted)));
    }
}
