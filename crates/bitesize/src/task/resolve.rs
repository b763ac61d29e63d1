//! Which task a network and its labels are of.

use super::kind::Task;
use super::labels::describe;
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
/// labels of all data, `stored`, say.
///
/// # Errors
/// A sentence that says what is wrong with labels that no task takes.
pub(crate) fn resolve(
    asked: Option<Task>,
    stored: &[&StoredLabels],
    shape: Shape,
    tail: Option<Tail>,
) -> Result<Resolved, String> {
    let (task, because) = match (asked, stored) {
        (Some(task), _) => (task, "it is asked for".to_owned()),
        (None, []) => (Task::Fidelity, "the data have no labels".to_owned()),
        (None, [first, ..]) => {
            let task = of_labels(first, stored, shape, tail).ok_or_else(|| no_task(first, shape))?;
            let tail = tail.map_or(String::new(), |tail| format!(", and the network ends with {tail}"));
            (task, format!("labels are {}{tail}", describe(first)))
        }
    };
    if task == Task::Binary && shape.elements() != 1 {
        return Err(format!("the task `binary` takes a network of one output, and this one has {}", shape.elements()));
    }
    Ok(Resolved { objective: Objective { task, shape, tail }, because })
}

/// By the shape of the `first` labels, and what `all` of them are.
fn of_labels(first: &StoredLabels, all: &[&StoredLabels], shape: Shape, tail: Option<Tail>) -> Option<Task> {
    let (each, outputs, pixels) = (first.each(), shape.elements(), shape.pixels());
    let are_flags = all.iter().all(|labels| labels.are_flags());
    let are_integers = all.iter().all(|labels| labels.integers().is_some());
    let is_map = pixels > 1;
    if outputs == 1 {
        return (each == 1).then_some(if are_flags { Task::Binary } else { Task::Regress });
    }
    if each == 1 {
        return (!is_map && are_integers).then_some(Task::Classify);
    }
    if is_map && each == pixels && (are_integers && !is_regressed(first, shape, tail, are_flags)) {
        return Some(Task::Map);
    }
    if each != outputs {
        return None;
    }
    let one_hot = all.iter().all(|labels| labels.are_one_hot(outputs));
    Some(match (is_map, tail) {
        (false, Some(Tail::Sigmoid)) if are_flags => Task::Multilabel,
        (false, _) if one_hot => Task::Classify,
        (false, _) if are_flags => Task::Multilabel,
        (true, _) if are_flags && shape.c > 1 => Task::Map,
        _ => Task::Regress,
    })
}

/// Whether a map of one channel is of values: real ones that are not all 0 or 1.
fn is_regressed(first: &StoredLabels, shape: Shape, tail: Option<Tail>, are_flags: bool) -> bool {
    let is_real = matches!(first.numbers, Numbers::Reals(_));
    shape.c == 1 && !are_flags && (is_real || tail != Some(Tail::Sigmoid))
}

fn no_task(stored: &StoredLabels, shape: Shape) -> String {
    let Shape { h, w, c } = shape;
    let outputs = shape.elements();
    let would_do = match (outputs, shape.pixels()) {
        (1, _) => "one number a sample, (N,)".to_owned(),
        (_, 1) => format!("a class a sample, (N,), or a number for each output, (N, {outputs})"),
        _ => format!("a class for each pixel, (N, {h}, {w}), or a number for each output, (N, {h}, {w}, {c})"),
    };
    format!(
        "its labels are {}, and the network has an output of {h} x {w} pixels and {c} channels: {would_do}, would do; with \
         --task fidelity no label is looked at",
        describe(stored)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, tail: Option<Tail>, dims: &[usize], numbers: Numbers, expected: Option<Task>) {
        let stored = StoredLabels { dims: dims.to_vec(), numbers };
        let found = resolve(None, &[&stored], shape, tail);
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
    }

    #[test]
    fn without_labels_it_is_fidelity_and_what_is_asked_for_is_taken() {
        let found = resolve(None, &[], Shape::vector(3), None).unwrap();
        assert_eq!((found.objective.task, found.because.as_str()), (Task::Fidelity, "the data have no labels"));
        let found = resolve(Some(Task::Regress), &[], Shape::vector(3), None).unwrap();
        assert_eq!(found.objective.task, Task::Regress);
        assert!(resolve(Some(Task::Binary), &[], Shape::vector(3), None).unwrap_err().contains("one output"));
    }
}
