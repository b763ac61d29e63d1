//! Choosing where some policy that fits cannot be made integer-only.

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
use bitesize_search::evaluate::RewardKind;
use bitesize_search::problem::Problem;
use bitesize_search::search::{Settings, Strategy};
use bitesize_train::CalibrationSettings;
use bitesize_verify::boards;

const CHANNELS: usize = 4;

/// A layer whose output is clamped to a range so much smaller than its input's that the factor between them passes
/// what a multiplier holds, unless both have steps as fine as at 8 bits.
fn steep() -> Network {
    let weight = |i: usize| if (i / CHANNELS).is_multiple_of(i % CHANNELS + 2) { 1.0 } else { -0.5 };
    let layer = |clamp| {
        let weights = (0..CHANNELS * CHANNELS).map(weight).collect();
        Op::FullyConnected(FullyConnected { weights, bias: vec![0.0; CHANNELS], clamp })
    };
    let clamps = [Clamp::RELU, Clamp { lo: 0.0, hi: 1.4e-14 }, Clamp::NONE];
    let shape = Shape::new(1, 1, CHANNELS);
    let node = |(i, clamp)| Node {
        name: format!("fc{i}"),
        op: layer(clamp),
        inputs: vec![TensorId(i)],
        output: TensorId(i + 1),
    };
    Network {
        name: "steep".into(),
        tensors: (0..=clamps.len()).map(|i| Tensor { name: format!("t{i}"), shape }).collect(),
        nodes: clamps.into_iter().enumerate().map(node).collect(),
        input: TensorId(0),
        output: TensorId(clamps.len()),
        input_encoding: InputEncoding::Real,
        softmax_dropped: false,
    }
}

#[test]
fn a_policy_that_cannot_be_quantized_does_not_end_the_run() {
    let network = steep();
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
