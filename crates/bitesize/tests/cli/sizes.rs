//! Data and files that promise far more than they hold, never end, or lead in circles.

use crate::pack::{header, npy, zip};
use crate::{Example, fit_args, run, scratch, unproven};
use bitesize::input::{Dataset, Preprocess, PreprocessFile, Request, Role};
use bitesize_ir::Shape;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write as _;
use std::path::Path;

fn open(path: &Path, shape: Shape) -> Result<Dataset, String> {
    let file = PreprocessFile { size: Some([shape.h, shape.w]), ..Default::default() };
    let preprocess = Preprocess::checked(&file, shape).unwrap();
    let request = Request::new(shape, &preprocess);
    let full = |error: bitesize::input::DataError| format!("{:#}", anyhow::Error::from(error));
    Dataset::open(path, Role::Train, &request).map_err(full)
}

#[track_caller]
fn check_refused(path: &Path, words: &[&str]) {
    let error = open(path, Shape::new(8, 8, 3)).map(|data| data.len()).unwrap_err();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn an_npz_holds_what_it_announces() {
    let (folder, _) = scratch();
    let path = folder.path().join("data.npz");
    let labels = npy(&header("<i8", "(2,)"), &[0; 16]);
    let with = |x: &[u8], is_deflated, announced| {
        zip(&path, &[("x.npy", x, is_deflated, announced), ("y.npy", &labels, false, labels.len() as u64)]);
    };
    let stored = |x: &[u8]| with(x, false, x.len() as u64);

    let pixels = npy(&header("|u1", "(2, 8, 8, 3)"), &[7; 384]);
    stored(&pixels);
    assert_eq!(open(&path, Shape::new(8, 8, 3)).unwrap().len(), 2);
    with(&pixels, true, pixels.len() as u64);
    assert_eq!(open(&path, Shape::new(8, 8, 3)).unwrap().len(), 2);

    // More than the file holds, more than any memory, and a product that overflows.
    for shape in ["(2, 8, 8, 4)", "(1099511627776, 8, 8, 3)", "(4611686018427387904, 8, 8, 3)"] {
        stored(&npy(&header("|u1", shape), &[7; 384]));
        check_refused(&path, &["data.npz", "array `x`", "announces"]);
    }
    stored(&npy(&header("<f4", "(0, 1099511627776, 1099511627776, 3)"), &[]));
    check_refused(&path, &["array `x`", "impossible shape"]);
    stored(&npy(&header("|u1", "(2, 8, 8, 3)"), &[7; 385]));
    check_refused(&path, &["385 bytes follow"]);
    // A header that is all there is, one that is longer than the file, and one that nests.
    stored(&npy(&"[".repeat(16_000), &[]));
    check_refused(&path, &["array `x`", "damaged"]);
    stored(&npy(&format!("{{'descr': {}", "[".repeat(12_000)), &[]));
    check_refused(&path, &["records"]);
    stored(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{");
    check_refused(&path, &["announces a header of 4294967295 bytes"]);
    stored(b"\x93NUMPY\x02\x00\xff\x00\x00\x00{");
    check_refused(&path, &["header cannot be read"]);
    // The archive's own sizes.
    with(&pixels, false, pixels.len() as u64 + 1);
    check_refused(&path, &["cannot hold"]);
    with(&pixels, true, 1 << 20);
    check_refused(&path, &["cannot hold"]);
    with(&pixels, true, pixels.len() as u64 + 1);
    check_refused(&path, &["follow"]);
    let many = npy(&header("|u1", "(16777217, 1, 1, 1)"), &vec![0; (1 << 24) + 1]);
    with(&many, true, many.len() as u64);
    check_refused(&path, &["at most 16777216 are read"]);
}

#[test]
fn an_npz_unpacks_to_a_bounded_size() {
    let (folder, _) = scratch();
    let path = folder.path().join("data.npz");
    // Nothing is unpacked: what is announced, and could be true of a file of that size, is refused.
    let packed = vec![0; 4 << 20];
    let mut bytes = Vec::new();
    for (offset, signature) in [(0usize, &b"PK\x03\x04"[..]), (0, b"PK\x01\x02")] {
        let is_directory = signature == b"PK\x01\x02";
        let at = bytes.len() as u32;
        bytes.extend(signature);
        bytes.extend(if is_directory { &[20, 0, 20, 0][..] } else { &[20, 0] });
        bytes.extend([0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend((2u32 << 30).to_le_bytes());
        bytes.extend([5, 0, 0, 0]);
        if is_directory {
            bytes.extend([0; 10]);
            bytes.extend((offset as u32).to_le_bytes());
        }
        bytes.extend(b"x.npy");
        if is_directory {
            let mut label = bytes[at as usize..].to_vec();
            let name = label.len() - 5;
            label[name] = b'y';
            bytes.extend(&label);
            let length = bytes.len() as u32 - at;
            bytes.extend(b"PK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00");
            bytes.extend(length.to_le_bytes());
            bytes.extend(at.to_le_bytes());
            bytes.extend([0, 0]);
        } else {
            bytes.extend(&packed);
        }
    }
    fs::write(&path, bytes).unwrap();
    check_refused(&path, &["unpacks to 2147483648 bytes", "store it uncompressed"]);
}

#[test]
fn a_packed_idx_file_gives_what_its_header_announces() {
    let (folder, _) = scratch();
    let images = folder.path().join("train-images-idx3-ubyte.gz");
    fs::write(folder.path().join("train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]).unwrap();
    let pack = |samples: u32, bytes: usize| {
        let mut encoder = GzEncoder::new(fs::File::create(&images).unwrap(), Compression::fast());
        encoder.write_all(&[0, 0, 8, 3]).unwrap();
        for size in [samples, 8, 8] {
            encoder.write_all(&size.to_be_bytes()).unwrap();
        }
        encoder.write_all(&vec![0; bytes]).unwrap();
        encoder.finish().unwrap();
    };
    let check = |words: &[&str]| {
        let error = open(folder.path(), Shape::new(8, 8, 1)).map(|data| data.len()).unwrap_err();
        words.iter().for_each(|word| assert!(error.contains(word), "`{word}` is not in: {error}"));
    };
    pack(2, 128);
    assert_eq!(open(folder.path(), Shape::new(8, 8, 1)).unwrap().len(), 2);
    pack(2, 1 << 20);
    check(&["the file holds more"]);
    pack(2, 127);
    check(&["cut off"]);
    pack(1 << 24, 128);
    check(&["unpacks to 1073741840 bytes"]);
    pack(u32::MAX, 128);
    check(&["announces 4294967295 samples"]);
    fs::write(&images, [0x1f, 0x8b]).unwrap();
    check(&["train-images-idx3-ubyte.gz"]);
}

/// Files with holes, which take no space: their sizes are looked at before anything is made of them.
#[test]
fn sparse_files_are_refused_by_their_size() {
    let (folder, _) = scratch();
    let sparse = |name: &str, begin: &[u8], size: u64| {
        let mut file = fs::File::create(folder.path().join(name)).unwrap();
        file.write_all(begin).unwrap();
        file.set_len(size).unwrap();
        folder.path().join(name)
    };
    let too_large = "more than the 2147483648 that such a file may have";
    // An archive that announces a directory of 4 GiB in its zip64 records, and one of 1 GiB.
    check_refused(&sparse("large.npz", b"PK", 5 << 30), &[too_large]);
    let mut end = vec![0; 16];
    end.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    end.extend((1u32 << 30).to_le_bytes());
    end.extend([0; 6]);
    let path = folder.path().join("directory.npz");
    let mut file = fs::File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(&end).unwrap();
    check_refused(&path, &["its directory has 1073741824 bytes"]);
    fs::remove_file(&path).unwrap();
    // CIFAR-10's records, in one file and in several.
    let cifar = folder.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    sparse("cifar/a.bin", &[], 3073 << 20);
    check_refused(&cifar, &["a.bin", "at most 2147483648 are read"]);
    for name in ["cifar/a.bin", "cifar/b.bin", "cifar/c.bin"] {
        sparse(name, &[], 3073 << 19);
    }
    check_refused(&cifar, &["at most 2147483648 are read"]);
    // IDX whose header tells the truth.
    let idx = folder.path().join("idx");
    fs::create_dir(&idx).unwrap();
    let mut header = vec![0, 0, 8, 3];
    [1u32, 1 << 20, 1 << 16].iter().for_each(|size| header.extend(size.to_be_bytes()));
    sparse("idx/train-images-idx3-ubyte", &header, 16 + (1 << 36));
    sparse("idx/train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 1], 9);
    check_refused(&idx, &["train-images-idx3-ubyte", too_large]);
}

/// Labels are in memory beside the samples: as they are stored and as the task takes them.
#[test]
fn labels_count_among_what_an_archive_may_hold() {
    let (folder, _) = scratch();
    let path = folder.path().join("data.npz");
    // Both by themselves would do: 768 MiB are 2^23 times 96 bytes.
    let samples = 1usize << 23;
    let labels = npy(&header("|u1", &format!("({samples},)")), &vec![0; samples]);
    let x = npy(&header("|u1", &format!("({samples}, 1, 1, 1)")), &[]);
    zip(&path, &[("x.npy", &x, true, (x.len() + 85 * samples) as u64), ("y.npy", &labels, true, labels.len() as u64)]);
    check_refused(&path, &["array `x`", "unpacks to"]);
}

fn image(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(8, 8, image::Rgb([1, 2, 3])).save(path).unwrap();
}

#[cfg(unix)]
#[test]
fn no_folder_is_read_twice() {
    use std::os::unix::fs::symlink;
    let check = |link: &str, target: &str, words: &[&str]| {
        let (folder, _) = scratch();
        image(&folder.path().join("a/0.png"));
        image(&folder.path().join("b/deep/1.png"));
        assert_eq!(open(folder.path(), Shape::new(8, 8, 3)).unwrap().len(), 2);
        symlink(target, folder.path().join(link)).unwrap();
        check_refused(folder.path(), words);
    };
    check("a/up", "..", &["a/up", "read twice", "remove the link"]);
    check("a/self", ".", &["a/self", "read twice"]);
    check("a/other", "../b", &["/b`", "also `", "a/other"]);
    check("c", "b/deep", &["/c`", "b/deep"]);
    check("self", ".", &["/self`", "read twice"]);
    // A link to a folder of its own is followed.
    let (folder, _) = scratch();
    image(&folder.path().join("data/a/0.png"));
    image(&folder.path().join("elsewhere/1.png"));
    symlink("../elsewhere", folder.path().join("data/b")).unwrap();
    assert_eq!(
        open(&folder.path().join("data"), Shape::new(8, 8, 3)).unwrap().with_classes(10).unwrap().labels().classes(),
        Some(&[0, 1][..])
    );
}

#[cfg(unix)]
#[test]
fn what_never_ends_is_not_read() {
    use std::os::unix::fs::symlink;
    let (folder, out) = scratch();
    let path = |name: &str| folder.path().join(name);
    let fifo = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(path(name)).status().unwrap();
        assert!(made.success());
        path(name).display().to_string()
    };
    let endless = |name: &str| {
        symlink("/dev/zero", path(name)).unwrap();
        path(name).display().to_string()
    };
    image(&path("data/a/0.png"));
    fifo("data/a/1.png");
    check_refused(&path("data"), &["1.png", "a FIFO, not a regular file"]);
    fs::remove_file(path("data/a/1.png")).unwrap();
    endless("data/a/1.png");
    check_refused(&path("data"), &["1.png", "a device, not a regular file"]);
    fifo("data.npz");
    check_refused(&path("data.npz"), &["data.npz", "a FIFO"]);
    check_refused(Path::new("/dev/zero"), &["/dev/zero", "a device"]);

    let e = Example::new();
    for (file, what) in [(fifo("fifo"), "a FIFO"), (endless("zero"), "a device")] {
        run(&["inspect", &file, "--board", "stm32f411"]).expect(1, &[&file, what]);
        run(&["inspect", &e.model, "--board", &file]).expect(1, &[&file, what]);
        run(&["eval", &e.model, "--val", &e.val, "--preprocess", &file]).expect(1, &[&file, what]);
        run(&["eval", &e.model, "--val", &file]).expect(1, &[&file, what]);
        unproven(&fit_args(&out, &e, &["--board", "stm32f411", "--policy", &file])).expect(1, &[&file, what]);
        run(&["fit", "--config", &file, "-o", &out]).expect(1, &[&file, what]);
    }
}
