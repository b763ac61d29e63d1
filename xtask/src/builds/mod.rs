//! `cargo xtask builds [FOLDER]`: builds five packages with every compiler, optimization and sanitizer of the host and for
//! every core from Cortex-M0 to M55, runs them where there is a machine, and prints a markdown table.
//!
//! A row is one way to build. Its cells say, of all the packages: warnings, how many give the interpreter's answers, and for
//! each the stack and its bound. Stack is what was painted over where there is a machine, else the compiler's count; the
//! bound is the memory model's where the core's file holds for the flags, else the compiler's count. A row that cannot be
//! built here says so and is left out.

mod arm;
mod host;
mod packages;
mod row;

use packages::Package;
use row::{Built, Row};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Builds everything. `arguments`: the folder to work in (default `target/builds`); packages in it are taken from there.
///
/// # Errors
/// A package that cannot be made; one that warns, answers wrongly or uses more stack than its bound.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let work = match arguments {
        [] => target.join("builds"),
        [work] => PathBuf::from(work),
        other => return Err(format!("it takes the folder to work in, found `{}`", other.join(" "))),
    };
    let packages = packages::all(&root, &target, &work)?;
    let mut rows = host::rows(&packages)?;
    rows.extend(arm::rows(&packages)?);
    print!("{}", table(&packages, &rows));
    let problems: Vec<String> = rows.iter().flat_map(|row| problems(row, &packages)).collect();
    if problems.is_empty() { Ok(()) } else { Err(format!("\n{}", problems.join("\n"))) }
}

fn problems(row: &Row, packages: &[Package]) -> Vec<String> {
    let mut told = Vec::new();
    for (package, built) in packages.iter().zip(&row.built) {
        let mut tell = |problem: &str| {
            told.push(format!("{} on {} with {} {}: {problem}", package.name, row.target, row.compiler, row.flags));
        };
        if built.warnings > 0 {
            tell(&format!("{} lines of warnings", built.warnings));
        }
        built.problem.iter().for_each(|problem| tell(problem));
        if let Some((found, Some(bound))) = built.stack
            && found > bound
        {
            tell(&format!("{found} bytes of stack where {bound} are the bound"));
        }
    }
    told
}

fn table(packages: &[Package], rows: &[Row]) -> String {
    let mut text = String::from("Packages: ");
    text += &packages.iter().map(|p| format!("{} ({})", p.name, p.widths)).collect::<Vec<_>>().join("; ");
    text += ".\n\n| compiler | target | flags | warnings | right answers | stack B | bound B |\n|---|---|---|---|---|---|---|\n";
    for row in rows {
        let warnings: usize = row.built.iter().map(|b| b.warnings).sum();
        let right = row.built.iter().filter(|b| b.ran && b.problem.is_none()).count();
        let runs = row.built.iter().any(|b| b.ran || b.problem.is_some());
        let right = if runs { format!("{right} of {}", row.built.len()) } else { "not run".into() };
        let list = |of: &dyn Fn(&Built) -> Option<u64>| {
            let numbers: Vec<String> = row.built.iter().filter_map(of).map(|n| n.to_string()).collect();
            if numbers.is_empty() { "-".into() } else { numbers.join(", ") }
        };
        let stack = list(&|b| b.stack.map(|(found, _)| found));
        let bound = list(&|b| b.stack.and_then(|(_, bound)| bound));
        let Row { compiler, target, flags, .. } = row;
        let _ = writeln!(text, "| {compiler} | {target} | `{flags}` | {warnings} | {right} | {stack} | {bound} |");
    }
    text
}
