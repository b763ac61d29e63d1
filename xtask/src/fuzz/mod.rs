//! `cargo xtask fuzz`: hands mutated files to every reader, and keeps those at which one fails.
//!
//! Each reader runs in a child process, whose memory the system limits, so that an abort, a stack that is full or memory
//! that is used up ends the child and not the run: the parent keeps the input that was being read and starts another. A
//! panic is caught in the child, and an input that takes too long ends it. What a seed does is the same every time.

mod child;
mod faults;
mod known;
mod limits;
mod mutate;
mod pack;
mod reader;
mod scratch;
mod seeds;
mod wire;

use known::find;
use limits::MEMORY_KIB;
use reader::READERS;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const USAGE: &str =
    "arguments: [READER...] [--minutes N | --executions N] [--longest SECONDS] [--seed N] [--into FOLDER]";

/// How much is done.
#[derive(Clone, Copy)]
enum Extent {
    Minutes(f64),
    Executions(u64),
}

/// What is asked for.
struct Asked {
    readers: Vec<&'static str>,
    extent: Extent,
    /// How long a reader may take for one input.
    longest: f64,
    seed: u64,
    into: PathBuf,
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut asked = Self {
            readers: Vec::new(),
            extent: Extent::Minutes(1.0),
            longest: 5.0,
            seed: 0,
            into: PathBuf::from("target/fuzz"),
        };
        let mut left = arguments.iter();
        while let Some(word) = left.next() {
            let mut value = || left.next().ok_or_else(|| format!("`{word}` takes a value; {USAGE}"));
            fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
                text.parse().map_err(|_| format!("`{text}` is no number; {USAGE}"))
            }
            match word.as_str() {
                "--minutes" => asked.extent = Extent::Minutes(number(value()?)?),
                "--executions" => asked.extent = Extent::Executions(number(value()?)?),
                "--longest" => asked.longest = number(value()?)?,
                "--seed" => asked.seed = number(value()?)?,
                "--into" => asked.into = value()?.into(),
                name => {
                    let names: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
                    let known = find(name);
                    let known =
                        known.ok_or_else(|| format!("`{name}` is no reader of {}; {USAGE}", names.join(", ")))?;
                    asked.readers.push(known.name);
                }
            }
        }
        if asked.readers.is_empty() {
            asked.readers = READERS.iter().map(|reader| reader.name).collect();
        }
        Ok(asked)
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong arguments, a child that cannot be started, or readers that failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let [first, rest @ ..] = arguments
        && first == child::COMMAND
    {
        return child::run(rest);
    }
    let asked = Asked::read(arguments)?;
    let mut findings = 0;
    for name in &asked.readers {
        findings += fuzz(name, &asked)?;
    }
    match findings {
        0 => Ok(()),
        n => Err(format!("{n} inputs at which a reader failed are in `{}`", asked.into.display())),
    }
}

/// Hands inputs to one reader; the number of those at which it failed.
fn fuzz(name: &str, asked: &Asked) -> Result<u64, String> {
    let folder = asked.into.join(name);
    let io = |e: std::io::Error| format!("`{}`: {e}", folder.display());
    std::fs::create_dir_all(&folder).map_err(io)?;
    let program = std::env::current_exe().map_err(io)?;
    let start = Instant::now();
    let (mut executions, mut findings, mut round) = (0, 0, 0u64);
    loop {
        let left = match asked.extent {
            Extent::Minutes(minutes) => Duration::from_secs_f64(minutes * 60.0).checked_sub(start.elapsed()),
            Extent::Executions(_) => Some(Duration::MAX),
        };
        let most = match asked.extent {
            Extent::Minutes(_) => u64::MAX,
            Extent::Executions(most) => most - executions,
        };
        let Some(left) = left.filter(|left| most > 0 && !left.is_zero()) else { break };
        // The shell's limit holds for the program that takes its place.
        let seconds = left.as_secs_f64().min(1e9);
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -v {MEMORY_KIB} && exec \"$@\""), "sh"])
            .arg(&program)
            .args(["fuzz", child::COMMAND, name])
            .arg(&folder)
            .args([asked.seed.wrapping_add(round << 32).to_string(), most.to_string()])
            .args([seconds.to_string(), asked.longest.to_string()])
            .env("MALLOC_ARENA_MAX", "1")
            .env("RAYON_NUM_THREADS", "2")
            .env("RUST_BACKTRACE", "0")
            .output()
            .map_err(io)?;
        let done = child::Done::read(&folder).unwrap_or_default();
        executions += done.executions;
        findings += done.findings;
        round += 1;
        if !output.status.success() {
            executions += 1;
            findings += 1;
            keep_ended(&folder, &output).map_err(io)?;
            if done.executions == 0 && round > 20 {
                return Err(format!("{name}: the child ends at once: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<12} {executions:>10} executions  {findings:>4} findings  {seconds:>7.1} s");
    Ok(findings)
}

/// Keeps the input that a child was reading when it ended, with what it said.
fn keep_ended(folder: &Path, output: &std::process::Output) -> std::io::Result<()> {
    let input = std::fs::read(folder.join(child::CURRENT)).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    let problem = format!("{}\n{said}", output.status);
    child::keep(folder, "ended", &input, &problem)
}
