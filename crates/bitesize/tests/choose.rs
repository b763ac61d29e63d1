//! Choosing where some policy that fits cannot be made integer-only, and where time is up.

use bitesize::choose::{Arena, Choice, choose, take};
use bitesize::console::{Console, Verbosity};
use bitesize::data::{Batch, Values};
use bitesize::judge::Target;
use bitesize::quantize::{Quantizer, calibrate};
use bitesize::run::RunFolder;
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{Clamp, FullyConnected};
use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, InputEncoding, Network, Node, Op, PolicySpace, Shape, TensorId};
use bitesize_search::constraints::Constraints;
use bitesize_search::evaluate::RewardKind;
use bitesize_search::problem::Problem;
use bitesize_search::search::{Settings, Strategy};
use bitesize_train::CalibrationSettings;
use bitesize_verify::boards;
use std::time::Duration;

const CHANNELS: usize = 4;
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
        softmax_dropped: false,
    }
}

/// The middle output's range is so much smaller than its input's that the factor between them passes what a multiplier
/// holds, unless both have steps as fine as at 8 bits.
const STEEP: f32 = 1.4e-14;

#[test]
fn a_policy_that_cannot_be_quantized_does_not_end_the_run() {
    let weight = |i: usize| if (i / CHANNELS).is_multiple_of(i % CHANNELS + 2) { 1.0 } else { -0.5 };
    let network = layers(STEEP, weight);
    network.verify().unwrap();
    let space = PolicySpace::of(&network);
    let core = boards::core("cortex-m4").unwrap();
    let values = (0..32 * CHANNELS).map(|i| (i * 7 % 13) as f32 / 13.0).collect();
    let batch = Batch { values: Values::Reals(values), labels: vec![0; 32], shape: Shape::new(1, 1, CHANNELS) };
    let console = Console::new(Verbosity::Quiet);
    let calibration = calibrate(&network, &batch, &CalibrationSettings::default(), &console).unwrap();
    let quantizer = Quantizer::prepare(&network, &batch, calibration, &console).unwrap();
    let reward = RewardKind::Accuracy;
    let settings =
        Settings { episodes: 1, patience: None, reward, seed: 0, reference_reward: 0.5, ddpg: Default::default() };
    let problem = Problem::new(&network, &space, &core, Budget { flash_bytes: 1 << 20, ram_bytes: 1 << 20 });
    let root = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&root.path().join("out")).unwrap();
    let target = Target::of(&network, &batch).unwrap();
    let (quantizer, target) = (&quantizer, &target);
    let arena =
        Arena { problem: &problem, quantizer, target, reward, time_limit: None, folder: &folder, console: &console };

    let Choice::Chosen(chosen) = choose(&arena, Strategy::Rules, &settings).unwrap() else { panic!("it fits") };
    assert!(chosen.best == 0 && chosen.delivered().is_ok());
    let told: Vec<_> = chosen.finalists.iter().map(|f| (f.name.as_str(), f.fits, f.reward, &f.failed)).collect();
    let row = |name: &str| chosen.finalists.iter().find(|f| f.name == name).unwrap();
    assert!(row("uniform-8").failed.is_none() && row("uniform-8").reward.is_some(), "{told:?}");
    let reason = row("uniform-2").failed.as_deref().unwrap_or_default();
    assert!(row("uniform-2").fits && row("uniform-2").reward.is_none() && reason.contains("fc1"), "{told:?}");
    assert!(console.warnings().iter().any(|w| w.contains("uniform-2") && w.contains("fc1")));

    let error = take(&arena, &problem.uniform(BitWidth::B2)).map(|c| c.best).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("the given policy cannot be delivered") && error.contains("fc1"), "{error}");
}

/// Uniform 8 bits is what is delivered where it fits, also where time is up at its evaluation and 4 bits do better by luck.
#[test]
fn time_that_is_up_leaves_what_one_evaluation_found() {
    let network = layers(1.0, |i| [0.9, -0.4, 0.1, -0.5][(i + CHANNELS - i / CHANNELS) % CHANNELS]);
    let space = PolicySpace::of(&network);
    let core = boards::core("cortex-m4").unwrap();
    let values = (0..SAMPLES * CHANNELS).map(|i| (i * i * 31 % 1009) as f32 / 1009.0).collect();
    let shape = Shape::new(1, 1, CHANNELS);
    let mut batch = Batch { values: Values::Reals(values), labels: vec![0; SAMPLES], shape };
    let console = Console::new(Verbosity::Quiet);
    let calibration = calibrate(&network, &batch, &CalibrationSettings::default(), &console).unwrap();
    let samples = batch.clone();
    let quantizer = Quantizer::prepare(&network, &samples, calibration, &console).unwrap();
    let free = Problem::new(&network, &space, &core, Budget { flash_bytes: 1 << 20, ram_bytes: 1 << 20 });
    let [at_4, at_8] =
        [BitWidth::B4, BitWidth::B8].map(|bits| quantizer.sequential("test", &free.uniform(bits)).unwrap());
    // As 4 bits classify.
    let codes = at_4.output_codes(&batch, None).unwrap();
    batch.labels = codes.chunks_exact(CHANNELS).map(bitesize_integer::top1).collect();
    assert!(at_8.hits(&batch).unwrap() < SAMPLES, "both widths classify alike");

    let root = tempfile::tempdir().unwrap();
    let folder = |name: &str| RunFolder::create(&root.path().join(name)).unwrap();
    let target = Target::of(&network, &batch).unwrap();
    let reward = RewardKind::Accuracy;
    let settings =
        Settings { episodes: 30, patience: None, reward, seed: 0, reference_reward: 0.5, ddpg: Default::default() };
    let choose = |problem: &Problem, folder: &RunFolder, strategy| {
        let time_limit = Some(Duration::ZERO);
        let arena =
            Arena { problem, quantizer: &quantizer, target: &target, reward, time_limit, folder, console: &console };
        match choose(&arena, strategy, &settings).unwrap() {
            Choice::Chosen(chosen) => *chosen,
            Choice::DoesNotFit(diagnosis) => panic!("{diagnosis}"),
        }
    };
    let chosen = choose(&free, &folder("free"), Strategy::Auto);
    let rewards: Vec<_> = chosen.finalists.iter().map(|finalist| (finalist.name.as_str(), finalist.reward)).collect();
    assert!(chosen.best == 0 && chosen.finalists[0].policy == free.uniform(BitWidth::B8), "{rewards:?}");
    assert!(rewards.iter().any(|(_, reward)| *reward > rewards[0].1), "{rewards:?}");

    let most = free.memory(&free.uniform(BitWidth::B8)).weight_bytes - 1;
    let tight = free.constrained(&Constraints { weight_bytes: Some(most), ..Constraints::default() }).unwrap();
    for strategy in [Strategy::Auto, Strategy::Random, Strategy::Ddpg] {
        let search = choose(&tight, &folder(strategy.name()), strategy).search.unwrap();
        assert_eq!((search.episodes, search.stop_reason), (1, "time_limit"), "{strategy}");
    }
}
