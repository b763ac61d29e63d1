//! Emitted packages on every runner against the golden interpreter, whole and damaged.

mod common;

use bitesize_ir::BitWidth;
use bitesize_verify::{Cases, Job, PackageFolder, Runner, RunnerResult, Status, VerifySettings, verify};
use common::Example;

/// Images of noise.
fn cases(example: &Example) -> Cases {
    Cases::new(example.integer(), &example.images(4)[..4], 1).unwrap()
}

fn run(example: &Example, package: &PackageFolder, runners: &[Runner]) -> Vec<RunnerResult> {
    let jobs: Vec<Job> = runners.iter().map(|runner| example.job(*runner, 4)).collect();
    verify(package, &cases(example), &jobs, &VerifySettings::default()).unwrap()
}

#[test]
fn packages_of_all_widths_pass_on_every_runner() {
    for weights in BitWidth::ALL {
        for activations in BitWidth::ALL {
            let example = Example::new(weights, activations, 3);
            let (_folder, package) = example.package(|_, text| text.into());
            for result in run(&example, &package, &Runner::all()) {
                assert_eq!(result.status, Status::Passed, "{weights}/{activations}: {result:?}");
                assert_eq!((result.samples, result.mismatches), (4, 0));
                // FLASH is over-stated by 3 % at most, even where there is more code than weights.
                assert!(result.notes.is_empty(), "{weights}/{activations}: {result:?}");
            }
        }
    }
}

#[test]
fn instructions_are_those_of_the_layers_and_about_what_was_predicted() {
    let example = Example::new(BitWidth::B4, BitWidth::B4, 3);
    let (_folder, package) = example.package(|_, text| text.into());
    let emulated = Runner::all().into_iter().filter(|runner| *runner != Runner::Host);
    let jobs: Vec<Job> =
        emulated.map(|runner| example.job(runner, 1).counting(example.integer().nodes.len())).collect();
    for result in verify(&package, &cases(&example), &jobs, &VerifySettings::default()).unwrap() {
        assert_eq!(result.status, Status::Passed, "{result:?}");
        let (total, layers) = (result.instructions.unwrap(), result.layers.clone().unwrap());
        assert!(layers.len() == 3 && layers.iter().all(|layer| *layer > 1000), "{result:?}");
        // A tick, and what telling of a layer takes.
        let sum: u64 = layers.iter().sum();
        assert!(sum.abs_diff(total) < 60 * 4, "{sum} in the layers, {total} in all");
        // Three small layers; of whole networks it is 3 %.
        let error = result.predicted_instructions.unwrap() as f64 / total as f64 - 1.0;
        assert!(error.abs() < 0.1, "{error}: {result:?}");
    }
}

/// Replaces the first number after `marks`, which are looked for one after another, by what `change` makes of it.
fn damage(text: &str, marks: &[&str], change: impl Fn(i64) -> i64) -> String {
    let after = |from: usize, mark: &&str| from + text[from..].find(*mark).unwrap() + mark.len();
    let from = marks.iter().fold(0, after);
    let start = from + text[from..].find(|c: char| c.is_ascii_digit() || c == '-').unwrap();
    let end = start + text[start..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap();
    let number: i64 = match text[start..end].strip_prefix("0x") {
        Some(word) => i64::from_str_radix(word.trim_end_matches('u'), 16).unwrap(),
        None => text[start..end].parse().unwrap(),
    };
    format!("{}{}{}", &text[..start], change(number), &text[end..])
}

fn check_is_found(file: &str, marks: &[&str], change: impl Fn(i64) -> i64) {
    for width in BitWidth::ALL {
        let example = Example::new(width, BitWidth::B8, 3);
        let edit = |path: &str, text: &str| if path == file { damage(text, marks, &change) } else { text.into() };
        let (_folder, package) = example.package(edit);
        for result in run(&example, &package, &Runner::usual("cortex-m4")) {
            assert!(matches!(result.status, Status::Mismatch(_)), "{marks:?} at {width}: {result:?}");
            assert!(result.mismatches > 0);
        }
    }
}

#[test]
fn a_damaged_weight_is_found() {
    check_is_found("weights.c", &["model_weights_2[", "{"], |byte| byte ^ 0x81);
}

#[test]
fn a_damaged_multiplier_is_found() {
    check_is_found("weights.c", &["model_channels_1[", "= {", "{", ","], |m| m / 2);
}

#[test]
fn a_damaged_zero_point_is_found() {
    check_is_found("model.c", &["model_layer_2 =", ".zero = "], |zero| zero + 1);
}
