//! The trained networks of `../shared/models` on measured kernel costs: the planner against its lower bound, what the
//! networks need at least, and the time that it takes. Where that folder is not there (set `BITESIZE_SHARED` to its
//! parent), the tests say so and do nothing.

mod answers;
mod common;

use answers::{diagnosis_of, feasibility_of};
use bitesize_ir::memory::{InputRows, MemoryModel, Scheduling};
use bitesize_ir::rewrite::rewrite;
use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network};
use bitesize_search::rules::cut_by_rules;
use bitesize_search::widths::{Side, set_width, width};
use bitesize_search::{Diagnosis, Effort, Feasibility, Problem, Verdict, baselines};
use common::space;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Every float network of the folder, rewritten, by name.
fn networks() -> Vec<(String, Network)> {
    let shared = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(shared.join("models")) else {
        eprintln!("SKIPPED: no folder {}/models; BITESIZE_SHARED names the folder that holds it", shared.display());
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder's entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).expect("a readable file");
        let none = |_: &str, _: u64, _: usize| Err(std::io::ErrorKind::NotFound.into());
        let imported = bitesize_import::import_onnx(&bytes, &none, &name).expect("a supported network");
        (name, rewrite(imported.network).expect("a legal network").0)
    };
    paths.into_iter().map(read).collect()
}

fn cortex_m4() -> CoreCosts {
    CoreCosts::from_toml(include_str!("../../../targets/cores/cortex-m4.toml")).expect("a core file")
}

fn random_policy(problem: &Problem, rng: &mut impl Rng) -> bitesize_ir::Policy {
    let mut policy = problem.uniform(BitWidth::B8);
    for row in 0..policy.rows.len() {
        for side in [Side::Weights, Side::Activations] {
            if width(&policy, row, side).is_some() {
                set_width(&mut policy, row, side, BitWidth::ALL[rng.random_range(0..3)]);
            }
        }
    }
    policy
}

/// Layer by layer, the arena is the largest sum of live buffers at 8, 4 and 2 bits, and at all but a few of a thousand random
/// policies.
#[test]
fn arenas_reach_the_lower_bound() {
    let core = cortex_m4().with_schedule(Scheduling::Layers, InputRows::Image);
    for (name, network) in networks() {
        let space = space(&network);
        let problem = Problem::new(&network, &space, &core, Budget::UNLIMITED);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let random = (0..1000).map(|_| random_policy(&problem, &mut rng)).collect::<Vec<_>>();
        let is_above = |policy: &bitesize_ir::Policy| {
            let plan = problem.model().ram(&problem.widths(policy)).plan;
            plan.arena_bytes != plan.lower_bound
        };
        assert!(!BitWidth::ALL.map(|bits| problem.uniform(bits)).iter().any(is_above), "{name}");
        let above = random.iter().filter(|policy| is_above(policy)).count();
        let uniform = BitWidth::ALL.map(|bits| problem.footprint(&problem.uniform(bits)));
        println!("{name}: {above} of 1000 plans above the bound, at 2, 4 and 8 bits {uniform:?}");
        assert!(above <= 5, "{name}: {above}");
    }
}

/// No arena is larger with rows than without, whatever the policy; and how far they are from what is alive.
#[test]
fn rows_never_take_more() {
    let core = cortex_m4();
    for (name, network) in networks() {
        let space = space(&network);
        let ways = [Scheduling::Layers, Scheduling::InPlace, Scheduling::Auto];
        let [layers, in_place, auto] = ways.map(|way| {
            let core = core.with_schedule(way, InputRows::Image);
            Problem::new(&network, &space, &core, Budget::UNLIMITED)
        });
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (mut above, mut most) = ([0; 2], [1.0f64; 2]);
        for _ in 0..500 {
            let policy = random_policy(&layers, &mut rng);
            let plan = |problem: &Problem| problem.model().ram(&problem.widths(&policy)).plan;
            let [of_layers, of_places, of_auto] = [&layers, &in_place, &auto].map(plan);
            assert!(of_auto.arena_bytes <= of_places.arena_bytes, "{name}");
            assert!(of_places.arena_bytes <= of_layers.arena_bytes, "{name}");
            for (way, plan) in [of_places, of_auto].into_iter().enumerate() {
                above[way] += usize::from(plan.arena_bytes > plan.lower_bound);
                most[way] = most[way].max(plan.arena_bytes as f64 / plan.lower_bound as f64);
            }
        }
        println!("{name}: in place and rolling, {above:?} of 500 plans above the bound, at most {most:.2?} times");
    }
}

/// A budget below the least is answered in under a second, with the least of each; one that fits has a policy.
#[test]
fn what_does_not_fit_is_diagnosed_at_once() {
    let core = cortex_m4();
    for (name, network) in networks() {
        let space = space(&network);
        let problem = Problem::new(&network, &space, &core, Budget::UNLIMITED);
        let full = problem.footprint(&problem.uniform(BitWidth::B8));
        for share in [1, 20, 30, 40, 50, 60, 80] {
            let budget = Budget::of(full.flash_bytes * share / 100, full.ram_bytes * share / 100);
            let problem = problem.with_budget(budget);
            let start = Instant::now();
            let diagnosis = diagnosis_of(&problem);
            let taken = start.elapsed();
            println!("{name} at {share} %: {taken:?}\n{diagnosis}");
            assert!(taken < Duration::from_secs(1), "{name} at {share} % took {taken:?}");
            let few = Effort::unwatched().with_steps(12_000_000);
            assert_eq!(Diagnosis::of(&problem, &few), Ok(diagnosis.clone()), "{name} at {share} %: steps");
            let start = Instant::now();
            let feasibility = feasibility_of(&problem);
            let taken = start.elapsed();
            assert!(taken < Duration::from_secs(1), "{name} at {share} % took {taken:?}");
            match (&diagnosis.verdict, feasibility) {
                (Verdict::Fits(policy), Feasibility::Fits(fitting)) => {
                    assert!(problem.fits(policy) && problem.fits(fitting.policy()));
                    assert!(baselines(&problem, &fitting).iter().any(|baseline| baseline.fits));
                }
                (Verdict::Impossible | Verdict::NotFound, Feasibility::DoesNotFit(why)) => {
                    assert_eq!(*why, diagnosis, "{name} at {share} %");
                    let uniform = BitWidth::ALL.map(|bits| problem.uniform(bits));
                    let found = uniform.into_iter().chain(cut_by_rules(&problem)).find(|policy| problem.fits(policy));
                    assert_eq!(found, None, "{name} at {share} %");
                }
                other => panic!("{name} at {share} %: {other:?}"),
            }
            let would_do = diagnosis.would_do;
            let enough = Budget::of(would_do.flash_bytes, would_do.ram_bytes);
            let verdict = diagnosis_of(&problem.with_budget(enough)).verdict;
            assert!(matches!(verdict, Verdict::Fits(_)), "{name} at {share} %: the budget named does not do");
        }
    }
}

/// Thousands of policies are counted in a search.
#[test]
fn a_policy_is_counted_in_microseconds() {
    let core = cortex_m4();
    for (name, network) in networks() {
        let space = space(&network);
        let problem = Problem::new(&network, &space, &core, Budget::UNLIMITED);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let policies: Vec<_> = (0..200).map(|_| random_policy(&problem, &mut rng)).collect();
        let start = Instant::now();
        let total: u64 = policies.iter().map(|policy| problem.footprint(policy).ram_bytes).sum();
        let each = start.elapsed() / 200;
        let start = Instant::now();
        let model = MemoryModel::of(&network, &core);
        println!("{name}: {each:?} a policy, {:?} a model, {total} bytes", start.elapsed());
        drop(model);
        // Ten times what it takes on an idle machine: this guards against a blow-up, not against noise.
        assert!(each < Duration::from_millis(1), "{name}: {each:?}");
    }
}
