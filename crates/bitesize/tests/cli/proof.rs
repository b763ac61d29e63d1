//! What verification proves with the tools that there are, and what a later command makes up for.

use super::{Example, Ran, command, fit_args, report, scratch, tree, unproven};
use std::fs;
use std::path::{Path, PathBuf};

/// What a compiler calls besides itself.
const HOST: [&str; 3] = ["cc", "as", "ld"];

/// Where the machine has `tool`.
fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|path| path.is_file())
}

/// A folder `name` of links to `tools`; `None`, which is told, where the machine lacks one.
fn links(folder: &Path, name: &str, tools: &[&str]) -> Option<PathBuf> {
    let folder = folder.join(name);
    fs::create_dir(&folder).unwrap();
    for tool in tools {
        let Some(path) = find(tool) else {
            println!("SKIPPED: `{tool}` is not installed, so what is proven with it is not tested");
            return None;
        };
        std::os::unix::fs::symlink(path, folder.join(tool)).unwrap();
    }
    Some(folder)
}

fn with_path(args: &[&str], path: &Path) -> Ran {
    command(args).env("PATH", path).output().expect("the binary starts").into()
}

/// The runners' states, from the report.
fn states(out: &str) -> Vec<(String, String)> {
    let rows = report(out)["verification"].as_array().unwrap().clone();
    rows.iter().map(|row| (row["runner"].as_str().unwrap().into(), row["status"].as_str().unwrap().into())).collect()
}

#[track_caller]
fn expect_states(out: &str, expected: [&str; 3]) {
    let runners = ["host-c", "qemu-m4", "qemu-m7"].map(String::from);
    let expected: Vec<_> = runners.into_iter().zip(expected.map(String::from)).collect();
    assert_eq!(states(out), expected);
}

#[test]
fn what_could_not_be_run_is_told_and_made_up_for() {
    let (folder, out) = scratch();
    let example = Example::new();
    let args = fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"]);
    let nothing = ["NOTHING IS PROVEN", "fit --resume", "`cc` is not installed", "apt install gcc-arm-none-eabi"];
    unproven(&args).expect(0, &nothing);
    expect_states(&out, ["not run"; 3]);
    let summary = fs::read_to_string(Path::new(&out).join("report.md")).unwrap();
    assert!(summary.contains("**NOTHING IS PROVEN"), "{summary}");
    let before = tree(Path::new(&out));
    let resume = ["fit", "--resume", "--quiet", "-o", &out];
    unproven(&resume).expect(0, &nothing);
    super::assert_same(&before, &tree(Path::new(&out)), "the same tools, the same answer");

    let Some(host) = links(folder.path(), "host", &HOST) else { return };
    with_path(&resume, &host).expect(0, &["not proven on qemu-m4, qemu-m7"]);
    expect_states(&out, ["passed", "not run", "not run"]);

    // A compiler without an emulator, and an emulator that the machine does not give enough memory.
    let tools = [&HOST[..], &["arm-none-eabi-gcc"]].concat();
    let Some(arm) = links(folder.path(), "arm", &tools) else { return };
    with_path(&resume, &arm).expect(0, &["not proven on qemu-m4, qemu-m7", "qemu-system-arm"]);
    let Some(emulator) = find("qemu-system-arm") else {
        return println!("SKIPPED: `qemu-system-arm` is not installed, so that a proof is completed is not tested");
    };
    let script = arm.join("qemu-system-arm");
    fs::write(&script, format!("#!/bin/sh\nulimit -v 200000\nexec {} \"$@\"\n", emulator.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    with_path(&resume, &arm).expect(1, &["verification failed on qemu-m4, qemu-m7", "says nothing", "fit --resume"]);
    expect_states(&out, ["passed", "failed", "failed"]);

    fs::remove_file(&script).unwrap();
    std::os::unix::fs::symlink(emulator, &script).unwrap();
    let ran = with_path(&resume, &arm).expect(0, &[]);
    assert_eq!(ran.err, "");
    expect_states(&out, ["passed"; 3]);
    let summary = fs::read_to_string(Path::new(&out).join("report.md")).unwrap();
    assert!(!summary.contains("PROVEN") && !summary.contains("proven on"), "{summary}");
    let before = tree(Path::new(&out));
    with_path(&["fit", "--resume", "-o", &out], &arm).expect(0, &["nothing to do"]);
    super::assert_same(&before, &tree(Path::new(&out)), "nothing is left to do");
}

#[test]
fn a_package_that_answers_otherwise_ends_with_4_and_one_that_is_incomplete_with_1() {
    let (_folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--flash", "48KiB", "--ram", "12KiB", "--policy", "4/4"])).expect(0, &[]);
    if find("cc").is_none() {
        return println!("SKIPPED: `cc` is not installed, so what ends with 4 is not tested");
    }
    let verify = ["verify", "--host-samples", "1", "--qemu-samples", "1", &out];
    let model = Path::new(&out).join("package/model.c");
    let text = fs::read_to_string(&model).unwrap();
    let entry = text.find("\nvoid model_run(").expect("an entry");
    let end = entry + text[entry..].find("\n}\n").expect("its end");
    let (before, after) = text.split_at(end);
    fs::write(&model, format!("{before}\n    *(uint8_t *)(uintptr_t)model_output(arena) ^= 1u;{after}")).unwrap();
    super::run(&verify).expect(4, &["error: the package does not keep", "the interpreter says"]);
    fs::remove_file(Path::new(&out).join("package/weights.c")).unwrap();
    super::run(&verify).expect(1, &["error: verification failed on host-c"]);
}
