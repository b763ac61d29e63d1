//! The fast engine with every instruction set of this machine against the golden interpreter.

use conformance::engine;

#[test]
fn every_output_of_every_case_equals_the_interpreters() {
    println!("compared: {:?}", engine::compare_cases());
}

#[test]
fn random_layers_equal_the_interpreters() {
    engine::compare_layers(500, 1);
}

#[test]
fn random_networks_equal_the_interpreters() {
    engine::compare_networks(300, 1);
}
