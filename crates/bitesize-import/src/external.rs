//! Weights that a model keeps outside its file.

use crate::budget::Budget;
use crate::error::Reason;
use crate::proto::TensorProto;
use bitesize_ir::shown;
use std::collections::HashMap;
use std::io;

/// Gives bytes of a file beside the model: of the file at a location as the model writes it (relative to the model's
/// folder) those from an offset on, at most so many, and fewer where the file ends before.
pub type Read<'a> = dyn Fn(&str, u64, usize) -> io::Result<Vec<u8>> + 'a;

/// The files beside a model.
pub(crate) struct ExternalFiles<'a> {
    read: &'a Read<'a>,
    /// How far each was read.
    ends: HashMap<String, u64>,
    /// Bytes read for the first time.
    all: u64,
}

/// How many bytes beside a model extend its budget; more are read from what is left. No protobuf message may be larger
/// either.
const MAX_BYTES: u64 = 2 << 30;

impl<'a> ExternalFiles<'a> {
    pub(crate) fn new(read: &'a Read<'a>) -> Self {
        Self { read, ends: HashMap::new(), all: 0 }
    }

    /// The bytes that `tensor` points to, which its dimensions say are `count` elements of `width`. Of the file no others
    /// are read. As values of `kept` bytes they are paid for before that: a file can be nothing but a hole of any size. What
    /// was read for the first time then extends the budget.
    pub(crate) fn bytes(
        &mut self,
        tensor: &TensorProto,
        (count, width): (usize, usize),
        kept: usize,
        budget: &Budget,
    ) -> Result<Vec<u8>, Reason> {
        let value = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = value("location").unwrap_or_default();
        let number = |key: &str| match value(key) {
            None => Ok(None),
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| Reason::new(format!("its external data has the {key} `{text}`"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let shown = shown::name(location);
        if !is_inside(location) {
            return Err(Reason::new(format!("its data lies in `{shown}`, outside the model's folder"))
                .hint("save the model with its weights inside the file"));
        }
        let expected = count.checked_mul(width).filter(|bytes| *bytes < usize::MAX);
        let expected =
            expected.ok_or_else(|| Reason::new(format!("its dimensions ask for {count} x {width} bytes")))?;
        if let Some(length) = length.filter(|length| *length != expected as u64) {
            return Err(wrong_length(usize::try_from(length).unwrap_or(usize::MAX), count, width));
        }
        // Without a length the data reach to the end of the file, which a byte more tells.
        let asked = if length.is_some() { expected } else { expected + 1 };
        budget.spend(count, kept)?;
        let bytes = (self.read)(location, offset, asked).map_err(|error| {
            Reason::new(format!("its data should be in the file `{shown}`, which cannot be read: {error}"))
                .hint("put that file beside the model, or save the model with its weights inside")
        })?;
        if bytes.len() < expected {
            return Err(Reason::new(format!(
                "the file `{shown}` has {} bytes from byte {offset} on, too few for it: its dimensions ask for \
                 {count} x {width}",
                bytes.len()
            ))
            .hint("the file is not the one that belongs to the model, or is damaged"));
        }
        if bytes.len() > expected {
            return Err(Reason::new(format!(
                "the file `{shown}` has more bytes from byte {offset} on than its dimensions ask for ({count} x {width})"
            ))
            .hint("the file is not the one that belongs to the model, or is damaged"));
        }
        let end = self.ends.entry(location.to_owned()).or_default();
        let reached = offset.saturating_add(expected as u64);
        let new = reached.saturating_sub(*end).min(expected as u64);
        *end = reached.max(*end);
        self.all = self.all.saturating_add(new);
        if self.all <= MAX_BYTES {
            budget.extend(new as usize);
        }
        Ok(bytes)
    }
}

/// A tensor has `bytes` of data where its dimensions ask for `count` elements of `width`.
pub(crate) fn wrong_length(bytes: usize, count: usize, width: usize) -> Reason {
    Reason::new(format!("it has {bytes} bytes of data, its dimensions ask for {count} x {width}"))
}

/// Whether a location stays inside the folder it is relative to.
fn is_inside(location: &str) -> bool {
    let absolute = location.starts_with(['/', '\\']) || location.contains(':');
    !location.is_empty() && !absolute && !location.split(['/', '\\']).any(|part| part == "..")
}
