//! What the emitter refuses, and with which words; and that it says the same thing twice.

mod common;

use bitesize_codegen::{EmitOptions, emit, emit_example};
use bitesize_integer::IntOp;
use bitesize_ir::memory::{MemoryPlan, ram};
use bitesize_ir::{Shape, TensorId};
use common::networks::{Drawn, drawn};

fn plan(drawn: &Drawn) -> MemoryPlan {
    ram(&drawn.network, &drawn.widths, &common::costs()).plan
}

fn options(prefix: &str) -> EmitOptions {
    EmitOptions { prefix: prefix.into(), ..EmitOptions::default() }
}

/// The drawn network and its plan, damaged by `damage`, are refused with a message that holds `words`.
fn check(words: &str, damage: impl Fn(&mut Drawn, &mut MemoryPlan, &mut EmitOptions)) {
    let mut drawn = drawn(3, 6);
    let (mut plan, mut options) = (plan(&drawn), EmitOptions::default());
    emit(&drawn.integer, &plan, &options).expect("it is whole before the damage");
    damage(&mut drawn, &mut plan, &mut options);
    let error = emit(&drawn.integer, &plan, &options).expect_err(words).to_string();
    assert!(error.contains(words), "`{error}` does not say `{words}`");
}

#[test]
fn prefixes_are_identifiers_of_their_own() {
    for prefix in ["", "2x", "a-b", "_x", "for", "weights", "bitesize", "Bitesize_x", "m\u{f6}del"] {
        check("cannot prefix C names", |_, _, options| options.prefix = prefix.into());
    }
}

#[test]
fn a_plan_has_to_be_the_networks() {
    check("places", |_, plan, _| plan.tensors.truncate(1));
    check("places", |_, plan, _| plan.scratch.push(None));
    check("ends at", |_, plan, _| plan.arena_bytes = 4);
}

#[test]
fn what_does_not_fit_a_field_is_named() {
    check("take at most 65535", |drawn, plan, _| {
        let output = drawn.integer.nodes[0].output;
        drawn.integer.tensors[output.0].shape.h = 70_000;
        plan.arena_bytes = usize::MAX / 2;
    });
}

#[test]
fn samples_have_the_networks_lengths() {
    let drawn = drawn(4, 3);
    let lengths = |id: TensorId| drawn.integer.tensor(id).shape.elements();
    let (input, output) = (vec![0; lengths(drawn.integer.input)], vec![0; lengths(drawn.integer.output)]);
    let refuse = |samples: &[(Vec<u8>, Vec<u8>)], words: &str| {
        let error = emit_example(&drawn.integer, samples, &options("model")).expect_err(words).to_string();
        assert!(error.contains(words), "`{error}` does not say `{words}`");
    };
    refuse(&[], "at least one sample");
    refuse(&[(vec![0; 1], output.clone())], "sample 0 of the known-answer test has 1 input bytes");
    refuse(&[(input.clone(), output), (input, vec![])], "sample 1 of the known-answer test has 0 output bytes");
}

#[test]
fn one_network_gives_one_text_and_the_prefix_is_everywhere() {
    let drawn = drawn(5, 6);
    let emitted = || emit(&drawn.integer, &plan(&drawn), &options("tiny_net")).expect("it can be emitted");
    assert_eq!(emitted(), emitted());
    let package = emitted();
    for name in ["tiny_net.h", "tiny_net.c", "weights.c"] {
        let text = package.file(name).expect("the package has it");
        assert!(!text.contains("model_") && !text.contains("MODEL_"), "{name}");
    }
    assert!(package.files.iter().all(|(_, text)| text.ends_with('\n')));
}

#[test]
fn a_pool_of_a_whole_large_image_has_no_count_to_fit() {
    let mut draw = common::networks::Draw::new(1, Shape::new(300, 300, 1), false);
    draw.average(TensorId(0), bitesize_ir::shape::Window::of([300, 300]), false);
    let drawn = draw.finish();
    assert!(matches!(&drawn.integer.nodes[0].op, IntOp::AveragePool { multipliers, .. } if multipliers[0].0 == 90_000));
    emit(&drawn.integer, &plan(&drawn), &EmitOptions::default()).expect("one factor serves every window");
}
