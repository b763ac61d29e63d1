//! What a careless or hostile user does: closed pipes, truncated images, flags that contradict, edited files.

use super::{Example, class_folders, command, fit_args, npz, png, report, run, scratch, unproven};
use std::fs;
use std::path::Path;
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
    let ran = unproven(&fit_args(&out, &example, &[&BOARD[..], &["--val", &example.val]].concat()));
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

#[test]
fn an_npz_with_other_channels_is_refused() {
    let (folder, out) = scratch();
    let path = folder.path().join("data.npz");
    let example = Example { train: path.display().to_string(), ..Example::new() };
    let check = |shape: [usize; 4], real: bool, words: &[&str]| {
        let x = ndarray::Array4::from_elem(shape, 7u8);
        if real {
            npz(&path, &x.mapv(f32::from), vec![1u8; shape[0]]);
        } else {
            npz(&path, &x, vec![1u8; shape[0]]);
        }
        unproven(&fit_args(&out, &example, &BOARD)).expect(1, words);
        assert!(!Path::new(&out).exists());
    };
    check([4, 28, 28, 4], false, &["data.npz", "has 4 channels", "takes 1"]);
    check([4, 28, 28, 2], false, &["data.npz", "has 2 channels", "takes 1"]);
    check([4, 28, 28, 3], true, &["data.npz", "shape (4, 28, 28, 3)", "takes (N, 28, 28, 1)"]);
}

#[test]
fn a_truncated_jpeg_is_skipped_counted_and_reported() {
    let (folder, out) = scratch();
    let data = folder.path().join("data");
    class_folders(&data, 4, 28);
    let gray = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(x * 9 + y * 5) as u8]));
    let (whole, cut) = (data.join("3/whole.jpg"), data.join("3/cut.jpg"));
    gray.save(&whole).unwrap();
    let bytes = fs::read(&whole).unwrap();
    // Decoders fill the missing rows with gray.
    fs::write(&cut, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let example = Example { train: data.display().to_string(), ..Example::new() };
    unproven(&fit_args(&out, &example, &[&BOARD[..], &["--policy", "8/8"]].concat()))
        .expect(0, &["1 of 42 images", "cut.jpg", "cut off"]);
    assert!(fs::read_to_string(format!("{out}/report.md")).unwrap().contains("1 of 42 images"));
}

#[test]
fn settings_that_flags_refuse_are_refused_in_a_file_too() {
    let (folder, out) = scratch();
    let example = Example::new();
    let more = ["--policy", "8/8", "--patience", "5"];
    unproven(&fit_args(&out, &example, &[&BOARD[..], &more].concat())).expect(0, &[]);
    let text = fs::read_to_string(format!("{out}/config.toml")).unwrap();
    let path = folder.path().join("edited.toml").display().to_string();
    let again = folder.path().join("again").display().to_string();
    let keys = ["samples", "episodes", "eval_samples", "patience", "host_samples", "qemu_samples"];
    for key in keys {
        let line = text.lines().find(|l| l.starts_with(&format!("{key} = "))).expect(key);
        fs::write(&path, text.replace(line, &format!("{key} = 0"))).unwrap();
        unproven(&["fit", "--config", &path, "-o", &again]).expect(1, &["edited.toml", key, "at least 1"]);
        assert!(!Path::new(&again).exists());
    }
    for (from, to, words) in [
        ("method = \"min_error\"", "method = { percentile = 7.0 }", "percentile is 7"),
        ("candidates = 36", "candidates = 1", "at least 2"),
        ("strategy = \"policy\"", "strategy = \"guess\"", "search.policy"),
        ("episodes = ", "time_limit = 0\nepisodes = ", "search.time_limit"),
        ("episodes = ", "pareto = 3\nepisodes = ", "exclude each other"),
        ("episodes = ", "pareto = 99\nepisodes = ", "2 to 20"),
        ("flash_bytes = ", "flesh_bytes = ", "flesh_bytes"),
        ("name = \"model\"", "name = \"int\"", "package.name"),
    ] {
        assert!(text.contains(from), "{from} is not in\n{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        unproven(&["fit", "--config", &path, "-o", &again]).expect(1, &["edited.toml", words]);
        assert!(!Path::new(&again).exists());
    }
}

#[test]
fn a_given_policy_that_does_not_fit_is_answered_in_the_report() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let more = ["--flash", "40KiB", "--ram", "64KiB", "--policy", "8/8"];
    unproven(&fit_args(&out, &example, &more)).expect(3, &["the given policy does not fit"]);
    let told = report(&out);
    assert_eq!((&told["fits"], &told["diagnosis"]["proved"]), (&false.into(), &false.into()));
    assert!(told["flash"]["total"].as_u64() > Some(40 * 1024));
    let text = fs::read_to_string(format!("{out}/report.md")).unwrap();
    for words in ["Why not: the given policy does not fit", "B too much", "Boards that would do: "] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn fit_finishes_what_calibrate_and_search_began() {
    let (folder, out) = scratch();
    let example = Example::new();
    let budget = ["--flash", "44KiB", "--ram", "9KiB"];
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &out, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    run(&[&["search", &out, "--eval-samples", "64"], &budget[..]].concat()).expect(0, &[]);
    let kept = ["calibration.json", "search.jsonl", "policy.toml", "weights.safetensors"];
    let read = |folder: &str| kept.map(|name| fs::read(Path::new(folder).join(name)).unwrap());
    let before = read(&out);
    run(&["fit", "--resume", "-o", &out]).expect(0, &["verify:"]);
    assert!(read(&out) == before);
    assert_eq!(report(&out)["verification"][0]["status"], "passed");
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["finished"]);

    let whole = folder.path().join("whole").display().to_string();
    unproven(&fit_args(&whole, &example, &budget)).expect(0, &[]);
    assert!(read(&whole) == before, "the steps make what fit makes");
}

#[test]
fn the_reported_reward_is_that_of_what_would_be_delivered() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let mut args = vec!["fit", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    args.extend(["-o", &out, "--flash", "42KiB", "--ram", "8KiB", "--search", "rules"]);
    args.extend(["--calibration-samples", "64", "--host-samples", "1", "--qemu-samples", "1"]);
    run(&args).expect(0, &[]);
    let told = report(&out);
    let baselines = told["baselines"].as_array().unwrap();
    let rules = baselines.iter().find(|b| b["name"] == "rules").unwrap();
    assert_eq!(told["search"]["reward"], rules["reward"]);
    let diary = fs::read_to_string(format!("{out}/search.jsonl")).unwrap();
    let quick: serde_json::Value = serde_json::from_str(diary.lines().last().unwrap()).unwrap();
    assert_ne!(told["search"]["reward"], quick["reward"], "the quick quantization gives another network");
}

/// A limit on the size of files stands for a full disk: the weights as C are the first file that does not fit in.
#[cfg(target_os = "linux")]
#[test]
fn a_failure_after_a_long_search_keeps_the_search() {
    const BUDGET: [&str; 6] = ["--weights", "8", "--flash", "90KiB", "--ram", "6KiB"];
    let (folder, out) = scratch();
    let example = Example::new();
    let on_a_small_disk = |out: &str, search: &[&str]| -> super::Ran {
        let args =
            fit_args(out, &example, &[&BUDGET, search].concat()).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "trap '' XFSZ; ulimit -f 436; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_bitesize")])
            .args(&args);
        shell.output().unwrap().into()
    };
    let search = ["--search", "auto", "--evaluations", "30"];
    on_a_small_disk(&out, &search).expect(1, &["package/weights.c", "the search so far is kept", "--resume -o"]);
    let mut kept: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    kept.sort();
    let stages = ["prepared.safetensors", "probes.jsonl", "search.jsonl", "stages.json", "weights.safetensors"];
    assert_eq!(kept, [&["calibration.json", "config.toml", "policy.toml"], &stages[..]].concat());
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
    let whole = folder.path().join("whole").display().to_string();
    unproven(&fit_args(&whole, &example, &[&BUDGET, &search[..]].concat())).expect(0, &[]);
    for name in ["search.jsonl", "probes.jsonl", "policy.toml", "weights.safetensors", "package/model.c"] {
        let read = |out: &str| fs::read(Path::new(out).join(name)).unwrap();
        assert!(read(&out) == read(&whole), "{name}");
    }

    let quick = folder.path().join("not/there").display().to_string();
    on_a_small_disk(&quick, &["--search", "rules"]).expect(1, &["package/weights.c"]);
    assert!(!folder.path().join("not").exists(), "one episode is soon repeated");
}

#[test]
fn folders_made_for_an_output_that_cannot_be_used_go_again() {
    let (folder, _) = scratch();
    // A name longer than file systems take.
    let out = folder.path().join("new").join("x".repeat(300)).display().to_string();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &BOARD)).expect(1, &["output folder"]);
    assert!(!folder.path().join("new").exists());
}

#[test]
fn one_good_image_behind_many_bad_ones_is_found() {
    let (folder, out) = scratch();
    let data = folder.path().join("data");
    class_folders(&data, 4, 28);
    for i in 0..36 {
        fs::write(data.join(format!("{}/{}.png", i / 4, i % 4)), b"no image").unwrap();
    }
    let example = Example { val: data.display().to_string(), ..Example::new() };
    let ran = unproven(&fit_args(&out, &example, &[&BOARD[..], &["--policy", "8/8", "--val", &example.val]].concat()))
        .expect(0, &["36 of 40 images"]);
    assert_eq!(ran.err.matches("36 of 40 images").count(), 1, "{}", ran.err);
    assert_eq!(report(&out)["accuracy"]["samples"], 4);
}

#[test]
fn npz_labels_of_every_integer_type_and_numbers_that_are_none() {
    let (folder, _) = scratch();
    let path = folder.path().join("data.npz");
    let example = Example::new();
    let val = path.display().to_string();
    let eval = || run(&["eval", &example.model, "--val", &val, "--json"]);
    let x = ndarray::Array4::from_elem([2, 28, 28, 1], 0.5f64);
    npz(&path, &x, vec![1u64, 2]);
    eval().expect(0, &[]);
    npz(&path, &x, vec![1i64, 2]);
    eval().expect(0, &[]);
    npz(&path, &x, vec![1i32, 2]);
    eval().expect(0, &[]);
    npz(&path, &x, vec![1u8, 2]);
    eval().expect(0, &[]);
    npz(&path, &x, vec![u64::MAX, 2]);
    eval().expect(1, &["array `y`", "element 0 is 18446744073709551615", "too large"]);
    for (value, words) in [(1e300, "too large"), (f64::NAN, "no number"), (f64::INFINITY, "no number")] {
        let mut x = x.clone();
        x[[1, 3, 4, 0]] = value;
        npz(&path, &x, vec![1u8, 2]);
        eval().expect(1, &["data.npz", "sample 1", words]);
    }
}

#[test]
fn inspect_heeds_preprocessing_and_bare_numbers_are_bytes() {
    let example = Example::new();
    run(&["inspect", &example.model, "--std", "0"]).expect(2, &["--std", "above 0"]);
    run(&["inspect", &example.model, "--preprocess", &example.preprocess]).expect(0, &[]);
    run(&["inspect", &example.model, "--feed", "real", "--scale", "2"]).expect(2, &["--feed real"]);
    run(&["inspect", &example.model, "--flash", "1000", "--ram", "1000"]).expect(3, &[]);
    let help = run(&["inspect", "--help"]).expect(0, &[]).out;
    assert!(help.contains("a bare number is bytes"), "{help}");
}
