//! Where the command line is tried: inputs of its own to alter, and commands that can be killed.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A problem of the trial itself, not of what is tried.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(180);

/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(2);

/// The signal that nothing can catch.
const SIGKILL: i32 = 9;

/// The binary, its inputs and a place for run folders. It is gone when dropped.
pub(super) struct Workshop {
    bitesize: PathBuf,
    root: TempDir,
}

impl Workshop {
    /// Builds the binary and copies the example's network and data, unpacked so that they can be altered.
    pub(super) fn new() -> Result<Self, Failure> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
        let build = ["build", "--release", "--locked", "--quiet", "-p", "bitesize"];
        let built = Command::new("cargo").args(build).current_dir(&repository).status()?;
        if !built.success() {
            return Err("the binary cannot be built".into());
        }
        let bitesize = std::path::absolute(target.join("release/bitesize"))?;
        let workshop = Self { bitesize, root: tempfile::Builder::new().prefix("run-folder-").tempdir()? };
        let example = repository.join("examples/fashion");
        for folder in ["inputs", "temporary", "runs"] {
            fs::create_dir(workshop.path(folder))?;
        }
        for name in ["model.onnx", "preprocess.toml", "classes.txt"] {
            fs::copy(example.join(name), workshop.input(name))?;
        }
        for folder in ["train", "val"] {
            fs::create_dir(workshop.input(folder))?;
            for entry in fs::read_dir(example.join(folder))? {
                let path = entry?.path();
                let stem = path.file_stem().ok_or("a file has a name")?;
                let unpacked = File::create(workshop.input(folder).join(stem))?;
                if !Command::new("gzip").arg("-dc").arg(&path).stdout(unpacked).status()?.success() {
                    return Err(format!("`gzip` cannot unpack {}", path.display()).into());
                }
            }
        }
        Ok(workshop)
    }

    /// A path below the workshop's own folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A file or folder that commands read.
    pub(super) fn input(&self, name: &str) -> PathBuf {
        self.root.path().join("inputs").join(name)
    }

    /// Starts the binary on one thread, in a process group of its own.
    pub(super) fn start(&self, arguments: &[String]) -> Result<Started, Failure> {
        self.start_by(Command::new(&self.bitesize), arguments)
    }

    /// Runs the binary until its first thread is about to make the system call `call` for the `number`th time, where
    /// `strace` kills it.
    pub(super) fn run_until_call(&self, arguments: &[String], call: &str, number: usize) -> Result<Ran, Failure> {
        let mut command = Command::new("strace");
        command.args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
        command.arg(format!("inject={call}:signal=SIGKILL:when={number}")).arg(&self.bitesize);
        self.start_by(command, arguments)?.finish()
    }

    fn start_by(&self, mut command: Command, arguments: &[String]) -> Result<Started, Failure> {
        let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?);
        command.args(arguments).args(["--threads", "1"]).env("TMPDIR", self.path("temporary"));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?).process_group(0);
        let begin = Instant::now();
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        Ok(Started { child, begin, out, err })
    }

    /// Runs the binary to its end.
    pub(super) fn run(&self, arguments: &[String]) -> Result<Ran, Failure> {
        self.start(arguments)?.finish()
    }
}

/// A running command.
pub(super) struct Started {
    child: Child,
    begin: Instant,
    out: File,
    err: File,
}

/// What became of a command.
pub(super) struct Ran {
    /// `None` where a signal ended it.
    pub(super) code: Option<i32>,
    /// Whether the signal was that of a kill.
    pub(super) killed: bool,
    pub(super) out: String,
    pub(super) err: String,
    pub(super) duration: Duration,
}

impl Started {
    /// Waits for its end.
    pub(super) fn finish(self) -> Result<Ran, Failure> {
        self.until(LIMIT, |_| false)
    }

    /// Kills it and all that it started, `after` its begin, unless it ends before.
    pub(super) fn kill_after(self, after: Duration) -> Result<Ran, Failure> {
        self.until(LIMIT, |running| running >= after)
    }

    /// Kills it as soon as `when` says.
    pub(super) fn kill_when(self, mut when: impl FnMut() -> bool) -> Result<Ran, Failure> {
        self.until(LIMIT, |_| when())
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> Result<bool, Failure> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn until(mut self, limit: Duration, mut kill: impl FnMut(Duration) -> bool) -> Result<Ran, Failure> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return self.ended(status);
            }
            let running = self.begin.elapsed();
            if kill(running) {
                self.kill_group()?;
                let status = self.child.wait()?;
                return self.ended(status);
            }
            if running > limit {
                self.kill_group()?;
                self.child.wait()?;
                return Err(format!("a command did not end within {} s", limit.as_secs()).into());
            }
            std::thread::sleep(POLL);
        }
    }

    /// The group has the number of its first process, which is not waited for yet, so no other group can have it.
    fn kill_group(&self) -> Result<(), Failure> {
        let group = format!("-{}", self.child.id());
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status()?;
        Ok(())
    }

    fn ended(mut self, status: ExitStatus) -> Result<Ran, Failure> {
        let duration = self.begin.elapsed();
        let text = |file: &mut File| -> Result<String, Failure> {
            let mut bytes = Vec::new();
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (out, err) = (text(&mut self.out)?, text(&mut self.err)?);
        Ok(Ran { code: status.code(), killed: status.signal() == Some(SIGKILL), out, err, duration })
    }
}

impl Ran {
    /// What it says went wrong: the first line that begins with `error`, or that tells of a failure, or else the last.
    pub(super) fn message(&self) -> &str {
        let first = |is: &dyn Fn(&str) -> bool| self.err.lines().find(|line| is(line));
        let tells = |line: &str| ["failed", "mismatch", "does not fit"].iter().any(|word| line.contains(word));
        let said = first(&|line| line.starts_with("error")).or_else(|| first(&tells));
        said.or_else(|| self.err.lines().next_back()).unwrap_or_default()
    }

    /// The code as a word.
    pub(super) fn ending(&self) -> String {
        match self.code {
            Some(code) => code.to_string(),
            None if self.killed => "killed".into(),
            None => "another signal".into(),
        }
    }
}
