//! Child processes with a time limit, a way to cancel them, and their output kept for the error message, within bounds.

use crate::printed::Listener;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running process is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The most lines of a failed tool's output that an error quotes.
const QUOTED_LINES: usize = 20;

/// The most characters of such a line.
const QUOTED_CHARACTERS: usize = 400;

/// Why a process did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// The program is not installed.
    #[error("`{0}` is not installed")]
    NotFound(String),
    /// It was killed at its limit.
    #[error(
        "`{program}` did not end within {seconds} s and was stopped; where the machine is busy or slow, run it again when it \
         is less so, or with fewer samples"
    )]
    TimedOut {
        /// What ran.
        program: String,
        /// Its limit.
        seconds: u64,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// It ended with an error.
    #[error("`{program}` failed ({status}){output}")]
    Failed {
        /// What ran.
        program: String,
        /// As the system words it.
        status: ExitStatus,
        /// The end of what it printed, with a leading line break, or nothing.
        output: String,
    },
    /// It was stopped because it printed without end.
    #[error("`{program}` printed more than {megabytes} MiB and was stopped{output}")]
    PrintedTooMuch {
        /// What ran.
        program: String,
        /// How much it may print.
        megabytes: u64,
        /// As in [`Self::Failed`].
        output: String,
    },
    /// The system refused.
    #[error("cannot run `{program}`: {error}")]
    Io {
        /// What should have run.
        program: String,
        /// The reason.
        error: io::Error,
    },
}

/// Where processes run and what stops them.
pub(crate) struct Place<'a> {
    /// Working directory.
    pub(crate) folder: &'a Path,
    /// Asked at every look; true stops the process.
    pub(crate) cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Place<'_> {
    /// Runs `program` to its end, calling `watch` at every look. Gives what it printed, the middle left out where that is
    /// long.
    pub(crate) fn run(
        &self,
        program: &str,
        arguments: &[String],
        limit: Duration,
        mut watch: impl FnMut(),
    ) -> Result<String, ProcessError> {
        let io = |error| ProcessError::Io { program: program.into(), error };
        let (listener, end) = Listener::start().map_err(io)?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder)
            // So that what a compiler leaves behind when it is killed goes with the folder.
            .env("TMPDIR", ".")
            .stdin(Stdio::null())
            .stdout(end.try_clone().map_err(io)?)
            .stderr(end)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ProcessError::NotFound(program.into()),
                _ => io(error),
            })?;
        let status = match self.wait(program, &mut child, limit, &mut watch, &listener) {
            Err(ProcessError::PrintedTooMuch { .. }) => None,
            ended => Some(ended?),
        };
        let printed = listener.finish();
        match status {
            Some(status) if !printed.is_over_limit => {
                if status.success() {
                    Ok(printed.text)
                } else {
                    Err(ProcessError::Failed { program: program.into(), status, output: tail(&printed.text) })
                }
            }
            _ => Err(printed_too_much(program, tail(&printed.text))),
        }
    }

    fn wait(
        &self,
        program: &str,
        child: &mut Child,
        limit: Duration,
        watch: &mut dyn FnMut(),
        listener: &Listener,
    ) -> Result<ExitStatus, ProcessError> {
        let start = Instant::now();
        loop {
            let outcome = match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if (self.cancelled)() => ProcessError::Cancelled,
                Ok(None) if start.elapsed() > limit => {
                    ProcessError::TimedOut { program: program.into(), seconds: limit.as_secs() }
                }
                Ok(None) if listener.is_over_limit() => printed_too_much(program, String::new()),
                Ok(None) => {
                    watch();
                    std::thread::sleep(POLL);
                    continue;
                }
                Err(error) => ProcessError::Io { program: program.into(), error },
            };
            // It may have ended by itself in the meantime; either way it is gone after `wait`.
            let _ = child.kill();
            let _ = child.wait();
            return Err(outcome);
        }
    }
}

fn printed_too_much(program: &str, output: String) -> ProcessError {
    ProcessError::PrintedTooMuch { program: program.into(), megabytes: Listener::LIMIT >> 20, output }
}

/// The last lines of `printed`, indented below the line that quotes them.
fn tail(printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    let from = lines.len().saturating_sub(QUOTED_LINES);
    let cut = |line: &str| match line.char_indices().nth(QUOTED_CHARACTERS) {
        Some((at, _)) => format!("\n    {} ...", &line[..at]),
        None => format!("\n    {line}"),
    };
    lines[from..].iter().map(|line| cut(line)).collect()
}
