//! `--max-minstr`: a limit of instructions in fits, inspections and sweeps.

use super::{Example, assert_same, fit_args, report, run, scratch, tree, unproven};
use bitesize::input::{Model, Preprocess, PreprocessFile};
use bitesize::observe::Monitor;
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::target::Budget;
use bitesize_search::{Problem, from_compact};
use bitesize_verify::boards;
use std::fs;
use std::path::Path;

/// Activations of 8 bits take 3.3 million instructions on a Cortex-M4, of 4 bits 3.6 million; the small kernels 10 million and
/// more. 12 KiB of RAM ask for narrower activations somewhere where layers run one after the other.
const TIGHT: [&str; 10] =
    ["--schedule", "layers", "--flash", "48KiB", "--ram", "12KiB", "--max-minstr", "3.4", "--episodes", "90"];

/// The predicted instructions of the run in `out`.
fn predicted(out: &str) -> u64 {
    report(out)["instructions"]["predicted"].as_u64().expect("the core file has instructions")
}

#[test]
fn a_limit_that_some_policies_keep_is_kept_and_reported() {
    let (folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &TIGHT)).expect(0, &[]);
    assert!(predicted(&out) <= 3_400_000);
    let told = report(&out);
    assert_eq!(told["constraints"]["instructions"], 3_400_000);
    assert!(told["ram"]["total"].as_u64() <= Some(12 << 10) && told["flash"]["total"].as_u64() <= Some(48 << 10));
    // Without the limit this budget takes the small kernels, which take too many.
    assert_eq!(told["target"]["kernels"], "fast");
    let file = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
    assert!(file("config.toml").contains("instructions = 3400000"));
    assert!(file("report.md").contains("at most 3.4 million instructions"));
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["finished"]);
    let other = [&TIGHT[..6], &["--max-minstr", "3.5", "--episodes", "90", "--resume"]].concat();
    unproven(&fit_args(&out, &example, &other)).expect(1, &["search.constraints.instructions"]);

    // Cut off, it goes on to the same.
    let (diary, probes) = (file("search.jsonl"), file("probes.jsonl"));
    assert!(diary.lines().count() > 6, "{diary}");
    let cut = folder.path().join("cut").display().to_string();
    fs::create_dir(&cut).unwrap();
    fs::write(Path::new(&cut).join("config.toml"), file("config.toml")).unwrap();
    fs::write(Path::new(&cut).join("search.jsonl"), &diary.as_bytes()[..diary.len() / 2]).unwrap();
    fs::write(Path::new(&cut).join("probes.jsonl"), probes).unwrap();
    unproven(&["fit", "--resume", "-o", &cut]).expect(0, &[]);
    let kept = |folder: &str| {
        let all = tree(Path::new(folder)).into_iter();
        let names = all.map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes));
        names.filter(|(path, _)| path.ends_with("search.jsonl") || path.ends_with("policy.toml")).collect::<Vec<_>>()
    };
    assert_eq!(kept(&out).len(), 2);
    assert_same(&kept(&cut), &kept(&out), "a run that was cut off");
}

#[test]
fn every_strategy_is_delivered_under_it() {
    let example = Example::new();
    for strategy in ["auto", "exact", "evolution", "greedy", "rules", "random", "ddpg"] {
        let (_folder, out) = scratch();
        let flags = [&TIGHT[..8], &["--episodes", "6", "--search", strategy]].concat();
        unproven(&fit_args(&out, &example, &flags)).expect(0, &[]);
        assert!(predicted(&out) <= 3_400_000, "{strategy}");
    }
}

#[test]
fn a_limit_alone_is_a_budget_and_what_does_not_fit_is_told() {
    let (folder, _) = scratch();
    let example = Example::new();
    let least = "million (proved)";
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (&["--max-minstr", "3.33"], 0, &[]),
        (&["--max-minstr", "3.2"], 3, &["does not fit", ", 3.2 million instructions\n", least, "boards that would do"]),
        (&["--max-minstr", "3.4", "--policy", "4/4"], 3, &["the given policy takes", " million instructions"]),
        (&["--max-minstr", "9", "--kernels", "small"], 3, &["least instructions  10."]),
        (&["--max-minstr", "0"], 2, &["number of millions"]),
        (&["--max-minstr", "-3"], 2, &["number of millions"]),
        (&["--max-minstr", "12M"], 2, &["number of millions"]),
        (&[], 2, &["--max-minstr"]),
    ];
    for (number, (flags, code, words)) in cases.into_iter().enumerate() {
        let out = folder.path().join(format!("case{number}")).display().to_string();
        let flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
        let joined: Vec<String> = match &flags[..] {
            [name, value, rest @ ..] => [&[format!("{name}={value}")], rest].concat(),
            _ => flags,
        };
        let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
        unproven(&fit_args(&out, &example, &joined)).expect(code, words);
    }
}

#[test]
fn an_inspection_answers_for_the_limit() {
    let example = Example::new();
    let asked =
        |limit: &str| run(&["inspect", &example.model, "--preprocess", &example.preprocess, "--max-minstr", limit]);
    let fits = asked("3.33").expect(0, &[]).out;
    assert!(fits.contains("budget       FLASH without limit, RAM without limit, 3.33 million instructions"), "{fits}");
    assert!(fits.contains("together     fits with"), "{fits}");
    let board = |name: &str, out: &str| out.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(board("stm32f411", &fits).ends_with("8 bits"), "{fits}");
    assert!(board("rp2040", &fits).ends_with(" no"), "{fits}");
    let not = asked("3.2").expect(3, &[]).out;
    assert!(not.contains("does not fit; this would do"), "{not}");
}

#[test]
fn every_point_of_a_sweep_keeps_it() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let flags = ["--max-minstr", "3.4", "--pareto=3", "--episodes", "12", "--schedule", "layers"];
    unproven(&fit_args(&out, &example, &flags)).expect(0, &[]);
    let mut model = Model::load(Path::new(&example.model), &Monitor::unobserved()).unwrap();
    let file = PreprocessFile::from_toml(&fs::read_to_string(&example.preprocess).unwrap()).unwrap();
    let shape = model.network.shape(model.network.input);
    model.fold_preprocessing(&Preprocess::checked(&file, shape).unwrap()).unwrap();
    let core = boards::core("cortex-m4").unwrap().with_schedule(Scheduling::Layers, InputRows::Image);
    let problem = Problem::new(&model.network, &model.space, &core, Budget::UNLIMITED);
    let text = fs::read_to_string(Path::new(&out).join("pareto.csv")).unwrap();
    let points: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert!(points.len() >= 6, "{text}");
    for point in points {
        let policy = from_compact(point[12], &model.space).unwrap();
        let footprint = problem.footprint(&policy);
        assert_eq!(footprint.ram_bytes.to_string(), point[3]);
        assert_eq!(footprint.instructions.to_string(), point[5]);
        assert!(footprint.instructions <= 3_400_000, "{point:?}");
    }
}
