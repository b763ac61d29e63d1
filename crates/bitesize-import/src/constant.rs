//! Constant tensors of a model: weights, and the numbers that shape arithmetic is made of.

use crate::budget::Budget;
use crate::error::Reason;
use crate::external::{ExternalFiles, wrong_length};
use crate::proto::{TensorProto, data_type};
use half::{bf16, f16};
use std::rc::Rc;

/// The most axes of a constant: more than any operator gives a meaning to.
pub(crate) const MAX_AXES: usize = 16;

/// A constant tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Data,
}

/// Its elements, shared by all constants that hold the same. Narrower floats and integers are widened, booleans are 0
/// and 1, double precision is rounded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Float(Rc<Vec<f32>>),
    Int(Rc<Vec<i64>>),
}

impl From<Vec<f32>> for Data {
    fn from(values: Vec<f32>) -> Self {
        Self::Float(Rc::new(values))
    }
}

impl From<Vec<i64>> for Data {
    fn from(values: Vec<i64>) -> Self {
        Self::Int(Rc::new(values))
    }
}

impl Data {
    /// How many bytes an element takes.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Float(_) => 4,
            Self::Int(_) => 8,
        }
    }

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
        Self { dims: vec![values.len()], data: values.into() }
    }

    /// A vector of floats.
    pub(crate) fn floats(values: Vec<f32>) -> Self {
        Self { dims: vec![values.len()], data: values.into() }
    }

    /// The same value without dimensions.
    pub(crate) fn scalar(mut self) -> Self {
        self.dims.clear();
        self
    }

    /// The same numbers as floats, or as integers (rounded towards zero).
    ///
    /// # Errors
    /// The budget does not allow for them.
    pub(crate) fn converted(&self, to_float: bool, budget: &Budget) -> Result<Self, Reason> {
        let data = match (&self.data, to_float) {
            (Data::Int(values), true) => {
                budget.spend(values.len(), 4)?;
                values.iter().map(|v| *v as f32).collect::<Vec<_>>().into()
            }
            (Data::Float(values), false) => {
                budget.spend(values.len(), 8)?;
                values.iter().map(|v| *v as i64).collect::<Vec<_>>().into()
            }
            (data, _) => data.clone(),
        };
        Ok(Self { dims: self.dims.clone(), data })
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

/// Reads a tensor of a model.
///
/// Its size is checked against the bytes that are there, and against the budget, before anything is made.
pub(crate) fn read_tensor(
    tensor: &TensorProto,
    external: &mut ExternalFiles,
    budget: &Budget,
) -> Result<Constant, Reason> {
    if tensor.dims.len() > MAX_AXES {
        return Err(Reason::new(format!("it has {} axes; at most {MAX_AXES} are read", tensor.dims.len())));
    }
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let count = dims.as_deref().and_then(elements);
    let (Some(dims), Some(count)) = (dims, count) else {
        return Err(Reason::new(format!("its dimensions {:?} are impossible", tensor.dims)));
    };
    let type_of = ElementType::of(tensor.data_type)?;
    let data = if tensor.data_location == 1 {
        let bytes = external.bytes(tensor, (count, type_of.bytes), type_of.widened(), budget)?;
        type_of.read(&bytes)
    } else if !tensor.raw_data.is_empty() {
        if count.checked_mul(type_of.bytes) != Some(tensor.raw_data.len()) {
            return Err(wrong_length(tensor.raw_data.len(), count, type_of.bytes));
        }
        budget.spend(count, type_of.widened())?;
        type_of.read(&tensor.raw_data)
    } else {
        from_typed_fields(tensor, type_of, budget)?
    };
    if data.len() != count {
        return Err(Reason::new(format!("it holds {} values, its dimensions {dims:?} ask for {count}", data.len())));
    }
    Ok(Constant { dims, data })
}

fn unsupported_type(code: i32) -> Reason {
    Reason::new(format!("its element type is {}", data_type::name(code)))
        .hint("export a float model; quantized models are not imported")
}

/// An element type that is understood.
#[derive(Clone, Copy)]
struct ElementType {
    code: i32,
    /// How many bytes an element has in the file.
    bytes: usize,
}

impl ElementType {
    fn of(code: i32) -> Result<Self, Reason> {
        use data_type::*;
        let bytes = match code {
            UINT8 | INT8 | BOOL => 1,
            UINT16 | INT16 | FLOAT16 | BFLOAT16 => 2,
            FLOAT | INT32 => 4,
            INT64 | DOUBLE => 8,
            _ => return Err(unsupported_type(code)),
        };
        Ok(Self { code, bytes })
    }

    /// How many bytes an element takes as it is kept.
    fn widened(self) -> usize {
        use data_type::*;
        if [FLOAT, DOUBLE, FLOAT16, BFLOAT16].contains(&self.code) { 4 } else { 8 }
    }

    /// The elements in little-endian bytes.
    fn read(self, bytes: &[u8]) -> Data {
        use data_type::*;
        match self.code {
            FLOAT => words(bytes, f32::from_le_bytes).into(),
            DOUBLE => words(bytes, |b| f64::from_le_bytes(b) as f32).into(),
            FLOAT16 => words(bytes, |b| f16::from_le_bytes(b).to_f32()).into(),
            BFLOAT16 => words(bytes, |b| bf16::from_le_bytes(b).to_f32()).into(),
            UINT8 | BOOL => words(bytes, |[byte]| i64::from(byte)).into(),
            INT8 => words(bytes, |b| i64::from(i8::from_le_bytes(b))).into(),
            UINT16 => words(bytes, |b| i64::from(u16::from_le_bytes(b))).into(),
            INT16 => words(bytes, |b| i64::from(i16::from_le_bytes(b))).into(),
            INT32 => words(bytes, |b| i64::from(i32::from_le_bytes(b))).into(),
            _ => words(bytes, i64::from_le_bytes).into(),
        }
    }
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| read(*word)).collect()
}

fn from_typed_fields(tensor: &TensorProto, type_of: ElementType, budget: &Budget) -> Result<Data, Reason> {
    use data_type::*;
    let count = match tensor.data_type {
        FLOAT => tensor.float_data.len(),
        DOUBLE => tensor.double_data.len(),
        INT64 => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    };
    budget.spend(count, type_of.widened())?;
    Ok(match tensor.data_type {
        FLOAT => tensor.float_data.clone().into(),
        DOUBLE => tensor.double_data.iter().map(|v| *v as f32).collect::<Vec<_>>().into(),
        INT64 => tensor.int64_data.clone().into(),
        // The lower half of each integer is the number's bits.
        FLOAT16 => tensor.int32_data.iter().map(|v| f16::from_bits(*v as u16).to_f32()).collect::<Vec<_>>().into(),
        BFLOAT16 => tensor.int32_data.iter().map(|v| bf16::from_bits(*v as u16).to_f32()).collect::<Vec<_>>().into(),
        _ => tensor.int32_data.iter().map(|v| i64::from(*v)).collect::<Vec<_>>().into(),
    })
}
