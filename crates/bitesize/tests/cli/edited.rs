//! What happens to a finished run afterwards: an edited policy, data that moved, tools that are missing or broken.

use super::{Example, command, fit_args, run, scratch, unproven};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn read(folder: &str, name: &str) -> String {
    fs::read_to_string(Path::new(folder).join(name)).unwrap()
}

fn report(folder: &str) -> Value {
    serde_json::from_str(&read(folder, "report.json")).unwrap()
}

/// Gives every weight of the run's `policy.toml` the width `bits`.
fn edit_policy(folder: &str, bits: u8) {
    let edited = ["2", "4", "8"]
        .iter()
        .fold(read(folder, "policy.toml"), |text, old| text.replace(&format!("weights = {old}"), "weights = X"))
        .replace("weights = X", &format!("weights = {bits}"));
    fs::write(Path::new(folder).join("policy.toml"), edited).unwrap();
}

#[test]
fn an_edited_policy_counts_from_emit_on_and_is_never_written_over() {
    let (folder, out) = scratch();
    let example = Example::new();
    let target = ["--flash", "48KiB", "--ram", "12KiB"];
    unproven(&fit_args(&out, &example, &target)).expect(0, &[]);
    let searched = read(&out, "policy.toml");
    edit_policy(&out, 4);
    let edited = read(&out, "policy.toml");
    assert!(edited != searched);

    let words = ["policy.toml", "was edited", "bitesize emit"];
    run(&["eval", &out, "--val", &example.val]).expect(1, &words);
    run(&["verify", &out]).expect(1, &words);
    run(&["search", &out, "--resume"]).expect(1, &words);
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &words);
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    run(&["search", &out, "--resume"]).expect(1, &words);
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &words);
    assert_eq!(read(&out, "policy.toml"), edited);

    run(&["emit", &out]).expect(0, &["quantized anew"]);
    run(&["verify", &out, "--host-samples", "1", "--qemu-samples", "1"]).expect(0, &[]);
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
    assert_eq!(read(&out, "policy.toml"), edited);
    let told = report(&out);
    assert!(told["chosen"] == "policy" && told["search"].is_null() && told["baselines"].is_null(), "{told}");

    let again = folder.path().join("again").display().to_string();
    let config = Path::new(&out).join("config.toml").display().to_string();
    unproven(&["fit", "--config", &config, "-o", &again]).expect(0, &[]);
    for name in ["policy.toml", "weights.safetensors", "package/weights.c", "package/model.c"] {
        assert!(read_bytes(&again, name) == read_bytes(&out, name), "{name}");
    }
}

fn read_bytes(folder: &str, name: &str) -> Vec<u8> {
    fs::read(Path::new(folder).join(name)).unwrap()
}

#[test]
fn an_edited_policy_that_does_not_fit_is_told_why() {
    let (_folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"])).expect(0, &[]);
    let policy = Path::new(&out).join("policy.toml");
    run(&["search", &out, "--resume", "--flash", "44KiB", "--ram", "9KiB"]).expect(1, &["other settings", "flash"]);
    let text = fs::read(&policy).unwrap();
    fs::remove_file(&policy).unwrap();
    run(&["emit", &out]).expect(1, &["there is no", "policy.toml", "--resume"]);
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
    assert_eq!(fs::read(&policy).unwrap(), text);
    edit_policy(&out, 8);
    run(&["emit", &out]).expect(3, &["does not fit", "the given policy takes", "boards that would do"]);
    let told = report(&out);
    assert!(told["fits"] == false && told["diagnosis"].is_object(), "{told}");
    run(&["verify", &out]).expect(3, &[]);
    // Without a report it is told all the same.
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    run(&["emit", &out]).expect(3, &["does not fit", "boards that would do"]);
}

/// `--weight-bytes` limits bytes as budgets do.
#[test]
fn an_edited_policy_keeps_the_limit_of_weights() {
    let (folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--weight-bytes", "60%", "--search", "rules"])).expect(0, &[]);
    edit_policy(&out, 8);
    run(&["emit", &out]).expect(3, &["does not fit"]);
    assert_eq!(report(&out)["fits"], false);
    run(&["verify", &out]).expect(3, &[]);
    let again = folder.path().join("again").display().to_string();
    let config = Path::new(&out).join("config.toml").display().to_string();
    unproven(&["fit", "--config", &config, "-o", &again]).expect(3, &[]);
    edit_policy(&out, 4);
    run(&["emit", &out]).expect(0, &[]);
    run(&["verify", &out, "--host-samples", "1", "--qemu-samples", "1"]).expect(0, &[]);
}

/// The widths that a search may choose do not bind who edits the policy.
#[test]
fn an_edited_policy_may_have_any_widths() {
    let (folder, out) = scratch();
    let example = Example::new();
    let flags = ["--flash", "96KiB", "--ram", "24KiB", "--weights", "4", "--search", "rules"];
    unproven(&fit_args(&out, &example, &flags)).expect(0, &[]);
    edit_policy(&out, 8);
    run(&["emit", &out]).expect(0, &[]);
    let again = folder.path().join("again").display().to_string();
    let config = Path::new(&out).join("config.toml").display().to_string();
    unproven(&["fit", "--config", &config, "-o", &again]).expect(0, &[]);
    assert_eq!(read(&again, "policy.toml"), read(&out, "policy.toml"));
}

#[test]
fn nothing_proven_is_no_success_and_a_broken_compiler_no_mismatch() {
    let (folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"])).expect(0, &[]);
    let verify = |path: &str| super::Ran::from(command(&["verify", &out]).env("PATH", path).output().unwrap());
    verify("").expect(1, &["nothing is proven"]);
    assert!(report(&out)["verification"].as_array().unwrap().iter().all(|row| row["status"] == "not run"));

    let tools = folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let compiler = tools.join("cc");
    fs::write(&compiler, "#!/bin/sh\necho 'cannot allocate memory' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let ran = verify(&path).expect(1, &[]);
    assert!(ran.out.contains("cannot allocate memory"), "{}", ran.out);
}

#[test]
fn a_run_outlives_its_training_data() {
    let (folder, out) = scratch();
    let mut example = Example::new();
    let train = folder.path().join("train");
    copy_folder(Path::new(&example.train), &train);
    example.train = train.display().to_string();
    unproven(&fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"])).expect(0, &[]);
    let moved = folder.path().join("moved");
    fs::rename(&train, &moved).unwrap();
    run(&["eval", &out, "--val", &example.val]).expect(0, &[]);
    let ran = run(&["emit", &out]).expect(1, &["--train"]);
    assert_eq!(ran.err.matches("No such file").count(), 1, "{}", ran.err);
    run(&["emit", &out, "--train", &moved.display().to_string()]).expect(0, &[]);
}

fn copy_folder(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy_folder(&entry.path(), &to.join(entry.file_name()));
    }
}
