//! Labels as a task takes them, made of what is stored.

use super::kind::Task;
use super::objective::Objective;
use crate::input::labels::{Numbers, StoredLabels};
use bitesize_ir::Shape;
use std::ops::Range;

/// The class of a pixel that counts nowhere.
pub const UNLABELLED: u32 = u32::MAX;

/// Whether `stored` is what stands for such a pixel: 255 as in PASCAL VOC and Cityscapes, or -1.
fn is_unlabelled(stored: i64) -> bool {
    stored == 255 || stored == -1
}

/// The labels of some samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// So many samples without.
    None(usize),
    /// A class for each sample.
    Classes(Vec<usize>),
    /// `each` answers for each sample.
    Flags {
        /// How many a sample.
        each: usize,
        /// `[sample][output]`.
        flags: Vec<bool>,
    },
    /// `each` values for each sample.
    Values {
        /// How many a sample.
        each: usize,
        /// `[sample][pixel][channel]`, as the network's output.
        values: Vec<f32>,
    },
    /// The class of each pixel.
    Pixels {
        /// How many a sample.
        each: usize,
        /// `[sample][pixel]`, or [`UNLABELLED`].
        classes: Vec<u32>,
    },
}

impl Labels {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::None(samples) => *samples,
            Self::Classes(classes) => classes.len(),
            Self::Flags { each, flags } => flags.len() / each,
            Self::Values { each, values } => values.len() / each,
            Self::Pixels { each, classes } => classes.len() / each,
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether samples have labels.
    pub fn are_there(&self) -> bool {
        !matches!(self, Self::None(_))
    }

    /// A class for each sample, where labels are such.
    pub fn classes(&self) -> Option<&[usize]> {
        match self {
            Self::Classes(classes) => Some(classes),
            _ => None,
        }
    }

    /// Those of the samples of `range` (which must lie within).
    pub fn slice(&self, range: Range<usize>) -> Self {
        self.pick(range)
    }

    /// Those of the samples `indices` (which must lie within), in that order.
    pub fn pick(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        fn of<T: Copy>(all: &[T], each: usize, indices: impl IntoIterator<Item = usize>) -> Vec<T> {
            indices.into_iter().flat_map(|i| &all[i * each..(i + 1) * each]).copied().collect()
        }
        match self {
            Self::None(_) => Self::None(indices.into_iter().count()),
            Self::Classes(classes) => Self::Classes(of(classes, 1, indices)),
            Self::Flags { each, flags } => Self::Flags { each: *each, flags: of(flags, *each, indices) },
            Self::Values { each, values } => Self::Values { each: *each, values: of(values, *each, indices) },
            Self::Pixels { each, classes } => Self::Pixels { each: *each, classes: of(classes, *each, indices) },
        }
    }

    /// The bytes that a hash of samples holds of the label of sample `index`.
    pub(crate) fn bytes(&self, index: usize) -> Vec<u8> {
        match self {
            Self::None(_) => Vec::new(),
            Self::Classes(classes) => (classes[index] as u64).to_le_bytes().to_vec(),
            Self::Flags { each, flags } => {
                flags[index * each..(index + 1) * each].iter().map(|flag| u8::from(*flag)).collect()
            }
            Self::Values { each, values } => {
                values[index * each..(index + 1) * each].iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            Self::Pixels { each, classes } => {
                classes[index * each..(index + 1) * each].iter().flat_map(|class| class.to_le_bytes()).collect()
            }
        }
    }
}

/// The dimensions that hold more than one number.
fn wide(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|dim| *dim > 1).collect()
}

/// How an array of labels runs over the network's output.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The dimensions of the file's output, the batch left out.
    pub dims: &'a [usize],
    /// For each element of the file's output, in its order, where it lies in the network's.
    pub places: &'a [usize],
}

impl Order<'_> {
    /// `values`, `[sample]` and an array of `dims`, as `[sample][pixel][channel]` of `objective`'s output; `None` where such
    /// arrays are no such output.
    fn of<T: Copy + Default>(&self, dims: &[usize], values: &[T], objective: &Objective) -> Option<Vec<T>> {
        let shape = objective.shape;
        let n = shape.elements();
        let asked = wide(dims);
        if asked == wide(self.dims) {
            let mut ordered = vec![T::default(); values.len()];
            for (to, from) in ordered.chunks_exact_mut(n).zip(values.chunks_exact(n)) {
                self.places.iter().zip(from).for_each(|(place, value)| to[*place] = *value);
            }
            return Some(ordered);
        }
        if asked == wide(&[shape.h, shape.w, shape.c]) {
            return Some(values.to_vec());
        }
        if asked == wide(&[shape.c, shape.h, shape.w]) {
            let pixels = shape.pixels();
            let of_sample =
                |from: &[T]| -> Vec<T> { (0..n).map(|at| from[(at % shape.c) * pixels + at / shape.c]).collect() };
            return Some(values.chunks_exact(n).flat_map(of_sample).collect());
        }
        None
    }
}

impl StoredLabels {
    /// Numbers behind each sample.
    pub(crate) fn each(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether every number is 0 or 1.
    pub(super) fn are_flags(&self) -> bool {
        match &self.numbers {
            Numbers::Integers(numbers) => numbers.iter().all(|n| (0..=1).contains(n)),
            Numbers::Reals(numbers) => numbers.iter().all(|n| *n == 0.0 || *n == 1.0),
        }
    }

    /// The numbers as integers, where they are.
    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        match &self.numbers {
            Numbers::Integers(numbers) => Some(numbers.clone()),
            Numbers::Reals(numbers) => {
                let is_integer = |n: &f32| n.fract() == 0.0 && n.abs() < 1e9;
                numbers.iter().all(is_integer).then(|| numbers.iter().map(|n| *n as i64).collect())
            }
        }
    }

    /// Whether every number is 0, 1 or the one of pixels without a label.
    pub(super) fn are_masks(&self) -> bool {
        let is_mask = |n: i64| (0..=1).contains(&n) || is_unlabelled(n);
        self.integers().is_some_and(|numbers| numbers.into_iter().all(is_mask))
    }

    /// Whether each pixel of arrays of `shape`, channels last or first, is 0 but for a 1.
    pub(super) fn are_one_hot_maps(&self, shape: Shape) -> bool {
        let (numbers, n, pixels) = (self.reals(), shape.elements(), shape.pixels());
        let mut samples = numbers.chunks_exact(n);
        let planes = |sample: &[f32]| (0..pixels).all(|p| sample[p..].iter().step_by(pixels).sum::<f32>() == 1.0);
        shape.c > 1 && (self.are_one_hot(shape.c) || self.are_flags() && samples.all(planes))
    }

    pub(super) fn reals(&self) -> Vec<f32> {
        match &self.numbers {
            Numbers::Integers(numbers) => numbers.iter().map(|n| *n as f32).collect(),
            Numbers::Reals(numbers) => numbers.clone(),
        }
    }

    /// Whether each row of `width` numbers is 0 but for a 1.
    pub(super) fn are_one_hot(&self, width: usize) -> bool {
        let rows = self.reals();
        width > 1 && self.are_flags() && rows.chunks_exact(width).all(|row| row.iter().sum::<f32>() == 1.0)
    }
}

/// The labels of `objective`'s task that `stored` are, `offset` added to classes. `order` says how the file's output runs.
///
/// # Errors
/// A sentence that says what the task takes and what is there.
pub(crate) fn labels_of(
    objective: &Objective,
    stored: &StoredLabels,
    order: Order,
    offset: i64,
) -> Result<Labels, String> {
    let shape = objective.shape;
    let (each, outputs) = (stored.each(), shape.elements());
    match objective.task {
        // Whatever labels there are say nothing of it.
        Task::Fidelity => Ok(Labels::None(samples_of(stored))),
        Task::Classify if each == outputs && each > 1 => {
            if !stored.are_one_hot(outputs) {
                return Err(format!(
                    "its labels are {}, neither a class for each sample nor one-hot, which the task `classify` takes",
                    describe(stored)
                ));
            }
            let class = |row: &[f32]| row.iter().position(|x| *x == 1.0).unwrap_or_default();
            Ok(Labels::Classes(stored.reals().chunks_exact(outputs).map(class).collect()))
        }
        Task::Classify => classes(stored, outputs, offset).map(Labels::Classes),
        Task::Binary | Task::Multilabel => {
            let flags =
                order.of(&stored.dims, &stored.reals(), objective).filter(|_| each == outputs && stored.are_flags());
            let Some(flags) = flags else {
                return Err(format!(
                    "its labels are {}, but the task `{}` takes {outputs} of 0 or 1 for each sample",
                    describe(stored),
                    objective.task
                ));
            };
            Ok(Labels::Flags { each, flags: flags.into_iter().map(|x| x == 1.0).collect() })
        }
        Task::Regress => match order.of(&stored.dims, &stored.reals(), objective) {
            Some(values) if each == outputs => Ok(Labels::Values { each, values }),
            _ => Err(format!(
                "its labels are {}, but the task `regress` takes a value for each output {:?} of each sample",
                describe(stored),
                order.dims
            )),
        },
        Task::Map => map(objective, stored, order, offset),
    }
}

fn samples_of(stored: &StoredLabels) -> usize {
    let count = match &stored.numbers {
        Numbers::Integers(numbers) => numbers.len(),
        Numbers::Reals(numbers) => numbers.len(),
    };
    count / stored.each().max(1)
}

/// What labels are, in words.
pub(super) fn describe(stored: &StoredLabels) -> String {
    let kind = match stored.numbers {
        Numbers::Integers(_) => "integers",
        Numbers::Reals(_) => "real values",
    };
    let dims: String = stored.dims.iter().map(|dim| format!(", {dim}")).collect();
    format!("{kind} of shape (N{dims})")
}

/// The class that `label` is with `offset`, where it is below `count`.
fn class_of(label: i64, offset: i64, count: usize) -> Option<usize> {
    let class = label.checked_add(offset).and_then(|class| usize::try_from(class).ok());
    class.filter(|class| *class < count)
}

/// What an error says of `offset` behind a label.
fn plus(offset: i64) -> String {
    if offset == 0 { String::new() } else { format!(" (plus label_offset {offset})") }
}

/// A class below `outputs` for each sample.
fn classes(stored: &StoredLabels, outputs: usize, offset: i64) -> Result<Vec<usize>, String> {
    let (1, Some(integers)) = (stored.each(), stored.integers()) else {
        return Err(format!(
            "its labels are {}, but the task `classify` takes a class for each sample, or {outputs} of 0 and a 1",
            describe(stored)
        ));
    };
    let check = |(i, label): (usize, &i64)| {
        class_of(*label, offset, outputs).ok_or_else(|| {
            format!(
                "sample {i} has label {label}{}, but the network has {outputs} outputs, so labels run from 0 to {}: give \
                 the data that the network was trained for, or set label_offset",
                plus(offset),
                outputs.saturating_sub(1),
            )
        })
    };
    integers.iter().enumerate().map(check).collect()
}

/// The class of each pixel.
fn map(objective: &Objective, stored: &StoredLabels, order: Order, offset: i64) -> Result<Labels, String> {
    let shape = objective.shape;
    let (pixels, each) = (shape.pixels(), stored.each());
    let classes = shape.c.max(2);
    let expected = format!(
        "its labels are {}, but the task `map` takes a class for each of {} x {} pixels: (N, {}, {})",
        describe(stored),
        shape.h,
        shape.w,
        shape.h,
        shape.w
    );
    if each == shape.elements() && shape.c > 1 {
        let ordered = order.of(&stored.dims, &stored.reals(), objective).ok_or_else(|| expected.clone())?;
        if !stored.are_flags() || ordered.chunks_exact(shape.c).any(|row| row.iter().sum::<f32>() != 1.0) {
            return Err(expected);
        }
        let class = |row: &[f32]| row.iter().position(|x| *x == 1.0).unwrap_or_default() as u32;
        return Ok(Labels::Pixels { each: pixels, classes: ordered.chunks_exact(shape.c).map(class).collect() });
    }
    let is_map = [wide(&[shape.h, shape.w]), wide(&[pixels])].contains(&wide(&stored.dims));
    let (true, Some(integers)) = (is_map && each == pixels, stored.integers()) else { return Err(expected) };
    if shape.c == 1 && integers.contains(&255) && !integers.contains(&1) {
        return Err(
            "its labels are 0 and 255, but in a mask 1 says yes and 255 that a pixel has no label: store mask // 255"
                .into(),
        );
    }
    let check = |(i, label): (usize, &i64)| match class_of(*label, offset, classes) {
        Some(label) => Ok(label as u32),
        None if is_unlabelled(*label) => Ok(UNLABELLED),
        None => Err(format!(
            "pixel {} of sample {} has label {label}{}, but the network knows {classes} classes, so labels run from 0 to \
                 {}, or are 255 or -1 where there is none",
            i % pixels,
            i / pixels,
            plus(offset),
            classes - 1
        )),
    };
    let classes = integers.iter().enumerate().map(check).collect::<Result<_, _>>()?;
    Ok(Labels::Pixels { each: pixels, classes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::Shape;

    fn stored(dims: &[usize], numbers: &[i64]) -> StoredLabels {
        StoredLabels { dims: dims.to_vec(), numbers: Numbers::Integers(numbers.to_vec()) }
    }

    fn of(task: Task, shape: Shape, stored: &StoredLabels, offset: i64) -> Result<Labels, String> {
        let places: Vec<usize> = (0..shape.elements()).collect();
        let dims = [shape.h, shape.w, shape.c];
        labels_of(&Objective { task, shape, tail: None }, stored, Order { dims: &dims, places: &places }, offset)
    }

    #[test]
    fn classes_are_checked_against_the_outputs() {
        let check = |outputs, offset| of(Task::Classify, Shape::vector(outputs), &stored(&[], &[0, 2]), offset);
        assert_eq!(check(4, 1), Ok(Labels::Classes(vec![1, 3])));
        let error = check(3, 1).unwrap_err();
        assert!(error.contains("sample 1 has label 2 (plus label_offset 1)"), "{error}");
        assert!(check(3, -1).unwrap_err().contains("sample 0 has label 0 (plus label_offset -1)"));
        let one_hot = stored(&[3], &[0, 0, 1, 1, 0, 0]);
        assert_eq!(of(Task::Classify, Shape::vector(3), &one_hot, 0), Ok(Labels::Classes(vec![2, 0])));
        let flags = stored(&[3], &[0, 1, 1]);
        assert!(of(Task::Classify, Shape::vector(3), &flags, 0).unwrap_err().contains("nor one-hot"));
        assert!(of(Task::Classify, Shape::vector(3), &stored(&[2], &[0, 1]), 0).unwrap_err().contains("(N, 2)"));
    }

    #[test]
    fn arrays_run_as_the_output_does() {
        // 1x2 pixels of 3 channels: as the file has it (channels first), channels last, and something else.
        let shape = Shape::new(1, 2, 3);
        let objective = Objective { task: Task::Regress, shape, tail: None };
        let places = [0, 3, 1, 4, 2, 5];
        let order = Order { dims: &[3, 1, 2], places: &places };
        let check = |dims: &[usize]| labels_of(&objective, &stored(dims, &[0, 1, 2, 3, 4, 5]), order, 0);
        let values = |values: [f32; 6]| Ok(Labels::Values { each: 6, values: values.to_vec() });
        assert_eq!(check(&[3, 1, 2]), values([0.0, 2.0, 4.0, 1.0, 3.0, 5.0]));
        assert_eq!(check(&[1, 2, 3]), values([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert!(check(&[6]).unwrap_err().contains("(N, 6)"));
    }

    #[test]
    fn pixels_have_classes_or_none() {
        let shape = Shape::new(1, 2, 3);
        let check = |dims: &[usize], numbers: &[i64]| of(Task::Map, shape, &stored(dims, numbers), 0);
        assert_eq!(check(&[1, 2], &[2, 255]), Ok(Labels::Pixels { each: 2, classes: vec![2, UNLABELLED] }));
        assert!(check(&[1, 2], &[0, 3]).unwrap_err().contains("pixel 1 of sample 0 has label 3"));
        let one_hot = Ok(Labels::Pixels { each: 2, classes: vec![1, 0] });
        assert_eq!(check(&[1, 2, 3], &[0, 1, 0, 1, 0, 0]), one_hot);
        assert!(check(&[], &[1]).unwrap_err().contains("(N, 1, 2)"));
    }
}
