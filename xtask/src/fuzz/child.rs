//! The process in which a reader reads.

use super::known::find;
use super::mutate::Mutator;
use super::scratch::{Scratch, overwrite};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The word by which the command starts itself.
pub(super) const COMMAND: &str = "--in-child";

/// The file with the input that is being read.
pub(super) const CURRENT: &str = "current";

const DONE: &str = "done";

/// How much a child did.
#[derive(Default)]
pub(super) struct Done {
    pub(super) executions: u64,
    pub(super) findings: u64,
}

impl Done {
    /// What the last child in `folder` did; takes it away.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let path = folder.join(DONE);
        let text = std::fs::read_to_string(&path).ok()?;
        let _ = std::fs::remove_file(path);
        let (executions, findings) = text.split_once(' ')?;
        Some(Self { executions: executions.parse().ok()?, findings: findings.parse().ok()? })
    }

    fn write(&self, folder: &Path) -> Result<(), String> {
        let text = format!("{} {}", self.executions, self.findings);
        overwrite(&folder.join(DONE), text.as_bytes()).map_err(|e| format!("`{}`: {e}", folder.display()))
    }
}

/// Keeps `input` and what went wrong with it.
pub(super) fn keep(folder: &Path, how: &str, input: &[u8], problem: &str) -> std::io::Result<()> {
    let name = format!("{how}-{}", &bitesize::hash::sha256(input)[..16]);
    std::fs::write(folder.join(format!("{name}.txt")), problem)?;
    std::fs::write(folder.join(name), input)
}

/// Reads mutated inputs: `READER FOLDER SEED EXECUTIONS SECONDS LONGEST`, the last the seconds that one may take.
///
/// # Errors
/// Wrong arguments, or a folder that cannot be written to.
pub(super) fn run(arguments: &[String]) -> Result<(), String> {
    let [name, folder, seed, most, seconds, longest] = arguments else {
        return Err("a child takes six arguments".into());
    };
    let reader = find(name).ok_or("no such reader")?;
    let number = |text: &String| text.parse::<u64>().map_err(|e| e.to_string());
    let (seed, most) = (number(seed)?, number(most)?);
    let seconds: f64 = seconds.parse().map_err(|_| "no number of seconds")?;
    let longest = longest.parse().ok().and_then(|longest| Duration::try_from_secs_f64(longest).ok());
    let longest = longest.ok_or("no number of seconds")?;
    let folder = Path::new(folder);
    let io = |e: std::io::Error| format!("`{}`: {e}", folder.display());
    let scratch = Scratch::new(folder).map_err(io)?;
    let seeds = (reader.seeds)(&scratch)?;
    let mut mutator = Mutator::new(seed);
    let begun = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&begun), longest);
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let mut done = Done::default();
    while done.executions < most && start.elapsed().as_secs_f64() < seconds {
        let input = (reader.mutate)(&mut mutator, &seeds);
        overwrite(&folder.join(CURRENT), &input).map_err(io)?;
        begun.fetch_add(1, Ordering::SeqCst);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (reader.read)(&scratch, &input))) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
            keep(folder, "panic", &input, text).map_err(io)?;
            done.findings += 1;
        }
        done.executions += 1;
        if done.executions.is_multiple_of(64) {
            done.write(folder)?;
        }
    }
    done.write(folder)
}

/// Ends the process where one input takes too long.
fn watch(begun: Arc<AtomicU64>, longest: Duration) {
    std::thread::spawn(move || {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = begun.load(Ordering::SeqCst);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if now > 0 && since.elapsed() > longest {
                eprintln!("it took more than {longest:?}");
                std::process::exit(3);
            }
        }
    });
}
