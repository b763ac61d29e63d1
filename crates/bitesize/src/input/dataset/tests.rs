use super::*;
use crate::input::preprocess::PreprocessFile;

#[test]
fn labels_are_checked_against_the_outputs() {
    let shape = Shape::new(1, 1, 1);
    let preprocess =
        Preprocess::checked(&PreprocessFile { label_offset: Some(1), ..Default::default() }, shape).unwrap();
    let labels = Some(StoredLabels::classes(vec![0, 2]));
    let raw = Raw {
        format: "test",
        source: Source::Reals(vec![0.0; 2]),
        samples: 2,
        labels,
        class_count: 3,
        warnings: Vec::new(),
    };
    let check = |outputs| checked_labels(Path::new("x"), &raw, &Request::new(shape, outputs, &preprocess));
    assert_eq!(check(4).unwrap(), [1, 3]);
    let error = check(3).unwrap_err().to_string();
    assert!(error.contains("sample 1 has label 2 (plus label_offset 1)"), "{error}");
}
