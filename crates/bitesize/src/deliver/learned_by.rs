//! What a network is learned by, where no label says it.

use crate::task::{Form, Objective};
use bitesize_ir::Tail;
use bitesize_train::{Objective as LearnedBy, ReconstructSettings};

/// What the output of the whole network is held against, where `objective` judges it.
pub(super) fn learned_by(objective: &Objective) -> LearnedBy {
    let temperature = ReconstructSettings::TEMPERATURE;
    match objective.form() {
        Form::Softmax if objective.row() == objective.shape.elements() => LearnedBy::Distillation { temperature },
        Form::Softmax => LearnedBy::PixelDistillation { temperature },
        Form::Sigmoid => LearnedBy::Outcomes { factor: if objective.tail == Some(Tail::Tanh) { 2.0 } else { 1.0 } },
        Form::Real => LearnedBy::VarianceError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;
    use bitesize_ir::Shape;

    #[test]
    fn the_network_is_learned_by_what_it_is_judged_by() {
        let check = |task, shape, tail, expected: LearnedBy| {
            assert_eq!(learned_by(&Objective { task, shape, tail }), expected, "{task}");
        };
        let temperature = ReconstructSettings::TEMPERATURE;
        let (classes, map) = (Shape::vector(10), Shape::new(4, 4, 3));
        check(Task::Classify, classes, Some(Tail::Softmax), LearnedBy::Distillation { temperature });
        // A map that is one class of all its outputs.
        check(Task::Classify, map, None, LearnedBy::Distillation { temperature });
        check(Task::Map, map, Some(Tail::Softmax), LearnedBy::PixelDistillation { temperature });
        check(Task::Map, Shape::new(4, 4, 1), Some(Tail::Sigmoid), LearnedBy::Outcomes { factor: 1.0 });
        check(Task::Binary, Shape::vector(1), Some(Tail::Tanh), LearnedBy::Outcomes { factor: 2.0 });
        check(Task::Multilabel, classes, None, LearnedBy::Outcomes { factor: 1.0 });
        check(Task::Regress, classes, None, LearnedBy::VarianceError);
        check(Task::Fidelity, classes, None, LearnedBy::VarianceError);
        check(Task::Fidelity, map, Some(Tail::Sigmoid), LearnedBy::Outcomes { factor: 1.0 });
        check(Task::Fidelity, classes, Some(Tail::Softmax), LearnedBy::Distillation { temperature });
    }
}
