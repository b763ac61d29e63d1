//! `cargo xtask results`: runs `bitesize fit` on the reference networks and writes the tables of `docs/results.md`.
//!
//! Each run has a folder of its own below the work folder; one that holds a finished `report.json` is not run again,
//! so the command can be interrupted and goes on where it stopped.

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a network is trained and tested on.
struct Subject {
    network: &'static str,
    train: &'static str,
    val: &'static str,
}

const CIFAR: (&str, &str) = ("cifar10/train", "cifar10/test");

const SUBJECTS: [Subject; 4] = [
    Subject { network: "cifar10_mobilenet_v1", train: CIFAR.0, val: CIFAR.1 },
    Subject { network: "cifar10_mobilenet_v2", train: CIFAR.0, val: CIFAR.1 },
    Subject { network: "cifar10_mnasnet", train: CIFAR.0, val: CIFAR.1 },
    Subject { network: "mlperf_resnet8", train: CIFAR.0, val: CIFAR.1 },
];

/// Shares of the FLASH and RAM at uniform 8 bits, in per cent.
const BUDGETS: [(u64, u64); 2] = [(60, 70), (40, 45)];

/// Each with the reward that it maximises.
const STRATEGIES: [(&str, &str); 3] = [("rules", "accuracy"), ("ddpg", "accuracy"), ("auto", "loss")];

struct Place {
    bitesize: PathBuf,
    shared: PathBuf,
    work: PathBuf,
    episodes: String,
    eval_samples: String,
}

/// Runs what is missing and rewrites the tables. `arguments`: the work folder (default `target/results`), and the
/// names of networks to run (default all).
///
/// # Errors
/// A run that failed, or a file that could not be read or written.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = std::env::var_os("BITESIZE_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (work, only) = match arguments {
        [] => (target.join("results"), &[][..]),
        [work, only @ ..] => (PathBuf::from(work), only),
    };
    command(Command::new("cargo").args(["build", "--release", "-p", "bitesize"]).current_dir(&root))?;
    let place = Place {
        bitesize: target.join("release/bitesize"),
        shared,
        work,
        episodes: "100".into(),
        eval_samples: "256".into(),
    };
    let mut tables = String::new();
    for subject in SUBJECTS.iter().filter(|s| only.is_empty() || only.iter().any(|name| name == s.network)) {
        tables += &subject_table(&place, subject)?;
    }
    if only.is_empty() {
        insert(&root.join("docs/results.md"), "results", &tables)?;
    }
    println!("{tables}");
    Ok(())
}

fn subject_table(place: &Place, subject: &Subject) -> Result<String, String> {
    let full = fit(place, subject, "8-8", &["--policy", "8/8", "--flash", "64MiB", "--ram", "64MiB"])?;
    let (flash, ram) = (number(&full, "/flash/total"), number(&full, "/ram/total"));
    let mut table = format!(
        "\n### {}\n\nFloat {}. Uniform 8 bits: {} with {flash:.0} B FLASH and {ram:.0} B RAM.\n\n\
         | FLASH / RAM budget | strategy | uniform 4 | uniform 2 | rules | result | \
         FLASH predicted / linked | RAM predicted / linked | least weight bits | kernels | instructions/MAC | predicted | mismatches | search s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        subject.network,
        percent(&full["accuracy"]["float"]),
        percent(&full["accuracy"]["integer"]),
    );
    for (flash_share, ram_share) in BUDGETS {
        for (strategy, reward) in STRATEGIES {
            let flash_budget = (flash * flash_share as f64 / 100.0).floor().to_string();
            let ram_budget = (ram * ram_share as f64 / 100.0).floor().to_string();
            let name = format!("{flash_share}-{ram_share}-{strategy}");
            let mut flags = vec!["--flash", &flash_budget, "--ram", &ram_budget, "--search", strategy];
            flags.extend(["--reward", reward]);
            flags.extend(["--episodes", &place.episodes, "--eval-samples", &place.eval_samples]);
            let report = fit(place, subject, &name, &flags)?;
            let _ = writeln!(table, "{}", row(&report, &format!("{flash_share} % / {ram_share} %"), strategy));
        }
    }
    Ok(table)
}

fn row(report: &Value, budget: &str, strategy: &str) -> String {
    let baseline = |name: &str| {
        let found = report["baselines"].as_array().and_then(|all| all.iter().find(|b| b["name"] == name));
        found.map_or("-".into(), |b| percent(&b["accuracy"]))
    };
    let runners = report["verification"].as_array().cloned().unwrap_or_default();
    let linked = runners.iter().find(|r| r["runner"] == "qemu-m4").cloned().unwrap_or(Value::Null);
    let mismatches: f64 = runners.iter().map(|r| number(r, "/mismatches")).sum();
    let runner_names: Vec<&str> = runners.iter().filter_map(|r| r["runner"].as_str()).collect();
    let layers = report["layers"].as_array().cloned().unwrap_or_default();
    let least = |key: &str| layers.iter().filter_map(|l| l[key].as_u64()).min().unwrap_or(0);
    let counted = number(report, "/instructions/counted");
    format!(
        "| {budget} | {strategy} | {} | {} | {} | **{}** | {:.0} / {:.0} | {:.0} / {:.0} | W{} A{} | {} | {:.2} | {:+.1} % | {mismatches:.0} ({}) | {:.0} |",
        baseline("uniform-4"),
        baseline("uniform-2"),
        baseline("rules"),
        percent(&report["accuracy"]["integer"]),
        number(report, "/flash/total"),
        number(&linked, "/flash_bytes"),
        number(report, "/ram/total"),
        number(&linked, "/ram_bytes"),
        least("weight_bits"),
        least("activation_bits"),
        report["target"]["kernels"].as_str().unwrap_or("-"),
        counted / number(report, "/model/macs"),
        100.0 * (number(report, "/instructions/predicted") / counted - 1.0),
        runner_names.join(", "),
        number(report, "/search/seconds"),
    )
}

/// Runs one fit unless its report is there, and reads the report.
fn fit(place: &Place, subject: &Subject, name: &str, flags: &[&str]) -> Result<Value, String> {
    let out = place.work.join(format!("{}-{name}", subject.network));
    let report = out.join("report.json");
    if !report.exists() {
        fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
        let model = place.shared.join("models").join(subject.network);
        let mut fit = Command::new(&place.bitesize);
        fit.arg("fit").arg(model.with_extension("onnx"));
        fit.arg("--train").arg(place.shared.join("data").join(subject.train));
        fit.arg("--val").arg(place.shared.join("data").join(subject.val));
        fit.arg("--preprocess").arg(model.with_extension("toml"));
        // Budgets on that page are shares of what layers one after the other take.
        fit.args(["--schedule", "layers"]).args(flags).arg("--resume").arg("-o").arg(&out);
        command(&mut fit)?;
    }
    let text = fs::read_to_string(&report).map_err(|e| format!("{}: {e}", report.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", report.display()))
}

fn command(command: &mut Command) -> Result<(), String> {
    eprintln!("{command:?}");
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A fraction as per cent, `-` where there is none.
fn percent(value: &Value) -> String {
    value.as_f64().map_or("-".into(), |fraction| format!("{:.2}", 100.0 * fraction))
}

/// Replaces what stands between the marks of `command` in a document.
pub(crate) fn insert(document: &Path, command: &str, tables: &str) -> Result<(), String> {
    let [begin_mark, end_mark] = ["begin", "end"].map(|what| format!("<!-- {what}: cargo xtask {command} -->"));
    let text = fs::read_to_string(document).map_err(|e| format!("{}: {e}", document.display()))?;
    let marks = (text.find(&begin_mark), text.find(&end_mark));
    let (Some(begin), Some(end)) = marks else {
        return Err(format!("{}: the marks `{begin_mark}` and `{end_mark}` are missing", document.display()));
    };
    let text = format!("{}\n{}\n{}", &text[..begin + begin_mark.len()], tables.trim_end(), &text[end..]);
    fs::write(document, text).map_err(|e| format!("{}: {e}", document.display()))
}
