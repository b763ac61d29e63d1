//! What a careless or hostile user does: closed pipes, truncated images, flags that contradict, edited files.

use super::{Example, class_folders, command, fit_args, png, run, scratch};
use std::fs;
use std::process::Stdio;

const BOARD: [&str; 4] = ["--flash", "200KiB", "--ram", "64KiB"];

#[test]
fn a_closed_pipe_is_no_panic() {
    let example = Example::new();
    let mut child =
        command(&["inspect", &example.model]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !err.contains("panicked"), "{err}");
}

#[test]
fn flags_beside_a_file_of_settings_are_refused() {
    let (_folder, out) = scratch();
    for (args, flag) in [
        (vec!["fit", "--config", "c.toml", "-o", &out, "--seed", "3"], "--seed"),
        (vec!["fit", "--resume", "-o", &out, "--episodes", "3"], "--episodes"),
        (vec!["search", &out, "--resume", "--search", "ddpg"], "--search"),
    ] {
        run(&args).expect(2, &["leave out", flag]);
    }
}

#[test]
fn an_image_of_another_size_is_found_before_the_work() {
    let (folder, out) = scratch();
    let val = folder.path().join("val");
    class_folders(&val, 2, 28);
    png(&val.join("7/1.png"), 27, 1);
    let example = Example { val: val.display().to_string(), ..Example::new() };
    let ran = run(&fit_args(&out, &example, &[&BOARD[..], &["--val", &example.val]].concat()));
    let ran = ran.expect(1, &["7/1.png", "27x27"]);
    assert!(!ran.err.contains("search"), "{}", ran.err);
}

#[test]
fn steps_done_one_by_one_keep_the_report_true() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &out, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    run(&[&["search", &out, "--policy", "8/8", "--eval-samples", "64"], &BOARD[..]].concat()).expect(0, &[]);
    run(&["verify", &out]).expect(1, &["bitesize emit"]);
    let report = || -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(format!("{out}/report.json")).unwrap()).unwrap()
    };
    run(&["emit", &out]).expect(0, &[]);
    run(&["eval", &out, "--val", &example.val]).expect(0, &[]);
    let before = report();
    assert!(before["accuracy"]["integer"].is_number());

    let policy = format!("{out}/policy.toml");
    let text = fs::read_to_string(&policy).unwrap();
    let edited = text.replacen("weights = 8", "weights = 4", 1);
    assert_ne!(text, edited, "{text}");
    fs::write(&policy, edited).unwrap();
    run(&["emit", &out]).expect(0, &["quantized anew"]);
    let after = report();
    assert!(after["accuracy"].is_null() && after["verification"].is_null());
    assert!(after["flash"]["weights"].as_u64() < before["flash"]["weights"].as_u64());
    run(&["eval", &out, "--val", &example.val]).expect(0, &[]);
    assert!(report()["accuracy"]["integer"].is_number());
}
