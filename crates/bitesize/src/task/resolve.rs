//! Which task a network and its labels are of.

use super::kind::Task;
use super::objective::Objective;
use crate::input::labels::{Numbers, StoredLabels};
use bitesize_ir::{Shape, Tail};

/// A task, and what it was told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What networks are judged by.
    pub objective: Objective,
    /// `--task`, or what of network and labels says so.
    pub because: String,
}

/// The task of a network whose output has `shape` and lost `tail`: `asked` where one is asked for, else what the tail and the
/// labels `stored` say, `offset` added to them.
///
/// # Errors
/// A sentence that says what is wrong with labels that no task takes.
pub(crate) fn resolve(
    asked: Option<Task>,
    (stored, offset): (Option<&StoredLabels>, i64),
    shape: Shape,
    tail: Option<Tail>,
) -> Result<Resolved, String> {
    let (task, because) = match (asked, stored) {
        (Some(task), _) => (task, "it is asked for".to_owned()),
        (None, None) => (Task::Fidelity, "the data have no labels".to_owned()),
        (None, Some(labels)) => {
            // An offset is of classes and answers: values would be a surprise.
            let is_meant = |task: &Task| offset == 0 || *task != Task::Regress;
            let task = of_labels(labels, offset, shape, tail)?.filter(is_meant);
            let task = task.ok_or_else(|| no_task(labels, offset, shape, tail))?;
            if task == Task::Regress {
                refuse_other_answers(labels)?;
            }
            let tail = tail.map_or(String::new(), |tail| format!(", and the network ends with {tail}"));
            (task, format!("labels are {}{tail}", labels.describe(offset)))
        }
    };
    check(task, shape, tail)?;
    Ok(Resolved { objective: Objective { task, shape, tail }, because })
}

/// Refuses a task that the network's output is no answer to.
fn check(task: Task, shape: Shape, tail: Option<Tail>) -> Result<(), String> {
    let (outputs, Shape { h, w, .. }) = (shape.elements(), shape);
    let is_of_classes = matches!(tail, Some(Tail::Softmax | Tail::LogSoftmax | Tail::ArgMax));
    let over_classes = is_of_classes && shape.c > 1;
    let ends = tail.map_or(String::new(), |tail| format!("the network ends with {tail}"));
    let problem = match task {
        Task::Binary | Task::Multilabel | Task::Regress | Task::Map if is_of_classes && shape.c == 1 => {
            format!(
                "cannot be told by a network that chooses among one class, and {ends}: what it gives is the same whatever goes \
                 in. Export it up to what goes into that, or with a Sigmoid"
            )
        }
        Task::Binary if outputs != 1 => format!("takes a network of one output, and this one has {outputs}"),
        Task::Classify if outputs == 1 => {
            "takes a network of several outputs: of one that says yes or no, binary".into()
        }
        Task::Classify if shape.pixels() > 1 => {
            format!("takes a vector of outputs, and this one has a map of {h} x {w} pixels: take map, or fidelity")
        }
        Task::Multilabel if over_classes => format!("takes outputs that say yes or no each, and {ends}"),
        Task::Regress if tail == Some(Tail::ArgMax) => format!("takes values, and {ends}, which gives a class"),
        _ => return Ok(()),
    };
    Err(format!("the task `{task}` {problem}"))
}

/// By the shape and the values of `stored`; `None` where no task takes them.
///
/// # Errors
/// A sentence: two tasks would.
fn of_labels(stored: &StoredLabels, offset: i64, shape: Shape, tail: Option<Tail>) -> Result<Option<Task>, String> {
    let (each, outputs, pixels) = (stored.each(), shape.elements(), shape.pixels());
    let labels = stored.with_offset(offset);
    let are_flags = labels.answers().is_some();
    let are_integers = labels.integers().is_some();
    let is_map = pixels > 1;
    if outputs == 1 {
        let task = if are_flags { Task::Binary } else { Task::Regress };
        // Which folder of several a sample lies in is no value.
        return Ok(Some(task).filter(|task| each == 1 && !(stored.of_classes && *task == Task::Regress)));
    }
    if each == 1 {
        return Ok((!is_map && are_integers).then_some(Task::Classify));
    }
    if is_map && each == pixels && are_integers && !is_regressed(stored, offset, shape, tail) {
        if pixels == shape.c && stored.dims.len() == 1 && labels.are_one_hot(each) {
            return Err(format!(
                "its labels are {}, which may be a class for each of {pixels} pixels, or one of {pixels} classes of the whole \
                 sample: with --task map they are the first; the second takes a network that ends with a vector",
                stored.describe(offset)
            ));
        }
        return Ok(Some(Task::Map));
    }
    if each != outputs {
        return Ok(None);
    }
    if tail == Some(Tail::ArgMax) {
        let one_hot = if is_map { labels.are_one_hot_maps(shape) } else { labels.are_one_hot(outputs) };
        return Ok(one_hot.then_some(if is_map { Task::Map } else { Task::Classify }));
    }
    let over_classes = matches!(tail, Some(Tail::Softmax | Tail::LogSoftmax));
    Ok(Some(match (is_map, tail) {
        (false, Some(Tail::Sigmoid)) if are_flags => Task::Multilabel,
        (false, _) if labels.are_one_hot(outputs) => Task::Classify,
        (false, _) if are_flags && !over_classes => Task::Multilabel,
        (true, _) if are_flags && labels.are_one_hot_maps(shape) => Task::Map,
        (true, _) if are_flags && !over_classes => Task::Multilabel,
        _ => Task::Regress,
    }))
}

/// Whether a map of one channel is of values: real ones that are no mask.
fn is_regressed(labels: &StoredLabels, offset: i64, shape: Shape, tail: Option<Tail>) -> bool {
    let is_real = matches!(labels.numbers, Numbers::Reals(_));
    shape.c == 1 && !labels.are_masks(offset) && (is_real || tail != Some(Tail::Sigmoid))
}

/// Refuses integers of two values side by side: of what counts them differently they are answers.
fn refuse_other_answers(labels: &StoredLabels) -> Result<(), String> {
    let Numbers::Integers(numbers) = &labels.numbers else { return Ok(()) };
    let (least, most) = numbers.iter().fold((i64::MAX, i64::MIN), |(least, most), n| (least.min(*n), most.max(*n)));
    if least == 0 || least.checked_add(1) != Some(most) {
        return Ok(());
    }
    Err(format!(
        "its labels are {}, all of them {least} or {most}: as no and yes they are taken with label_offset {}, as values with \
         --task regress",
        labels.describe(0),
        -i128::from(least)
    ))
}

fn no_task(stored: &StoredLabels, offset: i64, shape: Shape, tail: Option<Tail>) -> String {
    let Shape { h, w, c } = shape;
    let outputs = shape.elements();
    let would_do = match (outputs, shape.pixels()) {
        (2.., 1) if tail == Some(Tail::ArgMax) => format!("a class a sample, (N,), or one-hot, (N, {outputs})"),
        (_, 2..) if tail == Some(Tail::ArgMax) => {
            format!("a class for each pixel, (N, {h}, {w}), or one-hot, (N, {h}, {w}, {c})")
        }
        (1, _) if stored.of_classes => "two classes, no and yes".to_owned(),
        (1, _) => "one number a sample, (N,)".to_owned(),
        (_, 1) => format!("a class a sample, (N,), or a number for each output, (N, {outputs})"),
        _ => format!("a class for each pixel, (N, {h}, {w}), or a number for each output, (N, {h}, {w}, {c})"),
    };
    // Of data that were gathered for something else.
    let for_autoencoders = if stored.name_classes(outputs) {
        "; an autoencoder is judged by its input, whatever classes there are, with --task regress"
    } else {
        ""
    };
    format!(
        "its labels are {}, and the network has an output of {h} x {w} pixels and {c} channels: {would_do}, would \
         do{for_autoencoders}; with --task fidelity no label is looked at",
        stored.describe(offset)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, tail: Option<Tail>, dims: &[usize], numbers: Numbers, expected: Option<Task>) {
        check_with(0, shape, tail, (dims, numbers), expected);
    }

    #[track_caller]
    fn check_with(
        offset: i64,
        shape: Shape,
        tail: Option<Tail>,
        (dims, numbers): (&[usize], Numbers),
        expected: Option<Task>,
    ) {
        let stored = StoredLabels { dims: dims.to_vec(), numbers, of_classes: false };
        let found = resolve(None, (Some(&stored), offset), shape, tail);
        assert_eq!(
            found.clone().ok().map(|found| found.objective.task),
            expected,
            "{stored:?} {shape} {tail:?}: {found:?}"
        );
    }

    #[test]
    fn labels_and_tail_tell_the_task() {
        let integers = |n: &[i64]| Numbers::Integers(n.to_vec());
        let reals = |n: &[f32]| Numbers::Reals(n.to_vec());
        let (one, three, map, mask) = (Shape::vector(1), Shape::vector(3), Shape::new(1, 2, 3), Shape::new(1, 2, 1));
        let sigmoid = Some(Tail::Sigmoid);
        check(three, None, &[], integers(&[0, 2]), Some(Task::Classify));
        check(three, sigmoid, &[1], integers(&[0, 2]), Some(Task::Classify));
        check(three, None, &[], reals(&[0.0, 2.0]), Some(Task::Classify));
        check(three, None, &[], reals(&[0.5, 2.0]), None);
        check(one, None, &[], integers(&[0, 1]), Some(Task::Binary));
        check(one, sigmoid, &[], reals(&[0.0, 1.0]), Some(Task::Binary));
        check(one, None, &[1], integers(&[0, 7]), Some(Task::Regress));
        check(one, None, &[1], reals(&[0.5, 1.0]), Some(Task::Regress));
        check(one, None, &[2], integers(&[0, 1]), None);
        check(three, None, &[3], integers(&[0, 1, 0, 1, 0, 0]), Some(Task::Classify));
        check(three, sigmoid, &[3], integers(&[0, 1, 0, 1, 0, 0]), Some(Task::Multilabel));
        check(three, None, &[3], integers(&[0, 1, 1, 1, 0, 0]), Some(Task::Multilabel));
        check(three, None, &[3], reals(&[0.5, 1.0, 1.0]), Some(Task::Regress));
        check(map, None, &[1, 2], integers(&[0, 2]), Some(Task::Map));
        check(map, None, &[1, 2, 3], integers(&[0, 1, 0, 0, 0, 1]), Some(Task::Map));
        check(map, None, &[3, 1, 2], reals(&[0.5; 6]), Some(Task::Regress));
        check(map, None, &[], integers(&[1]), None);
        check(mask, sigmoid, &[1, 2], integers(&[0, 1]), Some(Task::Map));
        check(mask, None, &[1, 2], reals(&[0.3, 0.7]), Some(Task::Regress));
        check(mask, None, &[1, 2], integers(&[0, 255, 1, 0]), Some(Task::Map));
        check(map, sigmoid, &[3, 1, 2], integers(&[1, 1, 1, 0, 0, 0]), Some(Task::Multilabel));
        check(map, None, &[3, 1, 2], integers(&[0, 1, 1, 0, 0, 0]), Some(Task::Map));
        check(three, Some(Tail::Softmax), &[3], integers(&[0, 1, 1, 1, 0, 0]), Some(Task::Regress));
        check(three, Some(Tail::ArgMax), &[3], reals(&[0.5, 1.0, 1.0]), None);
        check(three, Some(Tail::ArgMax), &[3], reals(&[0.0, 1.0, 0.0]), Some(Task::Classify));
        check(map, Some(Tail::ArgMax), &[3, 1, 2], integers(&[0, 1, 1, 0, 0, 0]), Some(Task::Map));
        check(map, Some(Tail::ArgMax), &[3, 1, 2], integers(&[1; 6]), None);
    }

    #[test]
    fn answers_may_be_of_either_sign_and_have_an_offset() {
        let integers = |n: &[i64]| Numbers::Integers(n.to_vec());
        let (one, three, mask) = (Shape::vector(1), Shape::vector(3), Shape::new(1, 2, 1));
        let tanh = Some(Tail::Tanh);
        check(one, tanh, &[], integers(&[-1, 1]), Some(Task::Binary));
        check(one, None, &[], Numbers::Reals(vec![-1.0, 1.0]), Some(Task::Binary));
        check(one, tanh, &[], integers(&[-1, 0, 1]), Some(Task::Regress));
        check(three, tanh, &[3], integers(&[-1, 1, 1]), Some(Task::Multilabel));
        check(three, None, &[3], integers(&[-1, 1, -1]), Some(Task::Classify));
        check_with(-1, one, None, (&[], integers(&[1, 2])), Some(Task::Binary));
        check_with(-1, one, None, (&[], integers(&[0, 1])), None);
        check_with(-1, one, None, (&[], integers(&[0, 2])), Some(Task::Binary));
        check_with(1, one, None, (&[], integers(&[0, 1])), None);
        check_with(-1, three, Some(Tail::Sigmoid), (&[3], integers(&[1, 2, 2])), Some(Task::Multilabel));
        check_with(-1, mask, None, (&[1, 2], Numbers::Reals(vec![1.0, 255.0])), Some(Task::Map));
    }

    #[test]
    fn integers_of_two_values_are_asked_about() {
        let of = |asked, numbers: &[i64]| {
            let stored =
                StoredLabels { dims: Vec::new(), numbers: Numbers::Integers(numbers.to_vec()), of_classes: false };
            resolve(asked, (Some(&stored), 0), Shape::vector(1), None).map(|found| found.objective.task)
        };
        let error = of(None, &[2, 1, 2]).unwrap_err();
        assert!(error.contains("all of them 1 or 2") && error.contains("label_offset -1"), "{error}");
        assert!(of(None, &[i64::MIN, i64::MIN + 1]).unwrap_err().contains("label_offset 9223372036854775808"));
        assert_eq!(of(Some(Task::Regress), &[1, 2]), Ok(Task::Regress));
        assert_eq!((of(None, &[1, 3]), of(None, &[2, 2])), (Ok(Task::Regress), Ok(Task::Regress)));
    }

    #[test]
    fn folders_of_classes_are_no_values() {
        let of = |classes: &[i64]| {
            let stored = StoredLabels::classes(classes.to_vec());
            resolve(None, (Some(&stored), 0), Shape::vector(1), None).map(|found| found.objective.task)
        };
        assert_eq!(of(&[0, 1]), Ok(Task::Binary));
        assert!(of(&[0, 1, 2]).unwrap_err().contains("two classes, no and yes"));
    }

    #[test]
    fn as_many_labels_as_pixels_and_classes_are_asked_about() {
        let (shape, dims) = (Shape::new(1, 3, 3), [3]);
        let of = |numbers: &[i64]| {
            let stored =
                StoredLabels { dims: dims.to_vec(), numbers: Numbers::Integers(numbers.to_vec()), of_classes: false };
            resolve(None, (Some(&stored), 0), shape, None).map(|found| found.objective.task)
        };
        assert_eq!(of(&[0, 2, 1]), Ok(Task::Map));
        let error = of(&[0, 1, 0, 1, 0, 0]).unwrap_err();
        assert!(error.contains("a class for each of 3 pixels, or one of 3 classes"), "{error}");
        // An image of them cannot be meant for one class.
        let stored = StoredLabels { dims: vec![2, 2], numbers: Numbers::Integers(vec![0, 1, 0, 0]), of_classes: false };
        let found = resolve(None, (Some(&stored), 0), Shape::new(2, 2, 4), None);
        assert_eq!(found.map(|found| found.objective.task), Ok(Task::Map));
    }

    #[test]
    fn without_labels_it_is_fidelity_and_what_is_asked_for_is_taken() {
        let found = resolve(None, (None, 0), Shape::vector(3), None).unwrap();
        assert_eq!((found.objective.task, found.because.as_str()), (Task::Fidelity, "the data have no labels"));
        let found = resolve(Some(Task::Regress), (None, 0), Shape::vector(3), None).unwrap();
        assert_eq!(found.objective.task, Task::Regress);
        let refused = |task, shape, tail, words: &str| {
            let error = resolve(Some(task), (None, 0), shape, tail).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refused(Task::Binary, Shape::vector(3), None, "one output");
        refused(Task::Classify, Shape::vector(1), None, "several outputs");
        refused(Task::Classify, Shape::new(2, 2, 3), None, "map of 2 x 2 pixels");
        refused(Task::Multilabel, Shape::vector(3), Some(Tail::Softmax), "ends with Softmax");
        refused(Task::Regress, Shape::vector(3), Some(Tail::ArgMax), "gives a class");
        refused(
            Task::Binary,
            Shape::vector(1),
            Some(Tail::Softmax),
            "among one class, and the network ends with Softmax",
        );
    }
}
