//! `--pareto`: what a sweep of budgets leaves, and that nothing but the run's inputs decides it.

use super::{Example, assert_same, fit_args, report, run, scratch, tree, unproven};
use std::fs;
use std::path::{Path, PathBuf};

/// A row of `pareto.csv`.
#[derive(Debug)]
struct Row {
    budget: [u64; 2],
    bytes: [u64; 2],
    reward: f64,
    accuracy: Option<f64>,
    front: bool,
    policy: String,
}

fn rows(out: &str) -> Vec<Row> {
    let text = fs::read_to_string(Path::new(out).join("pareto.csv")).unwrap();
    let mut lines = text.lines();
    let head = "flash_budget,ram_budget,flash_bytes,ram_bytes,weight_bytes,instructions,reward,accuracy,metric,metric_name,front,chosen,policy";
    assert_eq!(lines.next(), Some(head));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), 13, "{line}");
        assert_eq!(cells[9], if cells[8].is_empty() { "" } else { "top1" }, "{line}");
        let number = |i: usize| cells[i].parse().unwrap();
        Row {
            budget: [number(0), number(1)],
            bytes: [number(2), number(3)],
            reward: cells[6].parse().unwrap(),
            accuracy: cells[7].parse().ok(),
            front: cells[10].parse().unwrap(),
            policy: cells[12].into(),
        }
    };
    lines.map(row).collect()
}

/// Everything that a sweep leaves.
fn products(out: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let all = tree(Path::new(out)).into_iter();
    let mine = |path: &Path| path.strip_prefix(out).unwrap().to_string_lossy().starts_with("pareto");
    all.filter(|(path, _)| mine(path))
        .map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_owned(), bytes))
        .collect()
}

#[test]
fn a_sweep_is_complete_and_goes_on_where_it_was_cut_off() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let flags = ["--flash", "60KiB", "--ram", "64KiB", "--episodes", "20", "--val", &example.val, "--pareto=3"];
    unproven(&fit_args(&out, &example, &flags)).expect(0, &["pareto: 9 budgets"]);
    let found = rows(&out);
    check_budgets(&found);
    check_front(&found);
    let report = report(&out);
    let told = report["pareto"].as_array().unwrap();
    assert_eq!(told.len(), found.len());
    for (row, told) in found.iter().zip(told) {
        assert_eq!((told["policy"].as_str(), told["front"].as_bool()), (Some(&*row.policy), Some(row.front)));
        assert_eq!((told["reward"].as_f64(), told["accuracy"].as_f64()), (Some(row.reward), row.accuracy));
    }
    let text = fs::read_to_string(Path::new(&out).join("report.md")).unwrap();
    assert!(text.contains("## Other budgets"), "{text}");
    let chart = fs::read_to_string(Path::new(&out).join("pareto.svg")).unwrap();
    assert!(["accuracy, %", "FLASH, KiB", "RAM, KiB", "float", "front"].iter().all(|part| chart.contains(part)));

    let whole = products(&out);
    let lines = fs::read_to_string(Path::new(&out).join("pareto.jsonl")).unwrap();
    let kept: usize = lines.lines().take(3).map(|line| line.len() + 1).sum();
    for name in ["pareto.csv", "pareto.svg", "report.json"] {
        fs::remove_file(Path::new(&out).join(name)).unwrap();
    }
    fs::write(Path::new(&out).join("pareto.jsonl"), &lines.as_bytes()[..kept + 20]).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
    assert_same(&whole, &products(&out), "a run that was cut off");

    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    let wrong = lines.replacen("\"flash_bytes\":", "\"flash_bytes\":1", 1);
    fs::write(Path::new(&out).join("pareto.jsonl"), &wrong).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &["pareto.jsonl", "line 1", "remove it"]);
    let config = Path::new(&out).join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen("episodes = 20", "episodes = 21", 1)).unwrap();
    fs::write(Path::new(&out).join("pareto.jsonl"), &lines).unwrap();
    unproven(&["fit", "--resume", "-o", &out])
        .expect(1, &["`search.episodes` was 20 then and is 21 now", "start a new run"]);
}

/// Three levels of each, kept by every row; the first is the run's or what 8 bits take, the last near the least.
#[track_caller]
fn check_budgets(rows: &[Row]) {
    assert_eq!(rows.len(), 9);
    for row in rows {
        assert!(row.bytes[0] <= row.budget[0] && row.bytes[1] <= row.budget[1], "{row:?}");
        assert!(row.accuracy.is_some_and(|share| share > 0.05), "{row:?}");
    }
    let (first, last) = (&rows[0], &rows[8]);
    assert_eq!(first.budget[0], 60 * 1024);
    assert!(first.budget[1] < 64 * 1024 && last.budget[0] < first.budget[0] && last.budget[1] < first.budget[1]);
    for (bytes, budget) in last.bytes.iter().zip(last.budget) {
        assert!(bytes * 110 >= budget * 100, "{last:?}");
    }
}

#[track_caller]
fn check_front(rows: &[Row]) {
    let better = |a: &Row, b: &Row| {
        let no_worse = a.bytes[0] <= b.bytes[0] && a.bytes[1] <= b.bytes[1] && a.reward >= b.reward;
        no_worse && (a.bytes != b.bytes || a.reward > b.reward)
    };
    for row in rows {
        assert_eq!(row.front, !rows.iter().any(|other| better(other, row)), "{row:?}");
    }
    assert!(rows.iter().any(|row| row.front));
}

#[test]
fn without_budgets_8_bits_are_delivered_and_policies_of_the_front_are_taken() {
    let (folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--search", "greedy", "--pareto=2"])).expect(0, &[]);
    assert_eq!(report(&out)["chosen"], "search");
    assert_eq!(report(&out)["search"]["stop_reason"], "uniform_fits");
    let found = rows(&out);
    assert!(found.len() == 4 && found[0].policy.starts_with("W8A8") && found[0].accuracy.is_none(), "{found:?}");
    assert!(fs::read_to_string(Path::new(&out).join("pareto.svg")).unwrap().contains("exp(-loss)"));
    let number = found.iter().rposition(|row| row.front).unwrap();
    let row = &found[number];
    let policy = Path::new(&out).join(format!("pareto/{:02}.toml", number + 1)).display().to_string();
    let budget = row.bytes.map(|bytes| bytes.to_string());
    let again = folder.path().join("again").display().to_string();
    let flags = ["--policy", &policy, "--flash", &budget[0], "--ram", &budget[1]];
    unproven(&fit_args(&again, &example, &flags)).expect(0, &[]);
    assert_eq!(report(&again)["flash"]["total"].as_u64(), Some(row.bytes[0]));

    let refused = folder.path().join("refused").display().to_string();
    for (flags, words) in [
        (&["--pareto=1"][..], &["2 to 20"][..]),
        (&["--pareto=x"], &["2 to 20"]),
        (&["--pareto", "--policy", "8/8"], &["--policy", "--pareto"]),
    ] {
        unproven(&fit_args(&refused, &example, flags)).expect(2, words);
    }
}

#[test]
fn the_search_command_sweeps_by_reward_the_same_for_any_threads_and_a_new_one_forgets_the_sweep() {
    let (folder, out) = scratch();
    let example = Example::new();
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &out, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    let other = folder.path().join("other").display().to_string();
    fs::create_dir(&other).unwrap();
    for name in ["config.toml", "calibration.json", "stages.json"] {
        fs::copy(Path::new(&out).join(name), Path::new(&other).join(name)).unwrap();
    }
    let search = |out: &str, more: &[&str]| {
        let args = ["search", out, "--episodes", "12", "--eval-samples", "64"];
        run(&[&args, more].concat())
    };
    for (out, threads) in [(&out, "1"), (&other, "2")] {
        search(out, &["--pareto=3", "--threads", threads]).expect(0, &["pareto: 9 budgets"]);
    }
    assert_same(&products(&out), &products(&other), "the number of threads");
    check_front(&rows(&out));
    assert!(fs::read_to_string(Path::new(&out).join("config.toml")).unwrap().contains("pareto = 3"));
    run(&["search", &out, "--resume", "--pareto=2"]).expect(2, &["--pareto"]);
    run(&["search", &out, "--resume"]).expect(0, &["finished"]);
    fs::remove_file(Path::new(&out).join("search.jsonl")).unwrap();
    search(&out, &["--flash", "60KiB", "--ram", "12KiB"]).expect(0, &[]);
    assert!(products(&out).is_empty());
}
