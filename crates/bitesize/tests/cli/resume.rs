//! Interrupted runs go on to the same result; finished ones stay as they are.

use super::{Example, assert_same, command, fit_args, run, scratch, tree, unproven};
use std::fs;
use std::path::Path;

const SEARCH: [&str; 8] = ["--flash", "44KiB", "--ram", "5KiB", "--search", "ddpg", "--episodes", "25"];

/// The run folder's files that resuming may not change.
fn products(out: &str) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    // Reports tell seconds, and the stages their hashes.
    let kept = |path: &Path| ["report.", "stages.json"].iter().all(|name| !path.to_string_lossy().contains(name));
    let all = tree(Path::new(out)).into_iter();
    all.filter(|(path, _)| kept(path))
        .map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_owned(), bytes))
        .collect()
}

/// As [`SEARCH`], with the default strategy.
const AUTO: [&str; 6] = ["--flash", "48KiB", "--ram", "6KiB", "--episodes", "80"];

/// Runs `flags` on one thread and on two, then cuts the diary at several places, and the probes with it, and resumes.
fn check_cut(flags: &[&str]) {
    let (folder, whole) = scratch();
    let example = Example::new();
    let one = [flags, &["--threads", "1"]].concat();
    unproven(&fit_args(&whole, &example, &one)).expect(0, &[]);
    let read = |name: &str| fs::read_to_string(Path::new(&whole).join(name)).unwrap();
    let (diary, probes) = (read("search.jsonl"), read("probes.jsonl"));
    let lines = diary.lines().count();
    assert!(lines > 10, "{lines} episodes");
    let two = folder.path().join("two").display().to_string();
    unproven(&fit_args(&two, &example, &[flags, &["--threads", "2"]].concat())).expect(0, &[]);
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
        unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
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
    unproven(&fit_args(&out, &example, &SEARCH)).expect(0, &[]);
    let before = tree(Path::new(&out));
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["finished"]);
    unproven(&fit_args(&out, &example, &[&SEARCH[..], &["--resume"]].concat())).expect(0, &["finished"]);
    assert_same(&before, &tree(Path::new(&out)), "the run folder");
    let other = [&SEARCH[..7], &["26", "--resume"]].concat();
    unproven(&fit_args(&out, &example, &other)).expect(1, &["search.episodes", "25", "26"]);
    unproven(&fit_args(&out, &example, &[&SEARCH[..], &["--resume", "--seed", "7"]].concat())).expect(1, &["seed"]);
    let renamed = [&SEARCH[..], &["--resume", "--name", "kws"]].concat();
    unproven(&fit_args(&out, &example, &renamed)).expect(1, &["package.name", "model", "kws"]);
    assert_same(&before, &tree(Path::new(&out)), "the run folder");
}

#[test]
fn a_diary_of_another_run_is_refused_and_kept() {
    let (_folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &SEARCH)).expect(0, &[]);
    let path = Path::new(&out).join("search.jsonl");
    let diary = fs::read_to_string(&path).unwrap().replacen("\"flash_bytes\":", "\"flash_bytes\":1", 1);
    fs::write(&path, &diary).unwrap();
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &["search.jsonl", "differs"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), diary);
    unproven(&["fit", "--resume", "-o", &format!("{out}-not-there")]).expect(1, &["no run to resume"]);
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

/// Waits until `child` has ended, at most for the 2 seconds that users are promised and some for a busy machine.
#[cfg(unix)]
#[track_caller]
fn expect_stop(child: &mut std::process::Child, signal: &str) {
    use std::time::{Duration, Instant};
    let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let asked = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return assert_eq!(status.code(), Some(130), "{signal}"),
            None if asked.elapsed() < Duration::from_secs(3) => std::thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill().unwrap();
                panic!("{signal} is not heard");
            }
        }
    }
}

/// A file of nothing but a hole takes no space and long to read: where no work looks whether it is to stop, the command is
/// ended all the same.
#[cfg(unix)]
#[test]
fn a_signal_is_heard_in_the_middle_of_a_file_by_every_command() {
    let (folder, out) = scratch();
    let example = Example::new();
    let large = folder.path().join("large").display().to_string();
    fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    let whole = folder.path().join("whole").display().to_string();
    run(&[&calibrate[..], &["-o", &whole, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    let config = Path::new(&whole).join("config.toml");
    let text = fs::read_to_string(&config).unwrap().replace(&example.model, &large);
    let (fit, search) = (fit_args(&out, &example, &SEARCH), ["search", &whole, "--flash", "44KiB", "--ram", "5KiB"]);
    let with_large = |args: &[&str]| -> Vec<String> {
        args.iter().map(|arg| if *arg == example.model { large.clone() } else { (*arg).to_owned() }).collect()
    };
    let cases = [
        (with_large(&["inspect", &example.model]), "-INT"),
        (with_large(&fit), "-TERM"),
        (with_large(&["eval", &example.model, "--val", &example.val]), "-INT"),
        (with_large(&[&calibrate[..], &["-o", &out]].concat()), "-TERM"),
        (with_large(&search), "-INT"),
        (with_large(&["emit", &whole]), "-TERM"),
        (with_large(&["verify", &whole]), "-INT"),
    ];
    fs::write(&config, text).unwrap();
    for (args, signal) in cases {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child = command(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Long enough to have come to the file.
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(child.try_wait().unwrap().is_none(), "{args:?} does not wait for the file");
        expect_stop(&mut child, signal);
    }
    // What was begun in a folder that was not there is no hindrance.
    run(&[&calibrate[..], &["-o", &out, "--calibration-samples", "64"]].concat()).expect(0, &[]);
}

/// One writer: whoever comes second is told who is there, and changes nothing.
#[cfg(unix)]
#[test]
fn a_second_process_is_refused() {
    use std::time::{Duration, Instant};
    let (_folder, out) = scratch();
    let example = Example::new();
    let long = [&SEARCH[..7], &["100000"]].concat();
    let mut child = command(&fit_args(&out, &example, &long)).stderr(std::process::Stdio::null()).spawn().unwrap();
    let (diary, start) = (Path::new(&out).join("search.jsonl"), Instant::now());
    while fs::read_to_string(&diary).map_or(0, |text| text.lines().count()) < 3 {
        assert!(start.elapsed() < Duration::from_secs(120), "the search does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = child.id().to_string();
    let words = ["is in use", &process, ".lock"];
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &words);
    run(&["search", &out, "--resume"]).expect(1, &words);
    run(&["emit", &out]).expect(1, &words);
    run(&["eval", &out, "--val", &example.val]).expect(1, &words);
    expect_stop(&mut child, "-TERM");
    assert!(!Path::new(&out).join(".lock").exists());
}

/// What an earlier run delivered stands until a search anew has led to something, and is not taken for its result.
#[cfg(unix)]
#[test]
fn a_search_anew_that_is_cut_off_leaves_what_was_delivered() {
    use std::time::{Duration, Instant};
    let (_folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--flash", "44KiB", "--ram", "5KiB", "--search", "rules"])).expect(0, &[]);
    let delivered = |out: &str| {
        let names = ["package", "example", "policy.toml", "weights.safetensors", "report.json"];
        let of = |(path, _): &(std::path::PathBuf, Vec<u8>)| {
            names.iter().any(|name| path.starts_with(Path::new(out).join(name)))
        };
        tree(Path::new(out)).into_iter().filter(of).collect::<Vec<_>>()
    };
    let before = delivered(&out);
    let diary = Path::new(&out).join("search.jsonl");
    fs::remove_file(&diary).unwrap();
    let anew = ["search", &out, "--search", "ddpg", "--episodes", "100000", "--flash", "45KiB", "--ram", "5KiB"];
    let mut child = command(&anew).stderr(std::process::Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while fs::read_to_string(&diary).map_or(0, |text| text.lines().count()) < 2 {
        assert!(start.elapsed() < Duration::from_secs(120), "the search does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    expect_stop(&mut child, "-INT");
    assert_same(&before, &delivered(&out), "what was delivered");
    run(&["emit", &out]).expect(1, &["a search was begun", "--resume"]);
    run(&["eval", &out, "--val", &example.val]).expect(1, &["a search was begun"]);
    assert_same(&before, &delivered(&out), "what was delivered");
}
