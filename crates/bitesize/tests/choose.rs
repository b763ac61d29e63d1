//! Choosing where some policy that fits cannot be made integer-only, and where time is up.

use bitesize::deliver::calibrated::calibrate;
use bitesize::deliver::contest::{Contest, Shared, Winner};
use bitesize::deliver::diary::Diary;
use bitesize::deliver::finalists::FinalJudge;
use bitesize::deliver::held_out::HeldOut;
use bitesize::deliver::quantizer::Quantizer;
use bitesize::input::{Batch, Values};
use bitesize::observe::{Interrupted, Monitor, Observer};
use bitesize::target::{Asked, Platform, inspect};
use bitesize::task::{Labels, Objective, Task};
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{Clamp, FullyConnected};
use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, InputEncoding, Network, Node, Op, PolicySpace, Shape, TensorId};
use bitesize_search::{Constraints, Effort, Fitting, Problem, RewardKind, SearchSettings, Strategy};
use bitesize_train::CalibrationSettings;
use bitesize_verify::boards;
use std::time::Duration;

const CHANNELS: usize = 4;
const OBJECTIVE: Objective = Objective { task: Task::Classify, shape: Shape { h: 1, w: 1, c: CHANNELS }, tail: None };
/// Enough that some are classified in another way at 4 bits.
const SAMPLES: usize = 512;

/// Three layers of the same weights; the output of the middle one is clamped to 0 to `hi`.
fn layers(hi: f32, weight: fn(usize) -> f32) -> Network {
    let layer = |clamp| {
        let weights = (0..CHANNELS * CHANNELS).map(weight).collect();
        Op::FullyConnected(FullyConnected { weights, bias: vec![0.0; CHANNELS], clamp })
    };
    let clamps = [Clamp::RELU, Clamp { lo: 0.0, hi }, Clamp::NONE];
    let shape = Shape::new(1, 1, CHANNELS);
    let node = |(i, clamp)| Node {
        name: format!("fc{i}"),
        op: layer(clamp),
        inputs: vec![TensorId(i)],
        output: TensorId(i + 1),
    };
    Network {
        name: "layers".into(),
        tensors: (0..=clamps.len()).map(|i| Tensor { name: format!("t{i}"), shape }).collect(),
        nodes: clamps.into_iter().enumerate().map(node).collect(),
        input: TensorId(0),
        output: TensorId(clamps.len()),
        input_encoding: InputEncoding::Real,
        tail: None,
    }
}

/// Wants every run to stop.
struct Impatient;

impl Observer for Impatient {
    fn warning(&self, _: &str) {}

    fn wants_stop(&self) -> bool {
        true
    }
}

#[test]
fn an_inspection_stops_when_it_is_asked_to() {
    let network = layers(6.0, |_| 0.5);
    let space = PolicySpace::of(&network);
    let platform = Platform::of_sizes(Budget::of(1, 1), None).unwrap();
    let problem = &Problem::new(&network, &space, &platform.core, platform.budget());
    let stopped = inspect(problem, &platform, true, Asked::default(), &Monitor::new(&Impatient));
    assert_eq!(stopped.err(), Some(Interrupted));
    let inspection = inspect(problem, &platform, true, Asked::default(), &Monitor::unobserved()).unwrap();
    assert_eq!(inspection.fits, Some(false));
}

/// The middle output's range is so much smaller than its input's that the factor between them passes what a multiplier
/// holds, unless both have steps as fine as at 8 bits.
const STEEP: f32 = 1.4e-14;

#[test]
fn a_policy_that_cannot_be_quantized_does_not_end_the_run() {
    let weight = |i: usize| if (i / CHANNELS).is_multiple_of(i % CHANNELS + 2) { 1.0 } else { -0.5 };
    let network = layers(STEEP, weight);
    network.validate().unwrap();
    let space = PolicySpace::of(&network);
    let core = boards::core("cortex-m4").unwrap();
    let values = (0..32 * CHANNELS).map(|i| (i * 7 % 13) as f32 / 13.0).collect();
    let batch = Batch {
        values: Values::Reals(values),
        labels: Labels::Classes(vec![0; 32]),
        shape: Shape::new(1, 1, CHANNELS),
    };
    let monitor = Monitor::unobserved();
    let calibration = calibrate(&network, &batch, &CalibrationSettings::default(), &monitor).unwrap();
    let quantizer = &Quantizer::prepare_all(&network, &batch, calibration, &monitor).unwrap();
    let problem = Problem::new(&network, &space, &core, Budget::of(1 << 20, 1 << 20));
    let held_out = &HeldOut::of(&network, OBJECTIVE, batch.clone(), &monitor).unwrap();
    let judge = FinalJudge { quantizer, held_out, reward: RewardKind::Accuracy, monitor: &monitor };

    let winner = hold(judge, &problem, Strategy::Rules, 1, None);
    assert!(winner.best == 0 && winner.candidate().is_ok());
    let told: Vec<_> = winner.finalists.iter().map(|f| (f.name.as_str(), f.fits, f.reward, &f.failed)).collect();
    let row = |name: &str| winner.finalists.iter().find(|f| f.name == name).unwrap();
    assert!(row("uniform-8").failed.is_none() && row("uniform-8").reward.is_some(), "{told:?}");
    let reason = row("uniform-2").failed.as_deref().unwrap_or_default();
    assert!(row("uniform-2").fits && row("uniform-2").reward.is_none() && reason.contains("fc1"), "{told:?}");
    assert!(monitor.warnings().iter().any(|w| w.contains("uniform-2") && w.contains("fc1")));

    let error = judge.judge("policy", &problem.uniform(BitWidth::B2)).map(|(_, reward)| reward).unwrap_err();
    assert!(format!("{error:#}").contains("fc1"), "{error:#}");
}

/// What `strategy` leads to under the limits of `problem`.
fn hold(judge: FinalJudge, problem: &Problem, strategy: Strategy, episodes: usize, limit: Option<Duration>) -> Winner {
    let settings = SearchSettings {
        episodes,
        patience: None,
        reward: judge.reward,
        seed: 0,
        reference_reward: 0.5,
        loss_of_knowing_nothing: (CHANNELS as f64).ln(),
        ddpg: Default::default(),
    };
    let fitting = &Fitting::of(problem, &Effort::unwatched()).expect("nobody stops it").expect("some policy fits");
    let contest = Contest { problem, fitting, judge, strategy, settings: &settings, time_limit: limit };
    contest.hold(&mut Shared::new(judge, None, &[]).unwrap(), &mut Diary::none()).unwrap()
}

/// Uniform 8 bits is what is delivered where it fits, also where time is up at its evaluation and 4 bits do better by luck.
#[test]
fn time_that_is_up_leaves_what_one_evaluation_found() {
    let network = layers(1.0, |i| [0.9, -0.4, 0.1, -0.5][(i + CHANNELS - i / CHANNELS) % CHANNELS]);
    let space = PolicySpace::of(&network);
    // Whole words of weights would take as many bytes at every width.
    let core = boards::core("cortex-m4").unwrap().with_rows(false);
    let values = (0..SAMPLES * CHANNELS).map(|i| (i * i * 31 % 1009) as f32 / 1009.0).collect();
    let shape = Shape::new(1, 1, CHANNELS);
    let mut batch = Batch { values: Values::Reals(values), labels: Labels::Classes(vec![0; SAMPLES]), shape };
    let monitor = Monitor::unobserved();
    let calibration = calibrate(&network, &batch, &CalibrationSettings::default(), &monitor).unwrap();
    let samples = batch.clone();
    let quantizer = Quantizer::prepare_all(&network, &samples, calibration, &monitor).unwrap();
    let free = Problem::new(&network, &space, &core, Budget::of(1 << 20, 1 << 20));
    let [at_4, at_8] =
        [BitWidth::B4, BitWidth::B8].map(|bits| quantizer.sequential("test", &free.uniform(bits)).unwrap());
    // As 4 bits classify.
    let codes = at_4.output_codes(&batch, None, &monitor).unwrap();
    batch.labels = Labels::Classes(codes.chunks_exact(CHANNELS).map(bitesize_integer::top1).collect());

    let held_out = &HeldOut::of(&network, OBJECTIVE, batch.clone(), &monitor).unwrap();
    let share = held_out.score(&at_8, None, &monitor).unwrap().accuracy;
    assert!(share.is_some_and(|share| share < 1.0), "both widths classify alike");
    let judge = FinalJudge { quantizer: &quantizer, held_out, reward: RewardKind::Accuracy, monitor: &monitor };
    let hold = |problem: &Problem, strategy| hold(judge, problem, strategy, 30, Some(Duration::ZERO));
    let chosen = hold(&free, Strategy::Auto);
    let rewards: Vec<_> = chosen.finalists.iter().map(|finalist| (finalist.name.as_str(), finalist.reward)).collect();
    assert!(chosen.best == 0 && chosen.finalists[0].policy == free.uniform(BitWidth::B8), "{rewards:?}");
    assert!(rewards.iter().any(|(_, reward)| *reward > rewards[0].1), "{rewards:?}");

    let most = free.footprint(&free.uniform(BitWidth::B8)).weight_bytes - 1;
    let tight = free.constrained(&Constraints { weight_bytes: Some(most), ..Constraints::default() }).unwrap();
    for strategy in [Strategy::Auto, Strategy::Random, Strategy::Ddpg] {
        let search = hold(&tight, strategy).search.unwrap();
        assert_eq!((search.episodes, search.stop_reason), (1, "time_limit"), "{strategy}");
    }
}
