//! What `.npz` files may hold: every type of element, every order of axes, labels of any kind or none.

use crate::common::shared;
use crate::pack::{Entry, archive, header, npy, zip};
use crate::{run, scratch, unproven};
use bitesize::input::{DataLayout, Dataset, Model, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize::observe::Monitor;
use bitesize_ir::Shape;
use std::io::{Read as _, Write as _};
use std::path::Path;

const SHAPE: Shape = Shape { h: 2, w: 2, c: 3 };

/// Opens an archive of `arrays`, each with its name, for a network of [`SHAPE`] with four outputs.
fn open(arrays: &[(&str, Vec<u8>)], file: &PreprocessFile, layout: Option<DataLayout>) -> Result<Dataset, String> {
    let (folder, _) = scratch();
    let path = folder.path().join("data.npz");
    let named: Vec<String> = arrays.iter().map(|(name, _)| format!("{name}.npy")).collect();
    let entries =
        named.iter().zip(arrays).map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice(), false, bytes.len() as u64));
    zip(&path, &entries.collect::<Vec<_>>());
    let preprocess = Preprocess::checked(file, SHAPE).unwrap();
    let request = Request { layout, ..Request::new(SHAPE, &preprocess) };
    let full = |error: bitesize::input::DataError| format!("{:#}", anyhow::Error::from(error));
    Dataset::open(&path, Role::Train, &request).and_then(|data| data.with_classes(4)).map_err(full)
}

fn y() -> (&'static str, Vec<u8>) {
    ("y", npy(&header("|u1", "(2,)"), &[3, 0]))
}

/// Two samples of values 0 to 23 times `step`.
fn values(step: f64) -> Vec<f64> {
    (0..24).map(|i| f64::from(i) * step).collect()
}

#[test]
fn samples_of_every_type() {
    let file = PreprocessFile::from_toml("scale = 0.5\nmean = [1.0, 2.0, 3.0]\nstd = 4.0").unwrap();
    let check = |kind: &str, step: f64, encode: &dyn Fn(f64) -> Vec<u8>| {
        let data: Vec<u8> = values(step).iter().flat_map(|v| encode(*v)).collect();
        let data = open(&[("x", npy(&header(kind, "(2, 2, 2, 3)"), &data)), y()], &file, None).unwrap();
        let expected = values(step).into_iter().enumerate().map(|(i, v)| ((v * 0.5 - (i % 3 + 1) as f64) / 4.0) as f32);
        assert_eq!(data.load(&[0, 1]).unwrap().values, Values::Reals(expected.collect()), "{kind}");
        assert_eq!(data.labels().classes(), Some(&[3, 0][..]));
    };
    check("|i1", -5.0, &|v| vec![(v as i8).cast_unsigned()]);
    check("<i2", -1000.0, &|v| (v as i16).to_le_bytes().to_vec());
    check(">i2", -1000.0, &|v| (v as i16).to_be_bytes().to_vec());
    check("<u2", 2000.0, &|v| (v as u16).to_le_bytes().to_vec());
    check("<f4", -0.125, &|v| (v as f32).to_le_bytes().to_vec());
    check(">f4", -0.125, &|v| (v as f32).to_be_bytes().to_vec());
    check("<f8", 0.1, &|v| v.to_le_bytes().to_vec());
    check("<f2", 0.25, &|v| half::f16::from_f64(v).to_le_bytes().to_vec());
    let pixels = open(&[("x", npy(&header("|u1", "(2, 2, 2, 3)"), &[7; 24])), y()], &file, None).unwrap();
    assert!(pixels.is_pixels());
}

#[test]
fn types_that_are_not_read() {
    let check = |kind: &str, width: usize, words: &[&str]| {
        let x = npy(&header(kind, "(2, 2, 2, 3)"), &vec![0; 24 * width]);
        let error = open(&[("x", x), y()], &PreprocessFile::default(), None).map(|data| data.len()).unwrap_err();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    };
    check("<i8", 8, &["`x` holds int64", "x = x.astype(\"float32\")"]);
    check("|b1", 1, &["`x` holds bool"]);
    check("<c8", 8, &["array `x`", "`<c8`"]);
    check("|O", 8, &["array `x`", "`|O`"]);
    let numbers = [f32::INFINITY; 24].map(f32::to_le_bytes).concat();
    let x = npy(&header("<f4", "(2, 2, 2, 3)"), &numbers);
    let error = open(&[("x", x), y()], &PreprocessFile::default(), None).map(|data| data.len()).unwrap_err();
    assert!(error.contains("sample 0 of `x` holds inf"), "{error}");
}

/// Channels first, or Fortran's order, is turned to channels last; the samples, and so the hash of what they contain, are
/// the same.
#[test]
fn samples_of_every_order() {
    let plain: Vec<u8> = (0..24).collect();
    let at = |n: usize, y: usize, x: usize, c: usize| plain[((n * 2 + y) * 2 + x) * 3 + c];
    let mut first = Vec::new();
    for (n, c, y) in (0..12).map(|i| (i / 6, i / 2 % 3, i % 2)) {
        first.extend([at(n, y, 0, c), at(n, y, 1, c)]);
    }
    let mut fortran = Vec::new();
    for (c, x, y) in (0..12).map(|i| (i / 4, i / 2 % 2, i % 2)) {
        fortran.extend([at(0, y, x, c), at(1, y, x, c)]);
    }
    let fortran_header = header("|u1", "(2, 2, 2, 3)").replace("False", "True");
    let arrays = [
        (npy(&header("|u1", "(2, 2, 2, 3)"), &plain), None),
        (npy(&header("|u1", "(2, 3, 2, 2)"), &first), Some(DataLayout::Nchw)),
        (npy(&fortran_header, &fortran), None),
    ];
    let read = arrays.map(|(x, layout)| {
        let data = open(&[("x", x), y()], &PreprocessFile::default(), layout).unwrap();
        (data.load(&[0, 1]).unwrap().values, data.content_hash(&[0, 1]).unwrap())
    });
    assert_eq!(read[0].0, Values::Pixels(plain.clone()));
    assert_eq!(read[1], read[0]);
    assert_eq!(read[2], read[0]);
}

#[test]
fn labels_of_a_class() {
    let x = npy(&header("|u1", "(2, 2, 2, 3)"), &[7; 24]);
    let labels = |y: Vec<u8>, file: &PreprocessFile| {
        open(&[("x", x.clone()), ("y", y)], file, None).map(|data| data.labels().classes().unwrap().to_vec())
    };
    let none = PreprocessFile::default();
    let offset = |label_offset| PreprocessFile { label_offset: Some(label_offset), ..Default::default() };
    assert_eq!(labels(npy(&header("|b1", "(2,)"), &[1, 0]), &none).unwrap(), [1, 0]);
    assert_eq!(labels(npy(&header(">u2", "(2, 1)"), &[0, 2, 0, 1]), &none).unwrap(), [2, 1]);
    assert_eq!(labels(npy(&header("|i1", "(2,)"), &[0xff, 2]), &offset(1)).unwrap(), [0, 3]);
    assert_eq!(labels(npy(&header("|u1", "(2,)"), &[4, 1]), &offset(-1)).unwrap(), [3, 0]);
    let refused = |y: Vec<u8>, file: &PreprocessFile, words: &[&str]| {
        let error = labels(y, file).unwrap_err();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    };
    refused(npy(&header("|u1", "(2,)"), &[1, 0]), &offset(-1), &["sample 1 has label 0 (plus label_offset -1)"]);
    refused(npy(&header("|u1", "(3,)"), &[1, 0, 1]), &none, &["x holds 2 samples, y 3"]);
    refused(npy(&header("<u8", "(2,)"), &[0xff; 16]), &none, &["array `y`", "too large"]);
    refused(npy(&header("|u1", "()"), &[1]), &none, &["array `y`", "its shape is ()"]);
    refused(npy(&header("|u1", "(2, 0)"), &[]), &none, &["array `y`", "no number for a sample"]);
    refused(npy(&header("<f4", "(2,)"), &f32::NAN.to_le_bytes().repeat(2)), &none, &["sample 0 holds NaN"]);
    let huge = 1e300f64.to_le_bytes().repeat(2);
    refused(npy(&header("<f8", "(2, 1)"), &huge), &none, &["sample 0 holds", "too large for a float of 32 bits"]);
    refused(npy(&header("<f4", "(2,)"), &0.5f32.to_le_bytes().repeat(2)), &none, &["real values of shape (N)"]);
    assert_eq!(labels(npy(&header("|u1", "(2, 4)"), &[1, 0, 0, 0, 0, 1, 0, 0]), &none).unwrap(), [0, 1]);
    assert_eq!(
        labels(npy(&header("<f4", "(2,)"), &[0.0f32, 3.0].map(f32::to_le_bytes).concat()), &none).unwrap(),
        [0, 3]
    );
    assert!(!open(&[("x", x.clone())], &none, None).unwrap().is_labelled());
}

/// A byte becomes four as a real value, so that what is kept is bounded too.
#[test]
fn what_is_kept_is_bounded() {
    let (folder, _) = scratch();
    let path = folder.path().join("data.npz");
    let (shape, samples) = (Shape::new(4, 2, 3), 9_000_000);
    let unpacked = samples * shape.elements();
    // Less than may be unpacked, and more than may be kept.
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let start = npy(&header("|i1", &format!("({samples}, 4, 2, 3)")), &[]);
    encoder.write_all(&start).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(unpacked as u64), &mut encoder).unwrap();
    let packed = encoder.finish().unwrap();
    let of_x =
        Entry { name: "x.npy", packed: &packed, is_deflated: true, crc: 0, unpacked: (start.len() + unpacked) as u64 };
    archive(&path, &[of_x]);
    let preprocess = Preprocess::checked(&PreprocessFile::default(), shape).unwrap();
    let data = Dataset::open(&path, Role::Train, &Request::new(shape, &preprocess));
    let error = data.map(|data| data.len()).unwrap_err().to_string();
    assert!(error.contains("216000000 numbers take 864000000 bytes in memory"), "{error}");
}

/// The same samples as (N, 1, 128, 3) and as the network itself takes them, (N, 3, 128): the same network.
#[test]
fn both_layouts_of_an_accelerometer_network_give_the_same() {
    let Some(folder) = shared("field/layout") else { return };
    let model = Model::load(&folder.join("har.onnx"), &Monitor::unobserved()).unwrap();
    let shape = model.network.shape(model.network.input);
    let preprocess = Preprocess::checked(&PreprocessFile::default(), shape).unwrap();
    let request = Request { input: Some(&model.input), ..Request::new(shape, &preprocess) };
    let names = ["har_nhwc.npz", "har_as_network.npz"];
    let read = names.map(|name| {
        let data = Dataset::open(&folder.join(name), Role::Train, &request).unwrap();
        let all: Vec<usize> = (0..data.len()).collect();
        (data.load(&all).unwrap(), data.content_hash(&all).unwrap())
    });
    assert_eq!(read[0], read[1]);
    assert_eq!(read[0].0.len(), 100);

    let (out, _) = scratch();
    let made = names.map(|name| {
        let (out, data) = (out.path().join(name).display().to_string(), folder.join(name).display().to_string());
        let model = folder.join("har.onnx").display().to_string();
        let mut args = vec!["fit", &model, "--train", &data, "--val", &data, "-o", &out, "--policy", "4/8"];
        args.extend(["--flash", "1MiB", "--ram", "256KiB", "--calibration-samples", "40"]);
        unproven(&args).expect(0, &[]);
        std::fs::read(Path::new(&out).join("weights.safetensors")).unwrap()
    });
    assert_eq!(made[0], made[1]);
    // Whoever says the other way is told; the layout is kept among the settings.
    let (data, out) = (folder.join(names[1]).display().to_string(), out.path().join("again").display().to_string());
    let model = folder.join("har.onnx").display().to_string();
    run(&["eval", &model, "--val", &data, "--data-layout", "nhwc"]).expect(1, &["is nchw and not nhwc"]);
    run(&["eval", &model, "--val", &data, "--data-layout", "nwhc"]).expect(2, &["neither nhwc nor nchw"]);
    run(&["calibrate", &model, "--train", &data, "--data-layout", "nchw", "-o", &out]).expect(0, &[]);
    let config = std::fs::read_to_string(Path::new(&out).join("config.toml")).unwrap();
    assert!(config.contains("layout = \"nchw\""), "{config}");
}

#[test]
fn a_layout_is_for_arrays() {
    let e = crate::Example::new();
    run(&["eval", &e.model, "--val", &e.val, "--data-layout", "nhwc"]).expect(1, &["--data-layout nhwc is for .npz"]);
}
