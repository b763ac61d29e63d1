//! What the emitter refuses, and with which words; and that it says the same thing twice.

mod common;

use bitesize_codegen::{EmitOptions, check_name, code_of, emit, emit_example, instances};
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
fn names_are_identifiers_of_their_own() {
    for (reason, names) in [
        ("a letter first", &["", "2x", "a-b", "_x", "m\u{f6}del", "a b"][..]),
        ("at most 31", &["a_name_of_thirty_two_characters_"]),
        ("reserved", &["bitesize", "Bitesize_x"]),
        ("a word of C", &["for", "class", "nullptr"]),
        ("hide one of the C library's", &["math", "String", "stdint"]),
        ("a meaning of its own", &["test", "all", "m"]),
        ("another file", &["weights", "kernels", "kws_weights", "kws_kernels", "known_answers"]),
    ] {
        for name in names {
            check(reason, |_, _, options| options.prefix = (*name).into());
            assert!(check_name(name).is_err());
        }
    }
    for name in ["model", "kws", "Net_2", "a_name_of_thirty_one_characters", "keyword", "tests"] {
        assert_eq!(check_name(name), Ok(()));
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
        let error =
            emit_example(&drawn.integer, &plan(&drawn), samples, &options("model")).expect_err(words).to_string();
        assert!(error.contains(words), "`{error}` does not say `{words}`");
    };
    refuse(&[], "at least one sample");
    refuse(&[(vec![0; 1], output.clone())], "sample 0 of the known-answer test has 1 input bytes");
    refuse(&[(input.clone(), output), (input, vec![])], "sample 1 of the known-answer test has 0 output bytes");
}

#[test]
fn one_network_gives_one_text_and_the_name_is_everywhere() {
    let drawn = drawn(5, 6);
    let emitted = |name: &str| emit(&drawn.integer, &plan(&drawn), &options(name)).expect("it can be emitted");
    assert_eq!(emitted("model"), emitted("model"));
    let package = emitted("tiny_net");
    let paths: Vec<&str> = package.files.iter().map(|(path, _)| path.as_str()).collect();
    let own = ["tiny_net.c", "tiny_net.h", "tiny_net_kernels.c", "tiny_net_kernels.h", "tiny_net_weights.c"];
    assert_eq!(paths[..4], ["CMakeLists.txt", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT"]);
    assert_eq!(paths[4..], [&own[..], &["tiny_net_weights.h"]].concat());
    for (path, text) in &package.files {
        assert!(text.ends_with('\n'), "{path}");
        let foreign = ["model_", "MODEL_", "bitesize_", "BITESIZE_"].iter().find(|word| text.contains(*word));
        assert!(path.starts_with("LICENSE-") || foreign.is_none(), "{path} speaks of `{foreign:?}`");
    }
}

#[test]
fn shared_kernels_are_left_out() {
    let drawn = drawn(5, 6);
    let options = EmitOptions { shared_kernels: Some("common".into()), ..options("tiny") };
    let package = emit(&drawn.integer, &plan(&drawn), &options).expect("it can be emitted");
    let [(header, _), (source, text)] = instances(&code_of(&drawn.integer, &plan(&drawn)), "common");
    assert_eq!((header.as_str(), source.as_str()), ("common_kernels.h", "common_kernels.c"));
    assert!(package.files.iter().all(|(path, text)| !path.contains("_kernels") && !text.contains("tiny_kernels")));
    for call in package.file("tiny.c").expect("it is there").lines().filter(|line| line.contains(", bytes")) {
        let kernel = call.trim_start().split('(').next().expect("a call has a name");
        assert!(text.contains(&format!("void {kernel}(const")), "{kernel}");
    }
}

#[test]
fn a_pool_of_a_whole_large_image_has_no_count_to_fit() {
    let mut draw = common::networks::Draw::new(1, Shape::new(300, 300, 1), false);
    draw.average(TensorId(0), bitesize_ir::shape::Window::of([300, 300]), false);
    let drawn = draw.finish();
    assert!(matches!(&drawn.integer.nodes[0].op, IntOp::AveragePool { multipliers, .. } if multipliers[0].0 == 90_000));
    emit(&drawn.integer, &plan(&drawn), &EmitOptions::default()).expect("one factor serves every window");
}
