//! What cannot work says what, where and what to do, ends with the right code, and leaves what was there untouched.

use super::{Example, class_folders, fit_args, png, root, run, scratch, tree, unproven};
use std::fs;
use std::path::Path;

/// Runs `fit` with `change` made to the example's paths and more arguments, into a folder that is empty.
#[track_caller]
fn check(change: impl FnOnce(&mut Example, &Path), more: &[&str], code: i32, words: &[&str]) {
    let (folder, out) = scratch();
    fs::create_dir(&out).unwrap();
    let mut example = Example::new();
    change(&mut example, folder.path());
    let mut args = fit_args(&out, &example, more);
    if !more.contains(&"--board") && !more.contains(&"--flash") {
        args.extend(["--flash", "200KiB", "--ram", "64KiB"]);
    }
    run(&args).expect(code, words);
    if code == 1 || code == 2 {
        assert!(tree(Path::new(&out)).is_empty(), "the output folder is as it was");
    }
}

/// A model among the files that the importer must refuse.
fn bad_model(name: &str) -> String {
    root().join("conformance/onnx/bad").join(name).display().to_string()
}

#[test]
fn models() {
    let cases: [(&str, &[&str]); 7] = [
        ("truncated.onnx", &["cannot import", "truncated.onnx"]),
        ("text.onnx", &["cannot import", "not an ONNX model"]),
        ("empty.onnx", &["cannot import"]),
        ("unsupported_nodes.onnx", &["not supported"]),
        ("external_weights_missing.onnx", &["cannot import", "external_weights_missing.onnx"]),
        ("nan_weights.onnx", &["NaN"]),
        ("not_there.onnx", &["cannot read the model", "not_there.onnx"]),
    ];
    for (file, words) in cases {
        check(|e, _| e.model = bad_model(file), &[], 1, words);
    }
}

#[test]
fn data_folders() {
    let empty = |e: &mut Example, folder: &Path| e.train = folder.display().to_string();
    check(empty, &[], 1, &["cannot use the train data"]);
    let no_images = |e: &mut Example, folder: &Path| {
        fs::create_dir_all(folder.join("data/cat")).unwrap();
        e.train = folder.join("data").display().to_string();
    };
    check(no_images, &[], 1, &["hold no jpg, png, bmp, gif and webp files"]);
    let missing = |e: &mut Example, _: &Path| e.train = "not/there".into();
    check(missing, &[], 1, &["cannot read `not/there`"]);
    let not_data = |e: &mut Example, _: &Path| e.train = e.model.clone();
    check(not_data, &[], 1, &["not a known data format"]);
}

#[test]
fn labels_out_of_range() {
    let label_12 = |e: &mut Example, folder: &Path| {
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        let header = |dimensions: u8, sizes: &[u32]| {
            let mut bytes = vec![0, 0, 8, dimensions];
            bytes.extend(sizes.iter().flat_map(|s| s.to_be_bytes()));
            bytes
        };
        let mut images = header(3, &[4, 28, 28]);
        images.extend(vec![7; 4 * 28 * 28]);
        fs::write(data.join("images-idx3-ubyte"), images).unwrap();
        let mut labels = header(1, &[4]);
        labels.extend([0, 1, 12, 3]);
        fs::write(data.join("labels-idx1-ubyte"), labels).unwrap();
        e.train = data.display().to_string();
    };
    check(label_12, &[], 1, &["sample 2 has label 12", "10 outputs"]);
    check(|_, _| {}, &["--label-offset", "3"], 1, &["label_offset 3"]);
}

#[test]
fn images_of_a_wrong_size() {
    let larger = |e: &mut Example, folder: &Path| {
        class_folders(&folder.join("data"), 2, 30);
        e.train = folder.join("data").display().to_string();
    };
    check(larger, &[], 1, &["30x30", "28x28", "no resizing is given", "--size 28x28"]);
    check(|_, _| {}, &["--size", "32x32"], 1, &["size is 32x32", "takes 28x28"]);
}

#[test]
fn one_corrupt_image_is_skipped_counted_and_reported() {
    let (folder, out) = scratch();
    let data = folder.path().join("data");
    class_folders(&data, 4, 28);
    fs::write(data.join("3/1.png"), b"\x89PNG\r\n\x1a\nnot an image").unwrap();
    let mut example = Example::new();
    example.train = data.display().to_string();
    let args = fit_args(&out, &example, &["--policy", "8/8", "--flash", "200KiB", "--ram", "64KiB"]);
    run(&args).expect(0, &["1 of 40 images", "3/1.png"]);
    let report = fs::read_to_string(Path::new(&out).join("report.md")).unwrap();
    assert!(report.contains("1 of 40 images"), "{report}");
}

#[test]
fn a_folder_of_corrupt_images_is_refused() {
    let corrupt = |e: &mut Example, folder: &Path| {
        let data = folder.join("data");
        class_folders(&data, 1, 28);
        for class in 0..10 {
            fs::write(data.join(format!("{class}/0.png")), b"no image").unwrap();
        }
        e.train = data.display().to_string();
    };
    check(corrupt, &[], 1, &["can be decoded"]);
}

#[test]
fn class_names_that_contradict() {
    let unknown = |e: &mut Example, folder: &Path| {
        let data = folder.join("data");
        class_folders(&data, 1, 28);
        fs::write(data.join("classes.txt"), "0\n1\n2\n3\n4\n5\n6\n7\n8\nnine\n").unwrap();
        e.train = data.display().to_string();
    };
    check(unknown, &[], 1, &["data/9", "not a line of classes.txt"]);
}

#[test]
fn impossible_budgets_are_answered() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let args = fit_args(&out, &example, &["--flash", "9KiB", "--ram", "1KiB"]);
    let ran =
        run(&args).expect(3, &["does not fit", "least FLASH", "least RAM", "peak of RAM", "boards that would do"]);
    assert!(ran.err.contains("stm32h743") && ran.out.is_empty(), "{}", ran.err);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(Path::new(&out).join("report.json")).unwrap()).unwrap();
    assert_eq!(report["fits"], false);
    assert!(report["diagnosis"]["least_ram_bytes"].as_u64().unwrap() > 1024);
    let (_folder, out) = scratch();
    let args = fit_args(&out, &example, &["--flash", "20KiB", "--ram", "64KiB", "--policy", "8/8"]);
    run(&args).expect(3, &["the given policy does not fit", "the given policy takes FLASH"]);
}

#[test]
fn usage() {
    let nothing = |_: &mut Example, _: &Path| {};
    check(nothing, &["--board", "esp8266"], 2, &["no board `esp8266`", "stm32h743"]);
    check(nothing, &["--flash", "12 GB", "--ram", "1K"], 2, &["is not a size"]);
    check(nothing, &["--flash", "12K"], 2, &["--ram"]);
    check(nothing, &["--policy", "3/8"], 2, &["is not W/A"]);
    check(nothing, &["--search", "guess"], 2, &["[possible values: auto, exact"]);
    check(nothing, &["--episodes", "0"], 2, &["at least 1"]);
    check(nothing, &["--flash", "64K", "--ram", "64K", "--core", "z80"], 2, &["core `z80`", "cortex-m4"]);
    check(nothing, &["--nonsense"], 2, &["--nonsense"]);
    let example = Example::new();
    let (_folder, out) = scratch();
    unproven(&fit_args(&out, &example, &[])).expect(2, &["--board"]);
}

#[test]
fn unknown_keys_in_files() {
    let (folder, out) = scratch();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name).display().to_string();
        fs::write(&path, text).unwrap();
        path
    };
    let preprocess = path("preprocess.toml", "scale = 1.0\nsclae = 2.0\n");
    check(|e, _| e.preprocess = preprocess, &[], 1, &["preprocess.toml", "sclae"]);
    let board = path("board.toml", "name = \"x\"\nflesh = 3\n");
    check(|_, _| {}, &["--board", &board], 1, &["board.toml", "flesh"]);
    let still =
        path("still.toml", "name = \"x\"\ndescription = \"\"\ndatasheet = \"\"\ncore = \"cortex-m4\"\nclock_mhz = 0\n");
    check(|_, _| {}, &["--board", &still], 1, &["still.toml", "clock_mhz"]);
    let config = path("config.toml", "version = \"0\"\nspeed = 1\n");
    unproven(&["fit", "--config", &config, "-o", &out]).expect(1, &["config.toml", "speed"]);
}

#[test]
fn policies_of_another_network() {
    let (folder, _) = scratch();
    let path = folder.path().join("policy.toml").display().to_string();
    fs::write(&path, "[layers]\n\"conv_of_another\" = { weights = 8, activations = 8 }\n").unwrap();
    check(|_, _| {}, &["--policy", &path], 1, &["does not match the network", "conv_of_another", "is missing"]);
    fs::write(&path, "[layers]\n\"x\" = { weights = 3 }\n").unwrap();
    check(|_, _| {}, &["--policy", &path], 1, &["policy.toml", "2, 4 or 8 bits"]);
}

#[test]
fn output_folders_that_cannot_be_used() {
    let example = Example::new();
    let (folder, out) = scratch();
    fs::create_dir(&out).unwrap();
    fs::write(Path::new(&out).join("precious"), "x").unwrap();
    let target = ["--flash", "200KiB", "--ram", "64KiB"];
    unproven(&fit_args(&out, &example, &target)).expect(1, &["not empty", "--resume"]);
    assert_eq!(tree(Path::new(&out)).len(), 1);

    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for place in [file.clone(), file.join("below")] {
        unproven(&fit_args(&place.display().to_string(), &example, &target)).expect(1, &["output folder"]);
    }
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[cfg(unix)]
#[test]
fn a_folder_without_write_permission() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, out) = scratch();
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(Path::new(&out).join("probe"), "").is_ok() {
        eprintln!("SKIPPED: cannot be run here: this user may write everywhere");
        return;
    }
    let example = Example::new();
    unproven(&fit_args(&out, &example, &["--flash", "200KiB", "--ram", "64KiB"])).expect(1, &["cannot be written to"]);
}

/// A limit on the size of files stands for a full disk: writing fails in the middle of a file.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_written_file() {
    let (_folder, out) = scratch();
    fs::create_dir(&out).unwrap();
    let example = Example::new();
    let args = fit_args(&out, &example, &["--flash", "200KiB", "--ram", "64KiB", "--policy", "8/8"]);
    let mut shell = std::process::Command::new("sh");
    // Ignoring the signal makes the write fail instead of ending the process; units are 512 bytes.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_bitesize")]).args(&args);
    let ran: super::Ran = shell.output().unwrap().into();
    ran.expect(1, &["cannot write", "free some space"]);
    assert!(tree(Path::new(&out)).is_empty());
}

#[test]
fn preprocessing_that_contradicts_the_network() {
    let nothing = |_: &mut Example, _: &Path| {};
    check(nothing, &["--channels", "rgb"], 1, &["channels is rgb", "1 channels"]);
    check(nothing, &["--mean", "1,2,3"], 1, &["mean has 3 values"]);
    for (text, words) in [
        ("std = 0.0", &["std holds 0"][..]),
        ("scale = -1.0", &["scale is -1", "positive"]),
        ("crop_fraction = 1.5", &["crop_fraction is 1.5"]),
        ("size = [0, 0]", &["size is 0x0"]),
    ] {
        let file = |e: &mut Example, folder: &Path| {
            e.preprocess = folder.join("preprocess.toml").display().to_string();
            fs::write(&e.preprocess, text).unwrap();
        };
        check(file, &[], 1, words);
    }
}

#[test]
fn wrong_png_among_good_sizes_is_named() {
    let odd = |e: &mut Example, folder: &Path| {
        class_folders(&folder.join("data"), 2, 28);
        png(&folder.join("data/5/odd.png"), 9, 1);
        e.train = folder.join("data").display().to_string();
    };
    check(odd, &[], 1, &["odd.png", "9x9"]);
}
