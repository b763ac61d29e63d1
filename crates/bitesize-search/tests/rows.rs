//! Orders of rows on random networks: what pushed rows take beside the image.

mod common;

use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network, Policy, Shape, TensorId};
use bitesize_search::widths::{set_width, width};
use bitesize_search::Problem;
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
