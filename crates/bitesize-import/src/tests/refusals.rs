//! Everything that is not supported is told at once, and nothing that only follows.

use super::model::{Int, Ints, Model, Text};
use crate::proto::*;

/// A network whose Slice hides the shapes of what follows.
fn sliced() -> Model {
    Model::new(13, &[1, 4, 8, 8])
        .ints("zero", &[0])
        .ints("one", &[1])
        .ints("two", &[2])
        .floats("w", &[3, 2, 1, 1], &[1.; 6])
        .node("Slice", &["x", "zero", "two", "one"], "cut", &[])
}

#[test]
fn refusals_behind_an_unknown_shape() {
    sliced()
        .node("Conv", &["cut", "w"], "c", &[])
        .node("GlobalAveragePool", &["c"], "m", &[])
        .node("Sigmoid", &["m"], "gate", &[])
        .node("Mul", &["c", "gate"], "g", &[])
        .node("Pad", &["g", "pads"], "p", &[("mode", Text("edge"))])
        .ints("pads", &[0; 8])
        .node("FancyNorm", &["p"], "f", &[])
        .node("Relu", &["f"], "r", &[("alpha", Int(1))])
        .node("Conv", &["r", "gate"], "c2", &[])
        .node("Gemm", &["c2", "w"], "y", &[])
        .check_refusals(&[
            ("Slice", "cut", "depends on the image"),
            ("Sigmoid", "gate", "not the end"),
            ("Mul", "g", "both inputs are activations"),
            ("Pad", "p", "`edge`"),
            ("FancyNorm", "f", "not supported"),
            ("Relu", "r", "`alpha`"),
            ("Conv", "c2", "is not a constant"),
            ("Gemm", "y", "[3, 2, 1, 1] instead of two"),
        ]);
}

#[test]
fn activations_are_not_cut() {
    let mut model = Model::new(13, &[1, 4, 8, 8]).node("Split", &["x"], "a", &[("axis", Int(1))]);
    model.graph().node[0].output.push("b".into());
    let model = model.node("Relu", &["b"], "c", &[]).node("Concat", &["a", "c"], "y", &[("axis", Int(1))]);
    model.check_refusals(&[("Split", "a", "depends on the image")]);
    model.check_refused(&["1x1 convolution"]);
}

#[test]
fn what_follows_is_not_told() {
    // Shapes of an unknown tensor, and what is computed of them.
    sliced()
        .node("Shape", &["cut"], "s", &[])
        .node("Gather", &["s", "zero"], "batch", &[])
        .node("ConstantOfShape", &["s"], "zeros", &[])
        .node("Add", &["cut", "zeros"], "a", &[])
        .node("Reshape", &["a", "s"], "r", &[])
        .node("Concat", &["r", "cut"], "j", &[("axis", Int(1))])
        .node("Sum", &["j", "zeros", "cut"], "sum", &[])
        .node("Clip", &["sum", "batch"], "k", &[])
        .node("Min", &["k", "batch"], "n", &[])
        .node("ReduceMean", &["n"], "m", &[("axes", Ints(&[1]))])
        .node("Softmax", &["m"], "p", &[])
        .node("Flatten", &["p"], "y", &[])
        .check_refusals(&[("Slice", "cut", "depends on the image")]);
    // A constant that cannot be read, and all that it makes.
    Model::new(13, &[1, 3, 8, 8])
        .floats("short", &[3], &[0.; 2])
        .node("Sqrt", &["short"], "root", &[])
        .node("Conv", &["x", "root"], "c", &[])
        .node("Mul", &["c", "root"], "y", &[])
        .check_refusals(&[("constant", "short", "ask for 3")]);
}

#[test]
fn an_image_has_three_axes_whatever_its_shape() {
    sliced()
        .ints("groups", &[1, 2, 8, 16, 16])
        .ints("merged", &[1, 16, 16, 16])
        .node("Reshape", &["cut", "groups"], "g", &[])
        .node("Transpose", &["g"], "t", &[("perm", Ints(&[0, 2, 1, 3, 4]))])
        .node("Reshape", &["t", "merged"], "m", &[])
        .node("Relu", &["m"], "y", &[])
        .check_refusals(&[("Slice", "cut", "depends"), ("Reshape", "g", "[1, 2, 8, 16, 16]")]);
}

#[test]
fn several_inputs_and_outputs_are_refused_with_the_rest() {
    let input = |name: &str, dims: &[i64]| {
        let mut value = Model::new(13, dims).graph().input.remove(0);
        value.name = name.into();
        value
    };
    let mut model = Model::new(13, &[1, 2])
        .node("Relu", &["big"], "r", &[])
        .node("LSTM", &["x"], "l", &[])
        .node("Add", &["r", "l"], "y", &[])
        .node("Elu", &["r"], "z", &[]);
    model.graph().input.extend([input("big", &[1, 3, 8, 8]), input("unread", &[1])]);
    let output = model.graph().output[0].clone();
    model.graph().output.insert(0, ValueInfoProto { name: "y".into(), ..output });
    model.check_refusals(&[
        ("input", "x", "further"),
        ("output", "z", "further"),
        ("LSTM", "l", "not supported"),
        ("Elu", "z", "not supported"),
    ]);
    // An input that nothing reads is no further one.
    let mut model = Model::new(13, &[1, 2]).node("Relu", &["x"], "y", &[]);
    model.graph().input.push(input("mask", &[1, 7]));
    let notes = model.import().unwrap().notes;
    assert_eq!(notes, ["nothing reads the input `mask`, which the network does not have"]);
}

/// 8,421,504 codes of 255 are the most whose sum has 32 bits.
#[test]
fn averages_over_more_than_32_bits_can_sum_are_refused() {
    let axes = [("axes", Ints(&[2, 3]))];
    let kernel = |h, w| [("kernel_shape", Ints(Box::leak(Box::new([h, w]))))];
    for (h, w) in [(4096, 4096), (2049, 4111)] {
        let image = |h, w| Model::new(13, &[1, 1, h, w]);
        let area = format!("averages over {} values", h * w);
        for (op, model) in [
            ("GlobalAveragePool", image(h, w).node("GlobalAveragePool", &["x"], "y", &[])),
            ("ReduceMean", image(h, w).node("ReduceMean", &["x"], "y", &axes)),
            ("AveragePool", image(h, w).node("AveragePool", &["x"], "y", &kernel(h, w))),
        ] {
            model.check_refusals(&[(op, "y", &area)]);
        }
    }
    for (h, w) in [(4096, 2056), (2048, 4112)] {
        Model::new(13, &[1, 1, h, w]).node("GlobalAveragePool", &["x"], "y", &[]).import().unwrap();
    }
}

#[test]
fn many_refusals_of_a_kind_are_one_line() {
    let mut model = Model::new(13, &[1, 3, 8, 8]);
    let mut before = "x".to_owned();
    for i in 0..154 {
        let (gate, product) = (format!("s{i}"), format!("m{i}"));
        model = model.node("Softsign", &[&before], &gate, &[]).node("Mul", &[&before, &gate], &product, &[]);
        before = product;
    }
    let text = model.import().unwrap_err().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("for 308 reasons of 2 kinds"), "{text}");
    assert!(text.contains("Mul `m0`, `m1`, `m2` and 151 more: both inputs are activations"), "{text}");
}
