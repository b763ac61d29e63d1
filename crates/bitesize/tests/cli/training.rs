//! `tune` and `--finetune`: what is learned is judged, told and gone on with, and never taken for what it is not.

use super::{Example, assert_same, command, fit_args, npz, report, root, run, scratch, tree, unproven};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Widths at which there is much to gain.
const FAST: [&str; 6] = ["--flash", "48KiB", "--ram", "12KiB", "--policy", "2/4"];

/// The run folder's files that how it came to its end may not change.
fn products(out: &str) -> Vec<(PathBuf, Vec<u8>)> {
    // Reports and the training's file tell seconds, and the stages their hashes.
    let kept = |path: &Path| {
        ["report.", "stages.json", "tuning.safetensors", "tfevents"]
            .iter()
            .all(|name| !path.to_string_lossy().contains(name))
    };
    let all = tree(Path::new(out)).into_iter().filter(|(path, _)| kept(path));
    all.map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_owned(), bytes)).collect()
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    fs::read(Path::new(folder).join(name)).unwrap()
}

fn text(folder: &str, name: &str) -> String {
    String::from_utf8(read(folder, name)).unwrap()
}

/// What the report says of the training, which has so many epochs.
#[track_caller]
fn told(report: &Value, epochs: usize) -> Value {
    let told = report["tune"].clone();
    assert_eq!(told["epochs"], epochs, "{told}");
    assert_eq!(told["losses"].as_array().unwrap().len(), epochs);
    told
}

#[test]
fn a_finished_run_is_trained_and_delivered_anew() {
    let (_folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &[&FAST[..], &["--val", &example.val]].concat())).expect(0, &[]);
    let (rounded, weights) = (report(&out), read(&out, "weights.safetensors"));
    assert!(rounded["tune"].is_null());
    let ran =
        unproven(&["tune", &out, "--epochs", "3"]).expect(0, &["tune: on 64 held-out samples top-1", "is delivered"]);
    let report = report(&out);
    let told = told(&report, 3);
    assert_eq!((&told["kept"], &told["held_out_samples"]), (&true.into(), &64.into()), "{told}");
    assert_eq!(told["metric_before"], rounded["metric"]["integer"]);
    assert!(told["label_loss_after"].as_f64() < told["label_loss_before"].as_f64(), "{told}");
    let losses: Vec<f64> = told["losses"].as_array().unwrap().iter().map(|row| row["loss"].as_f64().unwrap()).collect();
    assert!(losses[2] < losses[0], "{losses:?}");
    assert!(report["metric"]["integer"].as_f64() > rounded["metric"]["integer"].as_f64(), "{}", report["metric"]);
    assert!(read(&out, "weights.safetensors") != weights);
    assert_eq!(report["flash"]["total"], rounded["flash"]["total"], "training changes no byte count");
    assert!(ran.out.contains("Trained for 3 of 3 epochs"), "{}", ran.out);
    assert!(text(&out, "report.md").contains("## Training"));
    let table = text(&out, "losses.csv");
    assert!(
        table.starts_with("epoch,loss,held_out_loss,held_out_label_loss,held_out_top1,rate,frozen\n1,")
            && table.lines().count() == 4
    );

    // What reads the folder finds what is delivered.
    let figures = run(&["eval", &out, "--val", &example.val, "--json"]).expect(0, &[]);
    let figures: Value = serde_json::from_str(&figures.out).unwrap();
    assert_eq!(figures["integer"], report["metric"]["integer"]);
    run(&["verify", &out, "--host-samples", "4", "--qemu-samples", "1"]).expect(0, &[]);
    let before = products(&out);
    unproven(&["tune", &out, "--epochs", "3"]).expect(0, &["nothing to do"]);
    unproven(&["tune", &out, "--resume"]).expect(0, &["nothing to do"]);
    assert_same(&products(&out), &before, "a training that is finished");
    // Another training begins from what was rounded.
    unproven(&["tune", &out, "--epochs", "1", "--lr", "0.0005", "--augment", "none"]).expect(0, &["tune: "]);
    let config = text(&out, "config.toml");
    assert!(config.contains("epochs = 1\n") && config.contains("lr = 0.0005\n"), "{config}");
    let words = ["`finetune.lr` was 0.0005 then and is 0.001 now"];
    unproven(&["tune", &out, "--epochs", "1", "--augment", "none", "--resume"]).expect(1, &words);
    // Edited widths are not trained, and that is said.
    let policy = Path::new(&out).join("policy.toml");
    fs::write(&policy, text(&out, "policy.toml").replacen("weights = 2", "weights = 4", 1)).unwrap();
    unproven(&["tune", &out, "--epochs", "2"]).expect(1, &["was edited"]);
    run(&["emit", &out]).expect(0, &["is delivered as it was rounded", "--finetune"]);
    assert!(super::report(&out)["tune"].is_null() && !Path::new(&out).join("tuning.safetensors").exists());
    assert!(!text(&out, "config.toml").contains("finetune"));
    assert!(["losses.csv", "events.out.tfevents.tuning"].iter().all(|name| !Path::new(&out).join(name).exists()));
}

/// Killed while it learns, or asked to stop, a run goes on behind the last epoch, to the same bytes, also on another number of threads.
#[cfg(unix)]
#[test]
fn a_training_cut_off_anywhere_goes_on_to_the_same_result() {
    use std::time::{Duration, Instant};
    let (folder, whole) = scratch();
    let example = Example::new();
    let asked = [&FAST[..], &["--finetune", "4", "--reconstruct", "0.01", "--reconstruct-samples", "64"]].concat();
    unproven(&fit_args(&whole, &example, &[&asked[..], &["--threads", "1"]].concat())).expect(0, &[]);
    for (epochs, signal) in [(1, "-KILL"), (2, "-INT")] {
        let out = folder.path().join(format!("after{epochs}")).display().to_string();
        let mut child = command(&fit_args(&out, &example, &asked)).stderr(std::process::Stdio::null()).spawn().unwrap();
        let (table, start) = (Path::new(&out).join("losses.csv"), Instant::now());
        while fs::read_to_string(&table).map_or(0, |text| text.lines().count()) < 1 + epochs {
            assert!(start.elapsed() < Duration::from_secs(300), "nothing is learned");
            std::thread::sleep(Duration::from_millis(3));
        }
        let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let code = child.wait().unwrap().code();
        assert_eq!(code, if signal == "-INT" { Some(130) } else { None }, "{signal}");
        assert!(!Path::new(&out).join("report.json").exists(), "it came to its end before {signal}");
        unproven(&["fit", "--resume", "-o", &out]).expect(0, &["tune: on"]);
        assert_same(&products(&out), &products(&whole), signal);
        // What was learned is taken from the folder.
        fs::remove_file(Path::new(&out).join("report.json")).unwrap();
        unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
        assert_same(&products(&out), &products(&whole), "a run without its report");
        told(&report(&out), 4);
    }
    let mut damaged = read(&whole, "tuning.safetensors");
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(Path::new(&whole).join("tuning.safetensors"), damaged).unwrap();
    let words = ["tuning.safetensors", "is damaged or was altered"];
    unproven(&["fit", "--resume", "-o", &whole]).expect(1, &words);
}

#[test]
fn each_task_learns_from_its_labels() {
    let example = |name: &str| root().join("examples/tasks").join(name).display().to_string();
    let sensor = ["--scale", "0.000244140625"];
    for (name, task, widths, more) in [
        ("bearing", "binary", "2/8", &sensor[..]),
        ("tones", "multilabel", "2/2", &sensor),
        ("flow", "regress", "2/4", &sensor),
        ("anomaly", "regress", "2/8", &["--task", "regress"]),
        ("anomaly", "fidelity", "2/8", &[]),
        ("weeds", "map", "2/8", &["--scale", "0.00392156862745098"]),
    ] {
        let (_folder, out) = scratch();
        let [model, train] = [format!("{name}.onnx"), format!("{name}_train.npz")].map(|file| example(&file));
        let mut args = vec!["fit", &model, "--train", &train, "-o", &out, "--flash", "128KiB", "--ram", "64KiB"];
        args.extend(["--policy", widths, "--finetune", "4", "--batch", "16"]);
        args.extend(more);
        unproven(&args).expect(0, &["tune: on"]);
        let report = report(&out);
        assert_eq!(report["task"], task);
        let told = told(&report, 4);
        // Where nothing is wrong there is nothing to gain.
        let is_perfect = told["before"] == 1.0;
        assert!(is_perfect || told["kept"] == true, "{name}: {told}");
        assert_eq!(told["before"].is_null(), task == "fidelity", "{name}: {told}");
    }
}

/// Without labels it is the float network that teaches.
#[test]
fn unlabelled_samples_teach_what_float_says() {
    let (folder, out) = scratch();
    let train = folder.path().join("train.npz");
    let pixel = |(n, y, x, _): (usize, usize, usize, usize)| ((n * 7 + y * 13 + x * 29) % 251) as u8;
    let images = ndarray::Array4::from_shape_fn((300, 28, 28, 1), pixel);
    super::npz_unlabelled(&train, &images);
    let example = Example { train: train.display().to_string(), ..Example::new() };
    let asked = ["--finetune", "3", "--augment", "none"];
    unproven(&fit_args(&out, &example, &[&FAST[..], &asked].concat())).expect(0, &["tune: on", "loss"]);
    let told = told(&report(&out), 3);
    assert!(told["before"].is_null() && told["loss_after"].as_f64() < told["loss_before"].as_f64(), "{told}");
}

/// Beside labelled samples, too.
#[test]
fn samples_without_labels_are_learned_from_beside_others() {
    let (folder, out) = scratch();
    let more = folder.path().join("more.npz").display().to_string();
    let write = |offset: usize| {
        let pixel = |(n, y, x, _): (usize, usize, usize, usize)| ((n * 7 + y * 13 + x * 29 + offset) % 251) as u8;
        super::npz_unlabelled(Path::new(&more), &ndarray::Array4::from_shape_fn((100, 28, 28, 1), pixel));
    };
    write(0);
    let example = Example::new();
    let asked = [&FAST[..], &["--finetune", "2", "--distill", "1", "--unlabelled", &more]].concat();
    unproven(&fit_args(&out, &example, &asked)).expect(0, &["unlabelled: ", "100 samples", "tune: on"]);
    let with = told(&report(&out), 2);
    let alone = folder.path().join("alone").display().to_string();
    let without = [&FAST[..], &["--finetune", "2", "--distill", "1"]].concat();
    unproven(&fit_args(&alone, &example, &without)).expect(0, &["tune: on"]);
    let alone = told(&report(&alone), 2);
    assert_eq!(with["samples"].as_u64().unwrap(), alone["samples"].as_u64().unwrap() + 100);
    assert!(with["losses"] != alone["losses"]);
    // Other samples make another training.
    write(1);
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(1, &["the samples without labels", "are others now"]);
    let none = [&FAST[..], &["--finetune", "2", "--distill", "0", "--unlabelled", &more]].concat();
    let other = folder.path().join("other").display().to_string();
    unproven(&fit_args(&other, &example, &none)).expect(2, &["`finetune.distill` is 0", "nothing teaches"]);
}

#[test]
fn rates_are_tried_without_a_trace() {
    let (_folder, out) = scratch();
    let example = Example::new();
    unproven(&fit_args(&out, &example, &FAST)).expect(0, &[]);
    let before = tree(Path::new(&out));
    let ran = unproven(&["tune", &out, "--find-lr"]).expect(0, &["rates tried"]);
    assert!(ran.out.contains("rate  loss\n") && ran.out.contains("try --lr "), "{}", ran.out);
    unproven(&["tune", &out, "--find-lr", "--optimizer", "sgd"]).expect(0, &["rates tried"]);
    assert_same(&tree(Path::new(&out)), &before, "a trial of rates");
    unproven(&["tune", &out, "--find-lr", "--lr", "0.1"]).expect(2, &["--lr"]);
    let sgd = ["--epochs", "3", "--optimizer", "sgd", "--momentum", "0.8", "--lr", "0.0004"];
    unproven(&[&["tune", &out][..], &sgd].concat()).expect(0, &["tune: on"]);
    let config = text(&out, "config.toml");
    let kept = ["optimizer = \"sgd\"\n", "momentum = 0.8\n", "lr = 0.0004\n"];
    assert!(kept.iter().all(|line| config.contains(line)), "{config}");
    assert_eq!(told(&report(&out), 3)["kept"], true);
}

/// What a search finds is compared by what an epoch of training makes of it.
#[test]
fn finalists_are_trained_before_one_is_chosen() {
    let (folder, out) = scratch();
    let example = Example::new();
    let search = ["--flash", "34KiB", "--ram", "6KiB", "--episodes", "4", "--judge", "tuned", "--finetune", "2"];
    unproven(&fit_args(&out, &example, &search)).expect(0, &["loss ", "after it", "tune: on"]);
    let whole = report(&out);
    let trials = whole["search"]["trials"].as_u64().unwrap();
    let lines = text(&out, "trials.jsonl");
    assert!(trials > 1 && lines.lines().count() as u64 == trials, "{trials}: {lines}");
    let losses: Vec<(String, f64)> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["policy"].as_str().unwrap().to_owned(), line["loss"].as_f64().unwrap()))
        .collect();
    let best = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let weights = read(&out, "weights.safetensors");
    assert!(String::from_utf8_lossy(&weights).contains(&best.0), "{losses:?} is not what is delivered");
    assert!(text(&out, "report.md").contains(&format!("{trials} policies were trained for an epoch each")));
    let before = products(&out);
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &[]);
    assert_same(&products(&out), &before, "a run without its report");
    // Cut off among them it trains the others.
    let cut: String = lines.split_inclusive('\n').take(1).collect();
    fs::write(Path::new(&out).join("trials.jsonl"), cut).unwrap();
    fs::remove_file(Path::new(&out).join("report.json")).unwrap();
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["after it"]);
    assert_same(&products(&out), &before, "a run cut off among trials");
    // Another training of what was chosen.
    unproven(&["tune", &out, "--epochs", "1", "--lr", "0.0005"]).expect(0, &["tune: on"]);
    let refused = |flags: &[&str], word: &str| {
        let other = folder.path().join("other").display().to_string();
        unproven(&fit_args(&other, &example, flags)).expect(2, &["--judge tuned", word]);
    };
    refused(&["--flash", "34KiB", "--ram", "6KiB", "--judge", "tuned"], "give that too");
    refused(&[&FAST[..], &["--judge", "tuned", "--finetune", "1"]].concat(), "--policy");
}

/// TensorBoard's own reader finds what `losses.csv` has.
#[test]
fn tensorboard_reads_the_events() {
    const READ: &str = "import sys\n\
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
        events = EventAccumulator(sys.argv[1])\n\
        events.Reload()\n\
        for tag in sorted(events.Tags()['scalars']):\n    \
            for event in events.Scalars(tag):\n        \
                print(tag, event.step, repr(event.value))\n";
    let python = std::env::var("BITESIZE_TENSORBOARD").unwrap_or_else(|_| "python3".into());
    let has = std::process::Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!(
            "SKIPPED: cannot be run here: TensorBoard's reader (no `tensorboard` in BITESIZE_TENSORBOARD or python3)"
        );
        return;
    }
    let (_folder, out) = scratch();
    unproven(&fit_args(&out, &Example::new(), &[&FAST[..], &["--finetune", "3"]].concat())).expect(0, &["tune: on"]);
    let read = std::process::Command::new(&python).args(["-c", READ, &out]).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let found = String::from_utf8(read.stdout).unwrap();
    let rows: Vec<Vec<f64>> = text(&out, "losses.csv")
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|value| value.parse().unwrap()).collect())
        .collect();
    let tags = ["train/loss", "held_out/loss", "held_out/label_loss", "held_out/top1", "train/rate", "train/frozen"];
    for (column, tag) in tags.into_iter().enumerate() {
        let of_tag = found.lines().filter_map(|line| line.strip_prefix(tag)?.strip_prefix(' '));
        let values: Vec<(usize, f64)> = of_tag
            .map(|rest| rest.split_once(' ').map(|(step, value)| (step.parse().unwrap(), value.parse().unwrap())))
            .collect::<Option<_>>()
            .unwrap();
        let expected: Vec<(usize, f64)> = rows.iter().enumerate().map(|(i, row)| (i + 1, row[column + 1])).collect();
        assert_eq!(values.len(), expected.len(), "{tag}: {found}");
        for (found, expected) in values.iter().zip(&expected) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() <= 1e-6 * expected.1.abs(), "{tag}");
        }
    }
}

#[test]
fn what_leads_nowhere_is_told_and_nothing_worse_is_delivered() {
    let (folder, out) = scratch();
    let example = Example::new();
    let rounded = folder.path().join("rounded").display().to_string();
    unproven(&fit_args(&rounded, &example, &FAST)).expect(0, &[]);
    let wild = ["--finetune", "2", "--lr", "1", "--batch", "8"];
    unproven(&fit_args(&out, &example, &[&FAST[..], &wild].concat())).expect(0, &["tune: on", "is not delivered"]);
    assert!(read(&out, "weights.safetensors") == read(&rounded, "weights.safetensors"));
    assert_eq!(report(&out)["tune"]["kept"], false);
    // Where steps are so large, some epoch is no better than the one before.
    let patient = folder.path().join("patient").display().to_string();
    let restless = ["--finetune", "20", "--lr", "0.1", "--ema", "0", "--no-freeze", "--tune-patience", "1"];
    unproven(&fit_args(&patient, &example, &[&FAST[..], &restless].concat())).expect(0, &["training ended early"]);
    let told = report(&patient)["tune"].clone();
    assert!(told["epochs"].as_u64() < Some(20) && !told["ended"].is_null(), "{told}");
}

#[test]
fn what_is_asked_for_is_checked() {
    let (folder, out) = scratch();
    let [map, data] =
        ["weeds.onnx", "weeds_train.npz"].map(|file| root().join("examples/tasks").join(file).display().to_string());
    let moved = ["--scale", "0.00392156862745098", "--finetune", "1", "--augment", "flip"];
    let fit = ["fit", &map, "--train", &data, "-o", &out, "--flash", "128KiB", "--ram", "64KiB", "--policy", "2/8"];
    unproven(&[&fit[..], &moved].concat()).expect(2, &["--augment", "for the task `map`"]);
    let example = Example::new();
    let asked = |more: &[&str]| unproven(&fit_args(&out, &example, &[&FAST[..], more].concat()));
    for (flags, word) in [
        (&["--finetune", "0"][..], "is not a number of epochs from 1 to 10000"),
        (&["--finetune", "1", "--lr=-1"], "`finetune.lr` is -1: "),
        (&["--finetune", "1", "--lr", "0"], "`finetune.lr` is 0: "),
        (&["--finetune", "1", "--distill", "1.5"], "`finetune.distill` is 1.5: 0 to 1 are possible"),
        (&["--finetune", "1", "--augment", "blur"], "`blur` is none of shift, flip, jitter, none, auto"),
        (&["--finetune", "1", "--batch", "0"], "--batch"),
        (&["--finetune", "1", "--optimizer", "lion"], "`lion` is none of adam, sgd"),
        (&["--finetune", "1", "--momentum", "0.5"], "--optimizer sgd"),
        (&["--lr", "0.1"], "--finetune"),
    ] {
        asked(flags).expect(2, &[word]);
    }
    assert!(!Path::new(&out).exists());
    let empty = folder.path().join("empty").display().to_string();
    let calibrate = ["calibrate", &example.model, "--train", &example.train, "--preprocess", &example.preprocess];
    run(&[&calibrate[..], &["-o", &empty, "--calibration-samples", "64"]].concat()).expect(0, &[]);
    run(&["tune", &empty, "--epochs", "1"]).expect(1, &["nothing is chosen in", "run `bitesize fit`"]);
    run(&["tune", &empty]).expect(2, &["--epochs"]);
    let train = folder.path().join("reals.npz");
    let x = ndarray::Array4::from_shape_fn((40, 28, 28, 1), |(n, y, x, _)| ((n + y + x) % 7) as f32);
    npz(&train, &x, (0..40i64).map(|n| n % 10).collect());
    let reals = Example { train: train.display().to_string(), ..Example::new() };
    let jitter = [&FAST[..], &["--finetune", "1", "--augment", "jitter"]].concat();
    unproven(&fit_args(&out, &reals, &jitter)).expect(2, &["--augment jitter", "no pixels"]);
}
