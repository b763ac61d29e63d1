//! Labels as a task takes them, made of what is stored.

use super::kind::Task;
use super::objective::Objective;
use super::order::{Order, wide};
use super::stored::{are_one_hot, is_unlabelled, plus};
use crate::input::labels::StoredLabels;
use std::ops::Range;

/// The class of a pixel that counts nowhere.
pub const UNLABELLED: u32 = u32::MAX;

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
    let (shape, each) = (objective.shape, stored.each());
    let outputs = shape.elements();
    let shifted = stored.with_offset(offset);
    let is_output = each == outputs;
    match objective.task {
        // Whatever labels there are say nothing of it.
        Task::Fidelity => Ok(Labels::None(stored.samples())),
        Task::Classify if is_output && each > 1 => {
            let Some(answers) = shifted.answers().filter(|answers| are_one_hot(answers, outputs)) else {
                return Err(format!(
                    "its labels are {}, neither a class for each sample nor one-hot, which the task `classify` takes",
                    stored.describe(offset)
                ));
            };
            Ok(Labels::Classes(answers.chunks_exact(outputs).map(yes).collect()))
        }
        Task::Classify => classes(stored, outputs, offset).map(Labels::Classes),
        Task::Binary | Task::Multilabel => {
            let flags = match shifted.answers().filter(|_| is_output) {
                Some(answers) => order.of(&stored.dims, &answers, shape, |_| true)?,
                None => None,
            };
            let Some(flags) = flags else {
                return Err(format!(
                    "its labels are {}, but the task `{}` takes {outputs} of 0 or 1, or of -1 or 1, for each sample",
                    stored.describe(offset),
                    objective.task
                ));
            };
            Ok(Labels::Flags { each, flags })
        }
        Task::Regress if stored.of_classes => {
            Err("its labels are classes, but the task `regress` takes values: store them in an .npz, as `y`".into())
        }
        Task::Regress => {
            let values = if is_output { order.of(&stored.dims, &shifted.reals(), shape, |_| true)? } else { None };
            let values = values.ok_or_else(|| {
                format!(
                    "its labels are {}, but the task `regress` takes a value for each output {:?} of each sample",
                    stored.describe(offset),
                    order.dims
                )
            })?;
            Ok(Labels::Values { each, values })
        }
        Task::Map => map(objective, stored, order, offset),
    }
}

/// The place of the yes in a row that has one.
fn yes(row: &[bool]) -> usize {
    row.iter().position(|answer| *answer).unwrap_or_default()
}

/// The class that `label` is with `offset`, where it is below `count`.
fn class_of(label: i64, offset: i64, count: usize) -> Option<usize> {
    let class = label.checked_add(offset).and_then(|class| usize::try_from(class).ok());
    class.filter(|class| *class < count)
}

/// A class below `outputs` for each sample.
fn classes(stored: &StoredLabels, outputs: usize, offset: i64) -> Result<Vec<usize>, String> {
    let (1, Some(integers)) = (stored.each(), stored.integers()) else {
        return Err(format!(
            "its labels are {}, but the task `classify` takes a class for each sample, or {outputs} of 0 and a 1",
            stored.describe(offset)
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
        stored.describe(offset),
        shape.h,
        shape.w,
        shape.h,
        shape.w
    );
    if each == shape.elements() && shape.c > 1 {
        let Some(answers) = stored.with_offset(offset).answers() else { return Err(expected) };
        let holds = |answers: &[bool]| are_one_hot(answers, shape.c);
        let ordered =
            order.of(&stored.dims, &answers, shape, holds)?.filter(|ordered| holds(ordered)).ok_or(expected)?;
        let class = |row: &[bool]| yes(row) as u32;
        return Ok(Labels::Pixels { each: pixels, classes: ordered.chunks_exact(shape.c).map(class).collect() });
    }
    let is_map = [wide(&[shape.h, shape.w]), wide(&[pixels])].contains(&wide(&stored.dims));
    let (true, Some(integers)) = (is_map && each == pixels, stored.integers()) else { return Err(expected) };
    if shape.c == 1 {
        refuse_other_masks(&integers, offset)?;
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

/// Refuses masks whose other answer is what stands for a pixel without a label.
fn refuse_other_masks(integers: &[i64], offset: i64) -> Result<(), String> {
    let (yes, no) = (1i64.saturating_sub(offset), 0i64.saturating_sub(offset));
    for (other, missing, answer, line) in [(255, yes, "yes", "mask // 255"), (-1, no, "no", "mask > 0")] {
        if other != missing && integers.contains(&other) && !integers.contains(&missing) {
            return Err(format!(
                "its labels hold {other} and no {missing}, but in a mask {missing} says {answer} and {other} that a pixel has \
                 no label: store {line}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::labels::Numbers;
    use bitesize_ir::Shape;

    fn stored(dims: &[usize], numbers: &[i64]) -> StoredLabels {
        StoredLabels { dims: dims.to_vec(), numbers: Numbers::Integers(numbers.to_vec()), of_classes: false }
    }

    fn of(task: Task, shape: Shape, stored: &StoredLabels, offset: i64) -> Result<Labels, String> {
        let places: Vec<usize> = (0..shape.elements()).collect();
        let dims = [shape.h, shape.w, shape.c];
        labels_of(
            &Objective { task, shape, tail: None },
            stored,
            Order { dims: &dims, places: &places, layout: None },
            offset,
        )
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
    fn an_offset_goes_for_answers_and_values_too() {
        let flags = |flags: &[bool]| Ok(Labels::Flags { each: 1, flags: flags.to_vec() });
        let binary = |numbers: &[i64], offset| of(Task::Binary, Shape::vector(1), &stored(&[], numbers), offset);
        assert_eq!(binary(&[1, 2], -1), flags(&[false, true]));
        assert_eq!(binary(&[-1, 1], 0), flags(&[false, true]));
        let error = binary(&[0, 1], 1).unwrap_err();
        assert!(error.contains("integers of shape (N) (plus label_offset 1)") && error.contains("-1 or 1"), "{error}");
        let one_hot = |offset| of(Task::Classify, Shape::vector(2), &stored(&[2], &[1, 2, 2, 1]), offset);
        assert_eq!(one_hot(-1), Ok(Labels::Classes(vec![1, 0])));
        assert!(one_hot(0).unwrap_err().contains("nor one-hot"));
        let values = of(Task::Regress, Shape::vector(2), &stored(&[2], &[5, 7]), 2);
        assert_eq!(values, Ok(Labels::Values { each: 2, values: vec![7.0, 9.0] }));
    }

    #[test]
    fn masks_of_other_numbers_are_refused() {
        let mask = |numbers: &[i64], offset| of(Task::Map, Shape::new(1, 3, 1), &stored(&[1, 3], numbers), offset);
        assert_eq!(mask(&[0, 1, 255], 0), Ok(Labels::Pixels { each: 3, classes: vec![0, 1, UNLABELLED] }));
        assert_eq!(mask(&[1, 2, -1], -1), Ok(Labels::Pixels { each: 3, classes: vec![0, 1, UNLABELLED] }));
        assert!(mask(&[0, 255, 0], 0).unwrap_err().contains("store mask // 255"));
        assert!(mask(&[-1, 1, 1], 0).unwrap_err().contains("store mask > 0"));
    }

    #[test]
    fn arrays_run_as_the_output_does() {
        // 1x2 pixels of 3 channels: as the file has it (channels first), channels last, and something else.
        let shape = Shape::new(1, 2, 3);
        let objective = Objective { task: Task::Regress, shape, tail: None };
        let places = [0, 3, 1, 4, 2, 5];
        let order = Order { dims: &[3, 1, 2], places: &places, layout: None };
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
