//! Orders of rows on random networks: what pushed rows take beside the image, and instructions that depend on the order.

mod common;

use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network, Policy, Shape, TensorId};
use bitesize_search::additive::solve;
use bitesize_search::costs::Costs;
use bitesize_search::widths::{set_width, width};
use bitesize_search::{
    Constraints, Effort, Existence, Feasibility, LeastInstructions, Problem, Verdict, some_policy_fits,
};
use common::{Builder, space};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Branches of several kernels, residuals, pools and depthwise convolutions, on images of even and odd sides.
fn random_network(rng: &mut impl Rng) -> Network {
    let of = |rng: &mut dyn FnMut(usize) -> usize, choices: &[usize]| choices[rng(choices.len())];
    let mut pick = |below: usize| rng.random_range(0..below);
    let input = Shape::new(of(&mut pick, &[16, 23, 32]), of(&mut pick, &[16, 24, 31]), of(&mut pick, &[1, 3]));
    let mut net = Builder::new(input);
    let mut x = net.conv(TensorId(0), of(&mut pick, &[4, 8]), 3, of(&mut pick, &[1, 1, 2]));
    for _ in 0..2 + pick(3) {
        let shape = net.shape(x);
        x = match pick(5) {
            0 => {
                let (a, b) = (net.conv(x, 4, 1, 1), net.conv(x, 8, 3, 1));
                let c = net.conv(a, 4, 5, 1);
                net.concat(&[a, b, c])
            }
            1 => {
                let a = net.conv(x, shape.c, 3, 1);
                let a = net.conv(a, shape.c, 3, 1);
                net.add(x, a)
            }
            2 => {
                let a = net.conv(x, 8, 1, 1);
                net.concat(&[x, a])
            }
            3 => {
                let a = net.depthwise(x, 3, of(&mut pick, &[1, 2]));
                net.conv(a, of(&mut pick, &[8, 16]), 1, 1)
            }
            _ if shape.h >= 4 && shape.w >= 4 => net.max_pool(x),
            _ => net.conv(x, 8, 1, 1),
        };
    }
    net.finish(x, 10)
}

fn random_policy(problem: &Problem, rng: &mut impl Rng) -> Policy {
    let mut policy = problem.uniform(BitWidth::B8);
    for (row, side) in problem.slots() {
        if width(&policy, row, side).is_some() {
            set_width(&mut policy, row, side, BitWidth::ALL[rng.random_range(0..3)]);
        }
    }
    policy
}

/// Uniform widths, and some at random.
fn policies(problem: &Problem, count: usize, rng: &mut impl Rng) -> Vec<Policy> {
    let mut policies: Vec<Policy> = BitWidth::ALL.iter().map(|bits| problem.uniform(*bits)).collect();
    policies.extend((0..count).map(|_| random_policy(problem, rng)));
    policies
}

fn cortex_m4() -> CoreCosts {
    CoreCosts::from_toml(include_str!("../../../targets/cores/cortex-m4.toml")).expect("a core file")
}

/// The core with each of its kernels.
fn both_kernels() -> [CoreCosts; 2] {
    [true, false].map(|by_rows| cortex_m4().with_rows(by_rows))
}

/// Each network with its number and what makes the rest of its case.
fn each_network(count: u64, mut check: impl FnMut(u64, &Network, &mut ChaCha8Rng)) {
    for number in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        check(number, &random_network(&mut rng), &mut rng);
    }
}

/// An order of whole images is one of pushed rows too, with the 4 bytes that say how many came.
#[test]
fn pushed_rows_take_the_arena_of_the_image_at_most() {
    each_network(100, |number, network, rng| {
        let space = space(network);
        for (core, way) in both_kernels().iter().flat_map(|core| Scheduling::ALL.map(|way| (core, way))) {
            let of = |input| Problem::new(network, &space, &core.with_schedule(way, input), Budget::UNLIMITED);
            let [image, rows] = InputRows::ALL.map(of);
            for policy in policies(&image, 20, rng) {
                let arena = |problem: &Problem| problem.model().ram(&problem.widths(&policy)).arena;
                let (of_image, of_rows) = (arena(&image), arena(&rows));
                assert!(of_rows <= of_image + 4, "network {number}, {way}: {of_rows} and {of_image}");
            }
        }
    });
}

fn limited<'p>(free: &Problem<'p>, instructions: u64) -> Problem<'p> {
    let constraints = Constraints { instructions: Some(instructions), ..Constraints::default() };
    free.constrained(&constraints).expect("the core counts instructions")
}

/// What a policy takes is what its plan does; it keeps that as a limit, and nothing is proved that it contradicts.
#[test]
fn a_limit_of_instructions_is_that_of_the_plan() {
    let mut in_between = 0;
    each_network(40, |number, network, rng| {
        let space = space(network);
        for (core, input) in both_kernels().iter().flat_map(|core| InputRows::ALL.map(|input| (core, input))) {
            let core = core.with_schedule(Scheduling::Auto, input);
            let free = Problem::new(network, &space, &core, Budget::UNLIMITED);
            let (model, least) = (free.model(), LeastInstructions::of(&free).expect("the core counts them"));
            assert_eq!(free.footprint(&least.policy).instructions, least.instructions);
            for policy in policies(&free, 6, rng) {
                let widths = free.widths(&policy);
                let plan = model.ram(&widths).plan;
                let count = model.instructions_of_plan(&plan, &widths).map(|(count, _)| count);
                let [fewest, most] = [model.fewest_instructions(&widths), model.instructions(&widths)];
                assert!(fewest <= count && count <= most, "network {number}: {fewest:?} {count:?} {most:?}");
                in_between += usize::from(count < most);
                let count = count.expect("the core counts them");
                assert_eq!(free.footprint(&policy).instructions, count, "network {number}");
                assert!(least.lower_bound <= count, "network {number}");
                assert!(limited(&free, count).fits(&policy) && !limited(&free, count - 1).fits(&policy));
                let exists = some_policy_fits(&limited(&free, count), &Effort::unwatched());
                assert_ne!(exists, Ok(Existence::Impossible), "network {number}");
            }
        }
    });
    assert!(in_between > 100, "{in_between}");
}

/// Costs that fall with the bits.
fn costs_of(problem: &Problem) -> Costs {
    let mut costs = Costs::new(problem.space().rows.len());
    for (number, (row, side)) in problem.slots().enumerate() {
        let unit = 1.0 + (number * 7 % 5) as f64;
        for (bits, cost) in [(BitWidth::B8, 0.0), (BitWidth::B4, unit), (BitWidth::B2, 3.0 * unit)] {
            costs.set(row, side, bits, cost);
        }
    }
    costs
}

/// Beside random policies that keep a limit: what the optimum is said to cost at least is no more than these cost, whether they are
/// refused, and whether it is said that there is none.
#[test]
fn what_is_proved_under_a_limit_holds_for_every_plan() {
    each_network(12, |number, network, rng| {
        let space = space(network);
        for core in both_kernels() {
            let free = Problem::new(network, &space, &core, Budget::UNLIMITED);
            let all = policies(&free, 30, rng);
            let mut counts: Vec<u64> = all.iter().map(|policy| free.footprint(policy).instructions).collect();
            counts.sort_unstable();
            for limit in [counts[0], counts[counts.len() / 4]] {
                let problem = limited(&free, limit);
                let costs = costs_of(&problem);
                let solution = solve(&problem, &costs, 1);
                for (_, policy) in &solution.policies {
                    assert!(problem.fits(policy));
                }
                for policy in all.iter().filter(|policy| problem.fits(policy)) {
                    let cost = costs.total(&problem, policy);
                    assert!(solution.bound <= cost + 1e-9, "network {number}: {} and {cost}", solution.bound);
                    let kept =
                        Feasibility::of_policy(&problem, policy, &Effort::unwatched()).expect("it is not stopped");
                    assert!(matches!(kept, Feasibility::Fits(_)), "network {number}");
                }
                let exists = Feasibility::of(&problem, &Effort::unwatched()).expect("it is not stopped");
                if let Feasibility::DoesNotFit(diagnosis) = exists {
                    assert_ne!(diagnosis.verdict, Verdict::Impossible, "network {number}");
                }
            }
        }
    });
}
