//! Names in a model and of files that would steer a terminal, a browser or a compiler.

use super::onnx::{Message, constant, value};
use super::{Ran, npz, png, run, scratch, tree, unproven};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What each name holds; its own part comes before and after it.
const PIECES: [&str; 6] = [
    "\u{1b}[31mRED\u{1b}]0;title\u{7}\u{1b}[2J\r",
    "a\nerror: not so\n\u{202e}gnp\u{2066}\u{200b}\u{feff}\u{9b}2J",
    "<script>alert(1)</script>|`![x](http://example.com/y.png)`<!--",
    "*/ int evil; /* // ??/\\\n\" \\\" %n ${x} @y@",
    "a\"b'c = { weights = 2 } # [layers] activation. .levels \\u{1b}",
    "\0\t\u{7f}größe卷积\u{1F600}\u{2028}",
];

/// A convolution with an addition and a classifier, of images of 6x6, in which `name` makes every name out of a short one.
fn network(name: &dyn Fn(&str) -> String, last: &str) -> Vec<u8> {
    let node = |op: &str, inputs: &[&str], output: &str, what: &str| {
        let start = inputs.iter().fold(Message::default(), |node, input| node.text(1, &name(input)));
        start.text(2, &name(output)).text(3, &name(what)).text(4, op)
    };
    let graph = Message::default()
        .part(1, node("Conv", &["x", "w1"], "t1", "conv"))
        .part(1, node("Relu", &["t1"], "t2", "relu"))
        .part(1, node("Conv", &["t2", "w2"], "t3", "conv2"))
        .part(1, node("Add", &["t2", "t3"], "t4", "add"))
        .part(1, node("GlobalAveragePool", &["t4"], "t5", "mean"))
        .part(1, node("Flatten", &["t5"], "t6", "flat"))
        .part(1, node(last, &["t6", "w3"], "y", "dense"))
        .text(2, &name("graph"))
        .part(5, constant(&name("w1"), &[4, 1, 3, 3]))
        .part(5, constant(&name("w2"), &[4, 4, 1, 1]))
        .part(5, constant(&name("w3"), &[4, 3]))
        .part(11, value(&name("x"), &[1, 1, 6, 6]))
        .part(12, value(&name("y"), &[1, 3]));
    let opset = Message::default().text(1, "").number(2, 13);
    Message::default().number(1, 8).text(2, &name("producer")).part(7, graph).part(8, opset).0
}

/// Nothing in `text` steers a terminal or hides.
#[track_caller]
fn check_seen(text: &str, what: &str) {
    let hidden = |c: char| {
        c != '\n' && c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let found = text.char_indices().find(|(_, c)| hidden(*c));
    assert!(found.is_none(), "{what}: {found:?} in\n{text:?}");
}

#[track_caller]
fn check_said(ran: Ran, code: i32, what: &str) {
    check_seen(&ran.out, what);
    check_seen(&ran.err, what);
    let invented = ran.err.lines().any(|line| line.starts_with("error: not so"));
    assert!(!invented, "{what}: a name began a line of its own\n{}", ran.err);
    ran.expect(code, &[]);
}

/// The package in the run folder `out` is C without any warning.
#[track_caller]
fn compile(out: &Path) {
    let package = out.join("package");
    let sources = fs::read_dir(&package).expect("a package").map(|entry| entry.expect("an entry").path());
    let sources: Vec<_> = sources.filter(|path| path.extension().is_some_and(|extension| extension == "c")).collect();
    let flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wcomment", "-Wtrigraphs", "-Werror", "-fsyntax-only"];
    let output = Command::new("cc").args(flags).arg("-I").arg(&package).args(&sources).output().expect("`cc` is there");
    assert!(output.status.success() && !sources.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Everything that reads a folder or a network takes one with names of `piece`, and leaves nothing in it that does harm.
fn check(piece: &str) {
    let (folder, out) = scratch();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (model, data) = (path("a\u{1b}[2J\u{202e}<b>|`.onnx"), path("d\u{7}ata.npz"));
    let name = |short: &str| format!("{short}{piece}{short}");
    fs::write(&model, network(&name, "MatMul")).expect("a model is written");
    let x = ndarray::Array4::from_shape_fn((40, 6, 6, 1), |(n, y, x, _)| ((n * 7 + y * 5 + x * 3) % 11) as f32 / 11.0);
    npz(Path::new(&data), &x, (0..40).map(|n| n % 3).collect::<Vec<i64>>());
    check_said(unproven(&["inspect", &model, "--verbose"]), 0, "inspect");
    let few = ["--eval-samples", "8", "--host-samples", "2", "--qemu-samples", "1", "--verbose"];
    let fit =
        ["fit", &model, "--train", &data, "--val", &data, "-o", &out, "--policy", "4/8", "--calibration-samples", "16"];
    let board = ["--flash", "64KiB", "--ram", "16KiB"];
    check_said(unproven(&[&fit[..], &few, &board].concat()), 0, "fit");
    for (args, code) in [
        (vec!["emit", &out], 0),
        (vec!["eval", &out, "--val", &data], 0),
        (vec!["fit", "--resume", "-o", &out], 0),
        (vec!["verify", &out], 1),
        (vec!["eval", &out, "--val", &path("not\u{1b}[2Jthere.npz")], 1),
        (vec!["search", &out, "--policy", "2/8", "--flash", "1KiB", "--ram", "300"], 3),
    ] {
        check_said(unproven(&args), code, args[0]);
        if args[0] == "verify" {
            compile(Path::new(&out));
        }
    }
    for (file, bytes) in tree(Path::new(&out)) {
        let (shown, text) = (file.display().to_string(), String::from_utf8_lossy(&bytes).into_owned());
        if shown.contains("/package/") || shown.contains("/example/") || shown.ends_with(".md") {
            check_seen(&text, &shown);
        }
        let is_report = shown.ends_with(".md");
        assert!(!is_report || !text.contains("<script") && !text.contains("<b>") && !text.contains("]("), "{text}");
    }
}

#[test]
fn names_reach_terminal_report_and_c_as_text() {
    std::thread::scope(|scope| PIECES.iter().for_each(|piece| drop(scope.spawn(|| check(piece)))));
}

#[test]
fn what_is_refused_is_named_as_text() {
    for piece in PIECES {
        let (folder, _) = scratch();
        let model = folder.path().join("model.onnx");
        fs::write(&model, network(&|short| format!("{short}{piece}"), &format!("No{piece}")))
            .expect("a model is written");
        check_said(unproven(&["inspect", &model.display().to_string()]), 1, "inspect");
    }
}

/// What the argument parser says of arguments, which it shows as they are.
#[test]
fn arguments_are_told_as_text() {
    for piece in PIECES.into_iter().filter(|piece| !piece.contains('\0')) {
        let size = format!("9{piece}");
        for args in [
            &["fit", "x.onnx", "--task", piece][..],
            &["fit", "x.onnx", "--flash", &size, "--ram", "9"],
            &["fit", "x.onnx", "--weights", piece],
            &["fit", "x.onnx", "--seed", piece],
            &["fit", &format!("--{piece}")],
            &[piece],
        ] {
            check_said(run(args), 2, "arguments");
        }
    }
}

/// Folders and files of data, in what is told of those that are read and of those that are not.
#[test]
fn names_in_data_folders_are_told_as_text() {
    let piece = PIECES[1];
    let (folder, _) = scratch();
    let [train, val] = ["train", "val"].map(|name| folder.path().join(format!("{name}{piece}")));
    for data in [&train, &val] {
        for (class, seed) in [("a", 1), ("b", 2), ("c", 3)] {
            let class = data.join(format!("{class}{piece}"));
            fs::create_dir_all(&class).expect("a folder is made");
            png(&class.join(format!("{piece}.png")), 6, seed);
            fs::write(class.join(format!("{piece}.txt{piece}")), "").expect("a file is written");
        }
    }
    let model = folder.path().join("model.onnx");
    fs::write(&model, network(&str::to_owned, "MatMul")).expect("a model is written");
    let [model, train, val] = [&model, &train, &val].map(|path| path.display().to_string());
    check_said(run(&["eval", &model, "--val", &val, "--verbose"]), 0, "eval");
    for data in [&train, &val] {
        fs::write(Path::new(data).join("classes.txt"), data).expect("a file is written");
    }
    let (_folder, out) = scratch();
    let fit = ["fit", &model, "--train", &train, "--val", &val, "-o", &out, "--flash", "64KiB", "--ram", "16KiB"];
    check_said(run(&fit), 1, "fit");
    // A file that ends in nothing, and IDX files that do not belong together.
    let idx = Path::new(&train).join("c");
    fs::create_dir_all(&idx).expect("a folder is made");
    fs::write(idx.join(format!("images-idx3-ubyte{piece}")), [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7])
        .unwrap();
    fs::write(idx.join(format!("labels-idx1-ubyte{piece}")), [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]).unwrap();
    check_said(run(&["eval", &model, "--val", &idx.display().to_string()]), 1, "eval");
}
