//! Packages written to a folder, compiled with every warning as an error, and run.

use super::networks::images;
use bitesize_codegen::{EmitOptions, PackageFiles, emit, emit_example};
use bitesize_integer::{IntNetwork, Interpreter};
use bitesize_ir::memory::MemoryPlan;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What emitted C has to be free of.
#[rustfmt::skip]
pub(crate) const WARNINGS: [&str; 11] = [
    "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wcast-qual",
    "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror",
];

/// A folder that is removed when it goes out of scope.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bitesize-codegen-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub(crate) fn write(&self, folder: &str, package: &PackageFiles) {
        for (path, text) in &package.files {
            let path = self.0.join(folder).join(path);
            std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
            std::fs::write(path, text).expect("the temporary folder can be written");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a program is there; says so loudly where it is not.
pub(crate) fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: `{program}` is not installed, so what it would compile is not checked");
    }
    found
}

/// Runs a program in `folder` and panics with what it printed where it fails.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {}: {}\n{all}", arguments.join(" "), output.status);
    all
}

/// The C files of package and example, from the folder that holds both.
pub(crate) const SOURCES: [&str; 5] =
    ["package/model.c", "package/weights.c", "package/bitesize_kernels.c", "example/main.c", "example/known_answers.c"];

/// Emits package and known-answer test of `network` into a fresh folder; the answers are the interpreter's.
pub(crate) fn write_package(name: &str, network: &IntNetwork, plan: &MemoryPlan, seed: u64) -> Folder {
    let folder = Folder::new(name);
    let [package, example] = emit_both(network, plan, "model", seed);
    folder.write("package", &package);
    folder.write("example", &example);
    folder
}

/// Package and known-answer test of `network`, called `prefix`.
pub(crate) fn emit_both(network: &IntNetwork, plan: &MemoryPlan, prefix: &str, seed: u64) -> [PackageFiles; 2] {
    let options = EmitOptions { prefix: prefix.into(), ..EmitOptions::default() };
    let interpreter = Interpreter::new(network);
    let samples: Vec<(Vec<u8>, Vec<u8>)> =
        images(network, seed, 4).into_iter().map(|image| (image.clone(), interpreter.run(&image))).collect();
    [
        emit(network, plan, &options).expect("a drawn network can be emitted"),
        emit_example(network, plan, &samples, &options).expect("the samples are the network's"),
    ]
}

/// Compiles what [`write_package`] wrote for the host and runs it; panics unless every byte is as expected.
pub(crate) fn check_on_host(folder: &Folder, flags: &[&str]) {
    let mut arguments = WARNINGS.to_vec();
    arguments.extend(["-Ipackage", "-o", "test"]);
    arguments.extend(flags);
    arguments.extend(SOURCES);
    run(&folder.0, "cc", &arguments);
    run(&folder.0, "./test", &[]);
}
