//! Class folders with images of every format that is read, and with what is not.

use crate::{class_folders, png, run, scratch};
use bitesize::input::{Dataset, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize_ir::Shape;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use std::fs;
use std::io::Cursor;
use std::path::Path;

const SHAPE: Shape = Shape { h: 6, w: 8, c: 3 };

fn open(path: &Path) -> Result<Dataset, String> {
    let preprocess = Preprocess::checked(&PreprocessFile::default(), SHAPE).unwrap();
    let full = |error: bitesize::input::DataError| format!("{:#}", anyhow::Error::from(error));
    Dataset::open(path, Role::Train, &Request::new(SHAPE, &preprocess)).map_err(full)
}

/// Four colours, so that a gif holds them as they are.
fn image() -> RgbImage {
    RgbImage::from_fn(8, 6, |x, y| Rgb([if x < 3 { 250 } else { 10 }, if y < 2 { 200 } else { 30 }, 99]))
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// As [`webp`]'s comment says; `lossless` by Pillow from the same pixels.
fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()
}

/// Eight columns and six rows of (30 x, 40 y, 128): Pillow 13.0.0's `save(file, "webp", quality=50, exif=orientation 6)`.
const WEBP: &str = "524946467a00000057454250565038580a00000008000000070000050000565038203a000000d001009d012a0800060002\
    c04c25b0027400f448282ca000feef93a79de1ca80b3ae6039a9729a3995f7de9d781df055c0f307ceede21d7d4000455849461a0000004d4d\
    002a00000008000101120003000000010006000000000000";

/// The first eight pixels of it, as Pillow decodes them.
const WEBP_PIXELS: [u8; 24] =
    [0, 5, 115, 19, 10, 120, 50, 16, 123, 81, 16, 122, 110, 9, 112, 142, 9, 111, 173, 16, 115, 192, 21, 120];

/// The same pixels, `lossless=True`.
const LOSSLESS: &str =
    "524946462a000000574542505650384c1e0000002f07400100b98ce87fec22a2ff012101618eff1b250bc663006302905a36";

/// A folder of one class with the files given.
fn folder_of(root: &Path, files: &[(&str, &[u8])]) {
    fs::create_dir_all(root.join("a")).unwrap();
    for (name, bytes) in files {
        fs::write(root.join("a").join(name), bytes).unwrap();
    }
}

#[test]
fn every_format_gives_its_pixels_whatever_its_name() {
    let (folder, _) = scratch();
    let [bmp, gif, png] = [ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Png].map(encoded);
    folder_of(folder.path(), &[("0.BMP", &bmp), ("1.gif", &gif), ("2.Png", &png), ("3.jpg", &png), ("4.png", &gif)]);
    let data = open(folder.path()).unwrap();
    let Values::Pixels(pixels) = data.load(&[0, 1, 2, 3, 4]).unwrap().values else { panic!("pixels") };
    for (i, found) in pixels.chunks_exact(SHAPE.elements()).enumerate() {
        assert_eq!(found, image().as_raw().as_slice(), "{i}");
    }
    assert!(data.warnings().iter().any(|w| w.contains("2 of 5 images") && w.contains("first frame")));
}

#[test]
fn of_a_gif_the_first_frame_is_read() {
    let (folder, _) = scratch();
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    let white = image::RgbaImage::from_pixel(8, 6, image::Rgba([255; 4]));
    let frames = [DynamicImage::ImageRgb8(image()).into_rgba8(), white].map(image::Frame::new);
    encoder.encode_frames(frames).unwrap();
    drop(encoder);
    folder_of(folder.path(), &[("0.gif", &bytes)]);
    let Values::Pixels(pixels) = open(folder.path()).unwrap().load(&[0]).unwrap().values else { panic!("pixels") };
    assert_eq!(&pixels, image().as_raw());
    // A frame that is larger than the image would take memory that nothing announced: the frame's size stands behind the
    // mark of an image.
    let at = bytes.windows(5).position(|bytes| bytes == [0x2c, 0, 0, 0, 0]).unwrap() + 5;
    bytes[at..at + 4].copy_from_slice(&[0xff; 4]);
    folder_of(folder.path(), &[("0.gif", &bytes)]);
    let error = open(folder.path()).unwrap().load(&[0]).map(|batch| batch.len()).unwrap_err().to_string();
    assert!(error.contains("0.gif") && error.contains("can be decoded"), "{error}");
}

#[test]
fn of_webp_lossy_images_are_read() {
    let (folder, _) = scratch();
    let webp = bytes_of(WEBP);
    folder_of(folder.path(), &[("0.webp", &webp)]);
    let data = open(folder.path()).unwrap();
    let Values::Pixels(pixels) = data.load(&[0]).unwrap().values else { panic!("pixels") };
    // Decoders may round colours their own way.
    let far = |(a, b): (&u8, &u8)| a.abs_diff(*b) > 2;
    assert!(!pixels.iter().zip(&WEBP_PIXELS).any(far), "{:?}", &pixels[..24]);
    assert!(data.warnings()[0].contains("1 of 1 images"), "{:?}", data.warnings());

    let refused = |bytes: &[u8], words: &str| {
        folder_of(folder.path(), &[("0.webp", bytes)]);
        let error = open(folder.path()).unwrap().load(&[0]).map(|batch| batch.len()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&bytes_of(LOSSLESS), "a lossless WebP");
    refused(&webp[..60], "can be decoded");
    let renamed = |from: &[u8], to: &[u8]| {
        let at = webp.windows(4).position(|bytes| bytes == from).unwrap();
        let mut bytes = webp.clone();
        bytes[at..at + 4].copy_from_slice(to);
        bytes
    };
    refused(&renamed(b"EXIF", b"ALPH"), "transparency");
    refused(&renamed(b"EXIF", b"ANMF"), "animated");
    // The image within is larger than the file says.
    let at = webp.windows(3).position(|bytes| bytes == [0x9d, 0x01, 0x2a]).unwrap() + 3;
    let mut bytes = webp.clone();
    bytes[at..at + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    refused(&bytes, "not of the size that its header says");
}

#[test]
fn files_of_other_kinds_are_counted_and_named() {
    let (folder, _) = scratch();
    let data = folder.path();
    class_folders(data, 1, 28);
    for name in ["0/notes.txt", "0/b.tif", "1/c.TIFF", "2/.hidden", "3/Makefile", "4/d.txt", "classes.csv"] {
        fs::write(data.join(name), "x").unwrap();
    }
    png(&data.join("loose.png"), 28, 0);
    fs::write(data.join("classes.txt"), "\u{feff}0\r\n1\r\n\r\n2  \r\n3\n4\n5\n6\n7\n8\n9\n").unwrap();
    let model = crate::example("model.onnx");
    let ran = run(&["eval", &model, "--val", &data.display().to_string()]).expect(0, &["7 files of", "are left out"]);
    for words in ["2 .txt", "1 .tif,", "1 .tiff", "1 .csv", "1 without extension", "1 images outside of class folders"]
    {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert!(ran.err.contains("`classes.csv`, `loose.png`, `0/b.tif`, ...; jpg, png"), "{}", ran.err);
    assert_eq!(ran.err.matches("are left out").count(), 1, "{}", ran.err);
    for class in 0..10 {
        fs::remove_file(data.join(format!("{class}/0.png"))).unwrap();
    }
    run(&["eval", &model, "--val", &data.display().to_string()]).expect(1, &["hold no jpg, png", "2 .txt"]);
}

/// A JPEG with an Exif segment, as cameras write it: one entry, the orientation.
fn jpeg(orientation: u8) -> Vec<u8> {
    let plain = encoded(ImageFormat::Jpeg);
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xff, 0xe1, 0, 34]);
    bytes.extend(b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01");
    bytes.extend([0, orientation, 0, 0, 0, 0, 0, 0]);
    bytes.extend(&plain[2..]);
    bytes
}

#[test]
fn exif_orientation_is_not_followed_but_told() {
    let (folder, _) = scratch();
    let plain = encoded(ImageFormat::Jpeg);
    folder_of(folder.path(), &[("0.jpg", &plain), ("1.jpg", &jpeg(1)), ("2.jpg", &jpeg(6)), ("3.jpg", &jpeg(3))]);
    let data = open(folder.path()).unwrap();
    let Values::Pixels(pixels) = data.load(&[0, 1, 2, 3]).unwrap().values else { panic!("pixels") };
    let all: Vec<&[u8]> = pixels.chunks_exact(SHAPE.elements()).collect();
    assert!(all.iter().all(|image| *image == all[0]), "as they are stored");
    let [warning] = data.warnings() else { panic!("one warning: {:?}", data.warnings()) };
    for words in ["2 of 4 images", "EXIF orientation other than 1", "2.jpg", "as they are stored"] {
        assert!(warning.contains(words), "{warning}");
    }
    folder_of(folder.path(), &[("2.jpg", &plain), ("3.jpg", &jpeg(1))]);
    assert!(open(folder.path()).unwrap().warnings().is_empty());
}
