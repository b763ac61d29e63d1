//! Costs that evaluations correct, on losses that are made up.

mod common;

use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::costs::Costs;
use bitesize_search::surrogate::Surrogate;
use bitesize_search::widths::{Side, set_width};
use bitesize_search::{Problem, Score};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn any_policy(problem: &Problem, rng: &mut impl Rng) -> Policy {
    let mut policy = problem.uniform(BitWidth::B8);
    for (row, side) in problem.slots() {
        set_width(&mut policy, row, side, BitWidth::ALL[rng.random_range(0..3)]);
    }
    policy
}

/// Costs for every width, `of` its slot's number and the width.
fn costs(problem: &Problem, of: impl Fn(usize, BitWidth) -> f64) -> Costs {
    let mut costs = Costs::new(problem.space().rows.len());
    for (slot, (row, side)) in problem.slots().enumerate() {
        BitWidth::ALL.into_iter().for_each(|bits| costs.set(row, side, bits, of(slot, bits)));
    }
    costs
}

fn with_problem(check: impl FnOnce(&Problem)) {
    let network = common::mobilenet_v1(2, 96, 10);
    let (space, core) = (common::space(&network), common::costs());
    check(&Problem::new(&network, &space, &core, Budget::UNLIMITED));
}

/// Half of the slots cost three times what was measured, and all losses are higher by as much: differences between policies
/// that were never evaluated are told at least five times as well as by what was measured.
#[test]
fn differences_are_learned() {
    with_problem(|problem| {
        let base = |bits: BitWidth| [0.04, 0.004, 0.0][bits as usize];
        let measured = costs(problem, |_, bits| base(bits));
        let real = costs(problem, |slot, bits| if slot % 2 == 0 { base(bits) } else { 3.0 * base(bits) });
        let loss = |policy: &Policy| 0.5 + real.total(problem, policy);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut surrogate = Surrogate::new(problem, measured.clone());
        assert_eq!(surrogate.costs(), &measured);
        for _ in 0..600 {
            let policy = any_policy(problem, &mut rng);
            surrogate.learn(&policy, loss(&policy));
        }
        let fresh: Vec<Policy> = (0..50).map(|_| any_policy(problem, &mut rng)).collect();
        let error = |costs: &Costs| -> f64 {
            let missed =
                |p: &[Policy]| loss(&p[0]) - loss(&p[1]) - (costs.total(problem, &p[0]) - costs.total(problem, &p[1]));
            fresh.windows(2).map(|pair| missed(pair).powi(2)).sum::<f64>().sqrt()
        };
        let (before, after) = (error(&measured), error(surrogate.costs()));
        assert!(after < before / 5.0, "{before} before, {after} after");
    });
}

#[test]
fn what_was_not_measured_stays_so_and_right_costs_stay_right() {
    with_problem(|problem| {
        let unknown = |slot: usize, bits: BitWidth| slot == 3 && bits == BitWidth::B2;
        let of = |slot, bits| if unknown(slot, bits) { f64::INFINITY } else { [0.04, 0.004, 0.0][bits as usize] };
        let right = costs(problem, of);
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut surrogate = Surrogate::new(problem, right.clone());
        let slot: Vec<(usize, Side)> = problem.slots().collect();
        for _ in 0..100 {
            surrogate.learn(&any_policy(problem, &mut rng), 0.0);
            surrogate.learn(&any_policy(problem, &mut rng), Score::WORTHLESS.loss);
        }
        let mut changed = 0;
        for (row, side) in slot.iter().copied() {
            for bits in BitWidth::ALL {
                let (before, after) = (right.get(row, side, bits), surrogate.costs().get(row, side, bits));
                assert_eq!(before.is_finite(), after.is_finite());
                assert!(before.is_infinite() || after.abs() < 1.0, "{after}");
                changed += usize::from(before != after);
            }
        }
        assert!(changed > 10, "{changed}");
        let mut surrogate = Surrogate::new(problem, right.clone());
        for _ in 0..100 {
            let mut policy = any_policy(problem, &mut rng);
            set_width(&mut policy, slot[3].0, slot[3].1, BitWidth::B8);
            surrogate.learn(&policy, right.total(problem, &policy));
        }
        for (row, side) in slot {
            for bits in BitWidth::ALL.into_iter().filter(|bits| right.get(row, side, *bits).is_finite()) {
                assert!((surrogate.costs().get(row, side, bits) - right.get(row, side, bits)).abs() < 1e-9);
            }
        }
    });
}
