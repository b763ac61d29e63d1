//! The fast engine on every case, with every instruction set of this machine, against the golden interpreter.

#[test]
fn every_output_of_every_case_equals_the_interpreters() {
    println!("compared: {:?}", conformance::engine::compare_with_the_interpreter());
}
