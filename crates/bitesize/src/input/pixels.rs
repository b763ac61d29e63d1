//! Decoding, cropping and resizing of images.

use super::preprocess::{Channels, Preprocess};
use bitesize_ir::Shape;
use fast_image_resize as resize;

/// Decodes a jpg or png to RGB (3 channels) or gray (1 channel), as it is stored.
///
/// # Errors
/// Why it cannot be decoded.
pub(super) fn decode(bytes: &[u8]) -> Result<(Vec<u8>, Shape), String> {
    if bytes.starts_with(&[0xff, 0xd8]) && !jpeg_is_whole(bytes) {
        return Err("the JPEG is cut off: its end marker is missing".into());
    }
    let image = image::load_from_memory(bytes).map_err(|e| e.to_string())?;
    let (h, w) = (image.height() as usize, image.width() as usize);
    if h == 0 || w == 0 {
        return Err("the image has no pixels".into());
    }
    let gray = !image.color().has_color();
    Ok(if gray {
        (image.into_luma8().into_raw(), Shape::new(h, w, 1))
    } else {
        (image.into_rgb8().into_raw(), Shape::new(h, w, 3))
    })
}

/// Whether a JPEG has an end marker behind its pixels: decoders fill what is missing with gray.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xff {
            // A fill byte.
            at += 1;
            continue;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        // In the pixels behind the start of the scan, 0xff is followed by 0 or by a marker.
        if marker == 0xda {
            return bytes.get(at..).is_some_and(|rest| rest.windows(2).any(|pair| pair == [0xff, 0xd9]));
        }
    }
    false
}

/// Height and width of an image file by its header; `None` where it has none that can be read.
pub(super) fn dimensions(path: &std::path::Path) -> Option<[usize; 2]> {
    let reader = image::ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let (w, h) = reader.into_dimensions().ok()?;
    Some([h as usize, w as usize])
}

/// Brings an image of shape `stored` (HWC; 3 channels are RGB) to the network's `shape`: channels first, then the centre
/// square, the centre crop and the resize that `preprocess` asks for.
///
/// # Errors
/// A sentence saying why the image does not become the network's, and what to do.
pub(super) fn transform(
    pixels: &[u8],
    stored: Shape,
    shape: Shape,
    preprocess: &Preprocess,
) -> Result<Vec<u8>, String> {
    preprocess.check_stored(stored)?;
    let pixels = convert_channels(pixels, stored, preprocess.channels);
    let stored = Shape::new(stored.h, stored.w, shape.c);
    let (at, [h, w]) = preprocess.window(stored);
    let pixels = crop(&pixels, stored, at, [h, w]);
    if (h, w) == (shape.h, shape.w) {
        return Ok(pixels);
    }
    resize_bilinear(pixels, [h, w], shape)
}

fn convert_channels(pixels: &[u8], stored: Shape, channels: Option<Channels>) -> Vec<u8> {
    match (channels, stored.c) {
        (Some(Channels::Gray), 3) => pixels.chunks_exact(3).map(luma).collect(),
        (Some(Channels::Rgb | Channels::Bgr), 1) => pixels.iter().flat_map(|v| [*v; 3]).collect(),
        (Some(Channels::Bgr), 3) => pixels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect(),
        _ => pixels.to_vec(),
    }
}

/// ITU-R 601 luma in 16-bit fixed point, rounded.
fn luma(rgb: &[u8]) -> u8 {
    let weigh = |value: u8, weight: u32| u32::from(value) * weight;
    ((weigh(rgb[0], 19595) + weigh(rgb[1], 38470) + weigh(rgb[2], 7471) + 0x8000) >> 16) as u8
}

fn crop(pixels: &[u8], shape: Shape, at: [usize; 2], size: [usize; 2]) -> Vec<u8> {
    if size == [shape.h, shape.w] {
        return pixels.to_vec();
    }
    let row = shape.w * shape.c;
    let mut out = Vec::with_capacity(size[0] * size[1] * shape.c);
    for y in at[0]..at[0] + size[0] {
        let start = y * row + at[1] * shape.c;
        out.extend_from_slice(&pixels[start..start + size[1] * shape.c]);
    }
    out
}

/// Antialiased bilinear: a triangle as wide as the reduction, as PIL's `Image.BILINEAR`.
fn resize_bilinear(pixels: Vec<u8>, from: [usize; 2], to: Shape) -> Result<Vec<u8>, String> {
    let pixel_type = match to.c {
        1 => resize::PixelType::U8,
        2 => resize::PixelType::U8x2,
        3 => resize::PixelType::U8x3,
        4 => resize::PixelType::U8x4,
        other => return Err(format!("images of {other} channels cannot be resized")),
    };
    let side = |value: usize| u32::try_from(value).map_err(|_| format!("an image side of {value} is too long"));
    let source = resize::images::Image::from_vec_u8(side(from[1])?, side(from[0])?, pixels, pixel_type)
        .map_err(|e| e.to_string())?;
    let mut target = resize::images::Image::new(side(to.w)?, side(to.h)?, pixel_type);
    let options = resize::ResizeOptions::new()
        .resize_alg(resize::ResizeAlg::Convolution(resize::FilterType::Bilinear))
        .use_alpha(false);
    resize::Resizer::new().resize(&source, &mut target, &options).map_err(|e| e.to_string())?;
    Ok(target.into_vec())
}
