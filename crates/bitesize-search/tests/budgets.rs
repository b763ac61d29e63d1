//! Rules, enforcement, baselines and feasibility: what has to hold for every network and budget.

mod answers;
mod common;

use answers::{diagnosis_of, feasibility_of, fitting_of};
use bitesize_ir::memory::{Account, InputRows, MemoryModel, Moment, Scheduling};
use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network, NodeId, Policy, TensorId};
use bitesize_search::enforce::{enforce, enforce_or};
use bitesize_search::rules::cut_by_rules;
use bitesize_search::widths::{Side, set_width, width};
use bitesize_search::{
    ConstraintError, Constraints, Effort, Existence, Feasibility, Footprint, Problem, Verdict, baselines, from_compact,
    some_policy_fits, to_compact, with_weights_of_least_flash,
};
use common::{
    all_costs_of_large_kernels, chain, costs, costs_of_large_kernels, mobilenet_v1, network_of, residual, space,
};
use proptest::prelude::*;

fn with_problem<T>(network: &Network, core: &CoreCosts, budget: Budget, check: impl FnOnce(&Problem) -> T) -> T {
    let space = space(network);
    check(&Problem::new(network, &space, core, budget))
}

/// `flash` and `ram` in thousandths of what uniform 8 bits takes.
fn share(network: &Network, core: &CoreCosts, flash: u64, ram: u64) -> Budget {
    let full =
        with_problem(network, core, Budget::UNLIMITED, |problem| problem.footprint(&problem.uniform(BitWidth::B8)));
    Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000)
}

/// Weights and activations of MobileNetV1 1.0 at 224 under 2 MiB and 512 KiB, as digits.
///
/// The digits are what the paper's rules give on the paper's own memory model, by a port of its published code:
/// scratch, stack and kernel code, which count here, do not change them.
#[test]
fn rules_on_the_papers_network() {
    let core = costs().with_schedule(Scheduling::Layers, InputRows::Image);
    let network = mobilenet_v1(8, 224, 1000);
    let budget = Budget::of(2 << 20, 512 << 10);
    with_problem(&network, &core, budget, |problem| {
        let policy = cut_by_rules(problem).expect("the paper's budget fits");
        let digits = |side| -> String {
            let widths = (0..policy.rows.len()).filter_map(|row| width(&policy, row, side));
            widths.map(|bits| bits.to_string()).collect()
        };
        assert_eq!(digits(Side::Weights), "8888888888888848484848884822");
        assert_eq!(digits(Side::Activations), "4428444888888888888888888888");
        assert!(problem.fits(&policy));
    });
}

/// Pins, forbidden widths and a limit of packed weights against an enumeration: rules, enforcement, diagnosis.
#[test]
fn constraints_agree_with_an_enumeration() {
    let constraints = |weights: &str, activations: &str, pins: &[&str], weight_bytes: Option<u64>| Constraints {
        weights: weights.parse().expect("widths"),
        activations: activations.parse().expect("widths"),
        pins: pins.iter().map(|pin| pin.parse().expect("a pin")).collect(),
        weight_bytes,
        instructions: None,
    };
    let cases = [
        constraints("2,4,8", "8", &[], None),
        constraints("4,8", "4,8", &["conv0=8/8"], None),
        constraints("2,8", "2,4,8", &["conv1=4/*", "pool2=*/4"], Some(9_000)),
        constraints("2,4,8", "2,4,8", &[], Some(7_000)),
        constraints("4", "2,8", &["fc3=2/8"], Some(8_000)),
    ];
    let (network, core) = (chain(2), costs_of_large_kernels(3));
    for constraints in cases {
        for (flash, ram) in (300..=1000).step_by(100).flat_map(|flash| [(flash, 350), (flash, 700), (flash, 1000)]) {
            with_problem(&network, &core, share(&network, &core, flash, ram), |free| {
                let problem = &free.constrained(&constraints).expect("the pins suit");
                let all: Vec<Policy> = every_policy(free).filter(|policy| problem.allows(policy)).collect();
                let exists = all.iter().any(|policy| problem.fits(policy));
                let diagnosis = diagnosis_of(problem);
                match &diagnosis.verdict {
                    Verdict::Fits(policy) => assert!(problem.fits(policy)),
                    verdict => assert!(!exists, "missed a policy: {verdict:?} {constraints:?} {flash} {ram}"),
                }
                let least =
                    all.iter().map(|policy| problem.footprint(policy)).min_by_key(|footprint| footprint.flash_bytes);
                assert_eq!(least.map(|footprint| footprint.flash_bytes), Some(diagnosis.least_flash.bytes));
                let found = [cut_by_rules(problem), enforce(problem, problem.uniform(BitWidth::B8))];
                assert!(found.into_iter().flatten().all(|policy| problem.fits(&policy)));
                let feasibility = feasibility_of(problem);
                assert_eq!(matches!(feasibility, Feasibility::Fits(_)), exists);
                if let Feasibility::Fits(fitting) = feasibility {
                    for baseline in baselines(problem, &fitting) {
                        assert!(problem.allows(&baseline.policy));
                        assert_eq!(baseline.fits, problem.fits(&baseline.policy));
                    }
                }
            });
        }
    }
}

/// Every pin that does not suit is named.
#[test]
fn wrong_pins_are_told_together() {
    let (network, core) = (chain(2), costs());
    let pins = ["conv0=8/8", "conv0=4/8", "conv9=8/8", "fc3=4/4", "pool2=8/*", "fc3=*/8", "con=2/2"];
    let constraints =
        Constraints { pins: pins.iter().map(|pin| pin.parse().expect("a pin")).collect(), ..Constraints::default() };
    with_problem(&network, &core, Budget::UNLIMITED, |problem| {
        let Err(ConstraintError::Pins(wrong)) = problem.constrained(&constraints) else {
            panic!("five pins are wrong")
        };
        let told = [
            "`conv0=4/8`: another pin gives `conv0` 8 bits there",
            "`conv9=8/8`: the network has no row `conv9`; `bitesize inspect` lists the rows",
            "`fc3=4/4`: the output of `fc3` always has 8 bits",
            "`pool2=8/*`: `pool2` has no weights; leave them free, as in pool2=*/8",
            "`con=2/2`: the network has no row `con`; did you mean `conv0`, `conv1`?",
        ];
        assert_eq!(wrong, told);
    });
}

#[test]
fn uniform_8_is_left_alone_where_it_fits() {
    let (network, core) = (residual(2), costs());
    with_problem(&network, &core, Budget::UNLIMITED, |problem| {
        let uniform = problem.uniform(BitWidth::B8);
        assert_eq!(cut_by_rules(problem), Some(uniform.clone()));
        assert_eq!(enforce(problem, uniform.clone()), Some(uniform.clone()));
        let diagnosis = diagnosis_of(problem);
        assert!(matches!(diagnosis.verdict, Verdict::Fits(_)), "{diagnosis}");
    });
}

#[test]
fn baselines_say_what_they_take_and_whether_they_fit() {
    let (network, core) = (mobilenet_v1(2, 96, 10), costs());
    with_problem(&network, &core, share(&network, &core, 600, 700), |problem| {
        let found = baselines(problem, &fitting_of(problem).expect("some policy fits"));
        let names: Vec<&str> = found.iter().map(|baseline| baseline.name).collect();
        assert_eq!(names, ["uniform-8", "uniform-4", "uniform-2", "rules"]);
        let fits: Vec<bool> = found.iter().map(|baseline| baseline.fits).collect();
        assert_eq!(fits, [false, true, true, true]);
        assert!(found.iter().all(|baseline| baseline.footprint == problem.footprint(&baseline.policy)));
    });
}

/// Every policy of `problem`, by counting in base 3.
fn every_policy(problem: &Problem) -> impl Iterator<Item = Policy> {
    let uniform = problem.uniform(BitWidth::B2);
    let slots: Vec<(usize, Side)> = (0..uniform.rows.len())
        .flat_map(|row| [(row, Side::Weights), (row, Side::Activations)])
        .filter(|(row, side)| width(&uniform, *row, *side).is_some())
        .collect();
    (0..3usize.pow(slots.len() as u32)).map(move |number| {
        let mut policy = uniform.clone();
        slots.iter().fold(number, |rest, (row, side)| {
            set_width(&mut policy, *row, *side, BitWidth::ALL[rest % 3]);
            rest / 3
        });
        policy
    })
}

/// The least FLASH and RAM equal those of an enumeration, also where kernels outweigh weights.
#[test]
fn the_least_of_each_is_that_of_an_enumeration() {
    for factor in [0, 1, 5, 30] {
        for layers in [1, 2, 3] {
            let network = chain(layers);
            for core in &all_costs_of_large_kernels(factor) {
                with_problem(&network, core, Budget::UNLIMITED, |problem| {
                    let all: Vec<Footprint> = every_policy(problem).map(|policy| problem.footprint(&policy)).collect();
                    let diagnosis = diagnosis_of(problem);
                    let [flash, ram] = [diagnosis.least_flash, diagnosis.least_ram];
                    assert_eq!(
                        Some(flash.bytes),
                        all.iter().map(|footprint| footprint.flash_bytes).min(),
                        "{factor} {layers}"
                    );
                    assert_eq!(
                        Some(ram.bytes),
                        all.iter().map(|footprint| footprint.ram_bytes).min(),
                        "{factor} {layers}"
                    );
                    assert!(flash.lower_bound <= flash.bytes && ram.lower_bound <= ram.bytes);
                    assert_eq!(problem.footprint(&flash.policy).flash_bytes, flash.bytes);
                    assert_eq!(problem.footprint(&ram.policy).ram_bytes, ram.bytes);
                });
            }
        }
    }
}

/// Diagnosis, rules and enforcement against an enumeration over a grid of budgets.
#[test]
fn verdicts_agree_with_an_enumeration() {
    let network = chain(2);
    for (factor, core) in [1, 20].into_iter().flat_map(|f| all_costs_of_large_kernels(f).map(|core| (f, core))) {
        let all: Vec<Footprint> = with_problem(&network, &core, Budget::UNLIMITED, |problem| {
            every_policy(problem).map(|policy| problem.footprint(&policy)).collect()
        });
        for flash in (300..=1000).step_by(50) {
            for ram in (200..=1000).step_by(50) {
                let budget = share(&network, &core, flash, ram);
                with_problem(&network, &core, budget, |problem| {
                    let exists = all.iter().any(|footprint| problem.limits().hold(*footprint));
                    let diagnosis = diagnosis_of(problem);
                    match &diagnosis.verdict {
                        Verdict::Fits(policy) => assert!(problem.fits(policy)),
                        Verdict::Impossible => assert!(!exists, "{flash} {ram}"),
                        Verdict::NotFound => assert!(!exists, "missed a policy at {factor} {flash} {ram}"),
                    }
                });
            }
        }
    }
}

#[test]
fn compact_text_comes_back() {
    let (network, core) = (residual(1), costs());
    with_problem(&network, &core, Budget::UNLIMITED, |problem| {
        let mut policy = problem.uniform(BitWidth::B4);
        set_width(&mut policy, 0, Side::Weights, BitWidth::B2);
        let text = to_compact(&policy);
        assert_eq!(text, "W2A4 W4A4 W4A4 W4A4 W-A4 W-A4 W4A-");
        assert_eq!(from_compact(&text, problem.space()), Ok(policy));
        for wrong in ["", "W2A4", &text.replace("W-", "W8"), &text.replace("W2", "W3"), &text.replace("A-", "A-x")] {
            assert!(from_compact(wrong, problem.space()).is_err(), "{wrong}");
        }
    });
}

/// What [`network_of`] makes a network of: for each operator its kind, size and second input.
fn layers() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    prop::collection::vec((0..6usize, 1..4usize, 0..8usize), 1..10)
}

/// A policy from a list of digits, used again and again.
fn policy_of(problem: &Problem, digits: &[usize]) -> Policy {
    let mut policy = problem.uniform(BitWidth::B8);
    let mut digits = digits.iter().cycle();
    for row in 0..policy.rows.len() {
        for side in [Side::Weights, Side::Activations] {
            if width(&policy, row, side).is_some() {
                set_width(&mut policy, row, side, BitWidth::ALL[*digits.next().expect("it cycles")]);
            }
        }
    }
    policy
}

proptest! {
    /// Enforcement fits or says impossible; with the diagnosis's policy to fall back on it fits whenever that exists.
    /// Without that fallback it never widens.
    #[test]
    fn enforcement_fits_or_says_impossible(
        layers in layers(),
        digits in prop::collection::vec(0..3usize, 1..20),
        flash in 200..1000u64,
        ram in 150..1000u64,
        factor in 0..20u64,
        way in 0..2usize,
    ) {
        let (network, cores) = (network_of(&layers), all_costs_of_large_kernels(factor));
        let core = &cores[way];
        with_problem(&network, core, share(&network, core, flash, ram), |problem| {
            let start = policy_of(problem, &digits);
            let alone = enforce(problem, start.clone());
            if let Some(policy) = &alone {
                assert!(problem.fits(policy));
                for row in 0..policy.rows.len() {
                    for side in [Side::Weights, Side::Activations] {
                        assert!(width(policy, row, side) <= width(&start, row, side));
                    }
                }
            }
            let diagnosis = diagnosis_of(problem);
            assert!(alone.is_none() || diagnosis.verdict != Verdict::Impossible);
            if let Some(fitting) = diagnosis.fitting() {
                let policy = enforce_or(problem, start, fitting);
                assert!(problem.fits(&policy));
                assert_eq!(&policy, alone.as_ref().unwrap_or(fitting));
            }
            let fitting = fitting_of(problem);
            assert_eq!(fitting.is_some(), diagnosis.fitting().is_some());
            assert_eq!(some_policy_fits(problem, &Effort::unwatched()), Ok(match diagnosis.verdict {
                Verdict::Fits(_) => Existence::Fits,
                Verdict::Impossible => Existence::Impossible,
                Verdict::NotFound => Existence::NotFound { limit_reached: None },
            }));
            match feasibility_of(problem) {
                Feasibility::Fits(found) => {
                    assert!(problem.fits(found.policy()));
                    assert_eq!(found.uniform_fits(), problem.fits(&problem.uniform(BitWidth::B8)));
                    assert_eq!(Some(found), fitting);
                }
                Feasibility::DoesNotFit(why) => assert_eq!(*why, diagnosis),
            }
            if let Some(policy) = cut_by_rules(problem) {
                assert!(problem.fits(&policy));
                assert_ne!(diagnosis.verdict, Verdict::Impossible);
            }
        });
    }

    /// Nothing is below a lower bound, and for its activations nothing is below the chosen weights.
    #[test]
    fn no_policy_is_below_the_bounds(
        layers in layers(),
        digits in prop::collection::vec(0..3usize, 1..20),
        factor in 0..20u64,
        way in 0..2usize,
    ) {
        let (network, cores) = (network_of(&layers), all_costs_of_large_kernels(factor));
        let core = &cores[way];
        with_problem(&network, core, Budget::UNLIMITED, |problem| {
            let diagnosis = diagnosis_of(problem);
            let policy = policy_of(problem, &digits);
            let footprint = problem.footprint(&policy);
            assert!(footprint.flash_bytes >= diagnosis.least_flash.lower_bound);
            assert!(footprint.ram_bytes >= diagnosis.least_ram.lower_bound);
            let best = problem.footprint(&with_weights_of_least_flash(problem, &policy));
            assert!(best.flash_bytes <= footprint.flash_bytes);
        });
    }

    /// The fast count is the full one, and fewer bits never make weight bytes or live tensors larger.
    #[test]
    fn memory_is_one_number_and_falls_with_bits(
        layers in layers(),
        digits in prop::collection::vec(0..3usize, 1..20),
        pick in 0..40usize,
        way in 0..2usize,
    ) {
        let (network, cores) = (network_of(&layers), all_costs_of_large_kernels(1));
        let core = &cores[way];
        with_problem(&network, core, Budget::UNLIMITED, |problem| {
            let mut policy = policy_of(problem, &digits);
            let before = problem.widths(&policy);
            let (flash, ram) = (problem.model().flash(&before), problem.model().ram(&before));
            let footprint =
                Footprint { flash_bytes: flash.total, ram_bytes: ram.total, weight_bytes: flash.weights, instructions: 0 };
            assert_eq!(problem.footprint(&policy), footprint);
            let model = problem.model();
            for timeline in 0..model.timelines() {
                let alive_at = |at: usize| {
                    let moment = Moment { timeline, at };
                    let of_tensors = model.alive_at(moment).map(|id| model.bytes_at(moment, id, before.tensors[id.0]));
                    model.fixed_bytes_at(moment) + of_tensors.sum::<usize>()
                };
                let one_by_one: Vec<usize> = (0..model.moments(timeline)).map(alive_at).collect();
                assert_eq!(model.alive_bytes(timeline, &before), one_by_one);
            }
            let (peak, most) = model.peak(&before).expect("it has nodes");
            assert_eq!(problem.peak(&policy), Some(peak));
            let deepest = model.deepest_stack_bytes(&before);
            let least = most.next_multiple_of(4) as u64 + model.stack_bytes(peak.timeline, deepest);
            assert!(least <= ram.plan.lower_bound as u64 + ram.stack && ram.plan.lower_bound <= ram.plan.arena_bytes);
            assert_eq!(model.stack_of_plan(&ram.plan, &before), ram.stack);
            // Chains only where they take less.
            let in_place = MemoryModel::of(&network, &core.with_schedule(Scheduling::InPlace, core.input));
            let in_place = in_place.ram_bytes(&before);
            assert!(core.scheduling == Scheduling::Layers || ram.total <= in_place);
            assert!(ram.plan.scheduling != Scheduling::Auto || ram.total < in_place);
            // The same, width by width from another policy, in both directions.
            let other = problem.widths(&problem.uniform(BitWidth::ALL[pick % 3]));
            let mut account = Account::of(problem.model(), other.clone());
            for widths in [&before, &other, &before] {
                widths.tensors.iter().enumerate().for_each(|(i, bits)| account.set_tensor(TensorId(i), *bits));
                let weights = widths.weights.iter().enumerate();
                weights.for_each(|(i, bits)| account.set_weights(NodeId(i), *bits));
            }
            assert_eq!((account.flash_bytes(), account.deepest_stack_bytes()), (flash.total, deepest));
            let (planned, plan) = account.plan(deepest);
            assert_eq!((planned, plan.arena_bytes), (ram.total, ram.plan.arena_bytes));
            assert_eq!((account.ram_lower_bound(deepest), account.peak()), (least, Some(peak)));
            for limit in [ram.total, ram.total - 1, ram.total + 1000] {
                let within = model.deepest_stack_within(&before, limit);
                assert_eq!(within.is_some_and(|within| within >= deepest), limit >= ram.total);
            }
            for id in (0..network.nodes.len()).map(NodeId) {
                let (moment, bytes) = account.alive_bytes_during(peak.timeline, id);
                assert_eq!(model.alive_bytes(peak.timeline, &before)[moment.at].next_multiple_of(4), bytes);
            }
            for (limit, fits) in [(Some(ram.total), true), (Some(ram.total - 1), false), (None, true), (Some(0), false)] {
                assert_eq!(account.ram_fits(limit).0, fits);
                assert_eq!(problem.model().ram_fits(&before, limit), fits);
            }
            let row = pick % policy.rows.len();
            for side in [Side::Weights, Side::Activations] {
                problem.cut(&mut policy, row, side);
            }
            let after = problem.widths(&policy);
            assert!(problem.model().flash(&after).weights <= flash.weights);
            for (id, tensor) in network.tensors.iter().enumerate() {
                let bytes = |bits| bitesize_ir::memory::tensor_bytes(tensor.shape, bits);
                assert!(bytes(after.tensors[id]) <= bytes(before.tensors[id]));
            }
        });
    }
}
