//! What surrounds a run and fails it: a full disk behind stdout, limits of the shell, no folder to build in, and names that
//! pose as messages.

use super::{Example, Ran, command, fit_args, report, run, scratch, tree, unproven};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// As [`run`], with stdout on a disk that is full.
fn into_full_disk(args: &[&str]) -> Ran {
    let full = File::options().write(true).open("/dev/full").expect("the device");
    command(args).env("PATH", "").stdout(full).output().expect("the binary starts").into()
}

/// As [`run`], where nobody reads stdout.
fn into_closed_pipe(args: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command(args).env("PATH", "").stdout(writer).output().expect("the binary starts").into()
}

#[test]
fn what_cannot_be_written_to_stdout_is_an_error_and_a_closed_pipe_is_none() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let told = ["error: cannot write to stdout", "No space left"];
    let eval = ["eval", &example.model, "--val", &example.val, "--preprocess", &example.preprocess, "--json"];
    for args in [&["boards"][..], &["boards", "--json"], &["inspect", &example.model, "--json"], &eval, &["--help"]] {
        into_full_disk(args).expect(1, &told);
        let ran = into_closed_pipe(args).expect(0, &[]);
        assert!(!ran.err.contains("error"), "{}", ran.err);
    }
    let fit = |out: &str, run: &dyn Fn(&[&str]) -> Ran, code: i32, words: &[&str]| {
        run(&fit_args(out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"])).expect(code, words);
        tree(Path::new(out)).into_iter().map(|(path, _)| path.strip_prefix(out).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let usual = format!("{out}-usual");
    assert_eq!(fit(&out, &into_full_disk, 1, &told), fit(&usual, &unproven, 0, &[]), "the run folder is complete");
    unproven(&["fit", "--resume", "-q", "-o", &out]).expect(0, &[]);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_a_full_disk() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let args = fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"]);
    let mut shell = Command::new("sh");
    // Blocks of 512 or 1024 bytes, as shells go: fewer than the weights take.
    shell.args(["-c", "ulimit -f 2; PATH= exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_bitesize")]).args(args);
    let ran: Ran = shell.stdin(Stdio::null()).output().expect("a shell").into();
    ran.expect(1, &["error: cannot write `", "File too large", "free some space"]);
    assert!(!Path::new(&out).exists(), "a run that fails leaves nothing");
}

#[test]
fn without_a_folder_to_build_in_nothing_is_proven_and_the_run_stays() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let args = fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"]);
    let without = |args: &[&str]| -> Ran {
        command(args).env("TMPDIR", "/nowhere/at/all").output().expect("the binary starts").into()
    };
    let ran = without(&args).expect(0, &["NOTHING IS PROVEN", "cannot create a temporary folder", "set TMPDIR"]);
    assert!(!ran.err.contains("apt install"), "{}", ran.err);
    let rows = report(&out)["verification"].as_array().unwrap().clone();
    assert!(rows.len() == 3 && rows.iter().all(|row| row["status"] == "not run"), "{rows:?}");
    without(&["verify", &out]).expect(1, &["nothing is proven"]);
    let resumed = run(&["fit", "--resume", "-o", &out]).expect(0, &["what was not run is run now"]);
    assert!(!resumed.err.contains("temporary folder"), "{}", resumed.err);
}

#[test]
fn a_path_cannot_pose_as_a_message() {
    let (folder, _) = scratch();
    let example = Example::new();
    let path = folder.path().join("a\nerror: forged").display().to_string();
    let no_line = |ran: Ran| {
        assert!(ran.err.lines().all(|line| !line.starts_with("error: forged")), "{}", ran.err);
        assert!(ran.err.contains("\\u{a}error: forged"), "{}", ran.err);
    };
    let data = ["--val", &path];
    no_line(run(&["inspect", &path]).expect(1, &[]));
    no_line(run(&[&["eval", &example.model][..], &data].concat()).expect(1, &[]));
    fs::write(&path, "no network").unwrap();
    no_line(run(&["inspect", &path]).expect(1, &[]));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    no_line(run(&["verify", &path]).expect(1, &[]));
    no_line(run(&["emit", &path]).expect(1, &[]));
}

#[test]
fn values_that_no_run_can_have_are_wrong_usage() {
    let example = Example::new();
    for [flag, value] in [
        ["--scale", "NaN"],
        ["--scale", "0"],
        ["--scale", "-1"],
        ["--mean", "nan"],
        ["--mean", "0.5,inf"],
        ["--std", "0"],
        ["--std", "-1"],
        ["--size", "0x0"],
        ["--size", "28x0"],
        ["--crop-fraction", "NaN"],
        ["--crop-fraction", "0"],
        ["--crop-fraction", "1.5"],
    ] {
        run(&["inspect", &example.model, flag, value]).expect(2, &[flag]);
    }
    run(&["inspect", &example.model, "--scale", "0.004", "--mean=-0.5", "--std", "2", "--size", "28x28"])
        .expect(0, &[]);
}
