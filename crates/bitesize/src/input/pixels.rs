//! Cropping and resizing of decoded images.

use super::preprocess::{Channels, Preprocess};
use bitesize_ir::Shape;
use fast_image_resize as resize;

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
