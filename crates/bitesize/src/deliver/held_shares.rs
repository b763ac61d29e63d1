//! How many samples can be kept in memory all along, those for calibration and those held out.
//!
//! Networks that fit a microcontroller are far from these bounds with the usual numbers of samples; one of a large input takes
//! fewer samples, which is told.

use crate::input::{Dataset, Shares};
use crate::observe::Monitor;
use crate::task::Objective;
use bitesize_ir::Network;
use bitesize_ir::memory::last_uses;

/// What the samples of either share may take, in bytes: 512 of 224 x 224 x 3 real values take 309 MB.
const SAMPLE_BYTES: usize = 384 << 20;

/// What the calibration samples' activations may take as codes, in bytes: quantization layer by layer keeps those that later
/// layers read, of all samples. 512 samples of MobileNetV1 at 224 x 224 take 1.03 GB.
const ACTIVATION_BYTES: usize = 1 << 30;

/// What is asked for, and what memory holds.
pub(super) struct HeldShares {
    asked: Shares,
    most: Shares,
}

/// The most codes of one sample that quantization keeps at a time: what is alive, and the layer's output once more.
fn codes(network: &Network) -> usize {
    let elements = |tensor| network.shape(tensor).elements();
    let last_uses = last_uses(network);
    let (mut alive, mut most) = (elements(network.input), 0);
    for (id, node) in network.iter() {
        alive += elements(node.output);
        most = most.max(alive + elements(node.output));
        alive -= last_uses[id.0].iter().map(|tensor| elements(*tensor)).sum::<usize>();
    }
    most
}

impl HeldShares {
    /// Of `train`, for a `network` of `objective`; at least one sample of each.
    pub(super) fn of(asked: Shares, train: &Dataset, network: &Network, objective: &Objective) -> Self {
        let reward = train.held_in(SAMPLE_BYTES, objective.shape.elements());
        let calibration = reward.min(ACTIVATION_BYTES / codes(network).max(1)).max(1);
        Self { asked, most: Shares { reward, calibration } }
    }

    /// What is asked for, as far as memory holds it.
    pub(super) fn get(&self) -> Shares {
        Shares {
            reward: self.asked.reward.min(self.most.reward),
            calibration: self.asked.calibration.min(self.most.calibration),
        }
    }

    /// Warns where `count` samples calibrate and more were asked for.
    pub(super) fn warn_of_calibration(&self, count: usize, monitor: &Monitor) {
        warn("calibrate", count, self.asked.calibration, self.most.calibration, monitor);
    }

    /// Warns where `count` samples judge and more were asked for.
    pub(super) fn warn_of_reward(&self, count: usize, monitor: &Monitor) {
        warn("are held out", count, self.asked.reward, self.most.reward, monitor);
    }
}

fn warn(what: &str, count: usize, asked: usize, most: usize, monitor: &Monitor) {
    if asked > most && count >= most {
        monitor.warn(format_args!(
            "{count} samples {what} and not {asked}: the network is too large to keep more in memory"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Preprocess, PreprocessFile, Request, Role};
    use crate::task::Task;
    use bitesize_ir::op::{Clamp, Op};
    use bitesize_ir::{InputEncoding, Node, Shape, Tensor, TensorId};

    /// `x -> relu -> add(x, relu)`, all of `shape`.
    fn network(shape: Shape) -> Network {
        let tensors = ["x", "a", "y"].map(|name| Tensor { name: name.into(), shape });
        let node = |name: &str, op, inputs: &[usize], output| Node {
            name: name.into(),
            op,
            inputs: inputs.iter().map(|t| TensorId(*t)).collect(),
            output: TensorId(output),
        };
        Network {
            name: "n".into(),
            tensors: tensors.into(),
            nodes: vec![node("a", Op::Clamp(Clamp::RELU), &[0], 1), node("y", Op::Add(Clamp::NONE), &[0, 1], 2)],
            input: TensorId(0),
            output: TensorId(2),
            input_encoding: InputEncoding::Real,
            tail: None,
        }
    }

    #[test]
    fn codes_are_those_alive_and_the_output_once_more() {
        assert_eq!(codes(&network(Shape::vector(10))), 40);
    }

    #[test]
    fn large_networks_take_fewer_samples() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        image::GrayImage::new(8, 8).save(folder.path().join("a/0.png")).unwrap();
        let asked = Shares { reward: 512, calibration: 512 };
        // An output of two numbers: what is held out is the samples, what calibrates their activations too.
        for (side, reward, calibration) in [(32, 512, 512), (4096, 23, 16)] {
            let shape = Shape::new(side, side, 1);
            let file = PreprocessFile { size: Some([side, side]), ..PreprocessFile::default() };
            let preprocess = Preprocess::checked(&file, shape).unwrap();
            let train = Dataset::open(folder.path(), Role::Train, &Request::new(shape, &preprocess)).unwrap();
            let objective = Objective { task: Task::Classify, shape: Shape::vector(2), tail: None };
            let held = HeldShares::of(asked, &train, &network(shape), &objective).get();
            assert_eq!((held.reward, held.calibration), (reward, calibration), "{shape}");
        }
    }
}
