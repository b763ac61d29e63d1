//! The fast engine on every case, on random layers and on random networks, with every instruction set of this machine,
//! against the golden interpreter.

use crate::draw::Draw;
use crate::{cases, random_layer, random_network};
use bitesize_integer::engine::{Engine, InstructionSet};
use bitesize_integer::{IntNetwork, Interpreter};
use rand::RngExt;

/// Compares every output of every case, alone and as a batch; the instruction sets that were compared.
///
/// # Panics
/// At the first difference.
pub fn compare_cases() -> Vec<InstructionSet> {
    for case in cases() {
        compare(&case.int, &case.inputs.concat());
    }
    InstructionSet::available()
}

/// As [`compare_cases`], `count` random layers from `seed` on, with 1 to 20 images each.
///
/// # Panics
/// At the first difference.
pub fn compare_layers(count: usize, seed: u64) {
    let layers = (seed..).filter_map(|seed| Some((seed, random_layer(seed)?)));
    for (seed, layer) in layers.take(count) {
        compare(&layer, &images(&layer, seed));
    }
}

/// As [`compare_layers`], random networks.
///
/// # Panics
/// At the first difference.
pub fn compare_networks(count: usize, seed: u64) {
    for seed in (seed..).take(count) {
        let network = random_network(seed);
        compare(&network, &images(&network, seed));
    }
}

/// Codes that the images of one comparison have at most together, one image more.
const CODES: usize = 20_000;

/// Random images, some of the two ends alone.
fn images(network: &IntNetwork, seed: u64) -> Vec<u8> {
    let mut draw = Draw::new(seed ^ 1 << 63);
    let size = network.tensor(network.input).shape.elements();
    let count = draw.one_of(&[1, 2, 3, 5, 16, 17, 20]).min(CODES / size + 1);
    let ends = draw.0.random_bool(0.2);
    (0..count * size).map(|_| if ends { draw.one_of(&[0, 255]) } else { draw.0.random() }).collect()
}

/// Every set gives the interpreter's bytes for all images, one by one and as a batch.
fn compare(network: &IntNetwork, images: &[u8]) {
    let size = network.tensor(network.input).shape.elements();
    let interpreter = Interpreter::new(network);
    let expected: Vec<u8> = images.chunks(size).flat_map(|image| interpreter.run(image)).collect();
    for set in InstructionSet::available() {
        let engine = Engine::with(network, set, None);
        assert_eq!(engine.instruction_set(), set);
        let count = images.len() / size;
        assert!(engine.run_batch(images) == expected, "{count} images with {set}\n{network}");
        let alone: Vec<u8> = images.chunks(size).flat_map(|image| engine.run(image)).collect();
        assert!(alone == expected, "{count} images one by one with {set}\n{network}");
    }
}
