//! Data of every format gives the same samples.

use super::{Example, example, run, scratch};
use bitesize::input::{Dataset, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize_ir::Shape;
use std::fs;
use std::path::Path;

const SHAPE: Shape = Shape { h: 28, w: 28, c: 1 };

fn open(path: &Path, shape: Shape, file: &PreprocessFile) -> Dataset {
    let preprocess = Preprocess::checked(file, shape).unwrap();
    let request = Request::new(shape, &preprocess);
    Dataset::open(path, Role::Train, &request).unwrap().with_classes(10).unwrap()
}

/// The first samples of the example, from IDX.gz.
fn reference(count: usize) -> (Vec<u8>, Vec<usize>) {
    let data = open(example("train").as_ref(), SHAPE, &PreprocessFile::default());
    let batch = data.load(&(0..count).collect::<Vec<_>>()).unwrap();
    let Values::Pixels(pixels) = batch.values else { panic!("IDX holds pixels") };
    (pixels, batch.labels.classes().unwrap().to_vec())
}

#[track_caller]
fn check(path: &Path, pixels: &[u8], labels: &[usize]) {
    let data = open(path, SHAPE, &PreprocessFile::default());
    let batch = data.load(&(0..data.len()).collect::<Vec<_>>()).unwrap();
    assert_eq!(
        (batch.labels.classes().unwrap(), &batch.values),
        (labels, &Values::Pixels(pixels.to_vec())),
        "{}",
        data.describe().unwrap()
    );
}

#[test]
fn plain_idx_and_npz_and_class_folders() {
    let (folder, _) = scratch();
    let (pixels, labels) = reference(20);
    let idx = folder.path().join("idx");
    fs::create_dir(&idx).unwrap();
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28];
    images.extend(&pixels);
    fs::write(idx.join("train-images-idx3-ubyte"), images).unwrap();
    let mut bytes = vec![0, 0, 8, 1, 0, 0, 0, 20];
    bytes.extend(labels.iter().map(|l| *l as u8));
    fs::write(idx.join("train-labels-idx1-ubyte"), bytes).unwrap();
    check(&idx, &pixels, &labels);

    let npz = folder.path().join("data.npz");
    let mut writer = ndarray_npy::NpzWriter::new_compressed(fs::File::create(&npz).unwrap());
    writer.add_array("x", &ndarray::Array3::from_shape_vec((20, 28, 28), pixels.clone()).unwrap()).unwrap();
    let y: Vec<i64> = labels.iter().map(|l| *l as i64).collect();
    writer.add_array("y", &ndarray::Array1::from_vec(y)).unwrap();
    writer.finish().unwrap();
    check(&npz, &pixels, &labels);

    let folders = folder.path().join("folders");
    for class in 0..10 {
        fs::create_dir_all(folders.join(class.to_string())).unwrap();
    }
    let mut sorted: Vec<usize> = (0..20).collect();
    sorted.sort_by_key(|i| (labels[*i], *i));
    for (i, image) in pixels.chunks_exact(784).enumerate() {
        let path = folders.join(format!("{}/{i:03}.png", labels[i]));
        image::GrayImage::from_raw(28, 28, image.to_vec()).unwrap().save(path).unwrap();
    }
    let ordered: Vec<u8> = sorted.iter().flat_map(|i| pixels[i * 784..(i + 1) * 784].to_vec()).collect();
    let ordered_labels: Vec<usize> = sorted.iter().map(|i| labels[*i]).collect();
    check(&folders, &ordered, &ordered_labels);
}

#[test]
fn float_npz_is_preprocessed() {
    let (folder, _) = scratch();
    let npz = folder.path().join("data.npz");
    let mut writer = ndarray_npy::NpzWriter::new(fs::File::create(&npz).unwrap());
    writer.add_array("x", &ndarray::Array4::from_shape_vec((1, 1, 1, 2), vec![1.0f32, 3.0]).unwrap()).unwrap();
    writer.add_array("y", &ndarray::Array1::from_vec(vec![1u8])).unwrap();
    writer.finish().unwrap();
    let file = PreprocessFile::from_toml("scale = 2.0\nmean = [1.0, 2.0]\nstd = 4.0").unwrap();
    let data = open(&npz, Shape::new(1, 1, 2), &file);
    assert!(!data.is_pixels());
    assert_eq!(data.load(&[0]).unwrap().values, Values::Reals(vec![0.25, 1.0]));
}

#[test]
fn cifar_records_become_rgb() {
    let (folder, _) = scratch();
    let mut record = vec![3u8];
    record.extend((0..3072usize).map(|i| (i / 1024 * 50 + i % 1024 % 7) as u8));
    for name in ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"] {
        fs::write(folder.path().join(name), &record).unwrap();
    }
    let shape = Shape::new(32, 32, 3);
    let data = open(folder.path(), shape, &PreprocessFile::default());
    assert_eq!((data.len(), data.labels().classes()), (2, Some(&[3, 3][..])), "the training half only");
    let Values::Pixels(pixels) = data.load(&[1]).unwrap().values else { panic!("pixels") };
    assert_eq!(pixels[..6], [0, 50, 100, 1, 51, 101]);
    let bgr = PreprocessFile::from_toml("channels = \"bgr\"").unwrap();
    let Values::Pixels(pixels) = open(folder.path(), shape, &bgr).load(&[0]).unwrap().values else { panic!("pixels") };
    assert_eq!(pixels[..3], [100, 50, 0]);
}

#[test]
fn what_was_read_is_told() {
    let e = Example::new();
    let args = ["eval", &e.model, "--val", &e.val, "--preprocess", &e.preprocess];
    run(&args).expect(
        0,
        &["val: ", "IDX, 1000 samples of 28x28x1, values 0..255, 10 classes", "preprocessing: value * 0.0039"],
    );
    // A folder with both halves gives the one that is asked for.
    let both = Path::new("/usr/share/datasets/fashion-mnist");
    if !both.is_dir() {
        eprintln!("SKIPPED: cannot be run here: {} is not there", both.display());
        return;
    }
    let both = both.display().to_string();
    run(&["eval", &e.model, "--val", &both, "--preprocess", &e.preprocess]).expect(0, &["10000 samples"]);
}

/// `tests/reference/resize.py` made the expected pixels with PIL. Both round twice (after each axis), not always the same
/// way: one code is what that can differ by.
#[test]
fn cropping_and_resizing_are_those_of_pil() {
    let text = include_str!("../reference/resize.json");
    let reference: serde_json::Value = serde_json::from_str(text).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let numbers = |v: &serde_json::Value| -> Vec<usize> {
            v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
        };
        let (stored, size) = (numbers(&case["stored"]), numbers(&case["size"]));
        let (h, w, c) = (stored[0], stored[1], stored[2]);
        let value = |x: usize, y: usize, k: usize| ((x * 37 + y * 101 + k * 59 + x * y * (k + 3)) % 256) as u8;
        let mut pixels = Vec::new();
        for y in 0..h {
            for x in 0..w {
                pixels.extend((0..c).map(|k| value(x, y, k)));
            }
        }
        let (folder, _) = scratch();
        let npz = folder.path().join("data.npz");
        let mut writer = ndarray_npy::NpzWriter::new(fs::File::create(&npz).unwrap());
        writer.add_array("x", &ndarray::Array4::from_shape_vec((1, h, w, c), pixels).unwrap()).unwrap();
        writer.add_array("y", &ndarray::Array1::from_vec(vec![0u8])).unwrap();
        writer.finish().unwrap();
        let file = PreprocessFile {
            size: Some([size[0], size[1]]),
            crop_fraction: case["crop_fraction"].as_f64(),
            keep_aspect: case["keep_aspect"].as_bool(),
            ..Default::default()
        };
        let data = open(&npz, Shape::new(size[0], size[1], c), &file);
        let Values::Pixels(found) = data.load(&[0]).unwrap().values else { panic!("pixels") };
        let expected = numbers(&case["pixels"]);
        assert_eq!(found.len(), expected.len());
        let largest = found.iter().zip(&expected).map(|(a, b)| usize::from(*a).abs_diff(*b)).max();
        assert!(largest <= Some(1), "{stored:?} to {size:?}: {largest:?}");
    }
}

#[test]
fn classes_are_ordered_by_the_file_or_by_the_union_of_folders() {
    let check = |folders: [&[&str]; 2], file: Option<&str>, expected: Result<&[&str], &str>| {
        let (root, _) = scratch();
        let halves = ["train", "val"].map(|half| root.path().join(half));
        for (half, classes) in halves.iter().zip(folders) {
            for class in classes {
                fs::create_dir_all(half.join(class)).unwrap();
            }
        }
        if let Some(text) = file {
            fs::write(root.path().join("classes.txt"), text).unwrap();
        }
        let found = bitesize::input::class_order(&[&halves[0], &halves[1]]);
        match expected {
            Ok(classes) => assert_eq!(found.unwrap().unwrap(), classes),
            Err(words) => assert!(found.unwrap_err().to_string().contains(words)),
        }
    };
    check([&["cat", "dog"], &["ant", "dog"]], None, Ok(&["ant", "cat", "dog"]));
    check([&["cat", "dog"], &["dog"]], Some("dog\nrat\n\n cat \n"), Ok(&["dog", "rat", "cat"]));
    check([&["cat"], &["cat"]], Some("cat\ndog\ncat\n"), Err("named twice"));
}
