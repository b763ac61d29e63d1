//! What networks are judged by: a task, and the output that it is about.

use super::form::{Form, log_softmax};
use super::kind::Task;
use super::metric::Metric;
use bitesize_ir::{Shape, Tail};

/// A task of a network with an output of a certain shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective {
    /// What the network is for.
    pub task: Task,
    /// Shape of its output.
    pub shape: Shape,
    /// The function that was left out behind the output.
    pub tail: Option<Tail>,
}

impl Objective {
    /// How outputs are compared with the float network's.
    pub fn form(&self) -> Form {
        match self.task {
            Task::Classify => Form::Softmax,
            Task::Binary | Task::Multilabel => Form::Sigmoid,
            Task::Regress => Form::Real,
            Task::Map if self.shape.c > 1 => Form::Softmax,
            Task::Map => Form::Sigmoid,
            Task::Fidelity => match self.tail {
                // Of one output a softmax says nothing.
                Some(Tail::Softmax | Tail::LogSoftmax | Tail::ArgMax) if self.shape.c > 1 => Form::Softmax,
                Some(Tail::Sigmoid) => Form::Sigmoid,
                _ => Form::Real,
            },
        }
    }

    /// How many outputs are compared with one another: all where the network classifies, else the channels of a pixel.
    pub fn row(&self) -> usize {
        match self.task {
            Task::Classify => self.shape.elements(),
            _ => self.shape.c,
        }
    }

    /// Puts the tail behind outputs, `[row][channel]`, where the task is about values and not about their order. What goes into a
    /// Tanh that says yes or no becomes a logit: classes are -1 and 1, and (1 + tanh(x)) / 2 is the probability that has the
    /// logit 2 x.
    pub fn apply_tail(&self, outputs: &mut [f64]) {
        match self.tail {
            Some(Tail::Tanh) if self.form() == Form::Sigmoid => outputs.iter_mut().for_each(|x| *x *= 2.0),
            _ if self.form() != Form::Real => {}
            Some(Tail::Sigmoid) => outputs.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Some(Tail::Tanh) => outputs.iter_mut().for_each(|x| *x = x.tanh()),
            Some(Tail::Softmax | Tail::LogSoftmax) if self.row() > 1 => {
                for row in outputs.chunks_exact_mut(self.row()) {
                    log_softmax(row);
                    if self.tail == Some(Tail::Softmax) {
                        row.iter_mut().for_each(|x| *x = x.exp());
                    }
                }
            }
            _ => {}
        }
    }

    /// The loss of a network that answers the same to everything.
    pub fn loss_of_knowing_nothing(&self) -> f64 {
        match self.form() {
            Form::Softmax => (self.row() as f64).ln(),
            Form::Sigmoid => self.row() as f64 * std::f64::consts::LN_2,
            Form::Real => 1.0,
        }
    }

    /// The share of right answers that is told first; `None` where a task has none.
    pub fn fraction(&self) -> Option<Metric> {
        self.metrics().first().copied().filter(|metric| metric.is_fraction())
    }

    /// What is measured against labels, the first above all.
    pub fn metrics(&self) -> &'static [Metric] {
        match self.task {
            Task::Classify => &[Metric::Top1],
            Task::Binary | Task::Multilabel => &[Metric::Accuracy, Metric::Auc],
            Task::Regress => &[Metric::Rmse, Metric::Mae, Metric::R2],
            Task::Map => &[Metric::PixelAccuracy, Metric::MeanIou],
            Task::Fidelity => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_put_behind_what_is_about_values() {
        let check = |task, tail, expected: f64| {
            let mut outputs = [0.5];
            Objective { task, shape: Shape::vector(1), tail: Some(tail) }.apply_tail(&mut outputs);
            assert!((outputs[0] - expected).abs() < 1e-12, "{task} {tail}: {outputs:?}");
        };
        check(Task::Regress, Tail::Tanh, 0.5f64.tanh());
        check(Task::Regress, Tail::Sigmoid, 1.0 / (1.0 + (-0.5f64).exp()));
        check(Task::Binary, Tail::Sigmoid, 0.5);
        // The logit of (1 + tanh(0.5)) / 2.
        let probability = f64::midpoint(1.0, 0.5f64.tanh());
        check(Task::Binary, Tail::Tanh, (probability / (1.0 - probability)).ln());
    }
}
