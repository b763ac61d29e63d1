//! The steps as commands of their own, and what needs no data.

use super::{Example, assert_same, fit_args, run, scratch, tree, unproven};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn inspect_needs_no_data() {
    let example = Example::new();
    let ran = run(&["inspect", &example.model]).expect(0, &[]);
    for word in ["conv2d", "uniform 8 bits", "uniform 2 bits", "least of any policy", "stm32h743", "peak during"] {
        assert!(ran.out.contains(word), "{word}\n{}", ran.out);
    }
    let json = |args: &[&str]| -> Value { serde_json::from_str(&run(args).out).unwrap() };
    let told = json(&["inspect", &example.model, "--json", "--flash", "1MiB", "--ram", "1MiB"]);
    assert_eq!((&told["fits"], &told["parameters"]), (&true.into(), &55450.into()));
    assert!(told["uniform"][0]["flash_bytes"].as_u64() > told["uniform"][2]["flash_bytes"].as_u64());
    run(&["inspect", &example.model, "--flash", "9KiB", "--ram", "1KiB"]).expect(3, &[]);
    run(&["inspect", &example.model, "--board", "nrf52840"]).expect(0, &[]);
}

#[test]
fn boards_are_listed() {
    let ran = run(&["boards"]).expect(0, &[]);
    assert!(ran.out.contains("rp2040") && ran.out.contains("cortex-m0plus"), "{}", ran.out);
    let list: Value = serde_json::from_str(&run(&["boards", "--json"]).out).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 12);
}

/// A folder that `calibrate` leaves, and the samples that searches in it take.
fn calibrated(folder: &Path) -> String {
    let (example, out) = (Example::new(), folder.join("steps").display().to_string());
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &out, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    out
}

/// A search that is refused changes nothing; one that begins is not finished because an earlier one was.
#[test]
fn a_search_anew_forgets_what_the_last_one_told() {
    let (folder, _) = scratch();
    let out = calibrated(folder.path());
    let file = |name: &str| Path::new(&out).join(name);
    let search = ["search", &out, "--eval-samples", "64", "--search", "rules"];
    run(&[&search[..], &["--flash", "9KiB", "--ram", "1KiB"]].concat()).expect(3, &["does not fit"]);
    let calibration = fs::read(file("calibration.json")).unwrap();
    fs::write(file("calibration.json"), "{").unwrap();
    let before = tree(Path::new(&out));
    run(&[&search[..], &["--flash", "44KiB", "--ram", "9KiB"]].concat()).expect(1, &["damaged"]);
    assert_same(&before, &tree(Path::new(&out)), "a refused search");
    fs::write(file("calibration.json"), calibration).unwrap();
    run(&["search", &out, "--resume"]).expect(3, &["finished"]);
    run(&[&search[..], &["--flash", "44KiB", "--ram", "9KiB"]].concat()).expect(0, &[]);
    assert!(file("policy.toml").exists() && file("report.json").exists());
    run(&["emit", &out]).expect(0, &[]);

    fs::remove_file(file("search.jsonl")).unwrap();
    run(&[&search[..], &["--flash", "9KiB", "--ram", "1KiB"]].concat()).expect(3, &["does not fit"]);
    for name in ["policy.toml", "weights.safetensors", "package", "example"] {
        assert!(!file(name).exists(), "nothing was delivered, so no {name}");
    }

    // The same by way of --resume with another budget, where there is no diary yet.
    let calibration = fs::read(file("calibration.json")).unwrap();
    fs::write(file("calibration.json"), [0xff]).unwrap();
    run(&["search", &out, "--resume", "--flash", "44KiB", "--ram", "9KiB"]).expect(1, &["damaged"]);
    fs::write(file("calibration.json"), calibration).unwrap();
    run(&["search", &out, "--resume", "--flash", "44KiB", "--ram", "9KiB"]).expect(0, &[]);
    assert!(file("policy.toml").exists());
}

/// What is asked for goes to stdout, and nothing to stderr.
#[test]
fn quiet_commands_say_nothing_but_what_is_asked_for() {
    let (folder, _) = scratch();
    let out = folder.path().join("out").display().to_string();
    let example = Example::new();
    let with_data = ["--train", &example.train, "--preprocess", &example.preprocess, "--calibration-samples", "64"];
    let commands: [&[&str]; 8] = [
        &["inspect", &example.model],
        &["boards"],
        &[&["calibrate", &example.model, "-o", &out], &with_data[..]].concat(),
        &["search", &out, "--policy", "8/8", "--flash", "200KiB", "--ram", "64KiB", "--eval-samples", "64"],
        &["emit", &out],
        &["verify", &out, "--host-samples", "1", "--qemu-samples", "1"],
        &["eval", &out, "--val", &example.val],
        &["search", &out, "--resume"],
    ];
    for args in commands {
        let ran = run(&[args, &["--quiet"]].concat()).expect(0, &[]);
        assert!(ran.err.is_empty(), "{args:?}: {}", ran.err);
    }
}

/// Layers are quantized once for each width, and what is delivered is what a folder of its own gives.
#[test]
fn policies_in_one_folder_share_layers_by_width() {
    let (folder, _) = scratch();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let search = |out: &str, policy: &str| {
        let limits = ["--flash", "200KiB", "--ram", "64KiB", "--eval-samples", "64"];
        run(&[&["search", out, "--policy", policy], &limits[..]].concat())
    };
    let out = calibrated(&one);
    // Tensors are compared with float at 8 bits: that is what other policies ask for besides their own.
    search(&out, "8/8").expect(0, &["quantize layers: 0 layers"]);
    search(&out, "4/4").expect(0, &["quantize layers: 18 layers"]);
    search(&out, "4/2").expect(0, &["quantize layers: 0 layers", "18 more were there"]);
    let fresh = calibrated(&two);
    search(&fresh, "4/2").expect(0, &["quantize layers: 18 layers"]);
    for name in ["policy.toml", "weights.safetensors", "prepared.safetensors"] {
        let read = |out: &str| fs::read(Path::new(out).join(name)).unwrap();
        assert!(read(&out) == read(&fresh), "{name}");
    }
}

/// A budget holds until another is given; a core alone, or no limit at all, is none.
#[test]
fn a_search_takes_the_earlier_budget_where_there_is_one() {
    let (folder, _) = scratch();
    let out = calibrated(folder.path());
    let diary = Path::new(&out).join("search.jsonl");
    let search = ["search", &out, "--eval-samples", "64", "--search", "rules"];
    run(&[&search[..], &["--weight-bytes", "50%"]].concat()).expect(0, &[]);
    fs::remove_file(&diary).unwrap();
    run(&search).expect(2, &["--flash"]);
    run(&[&search[..], &["--flash", "44KiB", "--ram", "9KiB"]].concat()).expect(0, &[]);
    fs::remove_file(&diary).unwrap();
    run(&[&search[..], &["--core", "cortex-m0plus"]].concat()).expect(2, &["--flash"]);
    run(&search).expect(0, &[]);
    let told: Value = serde_json::from_slice(&fs::read(Path::new(&out).join("report.json")).unwrap()).unwrap();
    assert_eq!((&told["target"]["flash_bytes"], &told["target"]["core"]), (&(44 * 1024).into(), &"cortex-m4".into()));
}

/// What was measured on samples is not taken for other samples.
#[test]
fn training_data_that_changed_are_refused() {
    let (folder, _) = scratch();
    let out = calibrated(folder.path());
    let config = Path::new(&out).join("config.toml");
    let now = fs::read_to_string(&config).unwrap();
    let then = now.replace("train_samples = 2000", "train_samples = 1999");
    assert_ne!(now, then);
    fs::write(&config, then).unwrap();
    let search = ["search", &out, "--flash", "44KiB", "--ram", "9KiB", "--eval-samples", "64", "--search", "rules"];
    run(&search).expect(1, &["has 2000 samples and had 1999", "start a new run"]);
    fs::write(&config, now).unwrap();
    run(&search).expect(0, &[]);
    let changed = fs::read_to_string(&config).unwrap().replace("train_samples = 2000", "train_samples = 2001");
    fs::write(&config, changed).unwrap();
    run(&["search", &out, "--resume"]).expect(1, &["had 2001"]);
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &["had 2001"]);
    // A new run takes them as they are.
    let again = folder.path().join("again").display().to_string();
    unproven(&["fit", "--config", &config.display().to_string(), "-o", &again]).expect(0, &[]);
    unproven(&["fit", "--resume", "-o", &again]).expect(0, &["finished"]);
}

#[test]
fn the_steps_make_what_fit_makes() {
    let (folder, out) = scratch();
    let example = Example::new();
    let target = ["--flash", "44KiB", "--ram", "9KiB"];
    unproven(&fit_args(&out, &example, &target)).expect(0, &[]);

    let steps = folder.path().join("steps").display().to_string();
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &steps, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    run(&["search", &steps]).expect(2, &["--board"]);
    run(&[&["search", &steps, "--eval-samples", "64"], &target[..]].concat()).expect(0, &[]);
    run(&["search", &steps]).expect(1, &["--resume"]);
    run(&["emit", &steps]).expect(0, &[]);
    let verified = run(&["verify", &steps, "--host-samples", "3", "--qemu-samples", "1"]).expect(0, &[]);
    assert!(verified.out.contains("host-c") && verified.out.contains("passed"), "{}", verified.out);
    run(&["eval", &steps]).expect(2, &["--val"]);
    let told = run(&["eval", &steps, "--val", &example.val, "--json"]).expect(0, &[]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert!(told["integer"].as_f64().unwrap() > 0.5 && told["samples"] == 1000, "{told}");
    for name in ["policy.toml", "weights.safetensors", "search.jsonl", "package/weights.c", "package/model.c"] {
        let read = |folder: &str| fs::read(Path::new(folder).join(name)).unwrap();
        assert!(read(&steps) == read(&out), "{name}");
    }
    let report: Value = serde_json::from_slice(&fs::read(Path::new(&steps).join("report.json")).unwrap()).unwrap();
    assert_eq!(report["verification"][0]["samples"], 3);
    assert_eq!(report["accuracy"]["integer"], told["integer"]);
    assert_eq!(report["package"]["name"], "model");

    // Under another name it is the same network, to be proven anew.
    run(&["emit", &steps, "--name", "weights"]).expect(2, &["another file of a package"]);
    run(&["emit", &steps, "--name", "kws"]).expect(0, &[]);
    let read = |name: &str| fs::read_to_string(Path::new(&steps).join(name)).unwrap();
    assert!(read("package/kws.h").contains("void kws_run(") && read("config.toml").contains("name = \"kws\""));
    assert!(!Path::new(&steps).join("package/model.h").exists());
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert!(report["package"]["name"] == "kws" && report["verification"].is_null() && report["accuracy"].is_object());
    run(&["verify", &steps, "--host-samples", "1", "--qemu-samples", "1"]).expect(0, &[]);
    assert!(read("report.md").contains("as package `kws`"));
}

#[test]
fn float_accuracy_of_a_model() {
    let example = Example::new();
    let args = ["eval", &example.model, "--val", &example.val, "--preprocess", &example.preprocess, "--json"];
    let told: Value = serde_json::from_str(&run(&args).expect(0, &[]).out).unwrap();
    assert!((told["float"].as_f64().unwrap() - 0.92).abs() < 0.005, "{told}");
    run(&["eval", &example.model]).expect(2, &["--val"]);
    run(&["verify", "not/there"]).expect(1, &["not a run folder"]);
}

/// `text` with the number `nth` (from 0) behind `marker` changed by `change`.
fn damaged(text: &str, marker: &str, nth: usize, change: impl Fn(i64) -> i64) -> String {
    // Words of weights are written as 0x...u.
    let (begins, is_number) =
        (|c: char| c.is_ascii_digit() || c == '-', |c: char| c.is_ascii_alphanumeric() || c == '-');
    let mut end = text.find(marker).expect("the marker is there") + marker.len();
    let mut start = end;
    for _ in 0..=nth {
        start = end + text[end..].find(begins).expect("a number follows");
        end = start + text[start..].find(|c| !is_number(c)).expect("the number ends");
    }
    let number = &text[start..end];
    let word = number.strip_prefix("0x").map(|digits| i64::from_str_radix(digits.trim_end_matches('u'), 16));
    let value: i64 = word.unwrap_or_else(|| number.parse()).expect("a number");
    format!("{}{}{}", &text[..start], change(value), &text[end..])
}

#[test]
fn a_damaged_package_is_found_and_a_changed_model_refused() {
    let (folder, out) = scratch();
    let mut example = Example::new();
    let model = folder.path().join("model.onnx");
    fs::copy(&example.model, &model).unwrap();
    example.model = model.display().to_string();
    unproven(&fit_args(&out, &example, &["--flash", "200KiB", "--ram", "64KiB", "--policy", "8/8"])).expect(0, &[]);
    run(&["verify", &out, "--host-samples", "0"]).expect(2, &["at least 1"]);

    let package = Path::new(&out).join("package");
    type Change = fn(i64) -> i64;
    // The first number behind an array's name is its length; a channel is its bias, then its multiplier.
    let cases: [(&str, &str, usize, Change); 3] = [
        ("weights.c", "model_weights_0[", 1, |weight| weight ^ 0x80),
        ("weights.c", "model_channels_0[", 2, |multiplier| multiplier / 2),
        ("model.c", ".zero = ", 0, |zero| zero + 5),
    ];
    for (file, marker, nth, change) in cases {
        let path = package.join(file);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, damaged(&whole, marker, nth, change)).unwrap();
        let ran = run(&["verify", &out]).expect(4, &[]);
        assert!(ran.out.contains("mismatch") && ran.out.contains("outputs differ (4 samples"), "{}", ran.out);
        fs::write(&path, whole).unwrap();
    }
    run(&["verify", &out]).expect(0, &[]);

    let mut bytes = fs::read(&model).unwrap();
    bytes.extend([0x72, 0x00]);
    fs::write(&model, bytes).unwrap();
    run(&["verify", &out]).expect(1, &["SHA-256"]);
}

/// A file with open sizes is refused without a shape, read with one, and a run keeps it.
#[test]
fn an_input_shape_belongs_to_the_run() {
    let (folder, _) = scratch();
    let path = folder.path().join("open.onnx").display().to_string();
    let example = Example::new();
    // The two sizes of 28 of the input, as 0, which means any.
    let (fixed, open) = ([10, 2, 8, 28, 10, 2, 8, 28], [10, 2, 8, 0, 10, 2, 8, 0]);
    let mut bytes = fs::read(&example.model).unwrap();
    let at = bytes.windows(8).position(|window| window == fixed).expect("an input of 28 x 28");
    bytes[at..at + 8].copy_from_slice(&open);
    fs::write(&path, bytes).unwrap();
    let shape = "1x1x28x28";
    run(&["inspect", &path]).expect(1, &["dynamic dimensions", "--input-shape"]);
    run(&["inspect", &path, "--input-shape", shape]).expect(0, &["input 28x28x1"]);
    run(&["inspect", &path, "--input-shape", "4x3x8x8"]).expect(2, &["batch of 4"]);
    run(&["inspect", &example.model, "--input-shape", "1x3x8"]).expect(1, &["1x3x8", "1x28x28"]);
    let out = folder.path().join("run").display().to_string();
    let calibrate = ["calibrate", &path, "--train", &example.train, "--preprocess", &example.preprocess, "-o", &out];
    run(&[&calibrate[..], &["--calibration-samples", "64", "--input-shape", shape]].concat()).expect(0, &[]);
    let config = fs::read_to_string(Path::new(&out).join("config.toml")).unwrap();
    assert!(config.contains(&format!("input_shape = \"{shape}\"")), "{config}");
    run(&["search", &out, "--flash", "44KiB", "--ram", "9KiB", "--eval-samples", "64", "--search", "rules"])
        .expect(0, &[]);
    run(&["eval", &out, "--val", &example.train, "--input-shape", shape]).expect(2, &["in its config.toml"]);
}
