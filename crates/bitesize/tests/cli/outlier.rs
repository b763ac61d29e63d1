//! Training data of which one sample is of another scale than the rest.

use super::{Example, fit_args, npz, report, scratch, unproven};
use bitesize::input::{Dataset, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize_ir::Shape;
use std::ops::Range;
use std::path::Path;

const SHAPE: Shape = Shape { h: 28, w: 28, c: 1 };
/// Samples `range` of the example as floats, in the `.npz` at `path`; those of `bad` are multiplied.
fn floats(path: &Path, range: Range<usize>, bad: &[(usize, f32)]) {
    let preprocess = Preprocess::checked(&PreprocessFile::default(), SHAPE).unwrap();
    let request = Request::new(SHAPE, &preprocess);
    let data =
        Dataset::open(super::example("train").as_ref(), Role::Train, &request).unwrap().with_classes(10).unwrap();
    let count = range.len();
    let batch = data.load(&range.collect::<Vec<_>>()).unwrap();
    let Values::Pixels(pixels) = batch.values else { panic!("IDX holds pixels") };
    let mut values: Vec<f32> = pixels.into_iter().map(f32::from).collect();
    for (sample, factor) in bad {
        values[sample * 784..(sample + 1) * 784].iter_mut().for_each(|value| *value *= factor);
    }
    let x = ndarray::Array4::from_shape_vec((count, 28, 28, 1), values).unwrap();
    npz(path, &x, batch.labels.classes().unwrap().iter().map(|label| *label as u8).collect());
}

#[test]
fn samples_that_would_rule_the_ranges_are_named_and_change_little() {
    let (folder, out) = scratch();
    let [train, val] = ["train.npz", "val.npz"].map(|name| folder.path().join(name));
    let example = Example { train: train.display().to_string(), val: val.display().to_string(), ..Example::new() };
    floats(&val, 200..500, &[]);
    for ranges in ["min-error", "percentile:99.9"] {
        let accuracy = |bad: &[(usize, f32)], named: bool| {
            floats(&train, 0..160, bad);
            let budget =
                ["--flash", "1MiB", "--ram", "1MiB", "--policy", "8/8", "--ranges", ranges, "--val", &example.val];
            let ran = unproven(&fit_args(&out, &example, &budget)).expect(0, &[]);
            assert_eq!(ran.err.contains("is left out of calibration"), named, "{}", ran.err);
            let report = report(&out);
            assert_eq!(report["warnings"].to_string().contains("is left out of calibration"), named);
            std::fs::remove_dir_all(&out).unwrap();
            report["accuracy"]["integer"].as_f64().unwrap()
        };
        // Four, so that some of them calibrate.
        let clean = accuracy(&[], false);
        let with = accuracy(&[(0, 100.0), (1, 30.0), (2, -50.0), (3, 1000.0)], true);
        assert!(with > clean - 0.02, "{ranges}: {with} with samples of another scale, {clean} without");
    }
}
