//! Files that are right, from which mutated ones are made.

use super::pack;
use super::scratch::{SHA256, SHAPE, Scratch};
use bitesize::hash::Hasher;
use bitesize_ir::{ActivationQuant, BitWidth, Node, Policy, QuantizedModel, WeightQuant};
use bitesize_train::{PreparedLayer, Variant};
use image::ImageEncoder as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Seeds = Result<Vec<Vec<u8>>, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a folder of the repository that end with `extension`, in order, at most `longest` bytes each.
fn files(folder: &str, extension: &str, longest: usize) -> Seeds {
    let folder = root().join(folder);
    let io = |e: std::io::Error| format!("`{}`: {e}", folder.display());
    let entries: Result<Vec<_>, _> = std::fs::read_dir(&folder).map_err(io)?.collect();
    let mut paths: Vec<PathBuf> = entries.map_err(io)?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    paths.sort();
    let read = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>();
    Ok(read.map_err(io)?.into_iter().filter(|bytes| bytes.len() <= longest).collect())
}

pub(super) fn onnx(_: &Scratch) -> Seeds {
    files("conformance/onnx", "onnx", 8 << 10)
}

/// Element types and shapes of `x`, channels last, first, and flattened.
pub(super) const ARRAYS: &[(&str, &str)] = &[
    ("|u1", "(2, 4, 5, 3)"),
    ("<f4", "(2, 4, 5, 3)"),
    ("<f8", "(2, 4, 5, 3)"),
    (">f4", "(2, 4, 5, 3)"),
    ("|u1", "(2, 12, 5)"),
    ("|i1", "(2, 3, 4, 5)"),
    ("<f2", "(2, 4, 5, 3)"),
    (">i2", "(2, 3, 4, 5)"),
    ("<u2", "(2, 60)"),
    ("|u1", "(2, 3, 4, 5)"),
];

/// Element types and shapes of `y`: how many numbers.
pub(super) const LABELS: &[(&str, &str, usize)] = &[
    ("<i8", "(2,)", 2),
    ("|u1", "(2, 1)", 2),
    ("|b1", "(2,)", 2),
    (">i2", "(2,)", 2),
    ("<f4", "(2,)", 2),
    ("<f2", "(2, 3)", 6),
    ("|u1", "(2, 4, 5)", 40),
    ("<i4", "(2, 2, 2, 2)", 16),
];

/// The header of an array.
pub(super) fn npy_header(kind: &str, shape: &str) -> String {
    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

/// `count` numbers of an element type.
fn numbers(kind: &str, count: usize) -> impl Iterator<Item = usize> {
    let width = kind.as_bytes()[2] - b'0';
    0..count * usize::from(width)
}

/// Two samples of an element type.
pub(super) fn npy_data(kind: &str) -> Vec<u8> {
    numbers(kind, 2 * SHAPE.elements()).map(|i| (i % 63) as u8).collect()
}

/// An array of labels of small numbers.
pub(super) fn labels((kind, shape, count): (&str, &str, usize)) -> Vec<u8> {
    let small: Vec<u8> = numbers(kind, count).map(|i| if i % 8 == 0 { 3 } else { 0 }).collect();
    pack::npy(npy_header(kind, shape).as_bytes(), &small)
}

pub(super) fn npz(_: &Scratch) -> Seeds {
    let seed = |(at, (kind, shape)): (usize, &(&str, &str))| {
        let x = pack::npy(npy_header(kind, shape).as_bytes(), &npy_data(kind));
        let y = labels(LABELS[at % LABELS.len()]);
        pack::zip(&[("x.npy", &x, at % 2 == 0), ("y.npy", &y, at % 2 == 1)])
    };
    Ok(ARRAYS.iter().enumerate().map(seed).collect())
}

/// Two images.
pub(super) fn idx_images() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 5];
    bytes.extend(0..40u8);
    bytes
}

/// Their labels.
pub(super) fn idx_labels() -> Vec<u8> {
    vec![0, 0, 8, 1, 0, 0, 0, 2, 3, 1]
}

pub(super) fn idx(_: &Scratch) -> Seeds {
    Ok(vec![idx_images(), idx_labels()])
}

/// What IHDR holds, and the rows, of an image of 5 x 4: gray, RGB, RGBA of 16 bits, interlaced gray.
pub(super) fn png_parts(kind: usize) -> (Vec<u8>, Vec<u8>) {
    let (bits, color, interlaced, row) = [(8, 0, 0, 5), (8, 2, 0, 15), (16, 6, 0, 40), (8, 0, 1, 5)][kind];
    let rows = (0..4).flat_map(|y| std::iter::once(y % 5).chain((0..row).map(move |x| x * 3 + y))).collect();
    (vec![0, 0, 0, 5, 0, 0, 0, 4, bits, color, 0, 0, interlaced], rows)
}

/// A bmp of 5 x 4 with four colours: packed in runs, or as it is.
fn palette_bmp(is_packed: bool) -> Vec<u8> {
    let pixels: Vec<u8> = if is_packed {
        // A run of five, the end of a row, and the end of the image.
        [5, 1, 0, 0, 0, 5, 1, 2, 3, 0, 1, 0, 0, 0, 0, 2, 1, 0, 4, 3, 0, 1].to_vec()
    } else {
        (0..4 * 8).map(|i| i % 4).collect()
    };
    let mut bytes = b"BM".to_vec();
    for number in [70 + pixels.len() as u32, 0, 70, 40, 5, 4] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([1, 0, 8, 0]);
    for number in [u32::from(is_packed), pixels.len() as u32, 1, 1, 4, 4] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((0..16).map(|i| i * 15));
    bytes.extend(pixels);
    bytes
}

pub(super) fn images(_: &Scratch) -> Seeds {
    let mut seeds: Vec<Vec<u8>> = (0..3).map(png_parts).map(|(header, rows)| pack::png(&header, &rows)).collect();
    let mut jpeg = Vec::new();
    let pixels: Vec<u8> = (0..16 * 16 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 80);
    encoder.write_image(&pixels, 16, 16, image::ExtendedColorType::Rgb8).map_err(|e| e.to_string())?;
    let mut turned = jpeg[..2].to_vec();
    turned.extend(b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0");
    turned.extend(&jpeg[2..]);
    seeds.extend([jpeg, turned]);
    let image = image::RgbImage::from_fn(5, 4, |x, y| image::Rgb([40 * x as u8, 60 * y as u8, 9]));
    // A WebP that is written here is lossless, which is refused; the lossy one lies in the folder of seeds.
    for format in [image::ImageFormat::Bmp, image::ImageFormat::Gif, image::ImageFormat::WebP] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).map_err(|e| e.to_string())?;
        seeds.push(bytes.into_inner());
    }
    seeds.extend(files("xtask/seeds", "webp", 4 << 10)?);
    seeds.extend([palette_bmp(true), palette_bmp(false)]);
    // A TIFF's first bytes: it is refused.
    seeds.push(b"II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0\0\0\0\0".to_vec());
    Ok(seeds)
}

pub(super) fn toml(scratch: &Scratch) -> Seeds {
    let mut seeds = files("targets", "toml", 4 << 10)?;
    seeds.truncate(3);
    seeds.extend(files("targets/cores", "toml", 4 << 10)?.into_iter().take(1));
    seeds.extend(files("xtask/seeds", "toml", 4 << 10)?);
    seeds.push(policy(scratch).to_toml().into_bytes());
    Ok(seeds)
}

fn policy(scratch: &Scratch) -> Policy {
    Policy::uniform(&scratch.model.space, BitWidth::B8, BitWidth::B8)
}

fn layer(node: &Node) -> Option<WeightQuant> {
    let parameters = node.op.parameters()?;
    Some(WeightQuant {
        bits: BitWidth::B8,
        levels: parameters.weights.iter().enumerate().map(|(i, _)| (i % 100) as i8).collect(),
        scales: vec![0.5; parameters.bias.len()],
        bias: vec![0.25; parameters.bias.len()],
    })
}

pub(super) fn weights(scratch: &Scratch) -> Seeds {
    let network = &scratch.model.network;
    let model = QuantizedModel {
        network: Arc::new(network.clone()),
        policy: policy(scratch),
        activations: vec![ActivationQuant { bits: BitWidth::B8, scale: 0.5, zero: 0 }; network.tensors.len()],
        output_channels: None,
        weights: network.nodes.iter().map(layer).collect(),
        equalized: Vec::new(),
    };
    let prepared = |node: &Node| {
        let quant = layer(node)?;
        let quants = [(Variant::plain(quant.bits), quant.clone())].into();
        Some(PreparedLayer { float_means: quant.bias, quants })
    };
    let layers: Vec<_> = network.nodes.iter().map(prepared).collect();
    let files =
        [bitesize::run::weights::to_bytes(&model, SHA256), bitesize::run::prepared_layers::to_bytes(network, &layers)];
    files.into_iter().map(|file| file.map_err(|e| e.to_string())).collect()
}

/// The hash of what journals are said to be made from.
pub(super) const MADE_FROM: &str = "seed";

/// The lines of `text` with the checks that a journal would give them.
pub(super) fn checked(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut before = MADE_FROM.to_owned();
    let mut journal = String::new();
    for line in text.lines() {
        let body = line.rsplit_once(",\"check\"").map_or_else(|| line.to_owned(), |(body, _)| format!("{body}}}"));
        let mut hasher = Hasher::default();
        hasher.add(before.as_bytes());
        hasher.add(body.as_bytes());
        before = hasher.finish();
        before.truncate(16);
        journal += &format!("{},\"check\":\"{before}\"}}\n", body.strip_suffix('}').unwrap_or(&body));
    }
    journal.into_bytes()
}

pub(super) fn journals(_: &Scratch) -> Seeds {
    let record = |episode: usize| {
        format!(
            "{{\"episode\":{episode},\"policy\":\"8 8 4/2\",\"flash_bytes\":4096,\"ram_bytes\":512,\"accuracy\":0.5,\
             \"loss\":0.25,\"reward\":0.75,\"best_reward\":0.75}}\n"
        )
    };
    let mut seeds = vec![checked((0..3).map(record).collect::<String>().as_bytes())];
    seeds.extend(files("xtask/seeds", "json", 16 << 10)?);
    Ok(seeds)
}
