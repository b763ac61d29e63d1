//! How the axes of an ONNX tensor run over an NHWC activation.
//!
//! Transposes and reshapes only change this; they leave no nodes behind.

use bitesize_ir::shape::{Axis, Shape, nhwc_indices};

/// For each axis of an ONNX tensor the activation's axes that it runs over, slowest first. Axes of size 1 (the batch
/// among them) run over none: NCHW is `[[], [C], [H], [W]]`, flattened from it `[[], [C, H, W]]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    axes: Vec<Vec<Axis>>,
}

use Axis::{C, H, W};

impl Layout {
    /// The layout of `axes` over `shape`; axes of size 1 are left out.
    pub fn new(axes: &[&[Axis]], shape: Shape) -> Self {
        let wide = |axis: &&[Axis]| axis.iter().copied().filter(|a| a.size(shape) > 1).collect();
        Self { axes: axes.iter().map(wide).collect() }
    }

    pub(crate) fn of_axes(axes: Vec<Vec<Axis>>) -> Self {
        Self { axes }
    }

    /// The ONNX layout of an image with `rank` axes, batch and channels first; `None` for ranks other than 3 and 4.
    pub(crate) fn channels_first(rank: usize, shape: Shape) -> Option<Self> {
        match rank {
            4 => Some(Self::new(&[&[], &[C], &[H], &[W]], shape)),
            3 if shape.h == 1 => Some(Self::new(&[&[], &[C], &[W]], shape)),
            _ => None,
        }
    }

    /// As [`Self::channels_first`], the channels last.
    pub(crate) fn channels_last(rank: usize, shape: Shape) -> Option<Self> {
        match rank {
            4 => Some(Self::new(&[&[], &[H], &[W], &[C]], shape)),
            3 if shape.h == 1 => Some(Self::new(&[&[], &[W], &[C]], shape)),
            _ => None,
        }
    }

    /// The ONNX axes.
    pub fn axes(&self) -> &[Vec<Axis>] {
        &self.axes
    }

    /// Number of ONNX axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The ONNX dimensions.
    pub fn dims(&self, shape: Shape) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.iter().map(|a| a.size(shape)).product()).collect()
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this.
    pub(crate) fn permuted(&self, order: &[usize]) -> Self {
        Self { axes: order.iter().map(|i| self.axes[*i].clone()).collect() }
    }

    /// The same elements in the same order under other dimensions, `None` where an axis of the activation would have
    /// to be cut in two.
    pub(crate) fn reshaped(&self, shape: Shape, dims: &[usize]) -> Option<Self> {
        let mut left = self.axes.iter().flatten().copied().peekable();
        let mut axes = Vec::with_capacity(dims.len());
        for dim in dims {
            let mut axis = Vec::new();
            let mut size = 1;
            while size < *dim {
                let next = left.next()?;
                size *= next.size(shape);
                axis.push(next);
            }
            if size != *dim {
                return None;
            }
            axes.push(axis);
        }
        left.peek().is_none().then_some(Self { axes })
    }

    /// The layout after some axes of the activation have shrunk to size 1.
    pub(crate) fn without(&self, gone: impl Fn(Axis) -> bool) -> Self {
        let keep = |axis: &Vec<Axis>| axis.iter().copied().filter(|a| !gone(*a)).collect();
        Self { axes: self.axes.iter().map(keep).collect() }
    }

    /// With ONNX axis `index` running over `axis` instead.
    pub(crate) fn with_axis(&self, index: usize, axis: Vec<Axis>) -> Self {
        let mut axes = self.axes.clone();
        axes[index] = axis;
        Self { axes }
    }

    /// Without ONNX axis `index`.
    pub(crate) fn without_axis(&self, index: usize) -> Self {
        let mut axes = self.axes.clone();
        axes.remove(index);
        Self { axes }
    }

    /// With axes of size 1 put before, up to `rank` axes.
    pub(crate) fn extended_to(&self, rank: usize) -> Self {
        let missing = rank.saturating_sub(self.rank());
        let mut axes = vec![Vec::new(); missing];
        axes.extend(self.axes.iter().cloned());
        Self { axes }
    }

    /// For each element of the ONNX tensor, in its order, where it lies in the NHWC activation.
    pub fn nhwc_indices(&self, shape: Shape) -> Vec<usize> {
        nhwc_indices(shape, self.axes.iter().flatten().copied())
    }

    /// The values of an ONNX tensor in the NHWC order of the activation.
    ///
    /// # Panics
    /// If `values` has another length than `shape`.
    pub fn to_nhwc<T: Copy + Default>(&self, shape: Shape, values: &[T]) -> Vec<T> {
        assert_eq!(values.len(), shape.elements(), "length of the tensor");
        let mut ordered = vec![T::default(); values.len()];
        for (value, index) in values.iter().zip(self.nhwc_indices(shape)) {
            ordered[index] = *value;
        }
        ordered
    }

    /// The values of an activation in the order of the ONNX tensor: the inverse of [`Self::to_nhwc`].
    ///
    /// # Panics
    /// If `values` has another length than `shape`.
    pub fn from_nhwc<T: Copy>(&self, shape: Shape, values: &[T]) -> Vec<T> {
        assert_eq!(values.len(), shape.elements(), "length of the activation");
        self.nhwc_indices(shape).into_iter().map(|index| values[index]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_group_axes_and_never_cut_one() {
        let shape = Shape::new(2, 3, 4);
        let nchw = Layout::new(&[&[], &[C], &[H], &[W]], shape);
        let check = |dims: &[usize], axes: Option<&[&[Axis]]>| {
            assert_eq!(nchw.reshaped(shape, dims), axes.map(|a| Layout::new(a, shape)), "{dims:?}");
        };
        check(&[1, 24], Some(&[&[], &[C, H, W]]));
        check(&[24], Some(&[&[C, H, W]]));
        check(&[4, 1, 6, 1], Some(&[&[C], &[], &[H, W], &[]]));
        check(&[1, 6, 4], None);
        check(&[1, 2, 2, 2, 3], None);
        check(&[1, 4, 2], None);
        check(&[0, 24], None);
    }

    #[test]
    fn orders_are_inverse() {
        let shape = Shape::new(2, 3, 4);
        let nhwc: Vec<usize> = (0..24).collect();
        for axes in [[&[C][..], &[H], &[W]], [&[], &[H, W], &[C]], [&[W, C], &[], &[H]]] {
            let layout = Layout::new(&axes, shape);
            assert_eq!(layout.to_nhwc(shape, &layout.from_nhwc(shape, &nhwc)), nhwc);
        }
        let flat = Layout::new(&[&[], &[C, H, W]], shape);
        assert_eq!(flat.from_nhwc(shape, &nhwc)[..7], [0, 4, 8, 12, 16, 20, 1]);
    }
}
