//! Every case as emitted C, on the host and on emulated Cortex-M, against the interpreter.

use bitesize_ir::target::CoreCosts;
use bitesize_verify::{Cases, Job, Mismatch, Package, Runner, RunnerResult, Settings, Status, boards, verify};
use conformance::batch::Batch;
use conformance::{Case, cases};

fn core(runner: Runner) -> CoreCosts {
    boards::core(runner.core().unwrap_or("cortex-m4")).expect("the core has a file")
}

/// Runs `cases` on `runners`, `edit` applied to the text of the kernels.
fn run(cases: &[Case], runners: &[Runner], edit: impl Fn(&str) -> String) -> Vec<RunnerResult> {
    let batch = Batch::of(cases, &core(Runner::Host));
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &batch.files {
        let text = if path == "bitesize_kernels.c" { edit(text) } else { text.clone() };
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let inputs = batch.inputs();
    let checked = Cases::with_answers(&inputs, batch.input_bytes, 0, |input| batch.answer(input)).unwrap();
    let package = Package { folder: folder.path().into(), prefix: "batch".into() };
    let job = |&runner: &Runner| match runner {
        Runner::Host => Job::host(inputs.len()),
        Runner::Emulated(_) => Job::emulated(runner, inputs.len(), &core(runner), None),
    };
    let jobs: Vec<Job> = runners.iter().map(job).collect();
    verify(&package, &checked, &jobs, &Settings::default()).unwrap()
}

/// The case that a mismatch is about, in words.
fn explain(cases: &[Case], mismatch: &Mismatch) -> String {
    let batch = Batch::of(cases, &core(Runner::Host));
    let number: Option<usize> = mismatch.case.strip_prefix("sample ").and_then(|n| n.parse().ok());
    let case = number.map(|n| batch.case(&batch.inputs()[n]));
    case.map_or(mismatch.case.clone(), |case| format!("{}\n{}", case.name, case.int))
}

/// A runner whose tools are not installed cannot be tested, and says so.
#[test]
fn every_case_gives_the_interpreters_bytes_on_every_runner() {
    let cases = cases();
    for result in run(&cases, &Runner::all(), str::to_owned) {
        let name = result.runner;
        match &result.status {
            Status::Passed => println!("{name}: {} cases in {:?}", cases.len(), result.elapsed),
            Status::Mismatch(mismatch) => {
                let text = explain(&cases, mismatch);
                panic!("{name}: {} inputs differ, the first at {mismatch:?}: {text}", result.mismatches);
            }
            Status::Failed { reason } => panic!("{name}: {reason}"),
            Status::NotRun { reason, install } => eprintln!("SKIPPED: {name} was not run: {reason}; install {install}"),
        }
    }
}

#[test]
fn damage_to_the_kernels_is_seen() {
    let cases: Vec<Case> = cases().into_iter().step_by(40).collect();
    for (from, to) in [
        ("(int32_t)(1u << (shift - 33u))", "0"),
        ("code > highest ? highest", "code > highest + 3 ? highest"),
        ("writer->shift == 8u", "writer->shift >= 6u"),
        ("code_b * factor_b", "(code_b + 1) * factor_b"),
    ] {
        let damage = |text: &str| {
            assert!(text.contains(from), "the kernels do not say `{from}` any more");
            text.replace(from, to)
        };
        let status = run(&cases, &[Runner::Host], damage).remove(0).status;
        let seen = matches!(status, Status::Mismatch(_) | Status::NotRun { .. });
        assert!(seen, "`{to}` instead of `{from}`: {status:?}");
    }
}
