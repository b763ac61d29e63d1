//! `--reconstruct`: what is learned is judged, told and gone on with, and never taken for what it is not.

use super::{Example, assert_same, command, fit_args, npz, report, root, run, scratch, tree, unproven};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Widths at which there is something to gain, and so little work that it takes seconds.
const FAST: [&str; 10] =
    ["--flash", "48KiB", "--ram", "12KiB", "--policy", "2/4", "--reconstruct", "0.02", "--reconstruct-samples", "64"];

/// As [`FAST`], with nothing learned.
const ROUNDED: &[&str] = FAST.split_at(6).0;

/// The run folder's files that how it came to its end may not change.
fn products(out: &str) -> Vec<(PathBuf, Vec<u8>)> {
    // Reports tell seconds, and the stages their hashes.
    let kept = |path: &Path| ["report.", "stages.json"].iter().all(|name| !path.to_string_lossy().contains(name));
    let all = tree(Path::new(out)).into_iter().filter(|(path, _)| kept(path));
    all.map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_owned(), bytes)).collect()
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    fs::read(Path::new(folder).join(name)).unwrap()
}

fn text(folder: &str, name: &str) -> String {
    String::from_utf8(read(folder, name)).unwrap()
}

/// What the report says of the reconstruction; that it agrees with itself.
#[track_caller]
fn told(report: &Value) -> Value {
    let told = report["reconstruction"].clone();
    let (before, after) = (told["loss_before"].as_f64().unwrap(), told["loss_after"].as_f64().unwrap());
    assert_eq!(told["kept"], after < before, "{told}");
    assert!(told["failed"].is_null(), "{told}");
    let units = told["units"].as_array().unwrap();
    let of_network = units.iter().filter(|unit| unit["name"].is_null()).count();
    assert!(of_network == 2 && units.len() > 2, "{told}");
    for unit in units {
        assert_eq!(unit["kept"], unit["after"].as_f64() < unit["before"].as_f64(), "{told}");
    }
    told
}

#[test]
fn what_is_learned_is_delivered_where_it_helps() {
    let (folder, out) = scratch();
    let example = Example::new();
    // There is so much to gain that it does not depend on details.
    let val = ["--val", &example.val, "--flash", "48KiB", "--ram", "12KiB", "--policy", "2/2"];
    let learn = ["--reconstruct", "0.1", "--reconstruct-samples", "256"];
    let ran = unproven(&fit_args(&out, &example, &[&val[..], &learn].concat()));
    let ran = ran.expect(0, &["reconstruct: ", "which is delivered"]);
    let report = report(&out);
    let told = told(&report);
    assert_eq!((&told["samples"], &told["samples_asked"], &told["minutes"]), (&256.into(), &256.into(), &0.1.into()));
    assert_eq!((&told["kept"], &told["held_out_samples"]), (&true.into(), &64.into()), "{told}");
    let markdown = text(&out, "report.md");
    for part in ["## Reconstruction", "Reconstructed from 256 training images", "| the whole network |"] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    assert!(ran.out.contains("Reconstructed from 256 training images"), "{}", ran.out);

    // The same without: what is told of the network as it was rounded is that run's.
    let plain = folder.path().join("plain").display().to_string();
    unproven(&fit_args(&plain, &example, &val)).expect(0, &[]);
    let rounded = super::report(&plain);
    assert_eq!(told["metric_before"], rounded["metric"]["integer"]);
    assert!(rounded["reconstruction"].is_null() && !Path::new(&plain).join("reconstruction.safetensors").exists());
    assert!(read(&plain, "weights.safetensors") != read(&out, "weights.safetensors"));
    assert!(report["fidelity"]["loss"] != rounded["fidelity"]["loss"], "{}", report["fidelity"]);
    assert_eq!(report["flash"]["total"], rounded["flash"]["total"], "learning changes no byte count");

    // What reads the folder finds what is delivered.
    let figures = run(&["eval", &out, "--val", &example.val, "--json"]).expect(0, &[]);
    let figures: Value = serde_json::from_str(&figures.out).unwrap();
    assert_eq!(figures["integer"], report["metric"]["integer"]);
    assert_eq!(figures["fidelity"]["loss"], report["fidelity"]["loss"]);
    run(&["verify", &out, "--host-samples", "4", "--qemu-samples", "1"]).expect(0, &[]);
    run(&["emit", &out, "--name", "kws"]).expect(0, &[]);
    assert!(Path::new(&out).join("package/kws.h").is_file() && super::report(&out)["reconstruction"]["kept"] == true);
    let before = tree(Path::new(&out));
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
    let again = fs::read_to_string(Path::new(&out).join("config.toml")).unwrap();
    assert!(again.contains("[reconstruct]\nminutes = 0.1\nsamples = 256\n"), "{again}");
    assert_eq!(before.len(), tree(Path::new(&out)).len());
}

/// Killed while it learns, or asked to stop, a run goes on behind the last part that was learned, to the same bytes.
#[cfg(unix)]
#[test]
fn a_reconstruction_cut_off_anywhere_goes_on_to_the_same_result() {
    use std::time::{Duration, Instant};
    let (folder, whole) = scratch();
    let example = Example::new();
    unproven(&fit_args(&whole, &example, &[&FAST[..], &["--threads", "1"]].concat())).expect(0, &[]);
    for (parts, signal) in [(1, "-KILL"), (3, "-INT")] {
        let out = folder.path().join(format!("after{parts}")).display().to_string();
        let mut child = command(&fit_args(&out, &example, &FAST)).stderr(std::process::Stdio::null()).spawn().unwrap();
        let (state, start) = (Path::new(&out).join("reconstruction.safetensors"), Instant::now());
        let (mut seen, mut found) = (Vec::new(), 0);
        while found < parts {
            assert!(start.elapsed() < Duration::from_secs(120), "nothing is learned");
            std::thread::sleep(Duration::from_millis(3));
            if let Ok(bytes) = fs::read(&state)
                && bytes != seen
            {
                (seen, found) = (bytes, found + 1);
            }
        }
        let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let code = child.wait().unwrap().code();
        assert_eq!(code, if signal == "-INT" { Some(130) } else { None }, "{signal}");
        assert!(!Path::new(&out).join("report.json").exists(), "it came to its end before {signal}");
        unproven(&["fit", "--resume", "-o", &out]).expect(0, &["reconstruct: loss on"]);
        assert_same(&products(&out), &products(&whole), signal);
        // What was learned is taken from the folder.
        fs::remove_file(Path::new(&out).join("report.json")).unwrap();
        unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
        assert_same(&products(&out), &products(&whole), "a run without its report");
    }
}

#[test]
fn what_was_learned_of_other_inputs_or_altered_is_refused() {
    let (folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &FAST)).expect(0, &[]);
    let resume = |more: &[&str]| unproven(&fit_args(&out, &example, &[ROUNDED, &["--resume"], more].concat()));
    let minutes = ["`reconstruct.minutes` was 0.02 then and is 0.03 now"];
    resume(&["--reconstruct", "0.03", "--reconstruct-samples", "64"]).expect(1, &minutes);
    resume(&["--reconstruct=0.02"]).expect(1, &["`reconstruct.samples` was 64 then and is 32768 now"]);
    resume(&[]).expect(1, &["`reconstruct.minutes` was 0.02 then and is nothing now"]);
    unproven(&["fit", "--resume", "-o", &out, "--reconstruct", "1"]).expect(2, &["leave out --reconstruct"]);

    let place = |name: &str| Path::new(&out).join(name);
    let (config, state) = (text(&out, "config.toml"), read(&out, "reconstruction.safetensors"));
    fs::write(place("config.toml"), config.replace("minutes = 0.02", "minutes = 0.03")).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &minutes);
    run(&["eval", &out, "--val", &example.val]).expect(1, &minutes);
    let without = config.replace("[reconstruct]\nminutes = 0.02\nsamples = 64\n", "");
    fs::write(place("config.toml"), without).unwrap();
    let nothing = ["`reconstruct.minutes` was 0.02 then and is nothing now"];
    for command in [&["eval", &out, "--val", &example.val][..], &["verify", &out], &["emit", &out]] {
        run(command).expect(1, &nothing);
    }
    for (from, to, word) in [
        ("minutes = 0.02", "minutes = 0.0", "`reconstruct.minutes` is 0: 0.001 to 1440 are possible"),
        ("minutes = 0.02", "minutes = nan", "`reconstruct.minutes` is NaN"),
        ("samples = 64\n\n[package]", "samples = 7\n\n[package]", "`reconstruct.samples` is 7: at least 8"),
    ] {
        let edited = config.replace(from, to);
        assert!(edited != config, "{from}");
        fs::write(place("config.toml"), edited).unwrap();
        unproven(&["fit", "--resume", "-o", &out]).expect(1, &[word]);
    }
    fs::write(place("config.toml"), &config).unwrap();

    let mut damaged = state.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(place("reconstruction.safetensors"), damaged).unwrap();
    let words = ["reconstruction.safetensors", "is damaged or was altered"];
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &words);
    run(&["verify", &out]).expect(1, &words);
    fs::remove_file(place("reconstruction.safetensors")).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["reconstruct: "]);
    assert!(read(&out, "reconstruction.safetensors") == state);

    // One pixel of an image that is learned from, and serves nothing else.
    let train = folder.path().join("train.npz");
    let x = |changed: bool| {
        let pixel = |(n, y, x, _): (usize, usize, usize, usize)| ((n * 7 + y * 13 + x * 29) % 251) as u8;
        let mut images = ndarray::Array4::from_shape_fn((60, 28, 28, 1), pixel);
        images[(59, 0, 0, 0)] ^= u8::from(changed);
        images
    };
    npz(&train, &x(false), (0..60).map(|n| i64::from(n >= 59)).collect());
    let path = train.display().to_string();
    let small = folder.path().join("small").display().to_string();
    let own = Example { train: path, ..Example::new() };
    let mut found = false;
    // Which sample serves what is drawn; at some seed the last one is only learned from.
    for seed in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        let out = format!("{small}{seed}");
        npz(&train, &x(false), (0..60).map(|n| i64::from(n >= 59)).collect());
        let mut args = fit_args(&out, &own, &FAST);
        let held = args.iter().position(|arg| *arg == "--eval-samples").unwrap() + 1;
        args[held] = "8";
        args.extend(["--seed", seed, "--no-equalize"]);
        let minutes = args.iter().position(|arg| *arg == "--reconstruct").unwrap() + 1;
        args[minutes] = "0.001";
        unproven(&args).expect(0, &[]);
        npz(&train, &x(true), (0..60).map(|n| i64::from(n >= 59)).collect());
        let ran = unproven(&["fit", "--resume", "-o", &out]).expect(1, &["the contents of"]);
        found |= ran.err.contains("the images that reconstruction learns from");
        if found {
            break;
        }
    }
    assert!(found, "the images that are learned from count for nothing");
}

#[test]
fn each_task_is_learned_by_what_it_is_judged_by() {
    let example = |name: &str| root().join("examples/tasks").join(name).display().to_string();
    let sensor = ["--scale", "0.000244140625"];
    // Widths that leave something to gain: 2-bit weights alone cost `tones` a loss of 0.05.
    for (name, task, form, widths, more) in [
        ("bearing", "binary", "sigmoid", "2/8", &sensor[..]),
        ("tones", "multilabel", "sigmoid", "2/2", &sensor),
        ("flow", "regress", "real", "2/8", &sensor),
        ("anomaly", "regress", "real", "2/8", &["--task", "regress"]),
        ("anomaly", "fidelity", "real", "2/8", &[]),
        ("weeds", "map", "softmax", "2/8", &["--scale", "0.00392156862745098"]),
    ] {
        let (_folder, out) = scratch();
        let [model, train] = [format!("{name}.onnx"), format!("{name}_train.npz")].map(|file| example(&file));
        let mut args = vec!["fit", &model, "--train", &train, "-o", &out, "--flash", "128KiB", "--ram", "64KiB"];
        args.extend(["--policy", widths, "--reconstruct", "0.05", "--reconstruct-samples", "256"]);
        args.extend(more);
        unproven(&args).expect(0, &["reconstruct: loss on"]);
        let report = report(&out);
        assert_eq!((&report["task"], &report["fidelity"]["form"]), (&task.into(), &form.into()));
        let told = told(&report);
        // `bearing` is as good as float (a loss of 1e-4): there is nothing to gain, and what is learned of so few samples may be worse.
        assert!(told["kept"] == true || name == "bearing", "{name}: {told}");
        let delivered = if told["kept"] == true { &told["loss_after"] } else { &told["loss_before"] };
        assert_eq!(report["fidelity"]["loss"], *delivered, "{name}");
    }
}

/// Half of ten samples calibrate and the others are held out.
#[test]
fn with_too_few_samples_the_network_is_delivered_as_it_was_rounded() {
    let (folder, out) = scratch();
    let train = folder.path().join("train.npz");
    let pixel = |(n, y, x, _): (usize, usize, usize, usize)| ((n * 7 + y * 13 + x * 29) % 251) as u8;
    npz(&train, &ndarray::Array4::from_shape_fn((10, 28, 28, 1), pixel), (0..10i64).collect());
    let example = Example { train: train.display().to_string(), ..Example::new() };
    let words = ["warning: the network is delivered as it was rounded", "at least 8", "there are 5"];
    unproven(&fit_args(&out, &example, &FAST)).expect(0, &words);
    let report = report(&out);
    let told = &report["reconstruction"];
    assert!(told["kept"] == false && told["loss_after"].is_null() && told["samples"] == 5, "{told}");
    assert!(told["failed"].as_str().unwrap().contains("at least 8"), "{told}");
    assert!(text(&out, "report.md").contains("Not reconstructed: "), "{report}");
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["finished"]);
    let plain = folder.path().join("plain").display().to_string();
    unproven(&fit_args(&plain, &example, ROUNDED)).expect(0, &[]);
    assert!(read(&plain, "weights.safetensors") == read(&out, "weights.safetensors"));
}

#[test]
fn edited_widths_are_not_reconstructed_and_that_is_said() {
    let (folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &FAST)).expect(0, &[]);
    let policy = Path::new(&out).join("policy.toml");
    let edited = fs::read_to_string(&policy).unwrap().replacen("weights = 2", "weights = 4", 1);
    fs::write(&policy, edited).unwrap();
    let words = ["warning: ", "is delivered as it was rounded", "fit --config", "--reconstruct"];
    run(&["emit", &out]).expect(0, &words);
    let told = report(&out);
    assert!(told["reconstruction"].is_null() && told["warnings"].to_string().contains("as it was rounded"), "{told}");
    assert!(!text(&out, "config.toml").contains("reconstruct"));
    assert!(!Path::new(&out).join("reconstruction.safetensors").exists());
    let config = Path::new(&out).join("config.toml").display().to_string();
    let [again, learned] = ["again", "learned"].map(|name| folder.path().join(name).display().to_string());
    unproven(&["fit", "--config", &config, "-o", &again]).expect(0, &[]);
    assert!(read(&again, "weights.safetensors") == read(&out, "weights.safetensors"));
    let more = ["--reconstruct=0.01", "--reconstruct-samples", "64"];
    unproven(&[&["fit", "--config", &config, "-o", &learned][..], &more].concat()).expect(0, &[]);
    assert!(report(&learned)["reconstruction"]["loss_after"].is_f64());
    assert!(read(&learned, "policy.toml") == read(&out, "policy.toml"));
}

#[test]
fn a_search_in_a_folder_reconstructs_too() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &out, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    let search = [&["search", &out, "--eval-samples", "64"][..], &FAST].concat();
    run(&search).expect(0, &["reconstruct: loss on"]);
    told(&report(&out));
    run(&["search", &out, "--resume"]).expect(0, &["finished"]);
    run(&["search", &out, "--resume", "--reconstruct", "1"]).expect(2, &["leave out --reconstruct"]);
    run(&["emit", &out]).expect(0, &[]);
    // Without, nothing of it stays.
    run(&[&["search", &out, "--eval-samples", "64"][..], ROUNDED].concat()).expect(0, &[]);
    assert!(report(&out)["reconstruction"].is_null());
    assert!(!Path::new(&out).join("reconstruction.safetensors").exists());
}

/// Baselines and other budgets are told as they were rounded, to the byte as without.
#[test]
fn a_sweep_is_as_without_reconstruction_and_says_so() {
    let (folder, out) = scratch();
    let example = Example::new();
    let flags = ["--flash", "44KiB", "--ram", "8KiB", "--episodes", "20", "--val", &example.val, "--pareto=2"];
    unproven(&fit_args(&out, &example, &[&flags[..], &FAST[6..]].concat())).expect(0, &["reconstruct: loss on"]);
    let plain = folder.path().join("plain").display().to_string();
    unproven(&fit_args(&plain, &example, &flags)).expect(0, &[]);
    for name in ["pareto.csv", "pareto.svg", "policy.toml", "search.jsonl"] {
        assert!(read(&out, name) == read(&plain, name), "{name}");
    }
    let (report, rounded) = (report(&out), super::report(&plain));
    assert_eq!((&report["baselines"], &report["pareto"]), (&rounded["baselines"], &rounded["pareto"]));
    assert_eq!(report["search"]["reward"], rounded["search"]["reward"]);
    let told = told(&report);
    let before = if told["kept"] == true { &told["metric_before"] } else { &report["metric"]["integer"] };
    assert_eq!(*before, rounded["metric"]["integer"], "{told}");
    assert!(text(&out, "report.md").contains("Nothing was learned for any of them"));
}

#[test]
fn what_is_asked_for_is_checked() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let asked = |more: &[&str]| unproven(&fit_args(&out, &example, &[ROUNDED, more].concat()));
    for minutes in ["0", "-1", "nan", "1e9", "inf", "ten"] {
        asked(&["--reconstruct", minutes]).expect(2, &["is not a number of minutes from 0.001 to 1440"]);
    }
    asked(&["--reconstruct", "--reconstruct-samples", "7"]).expect(2, &["at least 8 are needed"]);
    asked(&["--reconstruct-samples", "64"]).expect(2, &["give that too"]);
    let taken = ["fit", "--reconstruct", &example.model, "--train", &example.train, "-o", &out];
    unproven(&taken).expect(2, &["what follows --reconstruct is taken for one"]);
    assert!(!Path::new(&out).exists());
}
