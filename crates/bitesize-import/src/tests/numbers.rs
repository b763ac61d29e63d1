//! Types of weights, inputs and outputs.

use super::model::{Int, Model};
use crate::proto::*;
use half::{bf16, f16};

/// A weight of `bits`, in the bytes of the file or in its typed field.
fn weight(kind: i32, dims: &[i64], bits: &[u16], raw: bool) -> TensorProto {
    let mut tensor = TensorProto { name: "w".into(), dims: dims.to_vec(), data_type: kind, ..Default::default() };
    if raw {
        tensor.raw_data = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    } else {
        tensor.int32_data = bits.iter().map(|bits| i32::from(*bits)).collect();
    }
    tensor
}

#[test]
fn half_precision_widens_exactly() {
    let values = [1.0 / 3.0, -65504.0, 6e-8, 0.1f32];
    let halves: Vec<u16> = values.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
    let brains: Vec<u16> = values.iter().map(|v| bf16::from_f32(*v).to_bits()).collect();
    // From tables of the formats: the nearest of each to the values above.
    let half = [0.333_251_95, -65504.0, 5.960_464_5e-8, 0.099_975_586];
    let brain = [0.333_984_38, -65536.0, 6.007_030_6e-8, 0.100_097_656];
    for raw in [true, false] {
        for (kind, bits, expected) in [(data_type::FLOAT16, &halves, half), (data_type::BFLOAT16, &brains, brain)] {
            let mut model = Model::new(13, &[1, 4]);
            model.graph().initializer.push(weight(kind, &[4], bits, raw));
            let types = model.graph().input[0].r#type.as_mut().unwrap();
            types.tensor_type.as_mut().unwrap().elem_type = kind;
            let sums: Vec<f32> = expected.iter().zip(0..).map(|(w, x)| w + x as f32).collect();
            model
                .node("Cast", &["x"], "h", &[("to", Int(data_type::FLOAT16.into()))])
                .node("Add", &["h", "w"], "s", &[])
                .node("Cast", &["s"], "y", &[("to", Int(1))])
                .check("1x1x4", &sums);
        }
    }
    let mut short = Model::new(13, &[1, 4]).node("Add", &["x", "w"], "y", &[]);
    short.graph().initializer.push(weight(data_type::FLOAT16, &[4], &halves[..3], true));
    short.check_refused(&["6 bytes of data", "4 x 2"]);
}

#[test]
fn constants_are_rounded_to_the_type_they_are_cast_to() {
    let cast = |to: i32, expected: &[f32]| {
        Model::new(13, &[1, 4])
            .floats("c", &[4], &[0.1, -2.7, 0.0, 70000.0])
            .node("Cast", &["c"], "n", &[("to", Int(to.into()))])
            .node("Cast", &["n"], "f", &[("to", Int(1))])
            .floats("zero", &[], &[0.0])
            .node("Mul", &["x", "zero"], "z", &[])
            .node("Add", &["z", "f"], "y", &[])
            .check("1x1x4", expected);
    };
    cast(data_type::BFLOAT16, &[0.100_097_656, -2.703_125, 0.0, 70144.0]);
    cast(data_type::INT64, &[0.0, -2.0, 0.0, 70000.0]);
    cast(data_type::BOOL, &[1.0, 1.0, 0.0, 1.0]);
}

#[test]
fn opsets_to_25_are_read_and_attributes_new_in_them_refused() {
    for opset in [23, 24, 25] {
        Model::new(opset, &[1, 2, 2, 2])
            .ints("shape", &[1, -1])
            .node("Reshape", &["x", "shape"], "f", &[])
            .node("Cast", &["f"], "c", &[("to", Int(1))])
            .node("Relu", &["c"], "y", &[])
            .check("2x2x2", &[0., 1., 2., 3., 4., 5., 6., 7.]);
    }
    Model::new(24, &[1, 2])
        .node("Cast", &["x"], "y", &[("to", Int(1)), ("round_mode", Int(0))])
        .check_refused(&["`round_mode`"]);
    Model::new(26, &[1, 2]).node("Relu", &["x"], "y", &[]).check_refused(&["opset 26", "7 to 25"]);
}
