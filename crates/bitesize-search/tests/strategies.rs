//! Strategies on rewards that are made up: a known optimum, the same run twice, and a run cut in two.

mod answers;
mod common;

use answers::{diagnosis_of, feasibility_of, fitting_of};
use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, Network, Policy};
use bitesize_search::record::{DiaryError, diary_line};
use bitesize_search::widths::{Side, set_width};
use bitesize_search::{
    DdpgSettings, EvaluationError, Evaluator, Feasibility, Found, Memo, OnRecord, Outcome, Problem, Record, Replay,
    RewardKind, Score, Scores, SearchSettings, StopReason, Strategy, from_compact, parse_diary, search,
};
use common::{chain, costs, mobilenet_v1, space};
use std::ops::ControlFlow;

/// An agent of narrower layers than its own 300, to be quick.
fn settings(episodes: usize, seed: u64) -> SearchSettings {
    let ddpg = DdpgSettings { hidden: 64, ..DdpgSettings::default() };
    SearchSettings {
        episodes,
        patience: None,
        reward: RewardKind::Accuracy,
        seed,
        reference_reward: 0.9,
        loss_of_knowing_nothing: 10f64.ln(),
        ddpg,
    }
}

/// Accuracy made up: each width costs something of its own, the narrower the more, and neighbours cost together.
fn toy_reward(policy: &Policy) -> f64 {
    let cost = |bits: Option<BitWidth>| match bits {
        None | Some(BitWidth::B8) => 0.0,
        Some(BitWidth::B4) => 0.1,
        Some(BitWidth::B2) => 1.0,
    };
    let mut loss: f64 = 0.0;
    let mut before = 0.0;
    for (i, row) in policy.rows.iter().enumerate() {
        let [weights, activations] = [cost(row.weights), cost(row.activations)];
        let sensitivity = [0.05, 0.02, 0.08, 0.03][i % 4];
        loss += sensitivity * weights + 0.04 * activations + 0.05 * before * activations;
        before = activations;
    }
    0.9 - loss.min(0.8)
}

/// The accuracy above, and the loss that goes with it.
fn toy_score(policy: &Policy) -> Score {
    let accuracy = toy_reward(policy);
    Score { accuracy: Some(accuracy), loss: 0.9 - accuracy }
}

struct Setup {
    network: Network,
    /// Thousandths of the FLASH and RAM of uniform 8 bits.
    share: [u64; 2],
}

impl Setup {
    fn with<T>(&self, check: impl FnOnce(&Problem) -> T) -> T {
        let (space, core) = (space(&self.network), costs());
        let problem = Problem::new(&self.network, &space, &core, Budget::UNLIMITED);
        let full = problem.footprint(&problem.uniform(BitWidth::B8));
        let [flash, ram] = self.share;
        check(&problem.with_budget(Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000)))
    }

    /// Runs `strategy` on the toy rewards with what `known` remembers, for `episodes_of_this_run` at most.
    fn run(&self, strategy: Strategy, settings: &SearchSettings, known: &[Record], stop_after: usize) -> Run {
        let (mut calls, mut records) = (0, Vec::new());
        let mut judge = |policy: &Policy| {
            calls += 1;
            Ok(toy_score(policy))
        };
        let mut scores = Scores::default();
        scores.learn(known);
        let mut rewards = Memo::new(&mut judge, &mut scores);
        let outcome = self.with(|problem| {
            let fitting = fitting_of(problem).expect("some policy fits");
            search(problem, &fitting, strategy, settings, &mut rewards, &mut |record| {
                records.push(record.clone());
                if records.len() == stop_after {
                    ControlFlow::Break(StopReason::Interrupted)
                } else {
                    ControlFlow::Continue(())
                }
            })
        });
        match outcome.expect("toy rewards do not fail") {
            Outcome::Found(found) => Run { found: *found, records, calls },
            other => panic!("found nothing: {other:?}"),
        }
    }
}

/// Runs `strategy` on a problem that some policy fits, with `judge` and nothing known.
fn search_with(
    problem: &Problem,
    strategy: Strategy,
    settings: &SearchSettings,
    judge: &mut dyn Evaluator,
    on_record: &mut OnRecord,
) -> Result<Outcome, EvaluationError> {
    let fitting = fitting_of(problem).expect("some policy fits");
    search(problem, &fitting, strategy, settings, &mut Memo::new(judge, &mut Scores::default()), on_record)
}

#[derive(Debug, PartialEq)]
struct Run {
    found: Found,
    records: Vec<Record>,
    calls: usize,
}

const NEVER: usize = usize::MAX;

/// Every policy, by counting in base 3.
fn every_policy(problem: &Problem) -> Vec<Policy> {
    let slots: Vec<(usize, Side)> = problem.slots().collect();
    assert!(slots.len() <= 7, "few enough to enumerate");
    let policy = |number: usize| {
        let mut policy = problem.uniform(BitWidth::B2);
        slots.iter().fold(number, |rest, (row, side)| {
            set_width(&mut policy, *row, *side, BitWidth::ALL[rest % 3]);
            rest / 3
        });
        policy
    };
    (0..3usize.pow(slots.len() as u32)).map(policy).collect()
}

/// Within 1 % of the span between the worst and the best fitting policy: the agent as it is, and, to be quick, one of
/// narrower layers for three seeds.
#[test]
fn ddpg_comes_near_the_known_optimum() {
    let setup = Setup { network: chain(2), share: [800, 700] };
    let (worst, best) = setup.with(|problem| {
        let all = every_policy(problem);
        let fitting = all.iter().filter(|policy| problem.fits(policy));
        let rewards: Vec<f64> = fitting.map(toy_reward).collect();
        assert!(rewards.len() > 10, "the budget leaves a choice: {}", rewards.len());
        (rewards.iter().copied().fold(1.0, f64::min), rewards.iter().copied().fold(0.0, f64::max))
    });
    for (seed, hidden) in [(1, 300), (1, 64), (2, 64), (3, 64)] {
        let ddpg = DdpgSettings { hidden, ..DdpgSettings::default() };
        let run = setup.run(Strategy::Ddpg, &SearchSettings { ddpg, ..settings(600, seed) }, &[], NEVER);
        let reached = (run.found.reward - worst) / (best - worst);
        assert!(reached >= 0.99, "seed {seed} reached {reached} of the span {worst} to {best}");
        assert_eq!(run.found.stop_reason, StopReason::Episodes);
        assert_eq!(run.found.episodes, 600);
        assert!(run.records.iter().all(|record| record.reward <= run.found.reward));
    }
}

/// The same of the losses that add up, whose optimum `exact` proves.
#[test]
fn ddpg_comes_near_the_optimum_that_exact_proves() {
    Setup { network: chain(2), share: [800, 700] }.with(|problem| {
        let rewards = every_policy(problem).into_iter().filter(|p| problem.fits(p)).map(|p| (-additive(&p)).exp());
        let (worst, best) = rewards.fold((1.0f64, 0.0f64), |(worst, best), r| (worst.min(r), best.max(r)));
        let mut judge = |policy: &Policy| Ok(Score { accuracy: Some(0.5), loss: additive(policy) });
        let settings = SearchSettings { reward: RewardKind::Loss, ..settings(600, 1) };
        let outcome = search_with(problem, Strategy::Ddpg, &settings, &mut judge, &mut |_| ControlFlow::Continue(()));
        let Ok(Outcome::Found(found)) = outcome else { panic!("{outcome:?}") };
        assert!(found.reward >= best - 0.01 * (best - worst), "{} of {worst} to {best}", found.reward);
    });
}

/// After warm-up the agent's policies get better than those at random were.
#[test]
fn ddpg_learns() {
    let setup = Setup { network: mobilenet_v1(2, 96, 10), share: [600, 700] };
    let run = setup.run(Strategy::Ddpg, &settings(80, 1), &[], NEVER);
    let mean = |records: &[Record]| records.iter().map(|r| r.reward).sum::<f64>() / records.len() as f64;
    let (random, last) = (mean(&run.records[..20]), mean(&run.records[60..]));
    assert!(last > random + 0.01, "{random} at random, {last} at the end");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let setup = Setup { network: chain(3), share: [800, 700] };
    let runs = [7, 7, 8].map(|seed| setup.run(Strategy::Ddpg, &settings(40, seed), &[], NEVER));
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].records, runs[2].records);
}

/// Killed after some episodes, in the middle of a line, and resumed: the same records and result, and no policy that
/// the diary knows is evaluated again.
#[test]
fn a_resumed_run_ends_as_an_uninterrupted_one() {
    let setup = Setup { network: chain(3), share: [800, 700] };
    let settings = settings(80, 3);
    for strategy in [Strategy::Ddpg, Strategy::Random, Strategy::Evolution, Strategy::Auto] {
        let whole = setup.run(strategy, &settings, &[], NEVER);
        for killed_after in [1, 3, 33, 50].into_iter().filter(|episodes| *episodes <= whole.records.len()) {
            let first = setup.run(strategy, &settings, &[], killed_after);
            assert_eq!(first.found.stop_reason, StopReason::Interrupted);
            let diary: String = first.records.iter().map(diary_line).collect();
            let known = parse_diary(&format!("{diary}{{\"episode\":{killed_after},\"pol")).expect("it is a diary");
            assert_eq!(known, first.records);
            let resumed = setup.run(strategy, &settings, &known, NEVER);
            assert_eq!(resumed.found, whole.found, "{strategy}");
            assert_eq!(resumed.records, whole.records);
            // Probes are not in the diary, and are made again.
            assert_eq!(resumed.calls, whole.calls - known.len().min(first.found.evaluations));
            let replay = Replay::along(known);
            let new = resumed.records.iter().filter(|record| replay.is_new(record) == Ok(true)).count();
            assert_eq!(new, whole.records.len() - killed_after);
        }
    }
}

#[test]
fn a_diary_of_another_run_is_refused() {
    let setup = Setup { network: chain(3), share: [800, 700] };
    let [first, other] = [1, 2].map(|seed| setup.run(Strategy::Ddpg, &settings(5, seed), &[], NEVER).records);
    let replay = Replay::along(first);
    assert!(other.iter().any(|record| matches!(replay.is_new(record), Err(DiaryError::Diverged { .. }))));
    let line = diary_line(&other[0]);
    assert_eq!(parse_diary(""), Ok(Vec::new()));
    assert_eq!(parse_diary(line.trim_end()), Ok(Vec::new()), "cut off before its line break");
    for (text, at) in [("{}\n".to_owned(), 1), (format!("{line}{line}"), 2), (format!("{line}\n\n"), 2)] {
        assert!(matches!(parse_diary(&text), Err(DiaryError::Syntax { line, .. }) if line == at), "{text}");
    }
}

/// A reward that has no short decimal form comes back exactly: a resumed agent must see the same number.
#[test]
fn rewards_come_back_exactly() {
    for reward in [0.1 + 0.2, 1.0 / 3.0, 187.0 / 256.0, 0.7240000000000001, f64::from_bits(0x3fe9_9999_9999_999b)] {
        let policy = "W8A8".to_owned();
        let (accuracy, loss) = (Some(reward), 1.0 - reward);
        let record =
            Record { episode: 0, policy, flash_bytes: 1, ram_bytes: 2, accuracy, loss, reward, best_reward: reward };
        assert_eq!(parse_diary(&diary_line(&record)), Ok(vec![record]));
    }
}

#[test]
fn uniform_8_is_the_answer_where_it_fits() {
    let setup = Setup { network: chain(3), share: [1000, 1000] };
    for strategy in Strategy::ALL {
        let run = setup.run(strategy, &settings(30, 1), &[], NEVER);
        assert_eq!(run.found.stop_reason, StopReason::UniformFits);
        assert_eq!(run.records.len(), 1);
        let policy = setup.with(|problem| problem.uniform(BitWidth::B8));
        assert_eq!(run.found.policy, policy);
        assert_eq!(setup.with(|problem| from_compact(&run.records[0].policy, problem.space())), Ok(policy));
    }
}

#[test]
fn what_cannot_fit_is_diagnosed() {
    Setup { network: chain(3), share: [100, 100] }.with(|problem| {
        assert_eq!(fitting_of(problem), None);
        let Feasibility::DoesNotFit(diagnosis) = feasibility_of(problem) else { panic!("a tenth is too little") };
        assert_eq!(*diagnosis, diagnosis_of(problem));
    });
}

/// What one search has measured another need not measure again, and counts all the same.
#[test]
fn searches_share_what_they_measure() {
    let setup = Setup { network: chain(3), share: [800, 700] };
    let (mut scores, mut calls) = (Scores::default(), 0);
    let counts = [0, 1].map(|_| {
        setup.with(|problem| {
            let mut judge = |policy: &Policy| {
                calls += 1;
                Ok(toy_score(policy))
            };
            let fitting = fitting_of(problem).expect("some policy fits");
            let mut rewards = Memo::new(&mut judge, &mut scores);
            let on_record: &mut OnRecord = &mut |_| ControlFlow::Continue(());
            match search(problem, &fitting, Strategy::Exact, &settings(80, 1), &mut rewards, on_record) {
                Ok(Outcome::Found(found)) => (found.evaluations, found.probes),
                other => panic!("{other:?}"),
            }
        })
    });
    assert_eq!(counts[0], counts[1]);
    assert_eq!(calls, counts[0].0 + counts[0].1);
}

#[test]
fn every_episode_keeps_the_budgets() {
    let setup = Setup { network: mobilenet_v1(2, 96, 10), share: [450, 600] };
    for strategy in Strategy::ALL {
        let run = setup.run(strategy, &settings(160, 5), &[], NEVER);
        setup.with(|problem| {
            for record in &run.records {
                assert!(problem.budget().holds_flash(record.flash_bytes));
                assert!(problem.budget().holds_ram(record.ram_bytes));
                let policy = from_compact(&record.policy, problem.space()).expect("a record's policy reads back");
                assert_eq!(problem.footprint(&policy).flash_bytes, record.flash_bytes);
            }
        });
        assert!(run.found.episodes <= 160);
        assert_eq!(run.found.finalists.first(), Some(&run.found.policy));
        let different: std::collections::HashSet<&str> = run.records.iter().map(|r| r.policy.as_str()).collect();
        assert!(strategy == Strategy::Ddpg || different.len() == run.records.len(), "{strategy} evaluates none twice");
    }
}

/// Losses that add up.
fn additive(policy: &Policy) -> f64 {
    let cost = |bits: Option<BitWidth>| bits.map_or(0.0, |bits| [0.3, 0.04, 0.0][bits as usize]);
    let rows = policy.rows.iter().enumerate();
    rows.map(|(i, row)| (cost(row.weights) + 0.7 * cost(row.activations)) / (i + 1) as f64).sum()
}

/// Where losses add up the first policy of `exact` is the best of all, and it says so.
#[test]
fn exact_proves_the_optimum_of_what_adds_up() {
    let setup = Setup { network: chain(2), share: [800, 700] };
    setup.with(|problem| {
        let mut judge = |policy: &Policy| Ok(Score { accuracy: Some(0.5), loss: additive(policy) });
        let settings = SearchSettings { reward: RewardKind::Loss, ..settings(100, 1) };
        let mut records = Vec::new();
        let outcome = search_with(problem, Strategy::Exact, &settings, &mut judge, &mut |record| {
            records.push(record.clone());
            ControlFlow::Continue(())
        });
        let Ok(Outcome::Found(found)) = outcome else { panic!("{outcome:?}") };
        let least = every_policy(problem).iter().filter(|p| problem.fits(p)).map(additive).fold(f64::MAX, f64::min);
        assert!((records[0].loss - least).abs() < 1e-12, "{} is not {least}", records[0].loss);
        assert_eq!(found.episode, 0);
        assert!(found.note.contains("proved to be the optimum"), "{}", found.note);
        assert_eq!(found.probes, 1 + 2 * 6);
    });
}

/// A search read on its way is one that was given no more: so tables read one search at several numbers of evaluations. The
/// agent's exploration depends on how many episodes there will be.
#[test]
fn a_longer_search_begins_as_a_shorter_one() {
    let setup = Setup { network: mobilenet_v1(2, 96, 10), share: [450, 600] };
    for strategy in Strategy::ALL.into_iter().filter(|strategy| *strategy != Strategy::Ddpg) {
        let [short, long] = [120, 200].map(|episodes| setup.run(strategy, &settings(episodes, 2), &[], NEVER).records);
        assert!(long.starts_with(&short), "{strategy}");
        let uses_all = !matches!(strategy, Strategy::Exact | Strategy::Greedy | Strategy::Rules);
        assert_eq!(long.len() > short.len(), uses_all, "{strategy}");
    }
}

/// Where single widths say nothing of policies that fit, all of which know less than nothing, what adds costs up is worse
/// than chance; `evolution` and `auto` notice.
#[test]
fn costs_that_mislead_are_given_up() {
    let setup = Setup { network: mobilenet_v1(2, 96, 10), share: [450, 600] };
    setup.with(|problem| {
        let loss = |policy: &Policy| -> f64 {
            let narrow = |bits: &Option<BitWidth>| bits.is_some_and(|bits| bits != BitWidth::B8);
            let widths = policy.rows.iter().flat_map(|row| [row.weights, row.activations]);
            let changed = widths.clone().filter(narrow).count() as f64;
            let at_2 = widths.filter(|bits| *bits == Some(BitWidth::B2)).count() as f64;
            if changed <= 1.0 { 0.01 * changed + 0.1 * at_2 } else { 7.0 - 0.1 * at_2 }
        };
        let mean = |strategy| {
            let reward = |seed| {
                let mut judge = |policy: &Policy| Ok(Score { accuracy: Some(0.1), loss: loss(policy) });
                let settings = SearchSettings { reward: RewardKind::Loss, ..settings(200, seed) };
                match search_with(problem, strategy, &settings, &mut judge, &mut |_| ControlFlow::Continue(())) {
                    Ok(Outcome::Found(found)) => found.reward,
                    other => panic!("{other:?}"),
                }
            };
            [1, 2, 3].map(reward).iter().sum::<f64>() / 3.0
        };
        let random = mean(Strategy::Random);
        assert!(mean(Strategy::Exact) < random && random < 0.1, "{} {random}", mean(Strategy::Exact));
        for strategy in [Strategy::Evolution, Strategy::Auto] {
            assert!(mean(strategy) > random, "{strategy}: {} {random}", mean(strategy));
        }
    });
}

/// By mean reward over three seeds at the same number of evaluations, probes counted.
#[test]
fn auto_is_at_least_as_good_as_every_other() {
    for (network, share, episodes) in [
        (mobilenet_v1(2, 96, 10), [450, 600], 200),
        (common::residual(3), [850, 700], 120),
        (mobilenet_v1(2, 96, 10), [700, 1000], 150),
    ] {
        let setup = Setup { network, share };
        let mean = |strategy| {
            let reward = |seed| setup.run(strategy, &settings(episodes, seed), &[], NEVER).found.reward;
            [1, 2, 3].map(reward).iter().sum::<f64>() / 3.0
        };
        let auto = mean(Strategy::Auto);
        for other in Strategy::ALL {
            assert!(auto >= mean(other) - 1e-9, "{other} is better than auto: {} {auto}", mean(other));
        }
    }
}

#[test]
fn patience_interruption_and_failure_end_a_run() {
    let setup = Setup { network: chain(3), share: [800, 700] };
    let patient = SearchSettings { patience: Some(5), ..settings(600, 1) };
    let run = setup.run(Strategy::Ddpg, &patient, &[], NEVER);
    assert_eq!(run.found.stop_reason, StopReason::Patience);
    assert_eq!(run.found.episodes, (run.found.episode + 1).max(20) + 5);

    let ends = [(EvaluationError::Interrupted, true), (EvaluationError::Failed("no such layer".into()), false)];
    for (error, is_outcome) in ends {
        let mut left = 3;
        let mut judge = |policy: &Policy| {
            left -= 1;
            if left == 0 { Err(error.clone()) } else { Ok(toy_score(policy)) }
        };
        let outcome = setup.with(|problem| {
            search_with(problem, Strategy::Ddpg, &settings(30, 1), &mut judge, &mut |_| ControlFlow::Continue(()))
        });
        match outcome {
            Ok(Outcome::Found(found)) => {
                assert!(is_outcome);
                assert_eq!((found.stop_reason, found.evaluations), (StopReason::Interrupted, 2));
            }
            Err(found) => assert!(!is_outcome && found == error),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn names_of_strategies() {
    for strategy in Strategy::ALL {
        assert_eq!(strategy.name().parse(), Ok(strategy));
    }
    assert_eq!(
        "annealing".parse::<Strategy>(),
        Err("`annealing` is not a search strategy: use one of auto, exact, evolution, ddpg, greedy, rules, random"
            .to_owned())
    );
}
