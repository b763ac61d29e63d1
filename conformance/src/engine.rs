//! The fast engine on every case, with every instruction set of this machine, against the golden interpreter.

use crate::cases;
use bitesize_integer::Interpreter;
use bitesize_integer::engine::{Engine, InstructionSet};

/// Compares every output of every case, alone and as a batch; the instruction sets that were compared.
///
/// # Panics
/// At the first difference.
pub fn compare_with_the_interpreter() -> Vec<InstructionSet> {
    let sets = InstructionSet::available();
    for case in cases() {
        let interpreter = Interpreter::new(&case.int);
        let images = case.inputs.concat();
        let expected: Vec<Vec<u8>> = case.inputs.iter().map(|input| interpreter.run(input)).collect();
        for &set in &sets {
            let engine = Engine::with(&case.int, set, None);
            for (i, (input, expected)) in case.inputs.iter().zip(&expected).enumerate() {
                assert_eq!(&engine.run(input), expected, "{} input {i} with {set}\n{}", case.name, case.int);
            }
            assert_eq!(engine.run_batch(&images), expected.concat(), "{} as a batch with {set}", case.name);
        }
    }
    sets
}
