//! The line of NumPy that brings `x` to a shape that is read.

use super::super::raw::Request;
use super::reading::{Reading, readings};

/// Images of (N, C, H, W) become (N, H, W, C).
pub(super) const CHANNELS_LAST: &str = "x = x.transpose(0, 2, 3, 1)";

/// `x = x.reshape(-1, 1, 128, 3)`.
fn reshape(dims: &[usize]) -> String {
    let sizes: Vec<String> = dims.iter().map(|size| format!(", {size}")).collect();
    format!("x = x.reshape(-1{})", sizes.concat())
}

fn without_ones(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|size| *size != 1).collect()
}

/// The line that mends samples of shape `dims`, the samples' axis first; `None` where no order of the same numbers is
/// known to be right.
pub(super) fn line(dims: &[usize], request: &Request) -> Option<String> {
    let shape = request.shape;
    let known: Vec<Vec<usize>> = readings(request).iter().map(|reading| reading.dims()).collect();
    // A single sample that is not in a list of samples.
    if known.iter().any(|known| known == dims) {
        return Some("x = x[None]".into());
    }
    let sample = dims.get(1..)?;
    // Axes of size 1 that are missing or too many.
    let mut fitting: Vec<Reading> =
        readings(request).into_iter().filter(|known| without_ones(&known.dims()) == without_ones(sample)).collect();
    fitting.dedup_by(|later, earlier| later.order() == earlier.order());
    match &fitting[..] {
        [] => {}
        [only] => return Some(reshape(&only.dims())),
        [last, .., first] => {
            let [last, first] = [last, first].map(|reading| reshape(&reading.dims()));
            return Some(format!("{last} where channels are last, {first} where they are first"));
        }
    }
    if sample == [shape.c, shape.h, shape.w] {
        return Some(CHANNELS_LAST.into());
    }
    if shape.h == 1 && sample == [shape.c, shape.w] {
        return Some(format!("x = x.transpose(0, 2, 1).reshape(-1, 1, {}, {})", shape.w, shape.c));
    }
    // A row of numbers, which a flattening of the network's own input made.
    if sample == [shape.elements()] {
        return known.last().map(|own| reshape(own));
    }
    None
}
