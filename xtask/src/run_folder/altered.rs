//! Inputs that change between two commands: each is refused without a trace, or makes no difference.

use super::alteration::Alteration;
use super::outcome::Outcome;
use super::scenario::{Scenarios, command_line, edited, side_by_side};
use super::state::{State, copy_folder};
use super::workshop::{Failure, Ran};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// A run with all that a folder can hold.
const FIT: [&str; 8] = ["fit", "NEW", "SMALL", "BUDGET", "--val", "VAL", "--episodes", "80"];

const SWEEP: [&str; 7] = ["fit", "NEW", "SMALL", "BUDGET", "--episodes", "60", "--pareto=2"];

/// Lines of a journal after which a run is cut off.
const CUT_AFTER: usize = 8;

/// A folder that a command goes on from, by the name that it has in the workshop, the command, and which of its files
/// are altered: those whose paths begin so.
type Going = (&'static str, &'static [&'static str], &'static [&'static str]);

const ALL: &[&str] = &[""];

#[rustfmt::skip]
const FILES: [Going; 8] = [
    ("interrupted", &["fit", "-o", "DIR", "--resume"], ALL),
    ("swept", &["fit", "-o", "DIR", "--resume"], &["pareto"]),
    ("calibrated", &["search", "DIR", "BUDGET", "--eval-samples", "64", "--episodes", "80"], ALL),
    ("finished", &["emit", "DIR"], &["config", "policy", "weights", "report", "stages"]),
    ("edited", &["emit", "DIR"], &["calibration", "prepared", "policy", "weights", "stages"]),
    ("finished", &["verify", "DIR"], &["policy", "weights", "package/model", "package/weights", "report.json", "stages"]),
    ("finished", &["eval", "DIR"], &["policy", "weights", "stages"]),
    ("finished", &["fit", "-o", "DIR", "--resume"], &["policy", "weights", "search", "package/model", "example", "report.json", "stages"]),
];

/// Changes of settings, each in a file of the folder.
#[rustfmt::skip]
const SETTINGS: [(&str, Alteration); 9] = [
    ("config.toml", Alteration::Replaced("seed = 0", "seed = 7", "another seed")),
    ("config.toml", Alteration::Replaced("episodes = 80", "episodes = 79", "fewer episodes")),
    ("config.toml", Alteration::Replaced("scale = 0.0039", "scale = 0.0041", "another preprocessing")),
    ("config.toml", Alteration::Replaced("seed = 0", "sead = 0", "an unknown key")),
    ("config.toml", Alteration::Replaced("\"min_error\"", "{ percentile = 7.0 }", "a percentile of 700 %")),
    ("config.toml", Alteration::Raised("results")),
    ("config.toml", RELEASE),
    ("stages.json", Alteration::Raised("results")),
    ("calibration.json", Alteration::Raised("results")),
];

/// A release that computes the same may go on.
const RELEASE: Alteration = Alteration::Raised("version = \"");

const WIDTH: Alteration = Alteration::Replaced("activations = 8", "activations = 3", "a width that is none");

/// Changes of what lies outside the folder.
const INPUTS: [(&str, Alteration); 6] = [
    ("train/train-images-idx3-ubyte", Alteration::Pixels),
    ("train/train-labels-idx1-ubyte", Alteration::Relabelled),
    ("train/train-labels-idx1-ubyte", Alteration::AllRelabelled),
    ("val/t10k-images-idx3-ubyte", Alteration::Pixels),
    ("model.onnx", Alteration::Appended),
    ("preprocess.toml", Alteration::Replaced("0.0039", "0.0041", "another scale")),
];

/// The commands after a change outside: the folder they go on from, and their words.
const AFTER_INPUTS: [(&str, &[&str]); 6] = [
    ("interrupted", &["fit", "-o", "DIR", "--resume"]),
    ("interrupted", &["fit", "NEW", "SMALL", "BUDGET", "--val", "VAL", "--episodes", "80", "--resume"]),
    ("calibrated", &["search", "DIR", "BUDGET", "--eval-samples", "64", "--episodes", "80"]),
    ("finished", &["emit", "DIR"]),
    ("finished", &["verify", "DIR"]),
    ("finished", &["fit", "-o", "DIR", "--resume"]),
];

/// One change and the command after it.
#[derive(Clone)]
struct Row {
    /// The folder that it goes on from.
    from: &'static str,
    words: &'static [&'static str],
    /// Relative to the folder, or to the inputs.
    file: String,
    change: Change,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Of(Alteration),
    /// A policy that is edited as users do, and goes into the package with `emit`.
    Edited,
}

impl Row {
    /// Whether the folder gets a policy that is one.
    fn brings_a_policy(&self) -> bool {
        self.change == Change::Edited || self.file == "policy.toml" && self.change == Change::Of(Alteration::Another)
    }
}

/// How a row ended.
struct Told {
    line: String,
    wrong: Option<String>,
}

struct Trial<'a> {
    scenarios: &'a Scenarios<'a>,
    /// What the command leaves where nothing was altered, by folder and words.
    unaltered: BTreeMap<(&'static str, &'static [&'static str]), (State, String)>,
}

/// Alters everything that is there, one thing at a time.
pub(super) fn run(scenarios: &Scenarios) -> Result<Outcome, Failure> {
    make_folders(scenarios)?;
    let mut trial = Trial { scenarios, unaltered: BTreeMap::new() };
    let mut commands: Vec<(&'static str, &'static [&'static str])> =
        FILES.iter().map(|(from, words, _)| (*from, *words)).chain(AFTER_INPUTS).collect();
    commands.sort();
    commands.dedup();
    let numbered = commands.iter().copied().enumerate().collect();
    let results = side_by_side(numbered, |(i, (from, words))| trial.unaltered_result(*i, from, words))?;
    trial.unaltered = commands.into_iter().zip(results).collect();

    let rows = trial.rows_in_the_folder()?;
    let mut told = side_by_side(rows.into_iter().enumerate().collect(), |(i, row)| trial.row(*i, row))?;
    // Inputs are shared by all, so one change at a time.
    for (file, alteration) in INPUTS {
        let place = scenarios.workshop.input(file);
        let before = fs::read(&place)?;
        alteration.apply(&place, &place)?;
        for (from, words) in AFTER_INPUTS {
            let row = Row { from, words, file: file.into(), change: Change::Of(alteration) };
            told.push(Some(trial.judged(&row, &trial.copy(from, "inputs")?)?));
        }
        fs::write(&place, before)?;
    }
    let told: Vec<Told> = told.into_iter().flatten().collect();
    let mut table = String::from(
        "| altered | folder | command | exit | what it says | folder unchanged |\n|---|---|---|---|---|---|\n",
    );
    told.iter().for_each(|told| table.push_str(&told.line));
    writeln!(table, "\n{} rows.", told.len())?;
    Ok(Outcome { table, failures: told.into_iter().filter_map(|told| told.wrong).collect() })
}

/// Makes the folders that commands go on from, and another run.
fn make_folders(scenarios: &Scenarios) -> Result<(), Failure> {
    let folder = |name: &str| source(scenarios, name);
    let other = [&FIT[..], &["--seed", "7"]].concat();
    let whole = |words: &&[&str], name: &str| scenarios.make(words, &folder(name));
    let cut = |words: &[&str], name: &str, journal: &str, lines: usize| {
        let path = folder(name).join(journal);
        let enough = || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() >= lines);
        let line = command_line(scenarios.workshop, words, &folder(name));
        let ran = scenarios.workshop.start(&line)?.kill_when(enough)?;
        if ran.killed { Ok(()) } else { Err(Failure::from(format!("{name}: the run ended before it was cut off"))) }
    };
    let jobs: Vec<Box<dyn Fn() -> Result<(), Failure> + Send + Sync>> = vec![
        Box::new(|| whole(&&FIT[..], "finished")),
        Box::new(|| whole(&&other[..], "other")),
        Box::new(|| whole(&&["calibrate", "NEW", "--calibration-samples", "64"][..], "calibrated")),
        Box::new(|| cut(&FIT, "interrupted", "search.jsonl", CUT_AFTER)),
        Box::new(|| cut(&SWEEP, "swept", "pareto.jsonl", 2)),
    ];
    side_by_side(jobs, |job| job())?;
    copy_folder(&folder("finished"), &folder("edited"))?;
    let policy = folder("edited").join("policy.toml");
    let text = fs::read_to_string(&policy)?;
    Ok(fs::write(policy, edited(&text))?)
}

fn source(scenarios: &Scenarios, name: &str) -> PathBuf {
    scenarios.workshop.path("runs").join(format!("altered-{name}"))
}

impl Trial<'_> {
    fn copy(&self, from: &str, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.scenarios.workshop.path("runs").join(format!("row-{name}"));
        copy_folder(&source(self.scenarios, from), &folder)?;
        Ok(folder)
    }

    fn unaltered_result(
        &self,
        number: usize,
        from: &'static str,
        words: &'static [&'static str],
    ) -> Result<(State, String), Failure> {
        let folder = self.copy(from, &format!("unaltered-{number}"))?;
        let ran = self.scenarios.workshop.run(&command_line(self.scenarios.workshop, words, &folder))?;
        super::scenario::expect_done(&words.join(" "), &ran)?;
        Ok((State::of(&folder)?, ran.out))
    }

    /// Every change of a file in a folder.
    fn rows_in_the_folder(&self) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        for (from, words, beginnings) in FILES {
            let mut row = |file: &str, change| rows.push(Row { from, words, file: file.into(), change });
            let state = State::of(&source(self.scenarios, from))?;
            let mut folders_seen = Vec::new();
            for file in state.0.keys().filter(|file| beginnings.iter().any(|begin| file.starts_with(begin))) {
                let folder = file.split_once('/').map(|(folder, _)| folder);
                let skipped = file.ends_with('/') || file.ends_with("lock") || file == "report.md";
                // One file stands for all of a folder, but for the package, whose texts differ in kind.
                let stands_for = folder.is_some_and(|folder| folder != "package" && folders_seen.contains(&folder));
                if skipped || stands_for {
                    continue;
                }
                folders_seen.extend(folder);
                for alteration in [Alteration::Flipped, Alteration::Truncated, Alteration::Another] {
                    row(file, Change::Of(alteration));
                }
            }
            if beginnings.iter().any(|begin| "config.toml".starts_with(begin)) {
                for (file, alteration) in SETTINGS.into_iter().filter(|(file, _)| state.0.contains_key(*file)) {
                    row(file, Change::Of(alteration));
                }
            }
            if from == "finished" && beginnings.contains(&"policy") {
                row("policy.toml", Change::Edited);
                row("policy.toml", Change::Of(WIDTH));
            }
        }
        Ok(rows)
    }

    /// `None` where there is nothing to alter.
    fn row(&self, number: usize, row: &Row) -> Result<Option<Told>, Failure> {
        let folder = self.copy(row.from, &number.to_string())?;
        let file = folder.join(&row.file);
        let altered = match row.change {
            Change::Of(alteration) => alteration.apply(&file, &source(self.scenarios, "other").join(&row.file))?,
            Change::Edited => {
                fs::write(&file, edited(&fs::read_to_string(&file)?))?;
                true
            }
        };
        if !altered {
            fs::remove_dir_all(&folder)?;
            return Ok(None);
        }
        self.judged(row, &folder).map(Some)
    }

    /// Runs the command in `folder`, where the change has been made, and takes the folder away.
    fn judged(&self, row: &Row, folder: &PathBuf) -> Result<Told, Failure> {
        let before = State::of(folder)?;
        let ran = self.scenarios.workshop.run(&command_line(self.scenarios.workshop, row.words, folder))?;
        let after = State::of(folder)?;
        fs::remove_dir_all(folder)?;
        let unchanged = before.is_unchanged(&after);
        let wrong = self.wrong(row, &ran, &after, unchanged);
        let what = match row.change {
            Change::Of(alteration) => alteration.describe(),
            Change::Edited => "widths edited".into(),
        };
        let plain = |text: &str| {
            let places = [(folder.clone(), "DIR"), (self.scenarios.workshop.path("inputs"), "INPUTS")];
            let named = |text: String, (path, name): &(PathBuf, &str)| text.replace(&path.display().to_string(), name);
            places.iter().fold(text.to_owned(), named).replace('|', "\\|")
        };
        let words: Vec<&str> = row
            .words
            .iter()
            .copied()
            .filter(|word| !["NEW", "SMALL", "BUDGET", "VAL", "-o", "DIR"].contains(word))
            .collect();
        let (altered, words) = (format!("{}: {what}", row.file), words.join(" "));
        let said = match (ran.code, &wrong) {
            (Some(0), None) if row.brings_a_policy() => "done with this policy".into(),
            (Some(0), None) => "done, the same result".into(),
            (Some(0), Some(_)) => "done, **another result**".into(),
            (Some(4), None) => "a mismatch".into(),
            _ => plain(ran.message()),
        };
        let unchanged = if unchanged { "yes" } else { "no" };
        let line = format!("| {altered} | {} | {words} | {} | {said} | {unchanged} |\n", row.from, ran.ending());
        let wrong = wrong.map(|wrong| format!("{altered}, then {words} ({}): {}", row.from, plain(&wrong)));
        eprintln!("altered: {}", wrong.as_deref().unwrap_or(&altered));
        Ok(Told { line, wrong })
    }

    /// What is wrong with how the command took the change.
    fn wrong(&self, row: &Row, ran: &Ran, after: &State, unchanged: bool) -> Option<String> {
        let (expected, out) = &self.unaltered[&(row.from, row.words)];
        let command = row.words[0];
        match ran.code {
            _ if ran.err.contains("panicked") => Some("it panics".into()),
            Some(1) if unchanged => None,
            Some(1) => Some("it is refused, and the folder is another".into()),
            // What a user edited, or took from elsewhere, goes into the package, or is told not to fit; what is measured
            // on other data is another figure.
            Some(0 | 3) if command == "emit" && row.brings_a_policy() => None,
            Some(0) if row.file.starts_with("val/") => None,
            // The package is proven as it is, and the report stays that of the one that was written.
            Some(0) if command == "verify" && row.file.starts_with("package/") => {
                (!unchanged || !ran.err.contains(&row.file)).then(|| "it is taken without a word".into())
            }
            Some(0) if command == "eval" && ran.out != *out => Some("it prints other figures".into()),
            Some(0) => {
                let mut differences = expected.differences(after);
                if row.change == Change::Of(RELEASE) {
                    differences.retain(|difference| !difference.starts_with("config.toml"));
                }
                (!differences.is_empty()).then(|| format!("it is taken without a word: {}", differences.join(", ")))
            }
            // A package that was altered is what verification is to find.
            Some(4) if command == "verify" && row.file.starts_with("package/") => None,
            _ => Some(format!("it ends with {}: {}", ran.ending(), ran.message())),
        }
    }
}
