//! `train`: what comes of it can be gone on with, by it and by every other command, and what cannot be trained is named.

use super::{command, npz, run, scratch, tree};
use std::fs;
use std::path::Path;

/// Images of three classes, each brighter in a channel of its own.
fn coloured(path: &Path, count: usize) -> String {
    let pixel = |(n, y, x, c): (usize, usize, usize, usize)| {
        ((n * 31 + y * 17 + x * 7) % 120 + if c == n % 3 { 120 } else { 0 }) as u8
    };
    let images = ndarray::Array4::from_shape_fn((count, 32, 32, 3), pixel);
    npz(path, &images, (0..count as i64).map(|n| n % 3).collect());
    path.display().to_string()
}

/// The command for a network that learns in no time, with `more` arguments.
fn args<'a>(data: &'a str, epochs: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let network = ["train", "--arch", "mobilenet-v1", "--resolution", "32", "--downsample", "8"];
    let mut args = [&network[..], &["--train", data, "--epochs", epochs, "-o", out]].concat();
    for usual in [["--classes", "3"], ["--width", "0.1"], ["--batch", "8"]] {
        if !more.contains(&usual[0]) {
            args.extend(usual);
        }
    }
    args.extend(more);
    args
}

/// What must not depend on how a training came to its end; the rest tells seconds.
fn products(out: &str) -> Vec<Vec<u8>> {
    ["model.onnx", "losses.csv", "preprocess.toml"]
        .iter()
        .map(|name| fs::read(Path::new(out).join(name)).unwrap())
        .collect()
}

#[test]
fn what_is_trained_is_read_by_every_other_command() {
    let (folder, out) = scratch();
    let data = coloured(&folder.path().join("train.npz"), 48);
    let val = coloured(&folder.path().join("val.npz"), 30);
    let ran = run(&args(&data, "6", &out, &["--val", &val, "--seed", "3"])).expect(0, &["6 epochs on 44 samples"]);
    let figure = ran.out.lines().find(|line| line.ends_with("on 30 validation samples")).unwrap().to_owned();
    let mut names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        ["checkpoint.safetensors", "events.out.tfevents.training", "losses.csv", "model.onnx", "preprocess.toml"]
    );
    let table = fs::read_to_string(Path::new(&out).join("losses.csv")).unwrap();
    assert!(table.starts_with("epoch,loss,held_out_loss,held_out_top1,rate\n1,") && table.lines().count() == 7);
    let [model, preprocess] =
        ["model.onnx", "preprocess.toml"].map(|name| Path::new(&out).join(name).display().to_string());
    let measured = run(&["eval", &model, "--preprocess", &preprocess, "--val", &val]).expect(0, &[]);
    let percent = measured.out.lines().find_map(|line| line.strip_prefix("float")).unwrap().trim().to_owned();
    assert!(figure.contains(&percent), "`{figure}` and `{percent}`");
    assert!(run(&["inspect", &model]).expect(0, &[]).out.contains("block13.pointwise"));
    // It is finished, and stays what it is.
    let before = tree(Path::new(&out));
    run(&["train", "--resume", &out]).expect(0, &["is finished"]);
    assert!(tree(Path::new(&out)) == before);
    run(&args(&data, "6", &out, &[])).expect(1, &["is not empty", "--resume"]);
}

/// Killed or asked to stop, a training goes on behind the last epoch, to the same bytes, also on another number of threads.
#[cfg(unix)]
#[test]
fn a_training_cut_off_goes_on_to_the_same_bytes() {
    use std::time::{Duration, Instant};
    let (folder, whole) = scratch();
    let data = coloured(&folder.path().join("train.npz"), 40);
    run(&args(&data, "12", &whole, &["--threads", "1"])).expect(0, &[]);
    for signal in ["-KILL", "-INT"] {
        let out = folder.path().join(signal).display().to_string();
        let mut child = command(&args(&data, "12", &out, &[]))
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let (table, start) = (Path::new(&out).join("losses.csv"), Instant::now());
        while fs::read_to_string(&table).map_or(0, |text| text.lines().count()) < 2 {
            assert!(start.elapsed() < Duration::from_secs(120), "nothing is learned");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let code = child.wait().unwrap().code();
        assert_eq!(code, if signal == "-INT" { Some(130) } else { None }, "{signal}");
        run(&["train", "--resume", &out]).expect(0, &["12 epochs on 36 samples"]);
        assert!(products(&out) == products(&whole), "{signal}");
    }
    let checkpoint = Path::new(&whole).join("checkpoint.safetensors");
    let mut bytes = fs::read(&checkpoint).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&checkpoint, bytes).unwrap();
    run(&["train", "--resume", &whole]).expect(1, &["checkpoint.safetensors", "damaged"]);
    // Other data than it began with.
    let out = folder.path().join("-INT").display().to_string();
    coloured(&folder.path().join("train.npz"), 43);
    run(&["train", "--resume", &out]).expect(1, &["are not those that the training", "began with"]);
}

#[test]
fn what_cannot_be_trained_is_named() {
    let (folder, out) = scratch();
    let data = coloured(&folder.path().join("train.npz"), 48);
    for (classes, word) in
        [("4", "have 3 classes and --classes says 4: give --classes 3"), ("2", "sample 2 has label 2")]
    {
        run(&args(&data, "1", &out, &["--classes", classes])).expect(1, &["train", word]);
    }
    let few = coloured(&folder.path().join("few.npz"), 8);
    run(&args(&few, "1", &out, &[])).expect(1, &["too few samples", "of 8 1 are held out", "a smaller --batch"]);
    for (more, word) in [
        (&["--lr=-1"][..], "--lr is -1"),
        (&["--width", "9"], "`width=9` is not possible"),
        (&["--batch", "1"], "--batch is 1"),
    ] {
        run(&args(&data, "1", &out, more)).expect(2, &[word]);
    }
    run(&["train", "--resume", &out]).expect(1, &["no training to go on with"]);
    run(&["train", "--resume", &out, "--lr", "1"]).expect(2, &["from the checkpoint: leave out --lr"]);
    run(&["train", "--arch", "resnet"]).expect(2, &["none of mobilenet-v1, mobilenet-v2, mnasnet"]);
    assert!(!Path::new(&out).exists());
    // A folder of others stays as it is.
    fs::create_dir(&out).unwrap();
    fs::write(Path::new(&out).join("thesis.txt"), "mine").unwrap();
    run(&args(&data, "1", &out, &[])).expect(1, &["is not empty, it holds `thesis.txt`"]);
    assert_eq!(tree(Path::new(&out)).len(), 1);
}

#[test]
fn what_explodes_keeps_the_last_good_checkpoint() {
    let (folder, out) = scratch();
    let data = coloured(&folder.path().join("train.npz"), 64);
    let wild = ["--lr", "1000", "--warm-up", "1", "--momentum", "0.999", "--weight-decay", "1"];
    let ran =
        run(&args(&data, "40", &out, &wild)).expect(1, &["training diverged in step", "try a lower --lr, now 1000"]);
    assert!(ran.err.contains("kept in `") || ran.err.contains("no epoch was done"), "{}", ran.err);
    assert!(Path::new(&out).join("checkpoint.safetensors").is_file());
}
