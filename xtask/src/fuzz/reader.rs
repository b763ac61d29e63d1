//! The readers, one row each.

use super::mutate::Mutator;
use super::scratch::{SHA256, SHAPE, Scratch};
use super::{pack, seeds, wire};
use bitesize::input::{Dataset, Model, Preprocess, PreprocessFile, Request, Role};
use bitesize::observe::{Monitor, Unobserved};
use bitesize::run::{Ledger, RunConfig, journal, prepared_layers, weights};
use bitesize_import::{Axis, Layout};
use bitesize_ir::Policy;
use bitesize_ir::target::{CoreCosts, Target};
use std::fmt::Display;
use std::path::Path;

/// Something that reads what it did not write.
pub(super) struct Reader {
    pub(super) name: &'static str,
    /// What inputs are made from.
    pub(super) seeds: fn(&Scratch) -> Result<Vec<Vec<u8>>, String>,
    /// An input.
    pub(super) mutate: fn(&mut Mutator, &[Vec<u8>]) -> Vec<u8>,
    /// Reads an input; what it returns does not count, only that it returns.
    pub(super) read: fn(&Scratch, &[u8]),
}

/// Every reader.
pub(super) const READERS: &[Reader] = &[
    Reader { name: "onnx", seeds: seeds::onnx, mutate: onnx_input, read: read_onnx },
    Reader { name: "npz", seeds: seeds::npz, mutate: npz_input, read: read_npz },
    Reader { name: "idx", seeds: seeds::idx, mutate: idx_input, read: read_idx },
    Reader { name: "images", seeds: seeds::images, mutate: image_input, read: read_images },
    Reader { name: "toml", seeds: seeds::toml, mutate: text_input, read: read_toml },
    Reader { name: "weights", seeds: seeds::weights, mutate: weights_input, read: read_weights },
    Reader { name: "journals", seeds: seeds::journals, mutate: journal_input, read: read_journals },
];

/// Opens data and reads all of it.
fn load(scratch: &Scratch, path: &Path) {
    for preprocess in [&scratch.preprocess, &real_values()] {
        let first = Layout::new(&[&[], &[Axis::C], &[Axis::H], &[Axis::W]], SHAPE);
        let request = Request { input: Some(&first), ..Request::new(SHAPE, preprocess) };
        match Dataset::open(path, Role::Train, &request) {
            Ok(data) => {
                let all: Vec<usize> = (0..data.len().min(8)).collect();
                told(data.load_kept(&all));
                told(data.describe());
                told(data.content_hash(&all));
            }
            Err(error) => said(&error),
        }
    }
}

fn real_values() -> Preprocess {
    Preprocess::checked(&PreprocessFile::default(), SHAPE).expect("nothing is asked for")
}

/// An error says something.
fn said(error: &impl Display) {
    assert!(!error.to_string().is_empty(), "an error without a text");
}

fn told<T, E: Display>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|error| said(error)).ok()
}

fn some_seed(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    mutator.pick(seeds).clone()
}

fn onnx_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = some_seed(mutator, seeds);
    if mutator.once_in(4) {
        mutator.bytes(&mut input, seeds);
    } else {
        for _ in 0..1 + mutator.below(4) {
            wire::change(mutator, &mut input, seeds);
        }
    }
    input
}

fn read_onnx(scratch: &Scratch, input: &[u8]) {
    told(Model::load(&scratch.write("model.onnx", input), &Monitor::new(&Unobserved)));
}

fn npz_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    if mutator.once_in(3) {
        let mut input = some_seed(mutator, seeds);
        mutator.bytes(&mut input, seeds);
        return input;
    }
    let (kind, shape) = *mutator.pick(seeds::ARRAYS);
    let mut header = seeds::npy_header(kind, shape).into_bytes();
    let mut data = seeds::npy_data(kind);
    let mut labels = seeds::labels(*mutator.pick(seeds::LABELS));
    match mutator.below(6) {
        0 => mutator.bytes(&mut data, &[]),
        1 => mutator.bytes(&mut labels, &[]),
        _ => mutator.text(&mut header, &[]),
    }
    let mut x = pack::npy(&header, &data);
    if mutator.once_in(4) {
        mutator.bytes(&mut x, &[]);
    }
    let deflated = [mutator.once_in(2), mutator.once_in(2)];
    pack::zip(&[("x.npy", &x, deflated[0]), ("y.npy", &labels, deflated[1])])
}

fn read_npz(scratch: &Scratch, input: &[u8]) {
    load(scratch, &scratch.write("data.npz", input));
}

fn idx_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = some_seed(mutator, seeds);
    mutator.bytes(&mut input, seeds);
    match mutator.below(3) {
        0 => input,
        1 => pack::gzip(&input),
        _ => {
            let mut packed = pack::gzip(&input);
            mutator.bytes(&mut packed, &[]);
            packed
        }
    }
}

fn read_idx(scratch: &Scratch, input: &[u8]) {
    let [images, labels] = ["idx/train-images-idx3-ubyte", "idx/train-labels-idx1-ubyte"];
    for (mutated, other, plain) in [(images, labels, seeds::idx_labels()), (labels, images, seeds::idx_images())] {
        scratch.write(mutated, input);
        load(scratch, scratch.write(other, &plain).parent().expect("a folder"));
    }
}

fn image_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = some_seed(mutator, seeds);
    if !mutator.once_in(3) {
        mutator.bytes(&mut input, seeds);
        return input;
    }
    let (mut header, mut rows) = seeds::png_parts(mutator.below(4));
    if mutator.once_in(2) {
        mutator.bytes(&mut header, &[]);
    }
    mutator.bytes(&mut rows, &[]);
    pack::png(&header, &rows)
}

fn read_images(scratch: &Scratch, input: &[u8]) {
    // What it is shows in its bytes, whatever its name.
    scratch.write("images/a/0.png", input);
    load(scratch, &scratch.folder.join("images"));
}

fn text_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = some_seed(mutator, seeds);
    mutator.text(&mut input, seeds);
    input
}

fn read_toml(scratch: &Scratch, input: &[u8]) {
    let Some(text) = told(bitesize::files::read_text(&scratch.write("text.toml", input))) else { return };
    let space = &scratch.model.space;
    if let Some(policy) = told(Policy::from_toml(&text, space)) {
        assert_eq!(Policy::from_toml(&policy.to_toml(), space).as_ref(), Ok(&policy), "it reads what it writes");
    }
    if let Some(config) = told(RunConfig::from_toml(&text)) {
        assert_eq!(RunConfig::from_toml(&config.to_toml()).as_ref(), Ok(&config), "it reads what it writes");
    }
    if let Some(file) = told(PreprocessFile::from_toml(&text)) {
        told(Preprocess::checked(&file, SHAPE).map(|preprocess| preprocess.describe()));
    }
    told(Target::from_toml(&text));
    told(CoreCosts::from_toml(&text));
}

/// A safetensors file's header is a JSON text behind its length.
fn weights_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = some_seed(mutator, seeds);
    let length = input.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let Some((header, data)) = input.get(8..).and_then(|rest| rest.split_at_checked(length)) else { return input };
    let (mut header, mut data) = (header.to_vec(), data.to_vec());
    match mutator.below(3) {
        0 => mutator.bytes(&mut input, seeds),
        choice => {
            if choice == 1 {
                mutator.text(&mut header, &[]);
            } else {
                let length = data.len();
                mutator.bytes(&mut data, &[]);
                data.resize(length, 0);
            }
            input = (header.len() as u64).to_le_bytes().to_vec();
            input.extend(header);
            input.extend(data);
        }
    }
    input
}

fn read_weights(scratch: &Scratch, input: &[u8]) {
    let Some(bytes) = told(bitesize::files::read(&scratch.write("weights.safetensors", input))) else { return };
    let Model { network, space, .. } = &scratch.model;
    if let Some(model) = told(weights::from_bytes(&bytes, network, space, SHA256)) {
        told(bitesize_integer::lower(&model));
    }
    told(prepared_layers::from_bytes(&bytes, network));
}

fn journal_input(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = some_seed(mutator, seeds);
    mutator.text(&mut input, seeds);
    if mutator.once_in(2) { input } else { seeds::checked(&input) }
}

fn read_journals(scratch: &Scratch, input: &[u8]) {
    let bytes = bitesize::files::read(&scratch.write("search.jsonl", input)).expect("it was just written");
    let text = String::from_utf8_lossy(&bytes);
    match journal::parse(&text, seeds::MADE_FROM) {
        Ok(lines) => {
            for line in &lines {
                told(serde_json::from_str::<bitesize_search::record::Record>(line));
            }
            told(bitesize_search::record::parse_diary(&lines.join("\n")));
        }
        Err(line) => assert!(line > 0, "lines count from 1"),
    }
    told(Ledger::from_json(&text));
    told(bitesize::report::Report::from_json(&text));
    told(serde_json::from_str::<bitesize_train::Calibration>(&text));
}
