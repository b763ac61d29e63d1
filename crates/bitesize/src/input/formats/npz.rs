//! NumPy archives with `x` (N, H, W[, C]; u8 or float) and `y` (N integers).

use super::raw::{Raw, Request, Source};
use crate::input::error::DataError;
use bitesize_ir::Shape;
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpzError, ReadableElement};
use std::fs::File;
use std::path::Path;

type Archive = NpzReader<File>;

/// The array `name` with elements of `T`; `None` where it has another element type.
fn typed<T: ReadableElement>(archive: &mut Archive, path: &Path, name: &str) -> Result<Option<ArrayD<T>>, DataError> {
    let wrong_type = |e: &ReadNpzError| matches!(e, ReadNpzError::Npy(ndarray_npy::ReadNpyError::WrongDescriptor(_)));
    match archive.by_name::<OwnedRepr<T>, IxDyn>(&format!("{name}.npy")) {
        Ok(array) => Ok(Some(array)),
        Err(e) if wrong_type(&e) => Ok(None),
        Err(e) => Err(DataError::unusable(path, format!("array `{name}`: {e}"))),
    }
}

fn widened<T: Copy + Into<W>, W>(value: &T) -> W {
    (*value).into()
}

/// The first of several element types that the array has, converted.
macro_rules! first_of {
    ($archive:expr, $path:expr, $name:expr, $into:expr, $($t:ty),+) => {{
        let mut found = None;
        $(if found.is_none() {
            found = typed::<$t>($archive, $path, $name)?.map(|a| (a.shape().to_vec(), a.iter().map($into).collect()));
        })+
        found
    }};
}

fn labels(archive: &mut Archive, path: &Path) -> Result<Vec<i64>, DataError> {
    let found: Option<(Vec<usize>, Vec<i64>)> =
        first_of!(archive, path, "y", widened::<_, i64>, i64, i32, u8, i8, i16, u16, u32);
    let found = match found {
        None => typed::<u64>(archive, path, "y")?.map(|y| {
            // A label past what i64 holds is past every network's outputs, which is told where labels are checked.
            (y.shape().to_vec(), y.iter().map(|label| i64::try_from(*label).unwrap_or(i64::MAX)).collect())
        }),
        found => found,
    };
    let Some((shape, labels)) = found else {
        return Err(DataError::unusable(path, "array `y` must hold integers"));
    };
    match shape.as_slice() {
        [_] | [_, 1] => Ok(labels),
        other => Err(DataError::unusable(path, format!("array `y` has shape {other:?}, expected one label a sample"))),
    }
}

pub(super) fn read(path: &Path, request: &Request) -> Result<Raw, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let mut archive =
        NpzReader::new(file).map_err(|e| DataError::unusable(path, format!("not a NumPy .npz archive: {e}")))?;
    let names: Vec<String> =
        archive.names().map_err(|e| DataError::unusable(path, format!("not a NumPy .npz archive: {e}")))?;
    for name in ["x", "y"] {
        if !names.iter().any(|n| n.trim_end_matches(".npy") == name) {
            let problem = format!("no array `{name}`; it must hold x (N, H, W[, C]) and y (N), found {names:?}");
            return Err(DataError::unusable(path, problem));
        }
    }
    let labels = labels(&mut archive, path)?;
    let class_count = labels.iter().max().map_or(0, |m| usize::try_from(*m).map_or(0, |m| m.saturating_add(1)));
    let (stored, source) = match typed::<u8>(&mut archive, path, "x")? {
        Some(x) => {
            let shape = sample_shape(path, x.shape())?;
            (x.shape()[0], Source::Images { shape, pixels: x.iter().copied().collect() })
        }
        None => {
            let found: Option<(Vec<usize>, Vec<f64>)> = first_of!(&mut archive, path, "x", widened::<_, f64>, f32, f64);
            let Some((sizes, values)) = found else {
                return Err(DataError::unusable(path, "array `x` must hold u8, f32 or f64"));
            };
            (sizes[0], Source::Reals(reals(path, sample_shape(path, &sizes)?, &values, request)?))
        }
    };
    if stored != labels.len() {
        return Err(DataError::unusable(path, format!("x holds {stored} samples, y {} labels", labels.len())));
    }
    Ok(Raw { format: "npz", source, labels, class_count })
}

fn sample_shape(path: &Path, sizes: &[usize]) -> Result<Shape, DataError> {
    match sizes {
        [_, h, w] => Ok(Shape::new(*h, *w, 1)),
        [_, h, w, c] => Ok(Shape::new(*h, *w, *c)),
        other => Err(DataError::unusable(path, format!("array `x` has shape {other:?}, expected (N, H, W[, C])"))),
    }
}

/// Preprocessed values; every one must be finite.
fn reals(path: &Path, shape: Shape, values: &[f64], request: &Request) -> Result<Vec<f32>, DataError> {
    if shape != request.shape {
        let expected = request.shape;
        let problem = format!("samples have shape {shape}, the network takes {expected}; float arrays are not resized");
        return Err(DataError::unusable(path, problem));
    }
    let fed: Vec<f32> =
        values.iter().enumerate().map(|(i, v)| request.preprocess.apply(*v, i % shape.c) as f32).collect();
    match fed.iter().position(|v| !v.is_finite()) {
        None => Ok(fed),
        Some(i) => {
            let (sample, value) = (i / shape.elements(), values[i]);
            let what =
                if value.is_finite() { "too large after preprocessing for a float of 32 bits" } else { "no number" };
            Err(DataError::unusable(path, format!("sample {sample} of `x` holds {value}, which is {what}")))
        }
    }
}
