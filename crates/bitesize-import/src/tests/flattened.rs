//! What scales each element of a flattened image goes into the dense layer behind it.

use super::model::{Int, Ints, Model};

/// Scales, shifts, means and variances of 4 features (epsilon 0): `x * s + t` with s = 2, -1, 0.5, 4, t = 1, 2, 3, -8.
fn normalised(model: Model, input: &str) -> Model {
    model
        .floats("gamma", &[4], &[4., -1., 1., 4.])
        .floats("beta", &[4], &[1., 2., 3., 0.])
        .floats("mean", &[4], &[0., 0., 0., 2.])
        .floats("var", &[4], &[4., 1., 4., 1.])
        .node(
            "BatchNormalization",
            &[input, "gamma", "beta", "mean", "var"],
            "bn",
            &[("epsilon", super::Attribute::Float(0.0))],
        )
}

#[test]
fn batch_norm_of_features_folds_into_the_layer_behind() {
    // [1, 2, 1, 2] flattened to 0, 1, 2, 3, normalised to 1, 1, 4, 4.
    let flat = |dims: &[i64]| Model::new(13, dims).node("Flatten", &["x"], "f", &[]);
    let weights = [1., 10., 100., 1000., 0., 0., 1., 0.];
    for dims in [[1, 2, 1, 2], [1, 1, 2, 2]] {
        normalised(flat(&dims), "f")
            .floats("w", &[2, 4], &weights)
            .floats("b", &[2], &[0.5, -1.])
            .node("Gemm", &["bn", "w", "b"], "y", &[("transB", Int(1))])
            .node_count(1)
            .check(&format!("{}x{}x{}", dims[2], dims[3], dims[1]), &[4411.5, 3.]);
    }
    // Through a constant for each feature, a reshape and a MatMul; then back to an image.
    normalised(flat(&[1, 2, 1, 2]), "f")
        .floats("c", &[4], &[0., 1., 2., 3.])
        .node("Sub", &["c", "bn"], "d", &[])
        .ints("shape", &[1, 4])
        .node("Reshape", &["d", "shape"], "r", &[])
        .floats("w", &[4, 1], &[1., 10., 100., 1000.])
        .node("MatMul", &["r", "w"], "y", &[])
        .check("1x2x2", &[-1. + 0. - 200. - 1000.]);
    // A constant image.
    Model::new(13, &[1, 2, 1, 2])
        .floats("mean", &[2, 1, 2], &[0., 1., 0., 1.])
        .node("Sub", &["x", "mean"], "c", &[])
        .node("Flatten", &["c"], "f", &[])
        .floats("w", &[4, 1], &[1., 10., 100., 1000.])
        .node("MatMul", &["f", "w"], "y", &[])
        .check("1x2x2", &[0. + 0. + 200. + 2000.]);
}

#[test]
fn before_anything_else_it_is_refused_where_it_stands() {
    let model = || normalised(Model::new(13, &[1, 2, 1, 2]).node("Flatten", &["x"], "f", &[]), "f");
    let refused = |model: Model| model.check_refusals(&[("BatchNormalization", "bn", "not the channels alone")]);
    refused(model());
    refused(model().node("Relu", &["bn"], "y", &[]));
    refused(model().node("Relu", &["bn"], "a", &[]).node("Softmax", &["bn"], "b", &[]).node(
        "Add",
        &["a", "b"],
        "y",
        &[],
    ));
    refused(model().node("Softmax", &["bn"], "y", &[]));
    refused(model().node("Concat", &["bn", "f"], "y", &[("axis", Int(1))]));
    // A product at each pixel does not sum over the image.
    Model::new(13, &[1, 2, 1, 2])
        .floats("mean", &[2, 1, 2], &[0., 1., 0., 1.])
        .node("Sub", &["x", "mean"], "c", &[])
        .node("Transpose", &["c"], "t", &[("perm", Ints(&[0, 2, 3, 1]))])
        .floats("w", &[2, 1], &[1., 10.])
        .node("MatMul", &["t", "w"], "y", &[])
        .check_refusals(&[("Sub", "c", "varies from pixel to pixel")]);
}
