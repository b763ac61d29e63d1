//! Networks that are made from their name instead of read from a file: `zoo:mobilenet-v1?width=0.75&resolution=192`.
//! `bitesize train` begins with them.
//!
//! Their shapes are those of the papers, their weights are drawn by a seed: what memory, policies and instructions they
//! need can be seen without a file, what they compute means nothing.
//!
//! All are built alike. The input is an RGB image, height x width x channels. A window of k x k (k odd) has (k - 1) / 2
//! rows and columns of padding at each side, as in PyTorch; TensorFlow's "SAME", which gives the same shapes, puts the
//! padding of a stride of 2 below and to the right only. Batch-norms are folded: each convolution has a bias. The end
//! is a global average pool and a fully connected layer; the softmax is not there.
//!
//! In reading order: `name` (what can be said), `builder` (layers on top of one another), a file for each architecture.

mod builder;
mod mnasnet;
mod mobilenet_v1;
mod mobilenet_v2;
mod name;

pub use name::{Architecture, PREFIX, ZooName, is_zoo};

use bitesize_import::{Imported, ImportedTensor, Layout, OutputOrder};
use bitesize_ir::{Axis, Network};
use builder::Builder;

/// Where the weights of every zoo network come from.
pub const SEED: u64 = 0;

/// What a command says that needs a trained network and got one of the zoo.
pub const UNTRAINED: &str = "a zoo network is untrained: its weights are drawn by a seed, so there is nothing to \
                             calibrate, search, deliver or measure. `bitesize inspect` shows what it needs; for \
                             everything else train it, export it as float ONNX and give that file (a path that begins \
                             like this is given as `./zoo:...`)";

/// The network that `name` stands for, the same to the bit on every platform.
pub fn network(name: &ZooName) -> Network {
    drawn(name, SEED)
}

/// As [`network`], its weights drawn by another `seed`.
pub fn drawn(name: &ZooName, seed: u64) -> Network {
    let mut builder = Builder::new(&name.to_string(), name.resolution(), name.strides_left_out(), seed);
    match name.architecture() {
        Architecture::MobilenetV1 => mobilenet_v1::stack(&mut builder, name.width()),
        Architecture::MobilenetV2 => mobilenet_v2::stack(&mut builder, name.width()),
        Architecture::Mnasnet => mnasnet::stack(&mut builder, name.width()),
    }
    builder.classify(name.classes())
}

/// The network that `name` stands for, as if it had been read from a file.
pub fn imported(name: &ZooName) -> Imported {
    let network = network(name);
    let [input, output] =
        [network.input, network.output].map(|id| (network.tensor(id).name.clone(), network.shape(id)));
    let image = Layout::new(&[&[], &[Axis::H], &[Axis::W], &[Axis::C]], input.1);
    let vector = Layout::new(&[&[], &[Axis::C]], output.1);
    Imported {
        network,
        output_order: OutputOrder { dims: vector.dims(output.1), axes: vector.axes().concat(), flattened: true },
        input: ImportedTensor { name: input.0, layout: image },
        output: ImportedTensor { name: output.0, layout: vector },
        notes: vec![format!("{name} is untrained: its weights are drawn by the seed {SEED}")],
    }
}

/// What a network of the zoo is made from, as a text: its SHA-256 stands for that of a file.
pub fn canonical(name: &ZooName) -> String {
    format!("{name}&seed={SEED}")
}

#[cfg(test)]
mod tests;
