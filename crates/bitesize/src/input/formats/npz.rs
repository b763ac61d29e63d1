//! NumPy archives with `x` (N, H, W[, C]; u8 or float) and `y` (N integers).
//!
//! What the headers announce is checked against the archive before anything is allocated, and elements become what they
//! are kept as while they are unpacked: the samples take memory once.

use super::npy::{Element, Header};
use super::raw::{Raw, Request, Source};
use super::unpacked::{check_samples, check_unpacked};
use super::zip::{Archive, Entry, Stream};
use crate::files;
use crate::input::error::DataError;
use crate::input::labels::StoredLabels;
use bitesize_ir::Shape;
use std::path::Path;

/// The entry that holds the array `name`.
fn find(archive: &Archive, name: &str) -> Result<Entry, String> {
    let base = |entry: &Entry| entry.name.strip_suffix(".npy").unwrap_or(&entry.name).to_owned();
    archive.entries().iter().find(|entry| base(entry) == name).cloned().ok_or_else(|| {
        const SHOWN: usize = 16;
        let mut names: Vec<String> = archive.entries().iter().take(SHOWN).map(base).collect();
        if archive.entries().len() > SHOWN {
            names.push("...".into());
        }
        format!("no array `{name}`; it must hold x (N, H, W[, C]) and y (N), found {names:?}")
    })
}

/// What `name`'s header announces, and the elements behind it.
fn array<'a>(archive: &'a mut Archive, name: &str) -> Result<(Header, Stream<'a>), String> {
    let of_array = |problem: String| format!("array `{name}`: {problem}");
    let entry = find(archive, name)?;
    check_unpacked(entry.unpacked, archive.size()).map_err(of_array)?;
    let mut bytes = archive.stream(&entry).map_err(of_array)?;
    let header = Header::read(&mut bytes, entry.unpacked).map_err(of_array)?;
    Ok((header, bytes))
}

fn labels(archive: &mut Archive) -> Result<Vec<i64>, String> {
    let (header, mut bytes) = array(archive, "y")?;
    match header.shape[..] {
        [samples] | [samples, 1] => check_samples(samples)?,
        _ => return Err(format!("array `y` has shape {:?}, expected one label a sample", header.shape)),
    }
    let mut labels = vec![0; header.count];
    macro_rules! integers {
        ($type:ty) => {
            header.each(&mut bytes, |place, word| {
                // A label past what i64 holds is past every network's outputs, which is told where labels are checked.
                labels[place] = i64::try_from(<$type>::from_le_bytes(word)).unwrap_or(i64::MAX);
                Ok(())
            })
        };
    }
    let read = match header.element {
        Some(Element { kind: 'u', bytes: 1, .. }) => integers!(u8),
        Some(Element { kind: 'u', bytes: 2, .. }) => integers!(u16),
        Some(Element { kind: 'u', bytes: 4, .. }) => integers!(u32),
        Some(Element { kind: 'u', bytes: 8, .. }) => integers!(u64),
        Some(Element { kind: 'i', bytes: 1, .. }) => integers!(i8),
        Some(Element { kind: 'i', bytes: 2, .. }) => integers!(i16),
        Some(Element { kind: 'i', bytes: 4, .. }) => integers!(i32),
        Some(Element { kind: 'i', bytes: 8, .. }) => integers!(i64),
        _ => return Err("array `y` must hold integers".into()),
    };
    read.map(|()| labels).map_err(|problem| format!("array `y`: {problem}"))
}

/// The samples, and how many they are.
fn samples(archive: &mut Archive, request: &Request) -> Result<(usize, Source), String> {
    let (header, mut bytes) = array(archive, "x")?;
    let (count, shape) = match header.shape[..] {
        [n, h, w] => (n, Shape::new(h, w, 1)),
        [n, h, w, c] => (n, Shape::new(h, w, c)),
        _ => return Err(format!("array `x` has shape {:?}, expected (N, H, W[, C])", header.shape)),
    };
    check_samples(count)?;
    let source = match header.element {
        Some(Element { kind: 'u', bytes: 1, .. }) => {
            request.preprocess.check_stored(shape)?;
            let mut pixels = vec![0; header.count];
            header.each(&mut bytes, |place, [pixel]| {
                pixels[place] = pixel;
                Ok(())
            })?;
            Source::Images { shape, pixels }
        }
        Some(Element { kind: 'f', bytes: 4, .. }) => {
            let mut values = Reals::of(&header, shape, request)?;
            header.each(&mut bytes, |place, word| values.put(place, f32::from_le_bytes(word).into()))?;
            Source::Reals(values.fed)
        }
        Some(Element { kind: 'f', bytes: 8, .. }) => {
            let mut values = Reals::of(&header, shape, request)?;
            header.each(&mut bytes, |place, word| values.put(place, f64::from_le_bytes(word)))?;
            Source::Reals(values.fed)
        }
        _ => return Err("array `x` must hold u8, f32 or f64".into()),
    };
    Ok((count, source))
}

/// Preprocessed values; every one must be finite.
struct Reals<'a> {
    fed: Vec<f32>,
    shape: Shape,
    request: &'a Request<'a>,
}

impl<'a> Reals<'a> {
    fn of(header: &Header, shape: Shape, request: &'a Request) -> Result<Self, String> {
        if shape != request.shape {
            let expected = request.shape;
            return Err(format!(
                "samples have shape {shape}, the network takes {expected}; float arrays are not resized"
            ));
        }
        Ok(Self { fed: vec![0.0; header.count], shape, request })
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

pub(super) fn read(path: &Path, request: &Request) -> Result<Raw, DataError> {
    let (file, size) = files::open(path).map_err(DataError::io(path))?;
    let unusable = |problem: String| DataError::unusable(path, problem);
    let mut archive =
        Archive::open(file, size).map_err(|problem| unusable(format!("not a NumPy .npz archive: {problem}")))?;
    find(&archive, "x").map_err(unusable)?;
    let labels = labels(&mut archive).map_err(unusable)?;
    let (stored, source) = samples(&mut archive, request).map_err(unusable)?;
    if stored != labels.len() {
        return Err(unusable(format!("x holds {stored} samples, y {} labels", labels.len())));
    }
    let class_count = labels.iter().max().map_or(0, |m| usize::try_from(*m).map_or(0, |m| m.saturating_add(1)));
    Ok(Raw { format: "npz", source, samples: stored, labels: Some(StoredLabels::classes(labels)), class_count })
}
