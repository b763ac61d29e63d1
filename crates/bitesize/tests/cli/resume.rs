//! Interrupted runs go on to the same result; finished ones stay as they are.

use super::{Example, assert_same, command, fit_args, run, scratch, tree};
use std::fs;
use std::path::Path;

const SEARCH: [&str; 8] = ["--flash", "44KiB", "--ram", "9KiB", "--search", "ddpg", "--episodes", "25"];

/// The run folder's files that resuming may not change.
fn products(out: &str) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let kept = |path: &Path| !path.to_string_lossy().contains("report.");
    let all = tree(Path::new(out)).into_iter();
    all.filter(|(path, _)| kept(path))
        .map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_owned(), bytes))
        .collect()
}

#[test]
fn a_search_cut_off_anywhere_goes_on_to_the_same_result() {
    let (folder, whole) = scratch();
    let example = Example::new();
    run(&fit_args(&whole, &example, &SEARCH)).expect(0, &[]);
    let diary = fs::read_to_string(Path::new(&whole).join("search.jsonl")).unwrap();
    assert_eq!(diary.lines().count(), 25);
    let config = fs::read(Path::new(&whole).join("config.toml")).unwrap();
    let half: usize = diary.lines().take(9).map(|l| l.len() + 1).sum();
    for (name, kept) in [("at_a_line", half), ("within_a_line", half + 20), ("at_the_start", 0)] {
        let out = folder.path().join(name).display().to_string();
        fs::create_dir(&out).unwrap();
        fs::write(Path::new(&out).join("config.toml"), &config).unwrap();
        fs::write(Path::new(&out).join("search.jsonl"), &diary.as_bytes()[..kept]).unwrap();
        run(&["fit", "--resume", "-o", &out]).expect(0, &[]);
        assert_same(&products(&out), &products(&whole), name);
    }
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let (_folder, out) = scratch();
    let example = Example::new();
    run(&fit_args(&out, &example, &SEARCH)).expect(0, &[]);
    let before = tree(Path::new(&out));
    run(&["fit", "--resume", "-o", &out]).expect(0, &["finished"]);
    run(&fit_args(&out, &example, &[&SEARCH[..], &["--resume"]].concat())).expect(0, &["finished"]);
    assert_same(&before, &tree(Path::new(&out)), "the run folder");
    let other = [&SEARCH[..7], &["26", "--resume"]].concat();
    run(&fit_args(&out, &example, &other)).expect(1, &["search.episodes", "25", "26"]);
    run(&fit_args(&out, &example, &[&SEARCH[..], &["--resume", "--seed", "7"]].concat())).expect(1, &["seed"]);
    let renamed = [&SEARCH[..], &["--resume", "--name", "kws"]].concat();
    run(&fit_args(&out, &example, &renamed)).expect(1, &["package.name", "model", "kws"]);
    assert_same(&before, &tree(Path::new(&out)), "the run folder");
}

#[test]
fn a_diary_of_another_run_is_refused_and_kept() {
    let (_folder, out) = scratch();
    let example = Example::new();
    run(&fit_args(&out, &example, &SEARCH)).expect(0, &[]);
    let path = Path::new(&out).join("search.jsonl");
    let diary = fs::read_to_string(&path).unwrap().replacen("\"flash_bytes\":", "\"flash_bytes\":1", 1);
    fs::write(&path, &diary).unwrap();
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    run(&["fit", "--resume", "-o", &out]).expect(1, &["search.jsonl", "differs"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), diary);
    run(&["fit", "--resume", "-o", &format!("{out}-not-there")]).expect(1, &["no run to resume"]);
}

/// Ctrl-C in the middle of a long search: code 130 within 10 seconds, and a folder that can be resumed.
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_folder_that_can_be_resumed() {
    use std::time::{Duration, Instant};
    let (_folder, out) = scratch();
    let example = Example::new();
    let long = [&SEARCH[..7], &["100000"]].concat();
    let args = fit_args(&out, &example, &long);
    let mut child =
        command(&args).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let diary = Path::new(&out).join("search.jsonl");
    let start = Instant::now();
    let lines = || fs::read_to_string(&diary).map_or(0, |text| text.lines().count());
    while lines() < 3 {
        assert!(start.elapsed() < Duration::from_secs(120), "the search does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(lines() >= 3 && Path::new(&out).join("config.toml").is_file());
    assert!(!Path::new(&out).join("report.json").exists());
}
