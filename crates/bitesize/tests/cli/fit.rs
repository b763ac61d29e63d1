//! What `fit` makes, and that nothing but its inputs decides it.

use super::{Example, assert_same, command, fit_args, report, run, scratch, tree, unproven};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A budget that uniform 8 bits does not keep.
const TIGHT: [&str; 4] = ["--flash", "44KiB", "--ram", "5KiB"];

/// The files that may not differ between runs of the same inputs: the policy, the C, the weights, the diary.
fn products(out: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for part in ["package", "example"] {
        files.extend(tree(&Path::new(out).join(part)));
    }
    for name in ["policy.toml", "weights.safetensors", "search.jsonl", "calibration.json"] {
        let path = Path::new(out).join(name);
        files.push((path.clone(), fs::read(&path).unwrap_or_default()));
    }
    files.into_iter().map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_owned(), bytes)).collect()
}

#[test]
fn uniform_8_bits_is_the_answer_where_it_fits_and_everything_is_reported() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let more = ["--flash", "200KiB", "--ram", "64KiB", "--val", &example.val, "--search", "ddpg", "--episodes", "50"];
    let ran = run(&fit_args(&out, &example, &more)).expect(0, &[]);
    assert!(ran.out.contains("fits `custom`") && ran.out.contains("qemu-m4"), "{}", ran.out);
    let report = report(&out);
    assert_eq!((&report["schema"], &report["fits"]), (&2.into(), &true.into()));
    assert_eq!(report["search"]["stop_reason"], "uniform_fits");
    assert_eq!(report["search"]["episodes"], 1);
    assert_eq!(report["tune"], Value::Null);
    for layer in report["layers"].as_array().unwrap() {
        assert!(
            layer["activation_bits"] == 8 && (layer["weight_bits"] == 8 || layer["weight_bits"].is_null()),
            "{layer}"
        );
    }
    let names: Vec<&str> =
        report["baselines"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["uniform-8", "uniform-4", "uniform-2", "rules"]);
    let accuracy = &report["accuracy"];
    assert_eq!((&accuracy["metric"], &accuracy["samples"]), (&"top1".into(), &1000.into()));
    let (float, integer) = (accuracy["float"].as_f64().unwrap(), accuracy["integer"].as_f64().unwrap());
    assert!(float > 0.91 && float - integer < 0.006, "{accuracy}");
    assert_eq!(report["baselines"][0]["accuracy"], accuracy["integer"]);
    for row in report["verification"].as_array().unwrap() {
        assert_eq!((&row["status"], &row["mismatches"]), (&"passed".into(), &0.into()), "{row}");
    }
    // Predicted before anything was compiled, counted on the emulated core: of all and of each layer.
    let of = |of: &Value, key: &str| of[key].as_f64().unwrap_or_else(|| panic!("no {key} in {of}"));
    let (predicted, counted) = (of(&report["instructions"], "predicted"), of(&report["instructions"], "counted"));
    assert!((predicted / counted - 1.0).abs() < 0.03, "{}", report["instructions"]);
    for (key, total) in [("instructions", predicted), ("counted_instructions", counted)] {
        let sum: f64 = report["layers"].as_array().unwrap().iter().map(|layer| of(layer, key)).sum();
        assert!((sum / total - 1.0).abs() < 0.002, "{key}: {sum} in the layers, {total} in all");
    }
    for key in ["flash", "ram"] {
        assert!(report[key]["total"].as_u64() <= report["target"][format!("{key}_bytes")].as_u64(), "{key}");
    }
    for name in ["report.md", "config.toml", "policy.toml", "weights.safetensors", "search.jsonl", "package/model.h"] {
        assert!(Path::new(&out).join(name).is_file(), "{name}");
    }
}

#[test]
fn a_network_that_only_guesses_is_warned_of() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let at = |widths: &str| {
        // With equalized channels it is better than guessing.
        let limits = ["--flash", "1MiB", "--ram", "1MiB", "--policy", widths, "--no-equalize"];
        let ran = unproven(&fit_args(&out, &example, &limits)).expect(0, &[]);
        let told = report(&out)["warnings"].to_string();
        fs::remove_dir_all(&out).unwrap();
        (ran.err.contains("hardly better than guessing"), told.contains("hardly better than guessing"))
    };
    assert_eq!((at("2/2"), at("4/4")), ((true, true), (false, false)));
}

#[test]
fn neither_threads_nor_validation_labels_nor_a_second_run_change_anything() {
    let example = Example::new();
    let (folder, _) = scratch();
    let shuffled = folder.path().join("val");
    permute_labels(Path::new(&example.val), &shuffled);
    let shuffled = shuffled.display().to_string();
    let make = |name: &str, threads: &str, val: &str| {
        let out = folder.path().join(name).display().to_string();
        let mut args = fit_args(&out, &example, &TIGHT);
        args.extend(["--search", "ddpg", "--episodes", "25", "--threads", threads, "--val", val]);
        unproven(&args).expect(0, &[]);
        (products(&out), report(&out))
    };
    let (first, told) = make("first", "1", &example.val);
    let (threads, _) = make("threads", "3", &example.val);
    let (labels, told_otherwise) = make("labels", "2", &shuffled);
    assert_same(&first, &threads, "the number of threads");
    assert_same(&first, &labels, "the labels of the validation data");
    assert_ne!(told["accuracy"]["integer"], told_otherwise["accuracy"]["integer"]);
    assert_eq!(told["search"]["episodes"], 25);

    let config = folder.path().join("first/config.toml").display().to_string();
    let again = folder.path().join("again").display().to_string();
    unproven(&["fit", "--config", &config, "-o", &again]).expect(0, &[]);
    assert_same(&first, &products(&again), "a run from config.toml");
}

/// Copies an IDX folder with the labels moved round by one place.
fn permute_labels(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for (path, bytes) in tree(from) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("labels") {
            fs::write(to.join(name), bytes).unwrap();
            continue;
        }
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut plain).unwrap();
        plain[8..].rotate_right(1);
        fs::write(to.join(name.trim_end_matches(".gz")), plain).unwrap();
    }
}

#[test]
fn the_result_is_never_worse_than_a_baseline_that_fits() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let mut args = fit_args(&out, &example, &TIGHT);
    args.extend(["--search", "ddpg", "--episodes", "3"]);
    run(&args).expect(0, &[]);
    let report = report(&out);
    let chosen = report["chosen"].as_str().unwrap();
    let reward = |name: &str| {
        let rows = report["baselines"].as_array().unwrap();
        rows.iter().find(|b| b["name"] == name).and_then(|b| b["reward"].as_f64())
    };
    let best = ["uniform-8", "uniform-4", "uniform-2", "rules"].into_iter().filter_map(reward).fold(0.0, f64::max);
    if chosen != "search" {
        assert_eq!(reward(chosen), Some(best));
    }
    assert!(report["accuracy"].is_null(), "no validation data was given");
}

#[test]
fn an_edited_policy_is_accepted_by_later_commands() {
    let (folder, out) = scratch();
    let example = Example::new();
    let target = ["--flash", "200KiB", "--ram", "64KiB"];
    unproven(&fit_args(&out, &example, &[&target[..], &["--policy", "8/8"]].concat())).expect(0, &[]);
    let path = Path::new(&out).join("policy.toml");
    let edited = fs::read_to_string(&path).unwrap().replacen("weights = 8", "weights = 4", 1);
    fs::write(&path, &edited).unwrap();
    run(&["emit", &out]).expect(0, &["was changed"]);
    run(&["verify", &out]).expect(0, &[]);
    let second = folder.path().join("second").display().to_string();
    let policy = path.display().to_string();
    unproven(&fit_args(&second, &example, &[&target[..], &["--policy", &policy]].concat())).expect(0, &[]);
    assert_eq!(fs::read_to_string(Path::new(&second).join("policy.toml")).unwrap(), edited);
    let c = |out: &str| fs::read(Path::new(out).join("package/weights.c")).unwrap();
    assert!(c(&out) == c(&second), "emit and fit make the same C of the same policy");
}

#[test]
fn verbosity() {
    let (folder, out) = scratch();
    let example = Example::new();
    let more = ["--flash", "200KiB", "--ram", "64KiB", "--policy", "8/8"];
    let loud = run(&fit_args(&out, &example, &[&more[..], &["-v"]].concat())).expect(0, &["fuse_activation"]);
    let out = folder.path().join("quiet").display().to_string();
    let quiet = run(&fit_args(&out, &example, &[&more[..], &["-q"]].concat())).expect(0, &[]);
    assert!(loud.err.contains("train:") && quiet.err.is_empty(), "{}", quiet.err);
    assert_eq!(command(&["--version"]).output().unwrap().status.code(), Some(0));
}
