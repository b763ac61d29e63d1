//! What questions about large networks cost, in steps and not in seconds: a limit that grows with the layers times their
//! logarithm is not met. And what is told where a limit is met, and where nobody wants the answer any more.

mod common;

use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, Network, Shape, TensorId};
use bitesize_search::{Diagnosis, Effort, Existence, Problem, Stopped, Verdict, some_policy_fits};
use common::{Builder, costs, space};
use std::cell::Cell;
use std::ops::ControlFlow;

/// `layers` convolutions, a residual around every second one.
fn residuals(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let mut x = net.conv(TensorId(0), 4, 3, 1);
    let mut around = x;
    for layer in 1..layers {
        x = net.conv(x, 4, 3, 1);
        if layer % 2 == 0 {
            x = net.add(x, around);
            around = x;
        }
    }
    net.finish(x, 3)
}

/// Additions that all read one tensor, which so is alive all along.
fn additions(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let long_lived = net.conv(TensorId(0), 4, 3, 1);
    let x = (0..layers).fold(long_lived, |x, _| net.add(x, long_lived));
    net.finish(x, 3)
}

/// Layers of which each reads all before it, as in DenseNet's blocks.
fn dense(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let mut parts = vec![net.conv(TensorId(0), 8, 3, 1)];
    let mut x = parts[0];
    for _ in 0..layers {
        let narrow = net.conv(x, 8, 1, 1);
        parts.push(net.conv(narrow, 4, 3, 1));
        x = net.concat(&parts);
    }
    net.finish(x, 3)
}

/// Chains of channels that rise and fall: each layer has a peak of its own.
fn waves(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(8, 8, 3));
    let x = (0..layers).fold(TensorId(0), |x, layer| net.conv(x, 3 + (layer * 7) % 23, 1, 1));
    net.finish(x, 3)
}

/// A chain of layers, each appended to all channels before it.
fn waiting(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(2, 2, 1));
    let mut x = TensorId(0);
    for _ in 0..layers {
        let pooled = net.same_pool(x);
        let one = net.conv(pooled, 1, 1, 1);
        x = net.concat(&[x, one]);
    }
    net.finish(x, 3)
}

/// Layers of different channels, all of which wait for the second half of the network.
fn crowded(layers: usize) -> Network {
    let mut net = Builder::new(Shape::new(2, 2, 3));
    let mut waiting = Vec::new();
    let mut x = TensorId(0);
    for layer in 0..layers {
        x = net.conv(x, 1 + (layer * 37) % 41, 1, 1);
        waiting.push(x);
    }
    for layer in 0..layers {
        let other = waiting.remove(layer * 7919 % waiting.len());
        x = net.concat(&[x, other]);
        x = net.conv(x, 1 + (layer * 29) % 43, 1, 1);
    }
    net.finish(x, 3)
}

/// Under budgets of `shares` in thousandths of what uniform 8 bits takes.
fn under<T>(network: &Network, [flash, ram]: [u64; 2], ask: impl FnOnce(&Problem) -> T) -> T {
    let (space, core) = (space(network), costs());
    let free = Problem::new(network, &space, &core, Budget::UNLIMITED);
    let full = free.footprint(&free.uniform(BitWidth::B8));
    ask(&free.with_budget(Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000)))
}

/// Under the lower bounds of both, which no policy is proved to miss and none is found to keep.
fn under_the_bounds<T>(network: &Network, ask: impl FnOnce(&Problem) -> T) -> T {
    under(network, [1001, 1001], |free| {
        let Diagnosis { least_flash, least_ram, .. } = Diagnosis::of(free, &Effort::unwatched()).expect("not stopped");
        ask(&free.with_budget(Budget::of(least_flash.lower_bound, least_ram.lower_bound)))
    })
}

/// A step's share of a policy tried: 32, and 8 for each of the nodes around a tensor.
const POLICY: u64 = 64;

/// Each search tries at most 60 policies a layer and level of the tree over the layers. Trying each width once is 2 a layer;
/// there are up to 12 descents in a search, each of a few rounds.
#[test]
fn steps_grow_with_the_layers_times_their_logarithm() {
    type Make = fn(usize) -> Network;
    let cases: [(&str, Make); 3] = [("residuals", residuals), ("additions", additions), ("waves", waves)];
    for (name, make) in cases {
        let network = make(1000);
        let nodes = network.nodes.len() as u64;
        let effort = || Effort::unwatched().with_steps(60 * POLICY * nodes * u64::from(nodes.ilog2()));
        let check = |problem: &Problem| {
            let diagnosis = Diagnosis::of(problem, &effort()).expect("not stopped");
            assert!(!diagnosis.met_limit(), "{name}: {diagnosis}");
        };
        for shares in [[1001, 1001], [950, 300]] {
            under(&network, shares, check);
        }
        under_the_bounds(&network, check);
    }
}

/// Every concatenation is alive beside all that it reads: pairs of buffers that meet grow with the square of a block's
/// layers, and their arenas are above the bound, so each policy tried may cost a whole plan.
#[test]
fn dense_blocks_end_within_the_usual_limit() {
    let network = dense(10);
    for shares in [[1001, 1001], [600, 600], [950, 300]] {
        under(&network, shares, |problem| {
            let diagnosis = Diagnosis::of(problem, &Effort::unwatched()).expect("not stopped");
            assert!(!diagnosis.met_limit(), "{diagnosis}");
        });
    }
}

/// Where a policy tried changes hundreds of nodes, the limit is met by what they cost.
#[test]
fn nodes_that_a_policy_changes_count() {
    let network = dense(40);
    let tried = |network: &Network| {
        let effort = Effort::unwatched().with_steps(32 * 2000);
        under_the_bounds(network, |problem| match some_policy_fits(problem, &effort).expect("not stopped") {
            Existence::NotFound { limit_reached } => limit_reached,
            found => panic!("{found:?}"),
        })
    };
    let dense = tried(&network).expect("the limit is met");
    assert!(dense < 1000, "{dense} policies for the steps of 2000 that change nothing");
}

/// Where a layer's output may only become narrower after the next one's has, a sweep forwards changes one layer; every
/// other sweep goes backwards.
#[test]
fn changes_that_wait_for_later_layers_take_few_sweeps() {
    let network = waiting(600);
    let nodes = network.nodes.len() as u64;
    let effort = Effort::unwatched().with_steps(60 * POLICY * nodes * u64::from(nodes.ilog2()));
    under(&network, [300, 1001], |problem| {
        let diagnosis = Diagnosis::of(problem, &effort).expect("not stopped");
        assert!(!diagnosis.met_limit(), "{diagnosis}");
    });
}

/// One search after another within one effort: together they take three times what one may.
#[test]
fn searches_of_one_effort_share_its_steps() {
    under_the_bounds(&residuals(30), |problem| {
        let effort = Effort::unwatched().with_steps(20_000);
        let tried: Vec<u64> = (0..6)
            .map(|_| match some_policy_fits(problem, &effort).expect("not stopped") {
                Existence::NotFound { limit_reached: Some(tried) } => tried,
                found => panic!("{found:?}"),
            })
            .collect();
        assert!(tried[0] > 0 && tried[5] == 0, "{tried:?}");
    });
}

/// Thousands of buffers, no two of one size, half of them alive to the end: the planner tries one order, and the least RAM is told as
/// not proved.
#[test]
fn planning_that_was_cut_short_proves_nothing() {
    let network = crowded(3000);
    under(&network, [1001, 1001], |problem| {
        let ram = problem.model().ram(&problem.widths(&problem.uniform(BitWidth::B8)));
        assert!(ram.plan.cut_short && ram.plan.arena_bytes > ram.plan.lower_bound);
        let diagnosis = Diagnosis::of(problem, &Effort::unwatched()).expect("not stopped");
        assert!(diagnosis.least_ram.limit_reached.is_some(), "{diagnosis}");
        assert!(diagnosis.to_string().contains("; not proved: "), "{diagnosis}");
    });
}

#[test]
fn a_limit_that_is_met_is_told_and_proves_nothing() {
    under_the_bounds(&residuals(30), |problem| {
        let usual = Diagnosis::of(problem, &Effort::unwatched()).expect("not stopped");
        assert!(!usual.met_limit() && !usual.to_string().contains("not proved"), "{usual}");
        let few = Effort::unwatched().with_steps(5);
        let diagnosis = Diagnosis::of(problem, &few).expect("not stopped");
        assert!(diagnosis.met_limit());
        assert_eq!(diagnosis.verdict, Verdict::NotFound);
        let told = diagnosis.to_string();
        assert!(told.contains("; not proved: the search met its limit after "), "{told}");
        // What was found until then holds all the same.
        assert_eq!(problem.footprint(&diagnosis.least_flash.policy).flash_bytes, diagnosis.least_flash.bytes);
        assert_eq!(problem.footprint(&diagnosis.least_ram.policy).ram_bytes, diagnosis.least_ram.bytes);
        assert!(usual.least_flash.bytes <= diagnosis.least_flash.bytes);
        let existence = some_policy_fits(problem, &few).expect("not stopped");
        assert!(matches!(existence, Existence::NotFound { limit_reached: Some(_) }), "{existence:?}");
    });
}

#[test]
fn a_question_ends_where_nobody_wants_the_answer() {
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        if asked.get() > 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    under_the_bounds(&residuals(100), |problem| {
        assert_eq!(Diagnosis::of(problem, &Effort::watched(&go_on)), Err(Stopped));
        assert_eq!(some_policy_fits(problem, &Effort::watched(&go_on)), Err(Stopped));
        assert_eq!(asked.get(), 12, "each was told once to stop");
    });
}
