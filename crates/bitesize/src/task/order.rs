//! How arrays of labels run over a network's output.

use crate::input::DataLayout;
use bitesize_ir::Shape;

/// How an array of labels runs over the network's output.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The dimensions of the file's output, the batch left out.
    pub dims: &'a [usize],
    /// For each element of the file's output, in its order, where it lies in the network's.
    pub places: &'a [usize],
    /// Where arrays have their channels; told by their shape where `None`.
    pub layout: Option<DataLayout>,
}

/// The dimensions that hold more than one number.
pub(super) fn wide(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|dim| *dim > 1).collect()
}

impl Order<'_> {
    /// The ways in which arrays of `dims` are outputs of `shape`, each with where their elements lie in such an output: as the
    /// file has it, channels last, channels first. One of each layout; the file's own goes first.
    fn ways(&self, dims: &[usize], shape: Shape) -> Vec<(DataLayout, Vec<usize>)> {
        let (asked, pixels) = (wide(dims), shape.pixels());
        let last = || (0..shape.elements()).collect::<Vec<usize>>();
        let first = || (0..shape.elements()).map(|at| at % pixels * shape.c + at / pixels).collect();
        let mut ways: Vec<(DataLayout, Vec<usize>)> = Vec::new();
        let mut add = |fits: bool, places: &dyn Fn() -> Vec<usize>| {
            if fits {
                let places = places();
                let layout = if places.is_sorted() { DataLayout::Nhwc } else { DataLayout::Nchw };
                if ways.iter().all(|(other, _)| *other != layout) {
                    ways.push((layout, places));
                }
            }
        };
        add(asked == wide(self.dims), &|| self.places.to_vec());
        add(asked == wide(&[shape.h, shape.w, shape.c]), &last);
        add(asked == wide(&[shape.c, shape.h, shape.w]), &first);
        ways
    }

    /// `values`, `[sample]` and an array of `dims`, as `[sample][pixel][channel]` of an output of `shape`, of which `holds`;
    /// where it holds of none, as one of them is read. `None` where such arrays are no such output.
    ///
    /// # Errors
    /// A sentence: two ways of reading them would do, and none is asked for.
    pub(super) fn of<T: Copy + Default + PartialEq>(
        &self,
        dims: &[usize],
        values: &[T],
        shape: Shape,
        holds: impl Fn(&[T]) -> bool,
    ) -> Result<Option<Vec<T>>, String> {
        let n = shape.elements();
        let read = |(layout, places): (DataLayout, Vec<usize>)| {
            let mut ordered = vec![T::default(); values.len()];
            for (to, from) in ordered.chunks_exact_mut(n).zip(values.chunks_exact(n)) {
                places.iter().zip(from).for_each(|(place, value)| to[*place] = *value);
            }
            (layout, ordered)
        };
        let ways = self.ways(dims, shape);
        let is_told = ways.len() < 2;
        let is_asked = |(layout, _): &(DataLayout, _)| is_told || self.layout.is_none_or(|asked| asked == *layout);
        let mut found: Vec<(DataLayout, Vec<T>)> = ways.into_iter().filter(is_asked).map(read).collect();
        if found.iter().any(|(_, values)| holds(values)) {
            found.retain(|(_, values)| holds(values));
        }
        match found.as_slice() {
            [(_, one), (_, other)] if one != other => Err(format!(
                "its labels have shape {}, which may be nhwc (channels last) or nchw (channels first): say which with \
                 --data-layout nhwc or --data-layout nchw, which goes for `x` too; where `y` runs otherwise than `x`, store \
                 numpy.moveaxis(y, 1, -1), which brings its channels last, or numpy.moveaxis(y, -1, 1), first",
                super::stored::shown(dims)
            )),
            _ => Ok(found.into_iter().next().map(|(_, values)| values)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1x2 pixels of 2 channels, of which the file has the channels first.
    fn read(dims: &[usize], layout: Option<DataLayout>, values: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let order = Order { dims: &[2, 2], places: &[0, 2, 1, 3], layout };
        let is_one_hot = |values: &[u8]| values.chunks(2).all(|pixel| pixel[0] + pixel[1] == 1);
        order.of(dims, values, Shape::new(1, 2, 2), is_one_hot)
    }

    #[test]
    fn where_two_ways_would_do_it_is_asked() {
        let (last, first) = (Some(DataLayout::Nhwc), Some(DataLayout::Nchw));
        assert_eq!(read(&[2, 2], first, &[1, 2, 3, 4]), Ok(Some(vec![1, 3, 2, 4])));
        assert_eq!(read(&[2, 2], last, &[1, 2, 3, 4]), Ok(Some(vec![1, 2, 3, 4])));
        let error = read(&[2, 2], None, &[1, 2, 3, 4]).unwrap_err();
        assert!(error.contains("shape (N, 2, 2)") && error.contains("--data-layout nchw"), "{error}");
        // Both ways give the same.
        assert_eq!(read(&[1, 2, 2], None, &[1, 0, 0, 1]), Ok(Some(vec![1, 0, 0, 1])));
        assert_eq!(read(&[4], None, &[1, 2, 3, 4]), Ok(None));
    }

    #[test]
    fn what_labels_say_tells_the_way() {
        // One of each pixel's channels only where channels are first, or last.
        assert_eq!(read(&[2, 2], None, &[1, 1, 0, 0]), Ok(Some(vec![1, 0, 1, 0])));
        assert_eq!(read(&[2, 2], None, &[1, 0, 1, 0]), Ok(Some(vec![1, 0, 1, 0])));
    }
}
