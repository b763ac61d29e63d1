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

/// As [`SEARCH`], with the default strategy.
const AUTO: [&str; 6] = ["--flash", "48KiB", "--ram", "12KiB", "--episodes", "80"];

/// Runs `flags` on one thread and on two, then cuts the diary at several places, and the probes with it, and resumes.
fn check_cut(flags: &[&str]) {
    let (folder, whole) = scratch();
    let example = Example::new();
    let one = [flags, &["--threads", "1"]].concat();
    run(&fit_args(&whole, &example, &one)).expect(0, &[]);
    let read = |name: &str| fs::read_to_string(Path::new(&whole).join(name)).unwrap();
    let (diary, probes) = (read("search.jsonl"), read("probes.jsonl"));
    let lines = diary.lines().count();
    assert!(lines > 10, "{lines} episodes");
    let two = folder.path().join("two").display().to_string();
    run(&fit_args(&two, &example, &[flags, &["--threads", "2"]].concat())).expect(0, &[]);
    assert_same(&products(&two), &products(&whole), "the number of threads");
    let config = fs::read(Path::new(&whole).join("config.toml")).unwrap();
    let half = |text: &str| text.lines().take(text.lines().count() / 2).map(|line| line.len() + 1).sum::<usize>();
    let (half, probes) = (half(&diary), &probes[..half(&probes)]);
    for (name, kept) in [("at_a_line", half), ("within_a_line", half + 20), ("at_the_start", 0)] {
        let out = folder.path().join(name).display().to_string();
        fs::create_dir(&out).unwrap();
        fs::write(Path::new(&out).join("config.toml"), &config).unwrap();
        fs::write(Path::new(&out).join("search.jsonl"), &diary.as_bytes()[..kept]).unwrap();
        fs::write(Path::new(&out).join("probes.jsonl"), probes).unwrap();
        run(&["fit", "--resume", "-o", &out]).expect(0, &[]);
        assert_same(&products(&out), &products(&whole), name);
    }
}

#[test]
fn the_agent_cut_off_anywhere_goes_on_to_the_same_result() {
    check_cut(&SEARCH);
}

#[test]
fn auto_cut_off_anywhere_goes_on_to_the_same_result() {
    check_cut(&AUTO);
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
