//! Constant tensors of a model: weights, and the numbers that shape arithmetic is made of.

use crate::error::Reason;
use crate::proto::{TensorProto, data_type};
use bitesize_ir::shown::name;
use std::collections::HashMap;
use std::io;

/// The largest constant, in elements, that folding may make.
pub(crate) const MAX_FOLDED: usize = 1 << 24;

/// A constant tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Data,
}

/// Its elements. Narrower floats and integers are widened, booleans are 0 and 1, double precision is rounded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }
}

impl Constant {
    /// A vector of integers.
    pub(crate) fn ints(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], data: Data::Int(values) }
    }

    /// A vector of floats.
    pub(crate) fn floats(values: Vec<f32>) -> Self {
        Self { dims: vec![values.len()], data: Data::Float(values) }
    }

    /// The same value without dimensions.
    pub(crate) fn scalar(mut self) -> Self {
        self.dims.clear();
        self
    }

    /// The same numbers as floats, or as integers (rounded towards zero).
    pub(crate) fn converted(&self, to_float: bool) -> Self {
        let data = match (&self.data, to_float) {
            (Data::Int(values), true) => Data::Float(values.iter().map(|v| *v as f32).collect()),
            (Data::Float(values), false) => Data::Int(values.iter().map(|v| *v as i64).collect()),
            (data, _) => data.clone(),
        };
        Self { dims: self.dims.clone(), data }
    }

    /// The elements as floats.
    pub(crate) fn as_floats(&self) -> Result<&[f32], Reason> {
        match &self.data {
            Data::Float(values) => Ok(values),
            Data::Int(_) => Err(Reason::new("a constant of integers stands where floats are expected")),
        }
    }

    /// The elements as integers.
    pub(crate) fn as_ints(&self) -> Result<&[i64], Reason> {
        match &self.data {
            Data::Int(values) => Ok(values),
            Data::Float(_) => Err(Reason::new("a constant of floats stands where integers are expected")),
        }
    }
}

/// Number of elements of a tensor of `dims`, `None` where it, or the product of any of the dimensions, overflows.
pub(crate) fn elements(dims: &[usize]) -> Option<usize> {
    let product = dims.iter().try_fold(1usize, |product, dim| product.checked_mul((*dim).max(1)))?;
    Some(if dims.contains(&0) { 0 } else { product })
}

/// Where the weights that a model keeps outside its file come from: the location as the model writes it (relative to
/// the model's folder) to the file's bytes.
pub(crate) struct ExternalFiles<'a> {
    read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
    files: HashMap<String, Vec<u8>>,
}

impl<'a> ExternalFiles<'a> {
    pub(crate) fn new(read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>) -> Self {
        Self { read, files: HashMap::new() }
    }

    /// The bytes that `tensor` points to; a file is read once.
    fn bytes(&mut self, tensor: &TensorProto) -> Result<&[u8], Reason> {
        let value = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = value("location").unwrap_or_default();
        let number = |key: &str| match value(key) {
            None => Ok(None),
            Some(text) => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| Reason::new(format!("its external data has the {key} `{text}`"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        if !is_inside(location) {
            return Err(Reason::new(format!("its data lies in `{}`, outside the model's folder", name(location)))
                .hint("save the model with its weights inside the file"));
        }
        if !self.files.contains_key(location) {
            let bytes = (self.read)(location).map_err(|error| {
                Reason::new(format!(
                    "its data should be in the file `{}`, which cannot be read: {error}",
                    name(location)
                ))
                .hint("put that file beside the model, or save the model with its weights inside")
            })?;
            self.files.insert(location.into(), bytes);
        }
        let file = &self.files[location];
        let end = match length {
            Some(length) => offset.checked_add(length),
            None => Some(file.len()),
        };
        end.and_then(|end| file.get(offset..end)).ok_or_else(|| {
            Reason::new(format!("the file `{}` has {} bytes, too few for it", name(location), file.len()))
                .hint("the file is not the one that belongs to the model, or is damaged")
        })
    }
}

/// Whether a location stays inside the folder it is relative to.
fn is_inside(location: &str) -> bool {
    let absolute = location.starts_with(['/', '\\']) || location.contains(':');
    !location.is_empty() && !absolute && !location.split(['/', '\\']).any(|part| part == "..")
}

/// Reads a tensor of a model.
///
/// Its size is checked against the bytes that are there before anything is allocated.
pub(crate) fn read_tensor(tensor: &TensorProto, external: &mut ExternalFiles) -> Result<Constant, Reason> {
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let count = dims.as_deref().and_then(elements);
    let (Some(dims), Some(count)) = (dims, count) else {
        return Err(Reason::new(format!("its dimensions {:?} are impossible", tensor.dims)));
    };
    let data = if tensor.data_location == 1 {
        from_bytes(tensor.data_type, external.bytes(tensor)?, count)?
    } else if !tensor.raw_data.is_empty() {
        from_bytes(tensor.data_type, &tensor.raw_data, count)?
    } else {
        from_typed_fields(tensor)?
    };
    if data.len() != count {
        return Err(Reason::new(format!("it holds {} values, its dimensions {dims:?} ask for {count}", data.len())));
    }
    Ok(Constant { dims, data })
}

fn unsupported_type(code: i32) -> Reason {
    let hint = match code {
        data_type::FLOAT16 | data_type::BFLOAT16 => "export the model in float32",
        _ => "export a float model; quantized models are not imported",
    };
    Reason::new(format!("its element type is {}", data_type::name(code))).hint(hint)
}

/// The elements in little-endian bytes, `count` of them.
fn from_bytes(code: i32, bytes: &[u8], count: usize) -> Result<Data, Reason> {
    use data_type::*;
    let width = match code {
        UINT8 | INT8 | BOOL => 1,
        UINT16 | INT16 => 2,
        FLOAT | INT32 => 4,
        INT64 | DOUBLE => 8,
        _ => return Err(unsupported_type(code)),
    };
    if count.checked_mul(width) != Some(bytes.len()) {
        return Err(Reason::new(format!(
            "it has {} bytes of data, its dimensions ask for {count} x {width}",
            bytes.len()
        )));
    }
    Ok(match code {
        FLOAT => Data::Float(words(bytes, f32::from_le_bytes)),
        DOUBLE => Data::Float(words(bytes, |b| f64::from_le_bytes(b) as f32)),
        UINT8 | BOOL => Data::Int(bytes.iter().map(|b| i64::from(*b)).collect()),
        INT8 => Data::Int(words(bytes, |b| i64::from(i8::from_le_bytes(b)))),
        UINT16 => Data::Int(words(bytes, |b| i64::from(u16::from_le_bytes(b)))),
        INT16 => Data::Int(words(bytes, |b| i64::from(i16::from_le_bytes(b)))),
        INT32 => Data::Int(words(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        _ => Data::Int(words(bytes, i64::from_le_bytes)),
    })
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| read(*word)).collect()
}

fn from_typed_fields(tensor: &TensorProto) -> Result<Data, Reason> {
    use data_type::*;
    Ok(match tensor.data_type {
        FLOAT => Data::Float(tensor.float_data.clone()),
        DOUBLE => Data::Float(tensor.double_data.iter().map(|v| *v as f32).collect()),
        UINT8 | INT8 | UINT16 | INT16 | INT32 | BOOL => {
            Data::Int(tensor.int32_data.iter().map(|v| i64::from(*v)).collect())
        }
        INT64 => Data::Int(tensor.int64_data.clone()),
        other => return Err(unsupported_type(other)),
    })
}
