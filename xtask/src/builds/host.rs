//! Builds for the host: the known-answer test of each package with each compiler.

use super::packages::Package;
use super::row::{Built, Row, WARNINGS};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const COMPILERS: [&str; 2] = ["gcc", "clang"];

const FLAGS: [&str; 8] = [
    "-O0",
    "-O1",
    "-O2",
    "-O3",
    "-Os",
    "-O2 -flto",
    "-O1 -fsanitize=address -fno-sanitize-recover=all",
    "-O1 -fsanitize=undefined -fno-sanitize-recover=all",
];

/// Wrapping that is not meant, which gcc does not look for.
const OF_CLANG: &str = "-O1 -fsanitize=integer -fno-sanitize-recover=all";

pub(super) fn rows(packages: &[Package]) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for compiler in COMPILERS {
        for flags in FLAGS.into_iter().chain((compiler == "clang").then_some(OF_CLANG)) {
            if let Err(reason) = probe(compiler, flags) {
                println!("SKIPPED: {compiler} {flags}: {reason}");
                continue;
            }
            let built: Result<Vec<Built>, String> =
                packages.par_iter().map(|package| build(package, compiler, flags)).collect();
            rows.push(Row { compiler: version(compiler), target: "host".into(), flags: flags.into(), built: built? });
        }
    }
    Ok(rows)
}

fn output(program: &Path, arguments: &[&str], folder: &Path) -> Result<Output, String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    output.map_err(|e| format!("cannot run {}: {e}", program.display()))
}

/// The first line that `compiler` prints about itself.
pub(super) fn version(compiler: &str) -> String {
    let printed = Command::new(compiler).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&printed).lines().next().unwrap_or(compiler).to_owned()
}

/// Whether an empty program can be made with `flags`; else the first line of why not.
fn probe(compiler: &str, flags: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let source = "int main(void) { return 0; }\n";
    std::fs::write(folder.path().join("empty.c"), source).map_err(|e| e.to_string())?;
    let arguments: Vec<&str> = flags.split(' ').chain(["empty.c", "-o", "empty"]).collect();
    let output = output(Path::new(compiler), &arguments, folder.path())?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(printed.lines().next().unwrap_or("it fails").into()) }
}

/// The C files of a folder of the run folder.
fn sources(package: &Package, folder: &str) -> Result<Vec<PathBuf>, String> {
    let path = package.folder.join(folder);
    let entries = std::fs::read_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "c"));
    files.sort();
    Ok(files)
}

fn build(package: &Package, compiler: &str, flags: &str) -> Result<Built, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let include =
        format!("-I{}", std::path::absolute(&package.folder).map_err(|e| e.to_string())?.join("package").display());
    let files = [sources(package, "package")?, sources(package, "example")?].concat();
    let files: Vec<String> =
        files.iter().filter_map(|file| Some(std::path::absolute(file).ok()?.display().to_string())).collect();
    let mut arguments = WARNINGS.to_vec();
    arguments.extend(flags.split(' '));
    arguments.extend([&*include, "-o", "test"]);
    arguments.extend(files.iter().map(String::as_str));
    let compiled = output(Path::new(compiler), &arguments, folder.path())?;
    let printed = String::from_utf8_lossy(&compiled.stderr).into_owned();
    if !compiled.status.success() {
        return Ok(Built { warnings: 0, problem: Some(printed), ran: false, stack: None });
    }
    let ran = output(&folder.path().join("test"), &[], folder.path())?;
    let said = || format!("its answers are wrong ({})\n{}", ran.status, String::from_utf8_lossy(&ran.stderr));
    let problem = (!ran.status.success()).then(said);
    Ok(Built { warnings: printed.lines().count(), problem, ran: true, stack: None })
}
