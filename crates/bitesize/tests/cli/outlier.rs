//! Training data of which one sample is of another scale than the rest.

use super::{Example, fit_args, npz, report, scratch, unproven};
use bitesize::input::{Dataset, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize_ir::Shape;
use std::path::Path;

const SHAPE: Shape = Shape { h: 28, w: 28, c: 1 };
const COUNT: usize = 120;

/// The first samples of the example as floats, in the `.npz` at `path`; those of `bad` are multiplied.
fn floats(path: &Path, bad: &[(usize, f32)]) {
    let preprocess = Preprocess::checked(&PreprocessFile::default(), SHAPE).unwrap();
    let request = Request { shape: SHAPE, outputs: 10, preprocess: &preprocess, classes: None };
    let data = Dataset::open(super::example("train").as_ref(), Role::Train, &request).unwrap();
    let batch = data.load(&(0..COUNT).collect::<Vec<_>>()).unwrap();
    let Values::Pixels(pixels) = batch.values else { panic!("IDX holds pixels") };
    let mut values: Vec<f32> = pixels.into_iter().map(f32::from).collect();
    for (sample, factor) in bad {
        values[sample * 784..(sample + 1) * 784].iter_mut().for_each(|value| *value *= factor);
    }
    let x = ndarray::Array4::from_shape_vec((COUNT, 28, 28, 1), values).unwrap();
    npz(path, &x, batch.labels.iter().map(|label| *label as u8).collect());
}

#[test]
fn a_sample_that_would_rule_the_ranges_is_named_and_left_out() {
    let (folder, out) = scratch();
    let path = folder.path().join("data.npz");
    let example = Example { train: path.display().to_string(), ..Example::new() };
    let budget = ["--flash", "1MiB", "--ram", "1MiB", "--policy", "8/8"];
    let mut told = Vec::new();
    let mut loss = |bad: &[(usize, f32)], ranges: &str| {
        floats(&path, bad);
        let mut more = budget.to_vec();
        more.extend(["--ranges", ranges]);
        let ran = unproven(&fit_args(&out, &example, &more)).expect(0, &[]);
        told.push(ran.err);
        let worst = report(&out)["tensors"].to_string();
        std::fs::remove_dir_all(&out).unwrap();
        worst
    };
    for ranges in ["min-error", "percentile:99.9", "min-max"] {
        loss(&[], ranges);
        loss(&[(0, 100.0), (1, 30.0), (2, 1000.0)], ranges);
    }
    for pair in told.chunks(2) {
        assert!(!pair[0].contains("left out"), "{}", pair[0]);
        assert!(pair[1].contains("of `") && pair[1].contains("left out of calibration"), "{}", pair[1]);
    }
}
