//! Every case as emitted C, on the host and on emulated Cortex-M, against the interpreter.

use bitesize_integer::{IntNetwork, IntOp};
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::target::CoreCosts;
use bitesize_verify::{
    Cases, Job, Mismatch, PackageFolder, Runner, RunnerResult, Status, Tools, VerifySettings, boards, verify,
};
use conformance::batch::{Batch, Member};
use conformance::draw::Draw;
use conformance::plan::plan_of;
use conformance::{Case, cases, random_layer, random_network};
use rand::RngExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn core(runner: Runner) -> CoreCosts {
    boards::core(runner.core().unwrap_or("cortex-m4")).expect("the core has a file")
}

/// The two ways in which layers are computed: row by row, and by kernels of their widths.
fn ways() -> [(&'static str, CoreCosts); 2] {
    let core = core(Runner::Host);
    assert!(core.has_rows(), "{} computes row by row", core.name);
    [(" whole", core.with_rows(false)), (" by rows", core)]
}

/// Runs `package` on `runners`, each in both ways, and compares with what the interpreter says of `cases`, which are the same
/// cases where nothing is damaged; the way with each result.
fn run(package: &[Case], cases: &[Case], runners: &[Runner]) -> Vec<(&'static str, RunnerResult)> {
    run_as(package, cases, &|samples| runners.iter().map(|runner| job(*runner, samples)).collect(), &Tools::default())
}

fn job(runner: Runner, samples: usize) -> Job {
    match runner {
        Runner::Host => Job::host(samples),
        Runner::Emulated(_) => Job::emulated(runner, samples, &core(runner), None),
    }
}

/// As [`run`], with the jobs that `jobs` makes for a number of samples.
fn run_as(
    package: &[Case],
    cases: &[Case],
    jobs: &dyn Fn(usize) -> Vec<Job>,
    tools: &Tools,
) -> Vec<(&'static str, RunnerResult)> {
    let mut results = Vec::new();
    for (way, core) in ways() {
        let (emitted, batch) = (Batch::of(package, &core), Batch::of(cases, &core));
        results.extend(run_batch(&emitted, &batch, jobs, tools).into_iter().map(|result| (way, result)));
    }
    results
}

/// Runs `emitted` and compares with what the interpreter says of `batch`.
fn run_batch(emitted: &Batch, batch: &Batch, jobs: &dyn Fn(usize) -> Vec<Job>, tools: &Tools) -> Vec<RunnerResult> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &emitted.files {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let inputs = batch.inputs();
    let checked = Cases::with_answers(&inputs, batch.input_bytes, 0, |input| batch.answer(input)).unwrap();
    let package = PackageFolder { folder: folder.path().into(), prefix: "batch".into() };
    let settings = VerifySettings { tools: tools.clone(), ..VerifySettings::default() };
    verify(&package, &checked, &jobs(inputs.len()), &settings).unwrap()
}

/// The case that a mismatch is about, in words.
fn explain(batch: &Batch, mismatch: &Mismatch) -> String {
    let number: Option<usize> = mismatch.case.strip_prefix("sample ").and_then(|n| n.parse().ok());
    let case = number.map(|n| batch.case(&batch.inputs()[n]));
    case.map_or(mismatch.case.clone(), |case| format!("{}\n{}", case.name, case.int))
}

/// [`expect_all_passed`] of `cases`.
fn expect_passed(cases: &[Case], result: &RunnerResult, how: &str) {
    expect_all_passed(&Batch::of(cases, &core(Runner::Host)), result, how);
}

/// Fails unless the runner passed. One whose tools are not installed cannot be tested, and says so.
fn expect_all_passed(batch: &Batch, result: &RunnerResult, how: &str) {
    let name = format!("{}{how}", result.runner);
    match &result.status {
        Status::Passed => println!("{name}: {} inputs in {:?}", result.samples, result.elapsed),
        Status::Mismatch(mismatch) => {
            let text = explain(batch, mismatch);
            panic!("{name}: {} inputs differ, the first at {mismatch:?}: {text}", result.mismatches);
        }
        Status::OverBound { reason } | Status::Failed { reason } => panic!("{name}: {reason}"),
        Status::NotRun { reason, install } => println!("SKIPPED: {name} was not run: {reason}; install {install}"),
    }
}

#[test]
fn every_case_gives_the_interpreters_bytes_on_every_runner() {
    let cases = cases();
    for (way, core) in ways() {
        Batch::of(&cases, &core).check_plans().unwrap_or_else(|problem| panic!("{problem}{way}"));
    }
    for (way, result) in run(&cases, &cases, &Runner::all()) {
        expect_passed(&cases, &result, way);
    }
}

/// Random networks in a package: so many that compiling them is worth starting a compiler, and few enough for the memory of
/// the emulated machines.
const PACKAGE: u64 = 20;

/// Of the random networks, one in so many is run on the emulated cores too.
const EMULATED: u64 = 10;

/// Networks and single layers drawn at random, with widths, windows and multipliers at the ends of what is legal: on the
/// host, and a tenth of them on the emulated cores, in every schedule, with the input as an image and by rows; where nobody asks for
/// many, each in one of these in C and in all in its arena. `BITESIZE_TEST_NETWORKS` says how many (40), or which, as in
/// 500..1000.
#[test]
fn random_networks_give_the_interpreters_bytes() {
    let asked = std::env::var("BITESIZE_TEST_NETWORKS").ok();
    let wrong = "BITESIZE_TEST_NETWORKS is a number, or two as in 500..1000";
    let number = |text: &str| text.parse::<u64>().expect(wrong);
    let asked_for = asked.as_deref().unwrap_or("40");
    let (begin, end) = match asked_for.split_once("..") {
        Some((begin, end)) => (number(begin), number(end)),
        None => (0, number(asked_for)),
    };
    let drawn = |seed: u64| match seed % 2 {
        0 => Some(random_network(seed)),
        _ => random_layer(seed),
    };
    let mut draws = (0..).map(|i| 1_000_000 + i).filter_map(drawn).skip(begin as usize);
    for first in (begin..end).step_by(PACKAGE as usize) {
        let part = first / PACKAGE;
        let networks: Vec<_> = draws.by_ref().take(PACKAGE.min(end - first) as usize).collect();
        let mut runners = vec![Runner::Host];
        if part.is_multiple_of(EMULATED) {
            runners.extend(Runner::all().into_iter().filter(|runner| *runner != Runner::Host));
        }
        for (number, (way, by_rows, schedule)) in schedules().enumerate() {
            // All of them where somebody asked for many networks, else in turns.
            let is_emitted =
                |index: usize| asked.is_some() || (index + part as usize) % (SCHEDULES / 2) == number % (SCHEDULES / 2);
            let member = |network: &IntNetwork| Member::new(network.clone(), noise(network), by_rows, schedule);
            let all: Vec<Member> = networks.iter().map(member).collect();
            let emitted: Vec<Member> = all
                .iter()
                .enumerate()
                .filter(|(index, _)| is_emitted(*index))
                .map(|(_, member)| member.clone())
                .collect();
            let checked = all.iter().try_for_each(Member::check_plan);
            checked.unwrap_or_else(|problem| panic!("random networks {part}, {way}: {problem}"));
            if emitted.is_empty() {
                continue;
            }
            let batch = Batch::new(emitted);
            let jobs = |samples| runners.iter().map(|runner| job(*runner, samples)).collect();
            for result in run_batch(&batch, &batch, &jobs, &Tools::default()) {
                expect_all_passed(&batch, &result, &format!(", random networks {part}, {way}"));
            }
        }
        let arenas = |scheduling| {
            let bytes = |network: &IntNetwork| {
                let plan = |by_rows| plan_of(network, by_rows, scheduling, InputRows::Image).arena_bytes;
                [plan(false), plan(true)]
            };
            networks.iter().flat_map(bytes).collect::<Vec<usize>>()
        };
        let [auto, in_place, layers] = Scheduling::ALL.map(arenas);
        let is_at_most = |less: &[usize], more: &[usize]| less.iter().zip(more).all(|(less, more)| less <= more);
        assert!(is_at_most(&auto, &in_place) && is_at_most(&in_place, &layers), "random networks {part}");
    }
}

/// How many [`schedules`] there are.
const SCHEDULES: usize = 12;

/// Ways to compute a network: with small kernels or by rows, in each schedule, its input coming as an image or by rows.
fn schedules() -> impl Iterator<Item = (String, bool, (Scheduling, InputRows))> {
    [false, true].into_iter().flat_map(|by_rows| {
        Scheduling::ALL.into_iter().flat_map(move |scheduling| {
            InputRows::ALL.into_iter().map(move |input| {
                let kernels = if by_rows { "by rows" } else { "whole" };
                (format!("{kernels}, {scheduling}, {}", input.name()), by_rows, (scheduling, input))
            })
        })
    })
}

/// Two inputs of noise.
fn noise(network: &IntNetwork) -> Vec<Vec<u8>> {
    let input = network.tensor(network.input);
    let mut draw = Draw::new(input.shape.elements() as u64);
    let mut image = || (0..input.shape.elements()).map(|_| draw.0.random_range(0..=input.bits.max_code())).collect();
    vec![image(), image()]
}

/// Whether `compiler` makes programs with `flags` that run; says so where it does not.
fn compiles(compiler: &str, flags: &[&str]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.c"), "int main(void) { return 0; }\n").unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let works = run(Path::new(compiler), &[flags, &["empty.c", "-o", "empty"]].concat())
        && run(&folder.path().join("empty"), &[]);
    if !works {
        println!("SKIPPED: `{compiler}` is missing or cannot compile with {}; install clang and gcc", flags.join(" "));
    }
    works
}

/// Undefined behaviour and wrapping that is not meant stop the program. Wrapping that is meant says so in the kernels.
/// Clang looks for more and compiles this in half of gcc's time; without optimization, which would take twice as long.
#[test]
fn every_case_runs_under_sanitizers() {
    let checks: [(&str, &[&str]); 2] = [
        ("clang", &["-O0", "-fsanitize=undefined,address,integer,pointer-overflow", "-fno-sanitize-recover=all"]),
        ("cc", &["-O0", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"]),
    ];
    let cases = cases();
    let Some((compiler, flags)) = checks.into_iter().find(|(compiler, flags)| compiles(compiler, flags)) else {
        return;
    };
    let flags_of_job: Vec<String> = flags.iter().map(ToString::to_string).collect();
    let jobs = |samples| vec![Job { flags: flags_of_job.clone(), ..Job::host(samples) }];
    let tools = Tools { host_compiler: compiler.into(), ..Tools::default() };
    for (way, result) in run_as(&cases, &cases, &jobs, &tools) {
        expect_passed(&cases, &result, &format!("{way} by {compiler} {}", flags.join(" ")));
    }
}

/// Damages the network of one case among others and expects just that case to differ.
fn check_damage(name: &str, damage: impl Fn(&mut IntNetwork)) {
    let among = |case: &Case| case.name == name || case.name.starts_with("fully_connected_5_to_3");
    let cases: Vec<Case> = cases().into_iter().filter(among).collect();
    let mut damaged = cases.clone();
    let case = damaged.iter_mut().find(|case| case.name == name).expect("there is such a case");
    damage(&mut case.int);
    for (way, result) in run(&damaged, &cases, &[Runner::Host]) {
        match result.status {
            Status::Mismatch(mismatch) => {
                let text = explain(&Batch::of(&cases, &core(Runner::Host)), &mismatch);
                assert!(text.starts_with(name), "{mismatch:?}{way}");
            }
            Status::NotRun { reason, .. } => println!("SKIPPED: {reason}"),
            other => panic!("{name}{way}: {other:?}"),
        }
    }
}

#[test]
fn one_wrong_number_is_seen() {
    check_damage("conv2d_square_8_8_8", |network| match &mut network.nodes[0].op {
        IntOp::Conv2d { weights, .. } => Arc::make_mut(&mut weights.levels)[50] *= -1,
        other => panic!("{other:?}"),
    });
    check_damage("depthwise_conv2d_wide_4_2_8", |network| match &mut network.nodes[1].op {
        IntOp::DepthwiseConv2d { rescale, .. } => rescale.multipliers[32].n -= 1,
        other => panic!("{other:?}"),
    });
    check_damage("pad_1_1_1_1_2", |network| network.tensors[1].zero ^= 1);
}
