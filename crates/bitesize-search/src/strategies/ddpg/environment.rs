//! What the agent sees and does: a row's step as ten numbers, an action as a width. It knows neither rewards nor
//! budgets, weights nor images.

use crate::problem::Problem;
use crate::widths::{Side, WidthSet};
use bitesize_ir::{BitWidth, Op};

/// Numbers in a state.
pub(super) const STATE: usize = 10;

/// Place of the width that the previous step chose, in eighths.
const PREVIOUS: usize = 8;

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WidthChoice {
    pub(super) row: usize,
    pub(super) side: Side,
    /// Two or three widths.
    pub(super) allowed: WidthSet,
}

/// The decisions of one episode: rows in topological order, of each its weights, then its activations, where more than
/// one width is allowed.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    steps: Vec<WidthChoice>,
    /// One for each step, the previous width left at 0.
    states: Vec<[f32; STATE]>,
}

impl Environment {
    pub(super) fn of(problem: &Problem) -> Self {
        let features = normalised((0..problem.space().rows.len()).map(|row| features(problem, row)).collect());
        let (mut steps, mut states) = (Vec::new(), Vec::new());
        for (row, side) in problem.slots() {
            let allowed = problem.allowed(row, side);
            if allowed.len() > 1 {
                let mut state = [0.0; STATE];
                state[..PREVIOUS].copy_from_slice(&features[row]);
                state[PREVIOUS + 1] = if side == Side::Activations { 1.0 } else { 0.0 };
                steps.push(WidthChoice { row, side, allowed });
                states.push(state);
            }
        }
        Self { steps, states }
    }

    pub(super) fn steps(&self) -> &[WidthChoice] {
        &self.steps
    }

    /// The state before step `index`, given what the step before it chose (8 bits before the first).
    pub(super) fn state(&self, index: usize, previous: BitWidth) -> [f32; STATE] {
        let mut state = self.states[index];
        state[PREVIOUS] = f32::from(previous.bits()) / 8.0;
        state
    }
}

/// The width that an action in 0..=1 stands for: an equal part of the interval for each that is allowed, narrowest
/// first.
pub(super) fn width_of(action: f32, allowed: WidthSet) -> BitWidth {
    let parts = allowed.len();
    let part = ((action * parts as f32) as usize).min(parts - 1);
    allowed.iter().nth(part).unwrap_or(BitWidth::B8)
}

/// HAQ's features of a layer, in its order: depthwise, input channels, output channels, stride, kernel, weights, input
/// pixels, index. The longer side counts where a window is not square; operators without a window have kernel 1 and
/// stride 0, as HAQ gives a fully connected layer.
fn features(problem: &Problem, row: usize) -> [f32; PREVIOUS] {
    let network = problem.network();
    let node = network.node(problem.space().rows[row].node);
    let (input, output) = (network.shape(node.inputs[0]), network.shape(node.output));
    let window = match &node.op {
        Op::Conv2d(op) => Some(op.window),
        Op::DepthwiseConv2d(op) => Some(op.window),
        Op::AveragePool(op) => Some(op.window),
        Op::MaxPool(window) => Some(*window),
        Op::FullyConnected(_)
        | Op::Add(_)
        | Op::Concat
        | Op::Clamp(_)
        | Op::Pad(_)
        | Op::Flatten(_)
        | Op::ChannelAffine(_) => None,
    };
    let longer = |sides: [usize; 2]| sides[0].max(sides[1]);
    let input_channels: usize = match node.op {
        Op::Concat => node.inputs.iter().map(|tensor| network.shape(*tensor).c).sum(),
        _ => input.c,
    };
    [
        usize::from(matches!(node.op, Op::DepthwiseConv2d(_))),
        input_channels,
        output.c,
        window.map_or(0, |window| longer(window.stride)),
        window.map_or(1, |window| longer(window.kernel)),
        node.op.parameters().map_or(0, |parameters| parameters.weights.len()),
        input.pixels(),
        row,
    ]
    .map(|value| value as f32)
}

/// Each feature brought to 0..=1 by its least and largest value over the rows; 0 where it is the same in all.
fn normalised(mut rows: Vec<[f32; PREVIOUS]>) -> Vec<[f32; PREVIOUS]> {
    for feature in 0..PREVIOUS {
        let values = rows.iter().map(|row| row[feature]);
        let least = values.clone().fold(f32::INFINITY, f32::min);
        let span = values.fold(f32::NEG_INFINITY, f32::max) - least;
        for row in &mut rows {
            row[feature] = if span > 0.0 { (row[feature] - least) / span } else { 0.0 };
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirds_of_the_interval() {
        let cases = [(0.0, 2), (0.333, 2), (0.334, 4), (0.5, 4), (0.666, 4), (0.667, 8), (1.0, 8)];
        for (action, bits) in cases {
            assert_eq!(width_of(action, WidthSet::ALL).bits(), bits, "{action}");
        }
        let two = "2,8".parse().expect("two widths");
        assert_eq!([0.0, 0.49, 0.51, 1.0].map(|action| width_of(action, two).bits()), [2, 2, 8, 8]);
    }

    #[test]
    fn features_are_normalised_one_by_one() {
        let rows = normalised(vec![[2.0; PREVIOUS], [6.0; PREVIOUS], [3.0; PREVIOUS]]);
        assert_eq!(rows, [[0.0; PREVIOUS], [1.0; PREVIOUS], [0.25; PREVIOUS]]);
        assert_eq!(normalised(vec![[7.0; PREVIOUS]; 2]), [[0.0; PREVIOUS]; 2]);
    }
}
