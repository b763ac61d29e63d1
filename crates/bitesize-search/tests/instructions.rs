//! Instructions as a third limit: the least of them, the optimum under all limits and every verdict against an enumeration,
//! and what every strategy keeps.

mod answers;
mod common;

use answers::{diagnosis_of, feasibility_of, fitting_of};
use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network, Policy, Shape, TensorId};
use bitesize_search::additive::solve;
use bitesize_search::costs::Costs;
use bitesize_search::enforce::{enforce, enforce_or};
use bitesize_search::rules::cut_by_rules;
use bitesize_search::widths::set_width;
use bitesize_search::{
    ConstraintError, Constraints, DdpgSettings, Effort, Existence, Feasibility, Footprint, LeastInstructions, Memo,
    Outcome, Problem, RewardKind, Score, Scores, SearchSettings, Strategy, Verdict, baselines, search,
    some_policy_fits,
};
use common::{
    Builder, Fewest, both_costs_of_large_kernels, chain, costs, mobilenet_v1, network_of, residual, space,
    with_instructions,
};
use proptest::prelude::*;
use std::ops::ControlFlow;

const KINDS: [Fewest; 4] = [Fewest::Wide, Fewest::Narrow, Fewest::Any(1), Fewest::Any(2)];

/// Of kernels of whole combinations and of stages.
fn cores(factor: u64, fewest: Fewest) -> [CoreCosts; 2] {
    both_costs_of_large_kernels(factor).map(|core| with_instructions(core, fewest))
}

fn every_policy(problem: &Problem) -> Vec<Policy> {
    let mut all = vec![problem.uniform(BitWidth::B8)];
    for (row, side) in problem.slots() {
        let longer = |policy: &Policy| {
            let with = |bits: BitWidth| {
                let mut policy = policy.clone();
                set_width(&mut policy, row, side, bits);
                policy
            };
            problem.allowed(row, side).iter().map(with).collect::<Vec<Policy>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// A residual waits during two convolutions, both are added, and a pool passes the sum's width on.
fn branches() -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let x = net.conv(TensorId(0), 24, 3, 1);
    let y = net.depthwise(x, 3, 1);
    let z = net.add(x, y);
    let z = net.max_pool(z);
    net.finish(z, 4)
}

/// `free` with a limit of instructions.
fn limited<'p>(free: &Problem<'p>, instructions: u64) -> Problem<'p> {
    let constraints = Constraints { instructions: Some(instructions), ..Constraints::default() };
    free.constrained(&constraints).expect("the core counts instructions")
}

/// `thousandths` of the way from the least to the most of `all`.
fn between(all: &[Footprint], thousandths: u64) -> u64 {
    let count = || all.iter().map(|footprint| footprint.instructions);
    let (least, most) = (count().min().unwrap_or(0), count().max().unwrap_or(0));
    least + (most - least) * thousandths / 1000
}

/// Everything of `network` on `core` that an enumeration needs.
fn with_all(network: &Network, core: &CoreCosts, check: impl FnOnce(&Problem, &[Policy], &[Footprint])) {
    let space = space(network);
    let free = Problem::new(network, &space, core, Budget::UNLIMITED);
    let policies = every_policy(&free);
    let footprints: Vec<Footprint> = policies.iter().map(|policy| free.footprint(policy)).collect();
    check(&free, &policies, &footprints);
}

fn each_small_case(factor: u64, mut check: impl FnMut(&Problem, &[Policy], &[Footprint])) {
    for network in [chain(2), branches()] {
        for core in KINDS.into_iter().flat_map(|fewest| cores(factor, fewest)) {
            with_all(&network, &core, &mut check);
        }
    }
}

#[test]
fn the_least_is_that_of_an_enumeration_and_proved() {
    each_small_case(1, |free, _, all| {
        let least = LeastInstructions::of(free).expect("the core counts them");
        assert_eq!(Some(least.instructions), all.iter().map(|footprint| footprint.instructions).min());
        assert_eq!(least.lower_bound, least.instructions);
        assert_eq!(free.footprint(&least.policy).instructions, least.instructions);
    });
}

/// What a limit is made of is the model's own count, and nothing where the core has none.
#[test]
fn footprints_have_the_models_count() {
    let network = residual(1);
    let space = space(&network);
    let without = Problem::new(&network, &space, &costs(), Budget::UNLIMITED);
    let policy = without.uniform(BitWidth::B4);
    assert_eq!(without.footprint(&policy).instructions, 0);
    assert_eq!(LeastInstructions::of(&without), None);
    let constraints = Constraints { instructions: Some(1), ..Constraints::default() };
    assert_eq!(without.constrained(&constraints).err(), Some(ConstraintError::NoInstructions));
    let core = with_instructions(costs(), Fewest::Wide);
    let with = Problem::new(&network, &space, &core, Budget::UNLIMITED);
    let counted = with.model().instructions(&with.widths(&policy));
    assert_eq!(counted, Some(with.footprint(&policy).instructions));
    let at = |limit| limited(&with, limit);
    let count = counted.expect("the core has them");
    assert!(at(count).fits(&policy) && !at(count - 1).fits(&policy));
    assert!(at(count).limits().excess(with.footprint(&policy)) == 0.0);
    assert!(at(count - 1).limits().excess(with.footprint(&policy)) > 0.0);
}

/// Costs made from `seed`: falling with the bits.
fn costs_of(problem: &Problem, seed: u64) -> Costs {
    let mut costs = Costs::new(problem.space().rows.len());
    for (number, (row, side)) in problem.slots().enumerate() {
        let noise = |n: u64| ((seed * 31 + number as u64 * 17 + n * 7) * 2_654_435_761 % 1000) as f64 / 1000.0;
        for (bits, cost) in [(BitWidth::B8, 0.0), (BitWidth::B4, noise(1)), (BitWidth::B2, noise(1) + 3.0 * noise(2))] {
            costs.set(row, side, bits, cost);
        }
    }
    costs
}

/// FLASH, RAM in thousandths of uniform 8 bits, and instructions in those of the way from the least to the most.
const SHARES: [[u64; 3]; 9] = [
    [2000, 2000, 0],
    [2000, 2000, 100],
    [2000, 2000, 500],
    [600, 2000, 300],
    [2000, 600, 300],
    [700, 700, 200],
    [700, 700, 600],
    [500, 500, 900],
    [1000, 500, 450],
];

/// `free` under `shares`, with what all policies take.
fn under<'p>(free: &Problem<'p>, all: &[Footprint], [flash, ram, instructions]: [u64; 3]) -> Problem<'p> {
    let full = free.footprint(&free.uniform(BitWidth::B8));
    let budget = Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000);
    limited(&free.with_budget(budget), between(all, instructions))
}

#[test]
fn the_optimum_under_all_limits_is_that_of_an_enumeration() {
    for factor in [0, 1, 8] {
        each_small_case(factor, |free, policies, all| {
            for (seed, shares) in SHARES.into_iter().enumerate() {
                let problem = under(free, all, shares);
                let costs = costs_of(&problem, seed as u64);
                let solution = solve(&problem, &costs, 3);
                let fitting = policies.iter().zip(all).filter(|(_, footprint)| problem.limits().hold(**footprint));
                let least = fitting.map(|(policy, _)| costs.total(&problem, policy)).min_by(f64::total_cmp);
                match (least, solution.policies.first()) {
                    (Some(least), Some((cost, _))) => assert!((cost - least).abs() < 1e-9, "{cost} {least} {shares:?}"),
                    (None, None) => assert!(solution.bound.is_infinite(), "{shares:?}"),
                    other => panic!("{other:?} at {shares:?}"),
                }
                assert!(solution.gap().is_none_or(|gap| gap < 1e-9), "{solution:?}");
                for (cost, policy) in &solution.policies {
                    assert!(problem.fits(policy) && (costs.total(&problem, policy) - cost).abs() < 1e-9);
                }
            }
        });
    }
}

#[test]
fn verdicts_agree_with_an_enumeration() {
    each_small_case(3, |free, _, all| {
        for shares in SHARES {
            let problem = &under(free, all, shares);
            let exists = all.iter().any(|footprint| problem.limits().hold(*footprint));
            let diagnosis = diagnosis_of(problem);
            match &diagnosis.verdict {
                Verdict::Fits(policy) => assert!(problem.fits(policy)),
                verdict => assert!(!exists, "{verdict:?} {shares:?}"),
            }
            assert_eq!(problem.limits().hold(diagnosis.would_do), exists);
            let feasibility = feasibility_of(problem);
            assert_eq!(matches!(feasibility, Feasibility::Fits(_)), exists);
            let found = [cut_by_rules(problem), enforce(problem, problem.uniform(BitWidth::B8))];
            assert!(found.into_iter().flatten().all(|policy| problem.fits(&policy)));
            if let Feasibility::Fits(fitting) = feasibility {
                for baseline in baselines(problem, &fitting) {
                    assert_eq!(baseline.fits, problem.fits(&baseline.policy), "{}", baseline.name);
                }
            }
        }
        // One below the least is proved to be impossible.
        let least = between(all, 0);
        assert_eq!(some_policy_fits(&limited(free, least - 1), &Effort::unwatched()), Ok(Existence::Impossible));
        assert_eq!(some_policy_fits(&limited(free, least), &Effort::unwatched()), Ok(Existence::Fits));
    });
}

#[test]
fn the_diagnosis_names_all_three_limits() {
    let (network, core) = (chain(2), with_instructions(costs(), Fewest::Wide));
    with_all(&network, &core, |free, _, all| {
        let problem = limited(&free.with_budget(Budget::of(1 << 20, 1 << 20)), 1_500);
        let text = diagnosis_of(&problem).to_string();
        let least = bitesize_ir::size::format_millions(between(all, 0));
        for expected in [
            ", 0.0015 million instructions\n",
            &format!("\nleast instructions  {least} (proved)\n"),
            "does not fit; this would do: FLASH ",
            &format!(", {least} instructions\n"),
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let without = diagnosis_of(&free.with_budget(Budget::of(1, 1))).to_string();
        assert!(!without.contains("instructions"), "{without}");
    });
}

fn settings(seed: u64) -> SearchSettings {
    SearchSettings {
        episodes: 60,
        patience: None,
        reward: RewardKind::Loss,
        seed,
        reference_reward: 1.0,
        loss_of_knowing_nothing: 100.0,
        ddpg: DdpgSettings { hidden: 32, ..DdpgSettings::default() },
    }
}

/// What every strategy evaluates keeps every limit, and uniform 8 bits is the answer where it does.
#[test]
fn every_strategy_keeps_the_limit() {
    for (network, shares) in [(residual(2), [900, 800]), (mobilenet_v1(2, 32, 10), [600, 700])] {
        for (fewest, core) in [Fewest::Wide, Fewest::Narrow].into_iter().flat_map(|f| cores(1, f).map(|core| (f, core)))
        {
            let space = space(&network);
            let free = Problem::new(&network, &space, &core, Budget::UNLIMITED);
            let eight = free.footprint(&free.uniform(BitWidth::B8));
            let budget = Budget::of(eight.flash_bytes * shares[0] / 1000, eight.ram_bytes * shares[1] / 1000);
            let free = free.with_budget(budget);
            let by_bytes = fitting_of(&free).expect("some policy keeps the bytes");
            let least = LeastInstructions::of(&free).expect("the core counts them").instructions;
            let taken = free.footprint(by_bytes.policy()).instructions;
            let problem = limited(&free, taken - (taken - least) / 8);
            assert!(!problem.fits(by_bytes.policy()));
            let fitting = fitting_of(&problem).unwrap_or_else(|| panic!("{fewest:?}: {}", diagnosis_of(&problem)));
            assert!(problem.fits(fitting.policy()) && !fitting.uniform_fits());
            for strategy in Strategy::ALL {
                let costs = costs_of(&problem, 5);
                let mut judge = |policy: &Policy| Ok(Score { accuracy: None, loss: costs.total(&problem, policy) });
                let mut evaluated = Vec::new();
                let (mut scores, settings) = (Scores::default(), settings(3));
                let mut memo = Memo::new(&mut judge, &mut scores);
                let outcome = search(&problem, &fitting, strategy, &settings, &mut memo, &mut |record| {
                    evaluated.push(record.policy.clone());
                    ControlFlow::Continue(())
                });
                let Ok(Outcome::Found(found)) = outcome else { panic!("{strategy:?} {fewest:?} found nothing") };
                assert!(problem.fits(&found.policy), "{strategy:?} {fewest:?}");
                assert!(!evaluated.is_empty());
                for policy in evaluated {
                    let policy = bitesize_search::from_compact(&policy, &space).expect("a policy of the network");
                    assert!(problem.fits(&policy), "{strategy:?} {fewest:?}");
                }
            }
            let roomy = limited(&free.with_budget(Budget::UNLIMITED), eight.instructions);
            assert!(fitting_of(&roomy).expect("uniform 8 bits fits").uniform_fits());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// No policy takes fewer than the bound, what is found keeps the limits, and nothing that keeps them is called impossible.
    #[test]
    fn limits_are_kept_on_any_network(
        layers in prop::collection::vec((0..6usize, 1..4usize, 0..8usize), 1..9),
        digits in prop::collection::vec(0..3usize, 1..20),
        shares in (300..1100u64, 250..1100u64, 700..1300u64),
        seed in 0..1000u64,
        way in 0..2usize,
    ) {
        let network = network_of(&layers);
        let fewest = match seed % 3 {
            0 => Fewest::Wide,
            1 => Fewest::Narrow,
            _ => Fewest::Any(seed),
        };
        let core = &cores(seed % 7, fewest)[way];
        let space = space(&network);
        let free = Problem::new(&network, &space, core, Budget::UNLIMITED);
        let mut policy = free.uniform(BitWidth::B8);
        for ((row, side), digit) in free.slots().zip(digits.iter().cycle()) {
            set_width(&mut policy, row, side, BitWidth::ALL[*digit]);
        }
        let least = LeastInstructions::of(&free).expect("the core counts them");
        prop_assert_eq!(least.instructions, least.lower_bound);
        prop_assert!(free.footprint(&policy).instructions >= least.lower_bound);
        let full = free.footprint(&free.uniform(BitWidth::B8));
        let (flash, ram, instructions) = shares;
        let budget = Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000);
        let problem = &limited(&free.with_budget(budget), full.instructions * instructions / 1000);
        let diagnosis = diagnosis_of(problem);
        let fitting = fitting_of(problem);
        prop_assert_eq!(fitting.is_some(), diagnosis.fitting().is_some());
        let found = [cut_by_rules(problem), enforce(problem, policy.clone())];
        for found in found.iter().flatten() {
            prop_assert!(problem.fits(found));
            prop_assert!(diagnosis.verdict != Verdict::Impossible);
        }
        if problem.fits(&policy) {
            prop_assert!(diagnosis.verdict != Verdict::Impossible);
            prop_assert_eq!(found[1].as_ref(), Some(&policy));
        }
        if let Some(fitting) = fitting {
            prop_assert!(problem.fits(fitting.policy()));
            prop_assert!(problem.fits(&enforce_or(problem, policy, fitting.policy())));
        }
        let solution = solve(problem, &costs_of(problem, seed), 2);
        prop_assert!(solution.policies.iter().all(|(_, policy)| problem.fits(policy)));
    }
}
