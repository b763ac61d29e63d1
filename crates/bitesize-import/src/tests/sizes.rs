//! Inputs whose file leaves sizes open.

use super::model::Model;

fn pooled() -> Model {
    Model::new(13, &[1, 3, 8, 8]).floats("w", &[2, 3, 3, 3], &[1.; 54]).node("Conv", &["x", "w"], "c", &[]).node(
        "GlobalMaxPool",
        &["c"],
        "y",
        &[],
    )
}

#[test]
fn open_sizes_are_refused_with_the_rest_and_name_the_flag() {
    let model = pooled().open(0, "n").open(2, "height").open(3, "");
    model.check_refusals(&[("input", "x", "`n`x3x`height`x? has dynamic dimensions")]);
    model.check_refused(&["--input-shape", "1x3x96x96"]);
    model.node("Elu", &["y"], "z", &[]).check_refusals(&[("input", "x", "dynamic"), ("Elu", "z", "not supported")]);
    pooled().open(0, "n").check("8x8x3", &[(63. + 127. + 191. - 3. * 9.) * 9.; 2]);
}

#[test]
fn a_given_shape_fixes_what_is_open_and_contradicts_nothing() {
    let given =
        |model: &Model, shape: &str| model.import_sized(Some(shape)).map(|imported| imported.network.to_string());
    let open = pooled().open(0, "n").open(2, "height").open(3, "");
    assert!(given(&open, "1x3x12x16").unwrap().contains("12x16x3"));
    assert!(given(&pooled(), "1x3x8x8").is_ok());
    let refused = |model: &Model, shape: &str, words: &[&str]| {
        let error = given(model, shape).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in: {error}"));
    };
    refused(&open, "1x4x12x16", &["`n`x3x`height`x?", "1x4x12x16", "leaves open"]);
    refused(&pooled(), "1x3x9x8", &["1x3x8x8", "1x3x9x8"]);
    refused(&open, "1x3x12", &["1x3x12"]);
    refused(&open, "1x3x2x2", &["Conv `c`"]);
    let mut shapeless = pooled();
    let kind = shapeless.graph().input[0].r#type.as_mut().unwrap();
    kind.tensor_type.as_mut().unwrap().shape = None;
    assert!(given(&shapeless, "1x3x12x16").unwrap().contains("12x16x3"));
    shapeless.check_refused(&["no shape", "--input-shape"]);
}
