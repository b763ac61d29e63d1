//! Packages whose layers take turns, by image and by rows that are pushed, on every runner against the golden interpreter.

mod common;

use bitesize_codegen::{EmitOptions, emit};
use bitesize_ir::memory::{InputRows, MemoryPlan};
use bitesize_verify::{Cases, Job, PackageFolder, Runner, Status, VerifySettings, boards, verify};
use common::networks::{Drawn, harden, images, mobile};
use common::plans::{rolling, runs};

fn job(runner: Runner, samples: usize) -> Job {
    match runner.core() {
        Some(core) => Job::emulated(runner, samples, &boards::core(core).unwrap(), None),
        None => Job::host(samples),
    }
}

fn check(drawn: &Drawn, plan: &MemoryPlan, jobs: &[Job]) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &emit(&drawn.integer, plan, &EmitOptions::default()).unwrap().files {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let package = PackageFolder { folder: folder.path().into(), prefix: "model".into() };
    let cases = Cases::new(&drawn.integer, &images(&drawn.integer, 5, 2), 1).unwrap();
    for result in verify(&package, &cases, jobs, &VerifySettings::default()).unwrap() {
        if let Status::NotRun { .. } = result.status {
            eprintln!("SKIPPED: {}: {}", result.runner, result.status);
            continue;
        }
        assert_eq!(result.status, Status::Passed, "{:?}: {result:?}", plan.input);
        // A tick for each step that is told of, and what telling takes.
        let Some((total, layers)) = result.instructions.zip(result.layers) else { continue };
        let sum: u64 = layers.iter().sum();
        assert!(layers.iter().all(|layer| *layer > 500), "{layers:?}");
        assert!(sum.abs_diff(total) * 20 < total, "{:?}: {sum} in the layers, {total} in all", plan.input);
    }
}

#[test]
fn chains_roll_on_every_runner() {
    let mut drawn = mobile(true);
    harden(&mut drawn.integer, 2);
    let layers = drawn.integer.nodes.len();
    for (by_rows, cut) in [(true, 0.0), (false, 0.6)] {
        let core = boards::core("cortex-m4").unwrap().with_rows(by_rows);
        for input in InputRows::ALL {
            let plan = rolling(&drawn, &core, &runs(&drawn, cut), input);
            let counting = |job: Job| if job.runner == Runner::Host { job } else { job.counting(layers) };
            let jobs: Vec<Job> = Runner::all().into_iter().map(|runner| counting(job(runner, 2))).collect();
            check(&drawn, &plan, &jobs);
        }
    }
}
