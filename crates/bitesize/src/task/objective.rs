//! What a network is for, and what follows from that for its output.

use super::figure::Metric;
use super::form::{Form, log_softmax};
use bitesize_ir::{Shape, Tail};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes, the highest output.
    Classify,
    /// Yes or no: one output, a logit.
    Binary,
    /// Yes or no, several times over: a logit each.
    Multilabel,
    /// Real values; an autoencoder's reconstruction too.
    Regress,
    /// A class for each pixel.
    Map,
    /// Whatever it is: as near to the float network as can be.
    Fidelity,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 6] =
        [Self::Classify, Self::Binary, Self::Multilabel, Self::Regress, Self::Map, Self::Fidelity];

    /// The name given to `--task`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Binary => "binary",
            Self::Multilabel => "multilabel",
            Self::Regress => "regress",
            Self::Map => "map",
            Self::Fidelity => "fidelity",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is none of auto, {names}")
        })
    }
}

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
                Some(Tail::Softmax | Tail::LogSoftmax | Tail::ArgMax) => Form::Softmax,
                Some(Tail::Sigmoid) => Form::Sigmoid,
                Some(Tail::Tanh) | None => Form::Real,
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

    /// Puts the tail behind outputs, `[row][channel]`, where the task is about values and not about their order.
    pub fn apply_tail(&self, outputs: &mut [f64]) {
        if self.form() != Form::Real {
            return;
        }
        match self.tail {
            Some(Tail::Sigmoid) => outputs.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Some(Tail::Tanh) => outputs.iter_mut().for_each(|x| *x = x.tanh()),
            Some(Tail::Softmax | Tail::LogSoftmax) => {
                for row in outputs.chunks_exact_mut(self.row()) {
                    log_softmax(row);
                    if self.tail == Some(Tail::Softmax) {
                        row.iter_mut().for_each(|x| *x = x.exp());
                    }
                }
            }
            Some(Tail::ArgMax) | None => {}
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
