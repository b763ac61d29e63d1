//! Single layers with weights, and changes of order, of random geometry, widths and numbers.

use crate::draw::{Draw, to_width};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::{BitWidth, Shape, TensorId};
use rand::RngExt;

/// The kinds of layers.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// In up to three groups.
    Conv,
    Depthwise,
    /// As many groups as channels, each with several outputs.
    Multiplied,
    FullyConnected,
    Flatten,
}

/// A layer drawn from `seed`, with a requantization from 8 bits to its input's width before it and one back after it; some
/// read pixels. `None` where the window drawn is larger than the padded image.
pub fn random_layer(seed: u64) -> Option<IntNetwork> {
    let mut draw = Draw::new(seed);
    let kind = draw.one_of(&[
        Kind::Conv,
        Kind::Conv,
        Kind::Depthwise,
        Kind::Depthwise,
        Kind::Multiplied,
        Kind::FullyConnected,
        Kind::Flatten,
    ]);
    let [h, w] = [0; 2].map(|_| draw.one_of(&[1, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    let window = draw.window();
    let (groups, c, out_c) = match kind {
        Kind::Conv => {
            let groups = draw.one_of(&[1, 1, 1, 2, 3]);
            let c = groups * draw.one_of(&[1, 2, 3, 4, 7, 16, 33]);
            (Some(groups), c, groups * draw.one_of(&[1, 3, 8, 10, 16, 17, 32, 40, 70]))
        }
        Kind::Depthwise => {
            let c = draw.one_of(&[1, 3, 8, 15, 16, 24, 32, 48, 64, 65, 96, 130, 200]);
            (None, c, c)
        }
        Kind::Multiplied => {
            let c = draw.one_of(&[2, 3, 5, 8, 17]);
            (Some(c), c, c * draw.one_of(&[1, 2, 3, 4, 20]))
        }
        Kind::FullyConnected => {
            (Some(1), draw.one_of(&[1, 2, 3, 5, 16, 33, 130, 300]), draw.one_of(&[1, 2, 10, 33, 70]))
        }
        Kind::Flatten => {
            let c = draw.one_of(&[1, 2, 3, 4, 5, 8, 33]);
            (None, c, h * w * c)
        }
    };
    let (input, output) = match kind {
        Kind::FullyConnected => (Shape::vector(c), Shape::vector(out_c)),
        Kind::Flatten => (Shape::new(h, w, c), Shape::vector(out_c)),
        Kind::Conv | Kind::Depthwise | Kind::Multiplied => {
            let input = Shape::new(h, w, c);
            (input, window.output(input).map(|[h, w]| Shape::new(h, w, out_c))?)
        }
    };
    let [input_bits, output_bits] = [draw.width(), draw.width()];
    let pixels =
        input_bits == BitWidth::B8 && draw.0.random_bool(0.3) && !matches!(kind, Kind::FullyConnected | Kind::Flatten);
    let image = draw.tensor("in", input, BitWidth::B8);
    let read = if pixels { IntTensor { zero: 0, ..image.clone() } } else { draw.tensor("a", input, input_bits) };
    let passed_on =
        matches!(kind, Kind::Flatten).then(|| IntTensor { name: "b".into(), shape: output, ..read.clone() });
    let output_bits = passed_on.as_ref().map_or(output_bits, |tensor| tensor.bits);
    let (made, last) = (draw.tensor("b", output, output_bits), draw.tensor("out", output, BitWidth::B8));
    let made = passed_on.unwrap_or(made);
    let op = match kind {
        Kind::Flatten => IntOp::Flatten { order: draw.order() },
        Kind::FullyConnected => draw.fully_connected(&read, &made),
        Kind::Conv | Kind::Depthwise | Kind::Multiplied => draw.layer((&read, &made), window, groups, pixels),
    };
    let (before, after) = (to_width(BitWidth::B8, input_bits), to_width(output_bits, BitWidth::B8));
    let (tensors, ops) = if pixels {
        (vec![read, made, last], vec![op, after])
    } else {
        (vec![image, read, made, last], vec![before, op, after])
    };
    let nodes = ops.into_iter().enumerate().map(|(at, op)| IntNode {
        name: format!("node{at}"),
        op,
        inputs: vec![TensorId(at)],
        output: TensorId(at + 1),
    });
    let network = IntNetwork {
        name: format!("layer_{seed}"),
        nodes: nodes.collect(),
        input: TensorId(0),
        output: TensorId(tensors.len() - 1),
        tensors,
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        output_channels: Vec::new(),
        input_is_pixels: pixels,
        tail: None,
    };
    network.validate().unwrap_or_else(|error| panic!("the drawn layer is not legal: {error}\n{network}"));
    Some(network)
}
