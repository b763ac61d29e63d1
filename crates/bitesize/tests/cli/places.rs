//! A run folder in which something else lies in the place of a file: no command hangs, panics, reads without end, or writes
//! anywhere but in the folder.

use super::{Example, Ran, command, fit_args, npz, scratch, tree, unproven};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Every place of a run folder, and places in its folders.
const PLACES: [&str; 15] = [
    "report.json",
    "report.md",
    "policy.toml",
    "config.toml",
    "stages.json",
    "calibration.json",
    "prepared.safetensors",
    "search.jsonl",
    "probes.jsonl",
    "weights.safetensors",
    ".lock",
    ".commit",
    "package",
    "package/model.c",
    "example",
];

/// What is put there.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Fifo,
    Folder,
    Device,
    LinkOut,
    LinkToNothing,
    LinkToItself,
    Empty,
    Huge,
}

const THINGS: [Thing; 8] = [
    Thing::Fifo,
    Thing::Folder,
    Thing::Device,
    Thing::LinkOut,
    Thing::LinkToNothing,
    Thing::LinkToItself,
    Thing::Empty,
    Thing::Huge,
];

/// How long a command may take; they take some tenths of a second.
const LIMIT: Duration = Duration::from_secs(20);

fn remove(path: &Path) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let _ = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

fn copy(from: &Path, to: &Path) {
    remove(to);
    for (path, bytes) in tree(from) {
        let place = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
}

fn put(thing: Thing, place: &Path, outside: &Path) {
    remove(place);
    match thing {
        Thing::Fifo => assert!(Command::new("mkfifo").arg(place).status().unwrap().success()),
        Thing::Folder => fs::create_dir_all(place.join("inner")).unwrap(),
        Thing::Device => symlink("/dev/zero", place).unwrap(),
        Thing::LinkOut => symlink(outside.join("there"), place).unwrap(),
        Thing::LinkToNothing => symlink(outside.join("nothing"), place).unwrap(),
        Thing::LinkToItself => symlink(place.file_name().unwrap(), place).unwrap(),
        Thing::Empty => drop(File::create(place).unwrap()),
        // A file with a hole takes no space.
        Thing::Huge => File::create(place).unwrap().set_len(100 << 30).unwrap(),
    }
}

/// Runs the command, which is killed at [`LIMIT`] and must end with 0 or 1 before, the latter with a message.
fn check(args: &[&str], what: &str) {
    let mut child = command(args)
        .env("PATH", "")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{what}: `{}` does not end", args.join(" "));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let ran: Ran = child.wait_with_output().unwrap().into();
    let said = format!("{what}: `{}` said\n{}\n{}", args.join(" "), ran.out, ran.err);
    assert!(matches!(ran.code, Some(0 | 1)) && !ran.err.contains("panicked"), "{:?} {said}", ran.code);
    assert!(ran.code == Some(0) || ran.err.contains("error: "), "{said}");
    assert!(!ran.err.contains("out of memory"), "{said}");
}

/// `(the folder of a finished run, a folder outside it with one empty file)`.
fn finished(root: &Path) -> (PathBuf, PathBuf) {
    let (run, outside) = (root.join("finished"), root.join("outside"));
    let example = Example::new();
    let shown = run.display().to_string();
    unproven(&fit_args(&shown, &example, &["--flash", "48KiB", "--ram", "12KiB", "--search", "rules"])).expect(0, &[]);
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("there"), "").unwrap();
    (run, outside)
}

#[test]
fn whatever_lies_in_the_place_of_a_file_every_command_ends() {
    let (root, out) = scratch();
    let (run, outside) = finished(root.path());
    let before = tree(&outside);
    // A few samples: nothing here is about what a network answers.
    let val = root.path().join("val.npz");
    let sample = |(n, y, x, _): (usize, usize, usize, usize)| ((n * 31 + y * 7 + x * 13) % 256) as u8;
    npz(&val, &ndarray::Array4::from_shape_fn((10, 28, 28, 1), sample), (0..10u8).collect());
    let val = &val.display().to_string();
    let try_all = |places: &[&str]| {
        let out = format!("{out}-{}", places[0]);
        let commands: [&[&str]; 4] =
            [&["eval", &out, "--val", val], &["verify", &out], &["emit", &out], &["fit", "--resume", "-o", &out]];
        for (place, thing, args) in places
            .iter()
            .flat_map(|place| THINGS.iter().flat_map(move |thing| commands.map(|args| (place, *thing, args))))
        {
            copy(&run, Path::new(&out));
            put(thing, &Path::new(&out).join(place), &outside);
            check(args, &format!("{thing:?} as {place}"));
            super::assert_same(&before, &tree(&outside), &format!("{thing:?} as {place}: {args:?} wrote outside"));
        }
    };
    let try_all = &try_all;
    std::thread::scope(|scope| {
        for places in PLACES.chunks(4) {
            scope.spawn(move || try_all(places));
        }
    });
}

#[test]
fn journals_are_not_written_through_links() {
    let (root, out) = scratch();
    let (run, outside) = finished(root.path());
    for name in ["search.jsonl", "probes.jsonl"] {
        for thing in [Thing::LinkOut, Thing::LinkToNothing] {
            copy(&run, Path::new(&out));
            // As where the run was cut off before it delivered anything.
            for file in ["report.json", "report.md", "policy.toml", "weights.safetensors"] {
                fs::remove_file(Path::new(&out).join(file)).unwrap();
            }
            put(thing, &Path::new(&out).join(name), &outside);
            let before = tree(&outside);
            let anew = ["search", &out, "--search", "auto", "--episodes", "4", "--flash", "40KiB", "--ram", "12KiB"];
            for args in [&["fit", "--resume", "-o", &out][..], &anew] {
                check(args, name);
                super::assert_same(&before, &tree(&outside), &format!("{name}: {args:?} wrote outside"));
            }
        }
    }
}

#[test]
fn a_package_that_links_to_itself_is_named() {
    let (root, out) = scratch();
    let (run, outside) = finished(root.path());
    copy(&run, Path::new(&out));
    let package = Path::new(&out).join("package");
    put(Thing::LinkToItself, &package, &outside);
    for (args, words) in [(["verify", &out], "is a link that leads to no folder"), (["emit", &out], "is a link, which")]
    {
        unproven(&args).expect(1, &[&format!("{}` {words}", package.display())]);
    }
}

#[test]
fn verify_sees_every_file_of_a_stage_that_was_altered() {
    let (root, out) = scratch();
    let (run, _) = finished(root.path());
    for place in ["report.json", "report.md", "calibration.json", "prepared.safetensors", "weights.safetensors"] {
        copy(&run, Path::new(&out));
        let path = Path::new(&out).join(place);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        unproven(&["verify", &out]).expect(1, &[place, "altered"]);
    }
}
