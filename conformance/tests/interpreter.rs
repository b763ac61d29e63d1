//! The golden interpreter on every case: against the reference, and against real arithmetic.

use bitesize_integer::Interpreter;
use conformance::{Case, cases, real, reference};
use std::collections::HashSet;

#[test]
fn every_tensor_of_every_case_equals_the_reference() {
    for case in cases() {
        let interpreter = Interpreter::new(&case.int);
        for (i, input) in case.inputs.iter().enumerate() {
            let (found, expected) = (interpreter.run_tensors(input), reference::run(&case.int, input).codes);
            for (tensor, (found, expected)) in case.int.tensors.iter().zip(found.iter().zip(&expected)) {
                assert_eq!(found, expected, "{} input {i}, tensor {}\n{}", case.name, tensor.name, case.int);
            }
        }
    }
}

#[test]
fn every_code_lies_where_real_arithmetic_puts_it() {
    for case in cases() {
        let interpreter = Interpreter::new(&case.int);
        for (i, input) in case.inputs.iter().enumerate() {
            let excess = real::excess(&case.model, &case.int, &interpreter.run_tensors(input));
            assert!(excess <= 0.0, "{} input {i}: {excess} codes too far\n{}", case.name, case.int);
        }
    }
}

#[test]
fn cases_are_many_and_tell_things_apart() {
    let cases = cases();
    let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    let distinct = |case: &Case| {
        let interpreter = Interpreter::new(&case.int);
        case.inputs.iter().map(|input| interpreter.run(input)).collect::<HashSet<Vec<u8>>>().len()
    };
    let distinct: Vec<usize> = cases.iter().map(distinct).collect();
    let at_least = |answers: usize| distinct.iter().filter(|&&d| d >= answers).count();
    println!("{} cases; two answers {}, three {}, four {}", cases.len(), at_least(2), at_least(3), at_least(4));
    // The rest saturate on purpose, or are so small that inputs meet.
    assert!(at_least(2) * 100 >= 85 * cases.len() && at_least(3) * 100 >= 80 * cases.len());
}
