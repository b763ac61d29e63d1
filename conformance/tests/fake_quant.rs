//! The fake-quantized model on every case: a code may differ from the reference by one, and only where the value
//! before rounding lies within 2^-10 of a tie. (Sums of |code * level| stay below 2^24 in all cases.)

use bitesize_train::fake_quant_forward;
use conformance::{Case, cases, reference};

const TIE: f64 = 1.0 / 1024.0;

/// Compares all tensors that a difference further up cannot have reached. Returns (codes compared, codes that differ).
fn check(case: &Case, input: &[u8]) -> (usize, usize) {
    let expected = reference::run(&case.int, input);
    let found = fake_quant_forward(&case.model, input).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let mut same = vec![true; found.len()];
    let (mut compared, mut different) = (0, 0);
    for node in &case.int.nodes {
        let output = node.output.0;
        if !node.inputs.iter().all(|id| same[id.0]) {
            same[output] = false;
            continue;
        }
        assert_eq!(found[output].len(), expected.codes[output].len(), "{}, {}", case.name, node.name);
        for (i, (&found, &expected_code)) in found[output].iter().zip(&expected.codes[output]).enumerate() {
            compared += 1;
            if found == expected_code {
                continue;
            }
            different += 1;
            same[output] = false;
            let tie_distance = expected.tie_distances[output][i];
            assert!(
                found.abs_diff(expected_code) == 1 && tie_distance <= TIE,
                "{}, {}, element {i}: {found} instead of {expected_code}, {tie_distance:.6} codes from a tie\n{}",
                case.name,
                node.name,
                case.int
            );
        }
    }
    (compared, different)
}

#[test]
fn codes_differ_by_one_at_most_and_only_next_to_ties() {
    let (mut compared, mut different) = (0, 0);
    for case in cases() {
        for input in &case.inputs {
            let counts = check(&case, input);
            compared += counts.0;
            different += counts.1;
        }
    }
    println!("{different} of {compared} codes differ");
    assert!(different * 1000 <= compared, "{different} of {compared} codes differ");
}
