//! Networks of the zoo in the place of a model: what they need, and which commands take them.

use super::{Example, fit_args, run, scratch, unproven};
use bitesize::input::Model;
use bitesize::observe::Monitor;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What `inspect --json` tells of `name`, which fits or not.
#[track_caller]
fn inspected(name: &str, more: &[&str], code: i32) -> Value {
    let ran = run(&[&["inspect", name, "--json"], more].concat()).expect(code, &["untrained"]);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn an_inspection_takes_one_as_it_takes_a_file() {
    let cases = [
        ("zoo:mobilenet-v1", 4_221_032, 568_740_352, 29, 1176),
        ("zoo:mobilenet-v1?width=0.75", 2_577_352, 325_400_448, 29, 882),
        ("zoo:mobilenet-v2", 3_487_816, 300_774_272, 64, 1470),
        ("zoo:mnasnet", 4_364_352, 314_415_872, 64, 784),
    ];
    for (name, parameters, macs, operators, kibibytes) in cases {
        let told = inspected(name, &[], 0);
        let figures = [&told["parameters"], &told["macs"]].map(|figure| figure.as_u64().unwrap());
        assert_eq!(figures, [parameters, macs], "{name}");
        assert_eq!((&told["input"], &told["output"]), (&"224x224x3".into(), &"1x1x1000".into()), "{name}");
        assert!(told["name"].as_str().unwrap().starts_with(name.split('?').next().unwrap()), "{name}");
        assert_eq!(told["layers"].as_array().unwrap().len(), operators, "{name}");
        // Every tensor alive in whole at 8 bits: the two of the largest layer.
        let layers = told["layers"].as_array().unwrap();
        let elements = |layer: &Value| -> u64 {
            layer["output"].as_str().unwrap().split('x').map(|size| size.parse::<u64>().unwrap()).product()
        };
        let without_skips = layers.windows(2).filter(|pair| pair[1]["op"] != "add");
        let most = without_skips.map(|pair| elements(&pair[0]) + elements(&pair[1])).max().unwrap();
        assert_eq!(most / 1024, kibibytes, "{name}");
        assert!(told["uniform"][0]["instructions"].as_u64() > Some(macs / 2), "{name}");
        assert!(told["uniform"][0]["flash_weights_bytes"].as_u64() > Some(parameters * 99 / 100), "{name}");
    }
}

#[test]
fn flags_of_an_inspection_hold_for_one() {
    let name = "zoo:mobilenet-v1?classes=2&resolution=96&width=0.25";
    let told = inspected(name, &["--board", "nrf52840"], 0);
    assert_eq!(told["name"], "zoo:mobilenet-v1?width=0.25&resolution=96&classes=2");
    assert_eq!((&told["fits"], &told["input"]), (&true.into(), &"96x96x3".into()));
    assert_eq!((&told["output"], &told["clock_mhz"]), (&"1x1x2".into(), &64.into()));
    assert_eq!(inspected(name, &["--flash", "20KiB", "--ram", "1MiB"], 3)["fits"], false);
    assert_eq!(inspected(name, &["--max-minstr", "1"], 3)["fits"], false);
    let total = |kernels: &str| {
        let told = inspected(name, &["--kernels", kernels, "--feed", "real"], 0);
        told["uniform"][0]["instructions"].as_u64().unwrap()
    };
    assert!(total("small") > 2 * total("fast"));
    let preprocessed = ["--scale", "0.5", "--mean", "1,2,3"];
    assert_eq!(inspected(name, &preprocessed, 0)["macs"], told["macs"]);
}

#[test]
fn what_the_zoo_does_not_have_is_wrong_usage() {
    let offer = ["zoo:mobilenet-v1, zoo:mobilenet-v2, zoo:mnasnet", "width=0.05..2", "a multiple of 32", "classes=1.."];
    let cases = [
        ("zoo:resnet", "no network called `resnet`"),
        ("zoo:mnasnet?depth=2", "no key `depth`"),
        ("zoo:mnasnet?width=3", "`width=3` is not possible"),
        ("zoo:mnasnet?resolution=100", "`resolution=100` is not possible"),
        ("zoo:mnasnet?width=1&width=1", "given twice"),
        ("zoo:a\nb", "`zoo:a\\u{a}b`"),
    ];
    for (name, word) in cases {
        run(&["inspect", name]).expect(2, &[&[word][..], &offer].concat());
    }
    run(&["inspect", "zoo:mnasnet", "--input-shape", "1x3x96x96"]).expect(2, &["resolution=", "--input-shape"]);
    // What begins with a dot is a file.
    run(&["inspect", "./zoo:mnasnet"]).expect(1, &["cannot read the model"]);
}

#[test]
fn commands_that_need_more_than_shapes_say_that_it_is_untrained() {
    let (folder, out) = scratch();
    let example = Example::new();
    let words = ["a zoo network is untrained", "`bitesize inspect`", "float ONNX"];
    let name = "zoo:mobilenet-v1?width=0.25";
    let given = ["--flash", "1MiB", "--ram", "1MiB"];
    let with_data = [name, "--train", &example.train, "-o", &out];
    run(&[&["fit"], &with_data[..], &given].concat()).expect(2, &words);
    run(&["fit", name]).expect(2, &words);
    run(&[&["calibrate"], &with_data[..]].concat()).expect(2, &words);
    run(&["eval", name, "--val", &example.val]).expect(2, &words);
    for command in ["search", "emit", "verify"] {
        run(&[command, name]).expect(2, &words);
    }
    assert!(!Path::new(&out).exists());

    // Nor do settings that name one.
    let whole = folder.path().join("whole").display().to_string();
    unproven(&fit_args(&whole, &example, &["--policy", "8/8", "--flash", "1MiB", "--ram", "1MiB"])).expect(0, &[]);
    let config = fs::read_to_string(Path::new(&whole).join("config.toml")).unwrap();
    let path = config.lines().find(|line| line.starts_with("path = ")).unwrap();
    let edited = folder.path().join("config.toml");
    fs::write(&edited, config.replace(path, &format!("path = \"{name}\""))).unwrap();
    run(&["fit", "--config", &edited.display().to_string(), "-o", &out]).expect(2, &words);
    assert!(!Path::new(&out).exists());
}

/// A name says all that a network is made from: keys in another order are the same, any other value is not.
#[test]
fn its_hash_stands_for_what_it_is_made_from() {
    let load = |name: &str| Model::load(Path::new(name), &Monitor::unobserved()).unwrap();
    let (one, same) =
        (load("zoo:mnasnet?width=0.5&classes=10"), load("zoo:mnasnet?classes=10&resolution=224&width=.5"));
    assert_eq!((&one.sha256, &one.path), (&same.sha256, &same.path));
    assert_eq!(one.path, Path::new("zoo:mnasnet?width=0.5&resolution=224&classes=10"));
    assert_eq!(one.network, same.network);
    for other in ["zoo:mnasnet?width=0.5", "zoo:mnasnet?classes=10", "zoo:mobilenet-v2?width=0.5&classes=10"] {
        assert_ne!(load(other).sha256, one.sha256, "{other}");
    }
}
