//! Inputs that are reshaped to images, and sums of several activations.

use super::model::{Ints, Model};

#[test]
fn features_are_the_images_that_they_are_reshaped_to() {
    let features = |dims: &[i64], shape: &[i64]| {
        Model::new(13, dims).ints("shape", shape).node("Reshape", &["x", "shape"], "r", &[])
    };
    let nchw = ("perm", Ints(&[0, 3, 1, 2]));
    let pool = ("kernel_shape", Ints(&[2, 1]));
    // 3 rows of 4 columns: the larger of two rows, 4 to 11.
    let rows: Vec<f32> = (4..12).map(|i| i as f32).collect();
    features(&[1, 12], &[1, 3, 4, 1])
        .node("Transpose", &["r"], "t", &[nchw])
        .node("MaxPool", &["t"], "y", &[pool])
        .check("3x4x1", &rows);
    let pool = || ("kernel_shape", Ints(&[2, 1]));
    features(&[1, 12], &[0, 1, 3, -1]).node("MaxPool", &["r"], "y", &[pool()]).check("3x4x1", &rows);
    features(&[1, 1, 12], &[1, 1, 3, 4]).node("MaxPool", &["r"], "y", &[pool()]).check("3x4x1", &rows);
    // Behind what changes nothing, with the shape in a node.
    Model::new(13, &[1, 12])
        .ints("dims", &[1, 1, 3, 4])
        .node("Identity", &["x"], "i", &[])
        .node("Identity", &["dims"], "shape", &[])
        .node("Reshape", &["i", "shape"], "r", &[])
        .node("MaxPool", &["r"], "y", &[pool()])
        .check("3x4x1", &rows);
    // 6 chunks of 2 channels, then rows of pixels.
    let chunks = features(&[1, 12], &[1, 6, 2]).node("Transpose", &["r"], "t", &[("perm", Ints(&[0, 2, 1]))]);
    chunks.node("GlobalMaxPool", &["t"], "y", &[]).check("1x6x2", &[10., 11.]);
    features(&[1, 12], &[1, 2, 6]).node("GlobalMaxPool", &["r"], "y", &[]).check("1x6x2", &[5., 11.]);
    // Two axes of the file are one of the image's.
    features(&[1, 4, 6], &[1, 2, 2, 6]).node("GlobalMaxPool", &["r"], "y", &[]).check("2x6x2", &[11., 23.]);
    // What is cut up again is refused.
    features(&[1, 12], &[1, 3, 4])
        .ints("other", &[1, 1, 2, 6])
        .node("Relu", &["r"], "a", &[])
        .node("Reshape", &["a", "other"], "b", &[])
        .node("MaxPool", &["b"], "y", &[pool()])
        .check_refused(&["Reshape `b`"]);
}

#[test]
fn sums_of_many_are_chains() {
    let model = Model::new(13, &[1, 3])
        .floats("c", &[3], &[100., 200., 300.])
        .node("Relu", &["x"], "a", &[])
        .node("Neg", &["x"], "b", &[])
        .node("Sum", &["c", "a", "b", "a"], "y", &[]);
    model.check("1x1x3", &[100., 201., 302.]);
    let names: Vec<String> = model.import().unwrap().network.tensors.into_iter().map(|t| t.name).collect();
    assert_eq!(names.last().unwrap(), "y");
    Model::new(13, &[1, 3]).node("Relu", &["x"], "a", &[]).node("Sum", &["a"], "y", &[]).check("1x1x3", &[0., 1., 2.]);
    Model::new(13, &[1, 3, 4, 4])
        .node("GlobalMaxPool", &["x"], "m", &[])
        .node("Sum", &["x", "m"], "y", &[])
        .check_refused(&["Sum `y`", "not broadcast"]);
}
