//! A shape for the input of a model whose file leaves sizes open.

use std::fmt;
use std::str::FromStr;

/// The largest height, width or channel count of the input.
pub(crate) const MAX_DIM: usize = 1 << 20;

/// The dimensions of the input in the order of the file; the batch, which stands first, is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    dims: Vec<usize>,
}

impl InputShape {
    /// From the dimensions.
    ///
    /// # Errors
    /// Fewer than 2 or more than 4 of them, a batch other than 1, one that is 0 or over 2^20.
    pub fn new(dims: &[usize]) -> Result<Self, String> {
        let shown = shown(dims);
        match dims {
            [1, sizes @ ..] if (1..=3).contains(&sizes.len()) => {
                match sizes.iter().find(|size| !(1..=MAX_DIM).contains(*size)) {
                    None => Ok(Self { dims: dims.to_vec() }),
                    Some(size) => Err(format!("`{shown}` has a size of {size}: 1 to {MAX_DIM} are possible")),
                }
            }
            [batch, _, ..] if dims.len() <= 4 => Err(format!(
                "`{shown}` has a batch of {batch}: one image at a time is computed, so it begins with 1, as 1x3x96x96"
            )),
            _ => Err(format!("`{shown}` has {} sizes: 2 to 4 are possible, the batch of 1 first", dims.len())),
        }
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }
}

fn shown(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.dims))
    }
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let dims: Result<Vec<usize>, _> = text.split('x').map(|dim| dim.trim().parse()).collect();
        let dims =
            dims.map_err(|_| format!("`{text}` is no shape: it is the sizes in the order of the file, as 1x3x96x96"))?;
        Self::new(&dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_written_alike() {
        for text in ["1x3x96x96", "1x40", "1x49x10"] {
            assert_eq!(text.parse::<InputShape>().unwrap().to_string(), text);
        }
        let refused = |text: &str, word: &str| {
            let error = text.parse::<InputShape>().unwrap_err();
            assert!(error.contains(word) && error.contains(&format!("`{text}`")), "{error}");
        };
        refused("4x3x96x96", "batch of 4");
        refused("96", "1 sizes");
        refused("1x2x3x4x5", "5 sizes");
        refused("1x3x0x96", "size of 0");
        refused("1x3x9999999x96", "size of 9999999");
        refused("", "no shape");
        refused("1x3x-1x96", "no shape");
        refused("99999999999999999999x1", "no shape");
    }
}
