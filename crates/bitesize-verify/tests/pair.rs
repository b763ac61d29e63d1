//! Two packages in one program, on every runner and under every optimization, against the golden interpreter.

mod common;

use bitesize_integer::Interpreter;
use bitesize_ir::BitWidth;
use bitesize_verify::{Cases, Job, PackageFolder, Runner, Status, VerifySettings, boards, verify};
use common::Example;
use std::fs;
use tempfile::TempDir;

const HEADER: &str = r#"
#ifndef PAIR_H
#define PAIR_H

#include "left.h"
#include "right.h"

#define PAIR_INPUT_BYTES (LEFT_INPUT_BYTES + RIGHT_INPUT_BYTES)
#define PAIR_OUTPUT_BYTES (LEFT_OUTPUT_BYTES + RIGHT_OUTPUT_BYTES)

extern uint8_t pair_arena[PAIR_INPUT_BYTES + PAIR_OUTPUT_BYTES];
uint8_t *pair_input(void *arena);
const uint8_t *pair_output(const void *arena);
void pair_run(void *arena);

#endif
"#;

/// Looks like a package itself: its input is both inputs, its output both outputs.
const SOURCE: &str = r#"
#include "pair.h"
#include <string.h>

uint8_t pair_arena[PAIR_INPUT_BYTES + PAIR_OUTPUT_BYTES];

uint8_t *pair_input(void *arena)
{
    return (uint8_t *)arena;
}

const uint8_t *pair_output(const void *arena)
{
    return (const uint8_t *)arena + PAIR_INPUT_BYTES;
}

void pair_run(void *arena)
{
    const uint8_t *const input = (const uint8_t *)arena;
    uint8_t *const output = (uint8_t *)arena + PAIR_INPUT_BYTES;
    memcpy(left_input(left_arena), input, LEFT_INPUT_BYTES);
    memcpy(right_input(right_arena), input + LEFT_INPUT_BYTES, RIGHT_INPUT_BYTES);
    left_run(left_arena);
    right_run(right_arena);
    memcpy(output, left_output(left_arena), LEFT_OUTPUT_BYTES);
    memcpy(output + LEFT_OUTPUT_BYTES, right_output(right_arena), RIGHT_OUTPUT_BYTES);
}
"#;

/// Both packages and what joins them, in one folder, with its cases. They have kernels of the same widths, since both
/// read pixels and write logits, and others.
fn pair() -> (TempDir, PackageFolder, Cases) {
    let examples = [Example::new(BitWidth::B4, BitWidth::B8, 3), Example::new(BitWidth::B4, BitWidth::B4, 4)];
    let folder = tempfile::tempdir().unwrap();
    for (example, name) in examples.iter().zip(["left", "right"]) {
        example.write(folder.path(), name, |_, text| text.into());
    }
    fs::write(folder.path().join("pair.h"), HEADER).unwrap();
    fs::write(folder.path().join("pair.c"), SOURCE).unwrap();
    let samples: Vec<Vec<u8>> = examples[0]
        .images(2)
        .into_iter()
        .zip(examples[1].images(2))
        .map(|(left, right)| [left, right].concat())
        .collect();
    let interpreters = examples.each_ref().map(|example| Interpreter::new(example.integer()));
    let answer = |input: &[u8]| {
        let halves = input.split_at(input.len() / 2);
        [interpreters[0].run(halves.0), interpreters[1].run(halves.1)].concat()
    };
    let cases = Cases::with_answers(&samples, samples[0].len(), 1, answer).unwrap();
    let package = PackageFolder { folder: folder.path().into(), prefix: "pair".into() };
    (folder, package, cases)
}

/// `runner`, compiled with `flags` too.
fn job(runner: Runner, flags: &[&str]) -> Job {
    let Some(core) = runner.core() else { return Job::host(4) };
    let mut job = Job::emulated(runner, 4, &boards::core(core).unwrap(), None);
    job.flags.extend(flags.iter().map(ToString::to_string));
    job
}

#[test]
fn two_packages_in_one_program_pass_on_every_runner_under_every_optimization() {
    let (_folder, package, cases) = pair();
    let mut jobs: Vec<Job> = Runner::all().into_iter().map(|runner| job(runner, &[])).collect();
    for runner in Runner::usual("cortex-m4").into_iter().filter(|runner| runner.core().is_some()) {
        jobs.extend([&["-O0"][..], &["-Os"], &["-O3"], &["-flto"]].map(|flags| job(runner, flags)));
    }
    for (job, result) in jobs.iter().zip(verify(&package, &cases, &jobs, &VerifySettings::default()).unwrap()) {
        assert_eq!(result.status, Status::Passed, "{:?}: {result:?}", job.flags);
        assert_eq!((result.samples, result.mismatches), (4, 0));
    }
}
