//! The optimum of an additive model against enumeration.

mod common;

use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network, Policy, Shape, TensorId};
use bitesize_search::additive::solve;
use bitesize_search::costs::Costs;
use bitesize_search::widths::set_width;
use bitesize_search::{Constraints, Footprint, Problem};
use common::{Builder, all_costs_of_large_kernels, chain, space};

fn every_policy(problem: &Problem) -> Vec<Policy> {
    let mut all = vec![problem.uniform(BitWidth::B8)];
    for (row, side) in problem.slots() {
        let widths: Vec<BitWidth> = problem.allowed(row, side).iter().collect();
        let longer = |policy: &Policy| -> Vec<Policy> {
            let with = |bits: &BitWidth| {
                let mut policy = policy.clone();
                set_width(&mut policy, row, side, *bits);
                policy
            };
            widths.iter().map(with).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Costs made from `seed`: falling with the bits, and, for some seeds, the same for several widths.
fn costs_of(problem: &Problem, seed: u64) -> Costs {
    let mut costs = Costs::new(problem.space().rows.len());
    for (number, (row, side)) in problem.slots().enumerate() {
        let noise = |n: u64| ((seed * 31 + number as u64 * 17 + n * 7) * 2_654_435_761 % 1000) as f64 / 1000.0;
        let four = if seed.is_multiple_of(3) { 0.0 } else { noise(1) };
        for (bits, cost) in [(BitWidth::B8, 0.0), (BitWidth::B4, four), (BitWidth::B2, four + 3.0 * noise(2))] {
            if problem.allowed(row, side).contains(bits) {
                costs.set(row, side, bits, cost);
            }
        }
    }
    costs
}

/// Two branches: a residual waits during two convolutions, and both are added.
fn branches() -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let x = net.conv(TensorId(0), 24, 3, 1);
    let y = net.conv(x, 24, 1, 1);
    let z = net.add(x, y);
    net.finish(z, 4)
}

fn check(network: &Network, factor: u64, constraints: &Constraints) {
    for core in all_costs_of_large_kernels(factor) {
        check_on(network, &core, constraints);
    }
}

fn check_on(network: &Network, core: &CoreCosts, constraints: &Constraints) {
    let space = space(network);
    let free = Problem::new(network, &space, core, Budget::UNLIMITED).constrained(constraints).expect("the pins suit");
    let full = free.footprint(&free.uniform(BitWidth::B8));
    let all: Vec<(Policy, Footprint)> =
        every_policy(&free).into_iter().map(|policy| (policy.clone(), free.footprint(&policy))).collect();
    for (seed, (flash, ram)) in
        [(450, 400), (600, 500), (700, 1000), (1000, 600), (800, 800), (350, 300)].iter().enumerate()
    {
        let budget = Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000);
        let problem = free.with_budget(budget);
        let costs = costs_of(&problem, seed as u64);
        let solution = solve(&problem, &costs, 3);
        let fitting = all.iter().filter(|(_, footprint)| problem.limits().hold(*footprint));
        let mut sums: Vec<f64> = fitting.map(|(policy, _)| costs.total(&problem, policy)).collect();
        sums.sort_by(f64::total_cmp);
        let best = solution.policies.first().map(|(cost, _)| *cost);
        match (sums.first(), best) {
            (Some(least), Some(cost)) => assert!((cost - least).abs() < 1e-9, "{cost} is not {least}: {flash} {ram}"),
            (None, None) => {}
            other => panic!("{other:?} at {flash} {ram}"),
        }
        assert!(solution.gap().is_none_or(|gap| gap < 1e-9), "{solution:?}");
        for (cost, policy) in &solution.policies {
            assert!(problem.fits(policy) && (costs.total(&problem, policy) - cost).abs() < 1e-9);
        }
    }
}

#[test]
fn the_optimum_is_that_of_an_enumeration() {
    for network in [chain(2), branches()] {
        for factor in [0, 1, 8] {
            check(&network, factor, &Constraints::default());
        }
    }
}

#[test]
fn constraints_are_kept() {
    let network = chain(3);
    let cases =
        [("2,4,8", "8", None), ("4,8", "2,4,8", None), ("2,4,8", "4,8", Some(16_000)), ("2,4,8", "2,8", Some(9_000))];
    for (weights, activations, weight_bytes) in cases {
        let constraints = Constraints {
            weights: weights.parse().expect("widths"),
            activations: activations.parse().expect("widths"),
            pins: vec!["conv0=8/*".parse().expect("a pin")],
            weight_bytes,
            instructions: None,
        };
        check(&network, 2, &constraints);
    }
}
