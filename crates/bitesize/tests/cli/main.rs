//! The binary as its users meet it: exit codes, what it says and where, and what it leaves on disk.

mod arrays;
mod bad_input;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod constraints;
mod data;
mod edited;
mod equalization;
mod fit;
mod from_scratch;
mod hostile;
mod images;
mod instructions;
mod kernels;
mod nasty_names;
mod onnx;
mod outlier;
mod output_order;
mod pack;
mod pareto;
mod places;
mod proof;
mod reconstruct;
mod resume;
mod schedules;
mod sizes;
mod surroundings;
mod tasks;
mod training;
mod tuned;
mod zoo;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the example that lies in the repository.
fn example(name: &str) -> String {
    root().join("examples/fashion").join(name).display().to_string()
}

/// A command line of the binary.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitesize"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What became of a command.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Fails unless it ended with `code` and said every one of `words` on stderr.
    #[track_caller]
    fn expect(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in stderr:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

fn run(args: &[&str]) -> Ran {
    command(args).output().expect("the binary starts").into()
}

/// As [`run`], where no compiler is found, so that nothing is proven: for what is not about proofs, which take most of a
/// run's time.
fn unproven(args: &[&str]) -> Ran {
    command(args).env("PATH", "").output().expect("the binary starts").into()
}

/// `fit` on the example into `folder`, with few samples so that it takes a second, and more arguments.
fn fit_args<'a>(folder: &'a str, example: &'a Example, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["fit", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    args.extend(["-o", folder, "--calibration-samples", "64", "--eval-samples", "64"]);
    args.extend(["--host-samples", "4", "--qemu-samples", "1"]);
    args.extend(more);
    args
}

/// The paths of the example.
struct Example {
    model: String,
    train: String,
    val: String,
    preprocess: String,
}

impl Example {
    fn new() -> Self {
        Self {
            model: example("model.onnx"),
            train: example("train"),
            val: example("val"),
            preprocess: example("preprocess.toml"),
        }
    }
}

/// A folder for one test, and the path of an output folder in it that is not there yet.
fn scratch() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out").display().to_string();
    (folder, out)
}

/// Every file below `folder` with its bytes, by path.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                files.push((path, bytes));
            }
        }
    }
    files.sort();
    files
}

/// Fails unless both hold the same files, naming those that differ.
#[track_caller]
fn assert_same(left: &[(PathBuf, Vec<u8>)], right: &[(PathBuf, Vec<u8>)], what: &str) {
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(left), names(right), "{what}");
    let pairs = left.iter().zip(right);
    let differing: Vec<_> = pairs.filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0.display().to_string()).collect();
    assert!(differing.is_empty(), "{what}: {differing:?} differ");
}

/// The run's `report.json`.
fn report(out: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(Path::new(out).join("report.json")).expect("a report")).expect("JSON")
}

/// An `.npz` of `x` and `y`.
fn npz<T, L>(path: &Path, x: &ndarray::Array4<T>, y: Vec<L>)
where
    T: ndarray_npy::WritableElement,
    L: ndarray_npy::WritableElement,
{
    let mut writer = ndarray_npy::NpzWriter::new(std::fs::File::create(path).expect("a file"));
    writer.add_array("x", x).expect("x is written");
    writer.add_array("y", &ndarray::Array1::from_vec(y)).expect("y is written");
    writer.finish().expect("the archive is written");
}

/// As [`npz`], without labels.
fn npz_unlabelled<T: ndarray_npy::WritableElement>(path: &Path, x: &ndarray::Array4<T>) {
    let mut writer = ndarray_npy::NpzWriter::new(std::fs::File::create(path).expect("a file"));
    writer.add_array("x", x).expect("x is written");
    writer.finish().expect("the archive is written");
}

/// A gray png with a pattern that depends on `seed`.
fn png(path: &Path, side: u32, seed: u32) {
    let image = image::GrayImage::from_fn(side, side, |x, y| image::Luma([((x * 7 + y * 13 + seed * 29) % 256) as u8]));
    image.save(path).expect("a png is written");
}

/// Class folders `0` to `9` with `each` pngs of `side`.
fn class_folders(root: &Path, each: u32, side: u32) {
    for class in 0..10 {
        let folder = root.join(class.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        for i in 0..each {
            png(&folder.join(format!("{i}.png")), side, class * 100 + i);
        }
    }
}
