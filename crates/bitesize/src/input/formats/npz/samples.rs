//! The samples `x`: pixels where it holds uint8, else real values.

use super::super::npy::{Header, Kind};
use super::super::raw::{Request, Source};
use super::super::unpacked::{check_kept, check_samples};
use super::super::zip::Archive;
use super::reading::Reading;
use super::shape;
use bitesize_ir::Shape;

/// The samples, and how many they are. Both kinds are kept channels last, whatever the order that they are stored in.
///
/// # Errors
/// A sentence; among others that they, with `kept` bytes of labels, take more than an archive's samples may.
pub(super) fn read(archive: &mut Archive, request: &Request, kept: u64) -> Result<(usize, Source), String> {
    let file_bytes = archive.size();
    let (header, mut bytes) = super::arrays::open(archive, "x", kept)?;
    let kind = header.kind().map_err(|problem| format!("array `x`: {problem}"))?;
    let Some(&samples) = header.shape.first() else {
        return Err("array `x` is a single number; its first axis counts samples".into());
    };
    check_samples(samples)?;
    let source = match kind {
        Kind::U8 => {
            let reading = shape::of_pixels(&header.shape, request)?;
            let mut pixels = vec![0; header.count];
            header.each(&mut bytes, &reading.parts(samples), |place, [pixel]| {
                pixels[place] = pixel;
                Ok(())
            })?;
            Source::Images { shape: reading.shape, pixels }
        }
        Kind::I8 | Kind::I16 | Kind::U16 | Kind::F16 | Kind::F32 | Kind::F64 => {
            let reading = shape::of_reals(&header.shape, request)?;
            check_kept(header.count, size_of::<f32>(), kept, file_bytes)
                .map_err(|problem| format!("array `x`: {problem}"))?;
            let mut values = Reals::of(&header, &reading, request);
            header.each_real(&mut bytes, &reading.parts(samples), |place, value| values.put(place, value))?;
            Source::Reals(values.fed)
        }
        other => {
            return Err(format!(
                "array `x` holds {}; uint8 is read as pixels, and int8, int16, uint16, float16, float32 and float64 as \
                 real values: x = x.astype(\"float32\")",
                other.name()
            ));
        }
    };
    Ok((samples, source))
}

/// Preprocessed values; every one must be finite.
struct Reals<'a> {
    fed: Vec<f32>,
    shape: Shape,
    request: &'a Request<'a>,
}

impl<'a> Reals<'a> {
    fn of(header: &Header, reading: &Reading, request: &'a Request) -> Self {
        Self { fed: vec![0.0; header.count], shape: reading.shape, request }
    }

    fn put(&mut self, place: usize, value: f64) -> Result<(), String> {
        let fed = self.request.preprocess.apply(value, place % self.shape.c) as f32;
        self.fed[place] = fed;
        if fed.is_finite() {
            return Ok(());
        }
        let what = if value.is_finite() { "too large after preprocessing for a float of 32 bits" } else { "no number" };
        Err(format!("sample {} of `x` holds {value}, which is {what}", place / self.shape.elements()))
    }
}
