//! The terminal: notes, warnings and progress on stderr, data on stdout, and the signals that stop a run.

use bitesize::Ending;
use bitesize::observe::{Gauge, Observer};
use bitesize::report::Report;
use bitesize_ir::shown::{lines, visible};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first failure to write to stdout, where there was one.
static OUT_FAILURE: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Writes to stdout, nothing that a terminal would obey. Where nobody reads it any more, as behind `| head`, the rest is
/// dropped and the run goes on; so it does where it cannot be written, which [`out_failure`] tells at the end.
pub(crate) fn print(text: std::fmt::Arguments) {
    let mut out = std::io::stdout().lock();
    let text = text.to_string();
    let written = out.write_all(lines(&text).as_bytes()).and_then(|()| out.flush());
    note_out_failure(written);
}

/// Keeps the failure `written` of a write to stdout, where it is the first and somebody was there to read.
pub(crate) fn note_out_failure(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        OUT_FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Why something that belonged on stdout is not there, where that is so.
pub(crate) fn out_failure() -> Option<std::io::Error> {
    OUT_FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes to stderr, nothing that a terminal would obey; where that fails there is nobody to tell.
pub(crate) fn print_error(text: std::fmt::Arguments) {
    let text = text.to_string();
    let _ = std::io::stderr().write_all(lines(&text).as_bytes());
}

/// As `println!`, but a closed pipe is no panic.
macro_rules! out_line {
    ($($text:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `eprintln!`, but a closed pipe is no panic.
macro_rules! err_line {
    ($($text:tt)*) => { $crate::console::print_error(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {err_line, out_line};

/// Tells what verification leaves to be desired, `--quiet` or not.
pub(crate) fn tell_shortcoming(report: &Report) {
    if let Some(shortcoming) = report.shortcoming() {
        let kind = if report.ending() == Ending::Done { "warning" } else { "error" };
        err_line!("{kind}: {shortcoming}");
    }
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors only.
    Quiet,
    /// Notes and progress.
    Normal,
    /// Details of rewrites and layers too.
    Verbose,
}

/// Whether a signal has asked this process to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// How long a run may take to stop by itself: what it was asked within is the 2 seconds that users are promised.
const GRACE: Duration = Duration::from_millis(1500);

/// The exit code of a run that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// The first Ctrl-C, SIGTERM or SIGHUP asks the run to stop. What does not within [`GRACE`], as in the middle of a file
/// that takes long to read, is ended there: a run folder is whole at any moment, so nothing is lost. The second signal
/// ends the run at once.
pub(crate) fn stop_on_signals(verbosity: Verbosity) {
    let handler = move || {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        if verbosity > Verbosity::Quiet {
            err_line!("stopping ...");
        }
        std::thread::spawn(|| {
            std::thread::sleep(GRACE);
            err_line!("interrupted");
            std::process::exit(INTERRUPTED.into());
        });
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        err_line!("warning: Ctrl-C will end the run at once: {error}");
    }
}

/// Makes a write past the limit on the size of files (`ulimit -f`) an error like that of a full disk: the signal that comes
/// with it would end the process. Children get the signal's usual meaning back.
#[cfg(unix)]
pub(crate) fn outlive_file_size_limit() {
    let told = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, told) {
        err_line!("warning: a limit on the size of files will end the run at once: {error}");
    }
}

#[cfg(not(unix))]
pub(crate) fn outlive_file_size_limit() {}

/// The observer of a run that was started from the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    verbosity: Verbosity,
}

impl Terminal {
    /// A terminal that is told as much as `verbosity` says.
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }
}

impl Observer for Terminal {
    fn warning(&self, text: &str) {
        err_line!("warning: {text}");
    }

    fn wants_stop(&self) -> bool {
        STOP.load(Ordering::SeqCst)
    }

    fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            err_line!("{text}");
        }
    }

    fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            err_line!("{text}");
        }
    }

    fn step(&self, name: &str, total: usize) -> Option<Box<dyn Gauge>> {
        (self.verbosity >= Verbosity::Normal).then(|| Box::new(Bar::new(name, total)) as Box<dyn Gauge>)
    }
}

/// Progress of one step: a bar on a terminal, a plain line now and then elsewhere.
struct Bar {
    bar: ProgressBar,
    name: String,
    plain: bool,
    start: Instant,
    told: Cell<Instant>,
}

/// How often a plain line is printed.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

impl Bar {
    fn new(name: &str, total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template = "{prefix:<22} [{bar:30}] {pos}/{len} {elapsed} eta {eta} {msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        let now = Instant::now();
        Self { bar, name: name.to_owned(), plain: !terminal, start: now, told: Cell::new(now) }
    }
}

impl Gauge for Bar {
    fn set(&self, done: usize, total: usize, message: &str) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(visible(message).into_owned());
        if self.plain && self.told.get().elapsed() >= PLAIN_INTERVAL {
            self.told.set(Instant::now());
            let elapsed = self.start.elapsed();
            let left = elapsed.mul_f64((total.saturating_sub(done)) as f64 / done.max(1) as f64);
            err_line!(
                "{}: {done}/{total}, {} s, about {} s left {message}",
                self.name,
                elapsed.as_secs(),
                left.as_secs()
            );
        }
    }

    fn finish(self: Box<Self>, text: &str) {
        self.bar.finish_and_clear();
        err_line!("{}: {text} ({:.1} s)", self.name, self.start.elapsed().as_secs_f64());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}
