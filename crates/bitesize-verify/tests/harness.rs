//! The harness on a package of one made-up layer: what it measures, and what it must not let pass.

use bitesize_verify::{
    Cases, Job, MACHINES, Mismatch, PackageFolder, Prediction, Progress, Runner, RunnerResult, Status, Tools,
    VerifyError, VerifySettings, verify,
};
use std::fs;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const MODEL_H: &str = include_str!("toy/model.h");
const MODEL_C: &str = include_str!("toy/model.c");
const WEIGHTS_C: &str = include_str!("toy/weights.c");
const MARK: &str = "/* MARK */";
const INCLUDE: &str = "#include \"model.h\"";

/// What `toy/model.c` computes.
fn answer(input: &[u8]) -> Vec<u8> {
    let weight = |i: i32| (i * 37 + 11) % 255 - 127;
    let channel = |o: i32| (0..16).map(|i| i32::from(input[i as usize]) * weight(16 * o + i)).sum::<i32>();
    (0..4).map(|o| (channel(o) as u32 >> 4) as u8).collect()
}

fn samples(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|s| (0..16).map(|i| s.wrapping_mul(31).wrapping_add(i * 13)).collect()).collect()
}

fn cases() -> Cases {
    Cases::with_answers(&samples(4), 16, 7, answer).unwrap()
}

/// The toy package with `edit` applied to its `model.c`.
fn package(edit: impl Fn(&str) -> String) -> (TempDir, PackageFolder) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("model.h", MODEL_H), ("model.c", &edit(MODEL_C)), ("weights.c", WEIGHTS_C)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let package = PackageFolder { folder: folder.path().into(), prefix: "model".into() };
    (folder, package)
}

fn flags(core: &str) -> Vec<String> {
    let common = ["-O2", "-std=c99", "-mthumb", "-ffunction-sections", "-fdata-sections"];
    common.into_iter().map(String::from).chain([format!("-mcpu={core}")]).collect()
}

fn job(runner: &str) -> Job {
    let runner = Runner::named(runner).unwrap();
    Job { runner, samples: 4, flags: runner.core().map(flags).unwrap_or_default(), prediction: None, layers: 0 }
}

fn run(package: &PackageFolder, jobs: &[Job], settings: &VerifySettings<'_>) -> Vec<RunnerResult> {
    verify(package, &cases(), jobs, settings).unwrap()
}

/// The toy with `edit` on one runner.
fn run_edited(runner: &str, edit: impl Fn(&str) -> String, settings: &VerifySettings<'_>) -> RunnerResult {
    let (_folder, package) = package(edit);
    run(&package, &[job(runner)], settings).remove(0)
}

fn check_fails(runner: &str, inserted: &str, settings: &VerifySettings<'_>, expected: &str) {
    let result = run_edited(runner, |c| c.replace(MARK, inserted), settings);
    match &result.status {
        Status::Failed { reason } => assert!(reason.contains(expected), "`{reason}` does not say `{expected}`"),
        other => panic!("{runner} with `{inserted}`: {other:?}"),
    }
}

#[test]
fn every_runner_passes_and_repeats_its_figures() {
    let (_folder, package) = package(str::to_string);
    let jobs: Vec<Job> = Runner::all().iter().map(|runner| job(runner.name())).collect();
    let first = run(&package, &jobs, &VerifySettings::default());
    let again = run(&package, &jobs, &VerifySettings { workers: NonZero::<usize>::MIN, ..VerifySettings::default() });
    for (result, again) in first.iter().zip(&again) {
        assert_eq!(result.status, Status::Passed, "{result:?}");
        assert_eq!((result.samples, result.mismatches), (4, 0));
        let figures = |r: &RunnerResult| (r.instructions, r.stack_bytes, r.flash_bytes, r.ram_bytes);
        assert_eq!(figures(result), figures(again), "{}", result.runner);
        if result.runner == "host-c" {
            assert_eq!(figures(result), (None, None, None, None));
            continue;
        }
        // 64 multiplications: a handful of instructions each.
        assert!((200..2000).contains(&result.instructions.unwrap()), "{result:?}");
        assert!((0..200).contains(&result.stack_bytes.unwrap()), "{result:?}");
        // 64 bytes of weights and some code.
        assert!((64 + 40..64 + 200).contains(&result.flash_bytes.unwrap()), "{result:?}");
        assert_eq!(result.ram_bytes.unwrap(), 64 + result.stack_bytes.unwrap());
    }
}

#[test]
fn wrong_bytes_are_mismatches() {
    let wrong = "if (input[0] == 31u) { output[2] ^= 1u; }";
    for runner in ["host-c", "qemu-m4", "qemu-m7"] {
        let result = run_edited(runner, |c| c.replace(MARK, wrong), &VerifySettings::default());
        assert_eq!(result.mismatches, 1, "{runner}");
        let expected = answer(&samples(4)[1])[2];
        let mismatch = Mismatch { case: "sample 1".into(), byte: 2, expected, found: expected ^ 1 };
        assert_eq!(result.status, Status::Mismatch(mismatch), "{runner}");
    }
}

#[test]
fn instructions_are_counted_beyond_the_wrap_of_systick() {
    let count = |loops: u64| {
        let work = format!("for (uint32_t i = 0; i < {loops}u; i++) {{ __asm__ volatile(\"nop\"); }}");
        run_edited("qemu-m4", |c| c.replace(MARK, &work), &VerifySettings::default()).instructions.unwrap()
    };
    let (less, more) = (count(10_000_000), count(360_000_000));
    // Three or four instructions a turn; 2^24 ticks are 671 million instructions.
    let per_turn = (more - less) as f64 / 350e6;
    assert!((per_turn - per_turn.round()).abs() < 1e-6, "{per_turn} instructions a turn");
    assert!(more > 671_000_000);
}

#[test]
fn stack_is_the_deepest_that_was_written() {
    let deep = "volatile uint32_t frame[256]; for (uint32_t i = 0; i < 256u; i++) { frame[i] = i; } (void)frame;";
    for machine in &MACHINES {
        let plain = run_edited(machine.runner, str::to_string, &VerifySettings::default()).stack_bytes.unwrap();
        let more =
            run_edited(machine.runner, |c| c.replace(MARK, deep), &VerifySettings::default()).stack_bytes.unwrap();
        assert!((1024..1024 + 64).contains(&(more - plain)), "{}: {plain} and {more}", machine.runner);
    }
}

#[test]
fn sizes_are_of_what_the_package_brings_and_the_linker_keeps() {
    let plain = run_edited("qemu-m4", str::to_string, &VerifySettings::default());
    let check = |declared: &str, used: &str, flash: std::ops::Range<u64>, ram: u64| {
        let edit = |c: &str| c.replace(MARK, used).replace(INCLUDE, &format!("{INCLUDE}\n{declared}\n"));
        let result = run_edited("qemu-m4", edit, &VerifySettings::default());
        assert_eq!(result.status, Status::Passed, "{declared} {used}");
        let more = result.flash_bytes.unwrap() - plain.flash_bytes.unwrap();
        assert!(flash.contains(&more), "{declared} {used}: {more} more bytes of FLASH");
        let variables = |r: &RunnerResult| r.ram_bytes.unwrap() - r.stack_bytes.unwrap();
        assert_eq!(variables(&result) - variables(&plain), ram, "{declared} {used}");
    };
    let table = "extern const uint8_t table[1000];\nconst uint8_t table[1000] = {1};";
    check(table, "", 0..1, 0);
    check(table, "*(volatile uint8_t *)arena = table[input[0]];", 1000..1032, 0);
    check("extern uint8_t kept[200];\nuint8_t kept[200];", "kept[input[0] % 200] = 1;", 8..40, 200);
    check("extern uint8_t set[200];\nuint8_t set[200] = {1};", "set[input[0] % 200] = 1;", 208..240, 200);
    // The C library is not the package.
    check("#include <string.h>", "memmove(arena, (uint8_t *)arena + input[0] % 8, input[1] % 8);", 8..60, 0);
}

#[test]
fn a_package_larger_than_code_memory_runs_all_the_same() {
    let large = "#define LARGE 5000000\nextern const uint8_t large[LARGE];\nconst uint8_t large[LARGE] = {0, 1};\n";
    let read = "output[0] = (uint8_t)(output[0] + ((const volatile uint8_t *)large)[input[0] + 4000000u]);";
    for machine in &MACHINES {
        let edit = |c: &str| c.replace(MARK, read).replace(INCLUDE, &format!("{INCLUDE}\n{large}"));
        let result = run_edited(machine.runner, edit, &VerifySettings::default());
        assert_eq!(result.status, Status::Passed, "{result:?}");
        assert!(result.flash_bytes.unwrap() > 5_000_000);
    }
}

#[test]
fn what_does_not_compile_or_run_fails() {
    let settings = VerifySettings { run_limit: Duration::from_secs(2), ..VerifySettings::default() };
    let hang = "while (*(volatile uint8_t *)arena != 1) { *(volatile uint8_t *)arena = 0; }";
    check_fails("host-c", "int unused;", &settings, "unused");
    check_fails("qemu-m4", "int unused;", &settings, "unused");
    check_fails("host-c", hang, &settings, "did not end within 2 s");
    check_fails("qemu-m4", hang, &settings, "did not end within 2 s");
    check_fails("host-c", "*(volatile uint8_t *)1 = 0;", &settings, "failed");
    check_fails("qemu-m4", "*(volatile uint8_t *)0xF0000000 = 0;", &settings, "faulted");
    check_fails("qemu-m7", "*(volatile uint8_t *)0xF0000000 = 0;", &settings, "faulted");
    // A Cortex-M0+ refuses it; the core that stands for it would not.
    check_fails("qemu-m0plus", "*(volatile uint32_t *)(uintptr_t)((uint8_t *)arena + 33) = 0;", &settings, "faulted");
    // More stack than there is.
    let overflow =
        "volatile uint8_t frame[100000]; for (uint32_t i = 100000; i > 0; i--) { frame[i - 1u] = 1; } (void)frame;";
    check_fails("qemu-m4", overflow, &settings, "bytes of stack");
}

/// What a tool does when the machine has no room or no time for it is no word about the package.
#[test]
fn tools_that_fail_or_do_nothing_refute_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let host = |text: &str| Tools { host_compiler: script("host", text), ..Tools::default() };
    let arm = |text: &str| Tools { arm_compiler: script("arm", text), ..Tools::default() };
    let emulator = |text: &str| Tools { emulator: script("emulator", text), ..Tools::default() };
    let check = |runner: &str, tools: Tools, expected: &str| {
        let settings = VerifySettings { tools, run_limit: Duration::from_secs(2), ..VerifySettings::default() };
        check_fails(runner, "", &settings, expected);
    };
    check("host-c", host("echo no memory left; exit 1"), "no memory left");
    check("host-c", host("exit 0"), "left no");
    check("host-c", host("kill -9 $$"), "signal: 9");
    check("qemu-m4", arm("case $1 in -print*) echo /libc.a;; -W*) echo no room left; exit 1;; esac"), "no room left");
    check("qemu-m4", emulator("ulimit -v 200000; exec qemu-system-arm \"$@\""), "failed");
    check("qemu-m4", emulator("sleep 60"), "did not end within 2 s");
    check("qemu-m4", emulator("exit 0"), "left no report");
}

/// A stack that leaves the harness's is over any bound that holds for the compiler.
#[test]
fn what_prints_without_end_is_stopped_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("emulator");
    // Its child prints: what stops it must reach that too.
    fs::write(&script, "#!/bin/sh\necho begun\nhead -c 3000000000 /dev/zero && echo done > \"$0.done\"\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tools = Tools { emulator: script.display().to_string(), ..Tools::default() };
    let settings = VerifySettings { tools, ..VerifySettings::default() };
    let result = run_edited("qemu-m4", |text| text.into(), &settings);
    let Status::Failed { reason } = &result.status else { panic!("{:?}", result.status) };
    assert!(reason.contains("printed more than 64 MiB and was stopped") && reason.len() < 20_000, "{reason}");
    assert!(!folder.path().join("emulator.done").exists(), "it printed to its end");
}

#[test]
fn a_stack_without_end_is_over_the_bound() {
    let deep =
        "volatile uint8_t frame[100000]; for (uint32_t i = 100000; i > 0; i--) { frame[i - 1u] = 1; } (void)frame;";
    let plain = run_edited("qemu-m4", str::to_string, &VerifySettings::default());
    let (_folder, package) = package(|c| c.replace(MARK, deep));
    let status = |compiler: String| {
        let prediction =
            Prediction { flash_bytes: 1000, arena_bytes: 64, stack_bytes: 100, instructions: None, compiler };
        let job = Job { prediction: Some(prediction), ..job("qemu-m4") };
        run(&package, &[job], &VerifySettings::default()).remove(0).status
    };
    assert!(matches!(status(plain.compiler.unwrap()), Status::OverBound { .. }));
    assert!(matches!(status("another".into()), Status::Failed { .. }));
}

#[test]
fn sizes_are_held_against_the_prediction() {
    let (_folder, package) = package(str::to_string);
    let plain = run(&package, &[job("qemu-m4")], &VerifySettings::default()).remove(0);
    let exact = Prediction {
        instructions: None,
        flash_bytes: plain.flash_bytes.unwrap(),
        arena_bytes: 64,
        stack_bytes: plain.stack_bytes.unwrap(),
        compiler: plain.compiler.unwrap(),
    };
    let judge = |prediction: Prediction| {
        let job = Job { prediction: Some(prediction), ..job("qemu-m4") };
        run(&package, &[job], &VerifySettings::default()).remove(0)
    };
    let reason = |result: RunnerResult| match result.status {
        Status::OverBound { reason } => reason,
        other => panic!("{other:?}"),
    };
    let passed = judge(exact.clone());
    assert_eq!((passed.status, passed.notes.len()), (Status::Passed, 0));
    assert_eq!(passed.ram_bytes, Some(64 + exact.stack_bytes));

    let less = |flash, arena, stack| Prediction {
        flash_bytes: exact.flash_bytes - flash,
        arena_bytes: exact.arena_bytes - arena,
        stack_bytes: exact.stack_bytes - stack,
        ..exact.clone()
    };
    assert!(reason(judge(less(1, 0, 0))).contains("FLASH: predicted"));
    assert!(reason(judge(less(0, 4, 0))).contains("RAM without stack"));
    assert!(reason(judge(less(0, 0, 4))).contains("stack: bound"));
    let over = judge(Prediction { flash_bytes: exact.flash_bytes * 2, ..exact.clone() });
    assert_eq!((over.status, over.notes.len()), (Status::Passed, 1));
    // Bounds are those of the compiler that is named; the arena is an array, and no compiler makes it smaller.
    let other = judge(Prediction { compiler: "another".into(), ..less(1, 4, 4) });
    assert_eq!((other.status, other.notes.len()), (Status::Passed, 1));
    for compiler in ["another", &exact.compiler] {
        let smaller = Prediction { arena_bytes: 68, compiler: compiler.into(), ..exact.clone() };
        assert!(matches!(judge(smaller).status, Status::Failed { .. }), "{compiler}");
    }
}

#[test]
fn a_missing_tool_is_named_and_never_passes() {
    let missing = || "no-such-program-anywhere".to_string();
    let tables = [
        ("host-c", Tools { host_compiler: missing(), ..Tools::default() }, "gcc"),
        ("qemu-m4", Tools { arm_compiler: missing(), ..Tools::default() }, "gcc-arm-none-eabi"),
        ("qemu-m4", Tools { emulator: missing(), ..Tools::default() }, "qemu-system-arm"),
    ];
    for (runner, tools, package) in tables {
        let result = run_edited(runner, str::to_string, &VerifySettings { tools, ..VerifySettings::default() });
        match result.status {
            Status::NotRun { reason, install } => {
                assert!(reason.contains("no-such-program-anywhere") && install.contains(package));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(result.samples, 0);
    }
}

#[test]
fn nothing_to_verify_is_an_error() {
    assert!(matches!(Cases::with_answers(&[], 16, 0, answer), Err(VerifyError::NoSamples)));
    let short = Cases::with_answers(&[vec![0; 16], vec![0; 15]], 16, 0, answer);
    assert!(matches!(short, Err(VerifyError::SampleSize { index: 1, expected: 16, found: 15 })));
    let (_folder, package) = package(str::to_string);
    let none = Job { samples: 0, ..job("host-c") };
    assert!(matches!(verify(&package, &cases(), &[none], &VerifySettings::default()), Err(VerifyError::NoSamples)));
}

#[test]
fn progress_is_told_and_cancelling_stops_a_run() {
    let (_folder, package) = package(|c| c.replace(MARK, "for (volatile int i = 0; i >= 0;) {}"));
    let told = Mutex::new(Vec::new());
    let cancel = AtomicBool::new(false);
    let progress = |event: Progress<'_>| {
        let mut told = told.lock().unwrap();
        match event {
            Progress::Compiling { runner } => told.push(format!("compiling {runner}")),
            Progress::Running { runner, done, total } => {
                told.push(format!("running {runner} {done}/{total}"));
                cancel.store(true, Ordering::Relaxed);
            }
            Progress::Finished(result) => told.push(format!("finished {}", result.runner)),
        }
    };
    let cancelled = || cancel.load(Ordering::Relaxed);
    let settings = VerifySettings { progress: &progress, cancelled: &cancelled, ..VerifySettings::default() };
    let result = verify(&package, &cases(), &[job("qemu-m4")], &settings);
    assert!(matches!(result, Err(VerifyError::Interrupted)));
    assert_eq!(*told.lock().unwrap(), ["compiling qemu-m4", "running qemu-m4 0/7"]);
}
