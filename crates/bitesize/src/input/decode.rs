//! Decoding of image files, within a limit of memory.

use bitesize_ir::Shape;
use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::{BufRead, BufReader, Cursor, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

/// How many bytes all decodes under way may take together, and so each alone: one of a photograph of 50 megapixels.
const MAX_BYTES: u64 = 656 << 20;

/// What the decoder may take for what an image's header holds beside its sizes, in bytes: a profile of colours is packed, and has
/// at most a few MiB unpacked.
const HEADER_BYTES: u64 = 16 << 20;

/// The longest side of an image, in pixels: JPEG's own limit. A resize has a table of its source's sides, 32 bytes a pixel.
const MAX_SIDE: usize = 65_535;

/// Bytes for each pixel beside the decoder's own output, at most three for each of: the output turned to 8 bits, the
/// network's channels, the part that is cut out. A progressive JPEG's coefficients take two for each value, before them.
const BYTES_BESIDE: u64 = 9;

/// What the header of an image says.
pub(super) struct Measured {
    pub(super) format: ImageFormat,
    pub(super) height: usize,
    pub(super) width: usize,
    /// What decoding it takes, in bytes.
    bytes: u64,
}

impl Measured {
    fn of(decoder: &impl ImageDecoder, format: ImageFormat) -> Self {
        let (w, h) = decoder.dimensions();
        let pixels = u64::from(w) * u64::from(h);
        let mut bytes = decoder.total_bytes();
        if format == ImageFormat::Gif {
            // A frame that does not fill the image is decoded beside it.
            bytes = bytes.saturating_mul(2);
        }
        let bytes = bytes.saturating_add(pixels.saturating_mul(BYTES_BESIDE)).saturating_add(HEADER_BYTES);
        Self { format, height: h as usize, width: w as usize, bytes }
    }

    /// Refuses an image that takes too much memory.
    ///
    /// # Errors
    /// A sentence: its size, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.height.max(self.width) > MAX_SIDE {
            return Err(format!(
                "the image is {}x{} (height x width), and sides of at most {MAX_SIDE} are read: cut it up",
                self.height, self.width
            ));
        }
        if self.bytes <= MAX_BYTES {
            return Ok(());
        }
        Err(format!(
            "the image is {}x{} (height x width): decoding it takes {} MiB, and at most {} are spent: make it smaller",
            self.height,
            self.width,
            self.bytes >> 20,
            MAX_BYTES >> 20
        ))
    }
}

/// The decoder that the first bytes ask for, whatever the name of the file, and EXIF data that it does not find itself.
fn decoder<'a, R: BufRead + Seek + 'a>(
    bytes: R,
) -> Result<(impl ImageDecoder + 'a, ImageFormat, Option<Vec<u8>>), String> {
    let reader = ImageReader::new(bytes).with_guessed_format().map_err(|e| e.to_string())?;
    let (format, mut exif) = (reader.format(), None);
    let mut bytes = reader.into_inner();
    let format = match format {
        Some(ImageFormat::WebP) => {
            exif = super::webp::check(&mut bytes)?;
            ImageFormat::WebP
        }
        Some(format @ (ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Jpeg | ImageFormat::Png)) => format,
        Some(other) => return Err(format!("it is of the format {other:?}, and only {READ} are read: save it as PNG")),
        None => return Err(format!("it is none of {READ}")),
    };
    bytes.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    let mut reader = ImageReader::with_format(bytes, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(HEADER_BYTES);
    // A row is among what the limit is for.
    limits.max_image_width = Some(MAX_SIDE as u32);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| match e {
        ImageError::Limits(e) if matches!(e.kind(), LimitErrorKind::DimensionError) => {
            format!("the image is wider than the {MAX_SIDE} pixels that are read: cut it up")
        }
        e => e.to_string(),
    })?;
    if format == ImageFormat::Gif {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(decoder.total_bytes());
        decoder.set_limits(limits).map_err(|e| e.to_string())?;
    }
    Ok((decoder, format, exif))
}

/// The formats that are read. TIFF is not: a JPEG in it is decoded at whatever size that claims.
pub(super) const READ: &str = "jpg, png, bmp, gif and webp";

/// What the header of an image file says, and whether it asks for the image to be turned or mirrored before it is
/// shown (EXIF's orientation, other than 1); `None` where it has none that can be read.
pub(super) fn measure(path: &Path) -> Option<(Measured, bool)> {
    let (file, size) = crate::files::open(path).ok()?;
    // A JPEG is read whole for its header.
    if size > crate::files::MAX_BYTES {
        return None;
    }
    let (mut decoder, format, exif) = decoder(BufReader::new(file)).ok()?;
    let orientation = match format {
        ImageFormat::WebP => exif.and_then(|exif| Orientation::from_exif_chunk(&exif)),
        _ => decoder.orientation().ok(),
    };
    let is_turned = orientation.is_some_and(|orientation| orientation != Orientation::NoTransforms);
    Some((Measured::of(&decoder, format), is_turned))
}

/// Why there is nothing of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is damaged: others may be whole.
    Undecodable(String),
    /// It does not suit, and others of its kind will not either.
    Unsuitable(String),
}

/// Whoever decodes, and how much memory is free for it.
pub(super) struct Decoding {
    free: Mutex<u64>,
    freed: Condvar,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { free: Mutex::new(MAX_BYTES), freed: Condvar::new() }
    }
}

/// Memory that a decode has taken, given back in the end.
struct Taken<'a> {
    from: &'a Decoding,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.from.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.from.freed.notify_all();
    }
}

impl Decoding {
    /// Waits until `bytes`, at most [`MAX_BYTES`], are free. Who holds some waits for nothing, so this ends.
    fn take(&self, bytes: u64) -> Taken<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Taken { from: self, bytes }
    }

    /// Decodes an image, of a gif its first frame, to RGB (3 channels) or gray (1 channel), as it is stored: EXIF's
    /// orientation is not followed. Gives it to `then`, whose failure says that the image does not suit. Waits where others
    /// decode large images.
    pub(super) fn decode<T>(
        &self,
        bytes: &[u8],
        then: impl FnOnce(Vec<u8>, Shape) -> Result<T, String>,
    ) -> Result<T, Fault> {
        if bytes.starts_with(&[0xff, 0xd8]) && !jpeg_is_whole(bytes) {
            return Err(Fault::Undecodable("the JPEG is cut off: its end marker is missing".into()));
        }
        let measured = {
            let _taken = self.take(HEADER_BYTES);
            let (decoder, format, _) = decoder(Cursor::new(bytes)).map_err(Fault::Undecodable)?;
            Measured::of(&decoder, format)
        };
        let (h, w) = (measured.height, measured.width);
        if h == 0 || w == 0 {
            return Err(Fault::Undecodable("the image has no pixels".into()));
        }
        measured.check().map_err(Fault::Unsuitable)?;
        let _taken = self.take(measured.bytes);
        // A second time: one who held the first while waiting could keep all others from going on.
        let (decoder, _, _) = decoder(Cursor::new(bytes)).map_err(Fault::Undecodable)?;
        let image = DynamicImage::from_decoder(decoder).map_err(|e| Fault::Undecodable(e.to_string()))?;
        let then = if image.color().has_color() {
            then(image.into_rgb8().into_raw(), Shape::new(h, w, 3))
        } else {
            then(image.into_luma8().into_raw(), Shape::new(h, w, 1))
        };
        then.map_err(Fault::Unsuitable)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use image::ImageEncoder as _;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let pixels = vec![7; (width * height) as usize];
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.write_image(&pixels, width, height, image::ExtendedColorType::L8).unwrap();
        bytes
    }

    #[test]
    fn an_image_of_many_pixels_is_refused_before_it_is_decoded() {
        let decode = |bytes: &[u8]| Decoding::default().decode(bytes, |pixels, shape| Ok((pixels, shape)));
        assert_eq!(decode(&png(2, 2)), Ok((vec![7; 4], Shape::new(2, 2, 1))));
        let bytes = with_sides(png(2, 2), 20_000, 20_000);
        let Err(Fault::Unsuitable(problem)) = decode(&bytes) else { panic!("it is too large") };
        assert!(problem.contains("20000x20000") && problem.contains("make it smaller"), "{problem}");
    }

    /// As `bytes`, a PNG, with the sides `width` and `height` in its header's chunk: its length, its name, the sides, five bytes
    /// more, the checksum of all but the length.
    fn with_sides(mut bytes: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        bytes
    }

    #[test]
    fn sides_are_bounded() {
        let decode = |bytes: &[u8]| Decoding::default().decode(bytes, |_, shape| Ok(shape));
        assert_eq!(decode(&png(65_535, 1)), Ok(Shape::new(1, 65_535, 1)));
        assert_eq!(decode(&png(1, 65_535)), Ok(Shape::new(65_535, 1, 1)));
        let problem = |width, height| match decode(&with_sides(png(2, 2), width, height)) {
            Err(Fault::Unsuitable(problem) | Fault::Undecodable(problem)) => problem,
            Ok(shape) => panic!("{shape} is too long"),
        };
        for (width, height) in [(65_536, 1), (50_000_000, 1), (1, 65_536), (1, 50_000_000)] {
            assert!(problem(width, height).contains("65535"), "{}", problem(width, height));
        }
    }

    /// A profile of colours that unpacks to more than the decoder may take is left out, and never made.
    #[test]
    fn a_packed_profile_takes_a_bounded_amount() {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &vec![0; 2 * HEADER_BYTES as usize]).unwrap();
        let body = [&b"iCCPx\0\0"[..], &packed.finish().unwrap()].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        let length = (body.len() as u32 - 4).to_be_bytes();
        let mut bytes = png(2, 2);
        bytes.splice(33..33, [&length[..], &body, &crc.sum().to_be_bytes()].concat());
        let (decoder, ..) = decoder(Cursor::new(&bytes[..])).unwrap();
        let mut decoder = decoder;
        assert_eq!(decoder.icc_profile().unwrap(), None);
        assert_eq!(Decoding::default().decode(&bytes, |_, shape| Ok(shape)), Ok(Shape::new(2, 2, 1)));
    }

    #[test]
    fn decodes_wait_for_memory() {
        let (decoding, most) = (Decoding::default(), Mutex::new((0u64, 0u64)));
        std::thread::scope(|scope| {
            for part in 1..=8 {
                let (decoding, most) = (&decoding, &most);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let taken = decoding.take(MAX_BYTES / part);
                        let mut now = most.lock().unwrap();
                        now.0 += taken.bytes;
                        now.1 = now.1.max(now.0);
                        drop(now);
                        std::thread::yield_now();
                        most.lock().unwrap().0 -= taken.bytes;
                    }
                });
            }
        });
        let (left, most) = *most.lock().unwrap();
        assert!(left == 0 && most <= MAX_BYTES, "{left} {most}");
        assert_eq!(*decoding.free.lock().unwrap(), MAX_BYTES);
    }
}
