//! Decoding, cropping and resizing of images.

use super::preprocess::{Channels, Preprocess};
use bitesize_ir::Shape;
use fast_image_resize as resize;

/// Decodes a jpg or png to RGB (3 channels) or gray (1 channel), as it is stored.
///
/// # Errors
/// Why it cannot be decoded.
pub(super) fn decode(bytes: &[u8]) -> Result<(Vec<u8>, Shape), String> {
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
    let (mut top, mut left, mut h, mut w) = (0, 0, stored.h, stored.w);
    let mut cut = |height: usize, width: usize| {
        top += (h - height) / 2;
        left += (w - width) / 2;
        (h, w) = (height, width);
        (height, width)
    };
    let mut size = (stored.h, stored.w);
    if preprocess.keep_aspect {
        let side = size.0.min(size.1);
        size = cut(side, side);
    }
    if let Some(fraction) = preprocess.crop_fraction {
        // Halves to even, as Python rounds, in which most networks' preprocessing was written.
        let keep = |side: usize| ((side as f64 * fraction).round_ties_even() as usize).max(1);
        cut(keep(size.0), keep(size.1));
    }
    let pixels = crop(&pixels, stored, [top, left], [h, w]);
    if (h, w) == (shape.h, shape.w) {
        return Ok(pixels);
    }
    if !preprocess.resize {
        return Err(format!(
            "the cropped image is {h}x{w} (height x width), but the network takes {}x{} and no resizing is given: set \
             size = [{}, {}] in the preprocessing file",
            shape.h, shape.w, shape.h, shape.w
        ));
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
