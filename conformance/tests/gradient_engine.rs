//! The training engine computes the codes of the fake-quantized network, tensor by tensor, but for ties.

use bitesize_ir::{QuantizedModel, TensorId};
use bitesize_train::engine::{Batch, Boundary, Engine, Parameters};
use bitesize_train::fake_quant_forward;
use conformance::cases::cases;

/// Codes that were compared and those that differ.
#[derive(Default)]
struct Count {
    all: usize,
    different: usize,
}

/// Runs each node on the codes that the fake-quantized network gives it.
fn compare(name: &str, model: &QuantizedModel, input: &[u8], count: &mut Count) {
    let expected = fake_quant_forward(model, input).unwrap();
    let parameters = Parameters::of_model(model);
    for (index, node) in model.network.nodes.iter().enumerate() {
        let mut engine = Engine::new(&model.network, index..index + 1, &[node.output], false).unwrap();
        let inputs: Vec<_> = engine.inputs().iter().map(|t| Boundary::Codes(&expected[t.0])).collect();
        let batch = Batch { inputs: &inputs, dropped: None };
        let found = engine.codes(&parameters, &batch).unwrap();
        let (found, expected) = (&found[node.output.0], &expected[node.output.0]);
        assert_eq!(found.len(), expected.len(), "{name}, node {index}");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let apart = found.abs_diff(*expected);
            assert!(apart <= 1, "{name}, node {index} ({}), element {at}: {found}, not {expected}", node.op.name());
            count.different += usize::from(apart);
        }
        count.all += found.len();
    }
}

#[test]
fn every_operator_at_every_width_gives_the_same_codes() {
    let mut count = Count::default();
    for case in cases() {
        compare(&case.name, &case.model, &case.inputs.concat(), &mut count);
    }
    println!("{} of {} codes differ, by one", count.different, count.all);
    assert!(count.all > 100_000 && count.different * 10_000 < count.all, "{} of {}", count.different, count.all);
}

#[test]
fn whole_networks_give_the_same_codes() {
    let mut count = Count::default();
    for case in cases() {
        let (network, input) = (&case.model.network, case.inputs.concat());
        let expected = fake_quant_forward(&case.model, &input).unwrap();
        let mut engine = Engine::whole(network).unwrap();
        let batch = Batch { inputs: &[Boundary::Codes(&input)], dropped: None };
        let found = engine.codes(&Parameters::of_model(&case.model), &batch).unwrap();
        let TensorId(output) = network.output;
        let apart = found[output].iter().zip(&expected[output]).filter(|(found, expected)| found != expected);
        count.different += apart.count();
        count.all += expected[output].len();
    }
    assert!(count.different * 1000 < count.all, "{} of {}", count.different, count.all);
}
