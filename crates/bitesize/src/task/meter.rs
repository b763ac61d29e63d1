//! Answers against labels, added up batch after batch.

use super::form::highest;
use super::kind::Task;
use super::labels::{Labels, UNLABELLED};
use super::metric::Metric;
use super::objective::Objective;
use super::variation::Variation;

/// Figures over some samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Samples with labels.
    pub samples: usize,
    /// Each figure; `None` where the labels do not determine it.
    pub values: Vec<(Metric, Option<f64>)>,
    /// Each figure of each output, where values of several outputs are measured.
    pub by_output: Vec<(Metric, Vec<Option<f64>>)>,
    /// What answering the commonest to everything reaches, where the first figure is a share.
    pub chance: Option<f64>,
}

impl Measured {
    /// The figure that counts above all.
    pub fn first(&self) -> Option<(Metric, f64)> {
        self.values.first().and_then(|(metric, value)| Some((*metric, (*value)?)))
    }

    /// The share of right answers, where there is one.
    pub fn fraction(&self) -> Option<f64> {
        self.first().filter(|(metric, _)| metric.is_fraction()).map(|(_, value)| value)
    }

    /// The figure `metric` of each output, where there are several of values.
    pub fn of_each(&self, metric: Metric) -> Option<&[Option<f64>]> {
        self.by_output.iter().find(|(other, _)| *other == metric).map(|(_, values)| values.as_slice())
    }

    /// The figure `metric`.
    pub fn of(&self, metric: Metric) -> Option<f64> {
        self.values.iter().find(|(other, _)| *other == metric).and_then(|(_, value)| *value)
    }
}

/// Adds up answers, batch after batch.
#[derive(Clone, Debug)]
pub struct Meter {
    objective: Objective,
    samples: usize,
    right: usize,
    counted: usize,
    /// By output: score and label of every sample, for the AUC.
    scores: Vec<Vec<(f32, bool)>>,
    /// By output.
    errors: Vec<Errors>,
    /// By class: samples or pixels of it; pixels classified so, both.
    classes: Vec<[usize; 3]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    absolute: f64,
    squared: f64,
    labels: Variation,
}

impl Meter {
    /// Of nothing yet.
    pub fn new(objective: Objective) -> Self {
        let row = objective.row();
        let of = |task: &[Task], count: usize| if task.contains(&objective.task) { count } else { 0 };
        Self {
            objective,
            samples: 0,
            right: 0,
            counted: 0,
            scores: vec![Vec::new(); of(&[Task::Binary, Task::Multilabel], row)],
            errors: vec![Errors::default(); of(&[Task::Regress], row)],
            classes: vec![[0; 3]; of(&[Task::Classify, Task::Map], row.max(2))],
        }
    }

    /// Adds samples: `outputs` are `[sample][pixel][channel]`, the tail applied where the task is about values.
    pub fn add(&mut self, outputs: &[f64], labels: &Labels) {
        let row = self.objective.row();
        let samples = outputs.len() / self.objective.shape.elements();
        match labels {
            Labels::None(_) => return,
            Labels::Classes(classes) => {
                self.counted += samples;
                let rows = outputs.chunks_exact(row).zip(classes);
                self.right += rows.filter(|(row, class)| highest(row) == **class).count();
                classes.iter().for_each(|class| self.classes[*class][0] += 1);
            }
            Labels::Flags { flags, .. } => {
                for (i, (output, flag)) in outputs.iter().zip(flags).enumerate() {
                    self.counted += 1;
                    self.right += usize::from((*output > 0.0) == *flag);
                    self.scores[i % row].push((*output as f32, *flag));
                }
            }
            Labels::Values { values, .. } => {
                for (i, (output, value)) in outputs.iter().zip(values).enumerate() {
                    self.errors[i % row].add(*output, f64::from(*value));
                }
            }
            Labels::Pixels { classes, .. } => {
                let labelled = outputs.chunks_exact(row).zip(classes).filter(|(_, class)| **class != UNLABELLED);
                for (outputs, class) in labelled {
                    let own = if row == 1 { usize::from(outputs[0] > 0.0) } else { highest(outputs) };
                    self.counted += 1;
                    self.classes[*class as usize][0] += 1;
                    self.classes[own][1] += 1;
                    if own == *class as usize {
                        self.right += 1;
                        self.classes[own][2] += 1;
                    }
                }
            }
        }
        self.samples += samples;
    }

    /// What was found; `None` without labels.
    pub fn finish(self) -> Option<Measured> {
        if self.samples == 0 {
            return None;
        }
        let values = self.objective.metrics().iter().map(|metric| (*metric, self.of(*metric))).collect();
        Some(Measured { samples: self.samples, values, by_output: self.by_output(), chance: self.chance() })
    }

    /// Outputs may be of different units, in which one error over all of them says little.
    fn by_output(&self) -> Vec<(Metric, Vec<Option<f64>>)> {
        if self.errors.len() < 2 {
            return Vec::new();
        }
        let of = |metric: &Metric| (*metric, self.errors.iter().map(|errors| errors.figure(*metric)).collect());
        self.objective.metrics().iter().map(of).collect()
    }

    fn of(&self, metric: Metric) -> Option<f64> {
        let outputs = self.errors.iter().filter(|errors| errors.labels.count() > 0.0);
        let count: f64 = outputs.clone().map(|errors| errors.labels.count()).sum();
        match metric {
            Metric::Top1 | Metric::Accuracy | Metric::PixelAccuracy => {
                (self.counted > 0).then(|| self.right as f64 / self.counted as f64)
            }
            Metric::Auc => mean(self.scores.iter().filter_map(|scores| auc(scores))),
            Metric::Mae => (count > 0.0).then(|| outputs.map(|errors| errors.absolute).sum::<f64>() / count),
            Metric::Rmse => (count > 0.0).then(|| (outputs.map(|errors| errors.squared).sum::<f64>() / count).sqrt()),
            Metric::R2 => mean(outputs.filter_map(|errors| errors.r2())),
            Metric::MeanIou => {
                let of = |[labelled, own, both]: &[usize; 3]| {
                    let union = labelled + own - both;
                    (*labelled > 0).then(|| *both as f64 / union as f64)
                };
                mean(self.classes.iter().filter_map(of))
            }
        }
    }

    fn chance(&self) -> Option<f64> {
        match self.objective.task {
            Task::Classify => {
                let most = self.classes.iter().map(|[labelled, ..]| *labelled).max()?;
                let others = self.counted.saturating_sub(1);
                // Told by the other samples: among few samples of many classes some class is there twice by chance.
                let share = if others == 0 { 0.0 } else { most.saturating_sub(1) as f64 / others as f64 };
                Some(share.max(1.0 / self.objective.row() as f64))
            }
            Task::Binary | Task::Multilabel => {
                mean(self.scores.iter().filter(|scores| !scores.is_empty()).map(|scores| {
                    let share = scores.iter().filter(|(_, flag)| *flag).count() as f64 / scores.len() as f64;
                    share.max(1.0 - share)
                }))
            }
            Task::Map => {
                let most = self.classes.iter().map(|[labelled, ..]| *labelled).max()?;
                (self.counted > 0).then(|| most as f64 / self.counted as f64)
            }
            Task::Regress | Task::Fidelity => None,
        }
    }
}

impl Errors {
    fn add(&mut self, output: f64, value: f64) {
        let error = output - value;
        self.absolute += error.abs();
        self.squared += error * error;
        self.labels.add(value);
    }

    /// The figure `metric` of this output; `None` for what is none of values, or where the labels do not determine it.
    fn figure(&self, metric: Metric) -> Option<f64> {
        let count = Some(self.labels.count()).filter(|count| *count > 0.0)?;
        match metric {
            Metric::Rmse => Some((self.squared / count).sqrt()),
            Metric::Mae => Some(self.absolute / count),
            Metric::R2 => self.r2(),
            _ => None,
        }
    }

    /// `None` where the labels do not vary.
    fn r2(&self) -> Option<f64> {
        self.labels.variance().map(|variance| 1.0 - self.squared / self.labels.count() / variance)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// By ranks (Mann and Whitney's U), equal scores sharing theirs; `None` where all samples have the label, or none.
fn auc(scores: &[(f32, bool)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let with = sorted.iter().filter(|(_, flag)| *flag).count() as f64;
    let without = sorted.len() as f64 - with;
    if with == 0.0 || without == 0.0 {
        return None;
    }
    let (mut ranks, mut start) = (0.0, 0);
    while start < sorted.len() {
        let equal = sorted[start..].iter().take_while(|(score, _)| *score == sorted[start].0).count().max(1);
        let rank = start as f64 + (equal as f64 + 1.0) / 2.0;
        ranks += rank * sorted[start..start + equal].iter().filter(|(_, flag)| *flag).count() as f64;
        start += equal;
    }
    Some((ranks - with * (with + 1.0) / 2.0) / (with * without))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::Shape;

    fn measured(task: Task, shape: Shape, outputs: &[f64], labels: &Labels) -> Measured {
        let mut meter = Meter::new(Objective { task, shape, tail: None });
        // In two batches.
        let (n, samples) = (shape.elements(), outputs.len() / shape.elements());
        meter.add(&outputs[..n], &labels.slice(0..1));
        meter.add(&outputs[n..], &labels.slice(1..samples));
        meter.finish().unwrap()
    }

    fn check(found: &Measured, expected: &[(Metric, f64)]) {
        for (metric, value) in expected {
            let found = found.of(*metric);
            assert!(found.is_some_and(|found| (found - value).abs() < 1e-12), "{metric:?}: {found:?}, not {value}");
        }
    }

    #[test]
    fn figures_of_each_task() {
        let found =
            measured(Task::Classify, Shape::vector(3), &[0.0, 2.0, 1.0, 5.0, 5.0, 0.0], &Labels::Classes(vec![1, 1]));
        // Of equal outputs the first is the class.
        check(&found, &[(Metric::Top1, 0.5)]);
        assert_eq!((found.samples, found.chance), (2, Some(1.0)));
        // The commonest class is so by the samples beside each: 2 of 3, and where all differ it is one of the three.
        let chance = |classes: &[usize]| {
            let outputs = vec![0.0; 3 * classes.len()];
            measured(Task::Classify, Shape::vector(3), &outputs, &Labels::Classes(classes.to_vec())).chance
        };
        assert_eq!(chance(&[2, 2, 0, 2]), Some(2.0 / 3.0));
        assert_eq!(chance(&[0, 1, 2]), Some(1.0 / 3.0));
        assert!(found.by_output.is_empty());

        let flags = |each, flags: &[bool]| Labels::Flags { each, flags: flags.to_vec() };
        let labels = flags(1, &[true, false, true, false]);
        let found = measured(Task::Binary, Shape::vector(1), &[2.0, -1.0, -3.0, -3.0], &labels);
        // Pairs: 2 > -1, 2 > -3, -3 < -1, -3 = -3.
        check(&found, &[(Metric::Accuracy, 0.75), (Metric::Auc, 2.5 / 4.0)]);
        assert_eq!(found.chance, Some(0.5));
        let one_sided = measured(Task::Binary, Shape::vector(1), &[1.0, 2.0], &flags(1, &[true, true]));
        assert_eq!(one_sided.of(Metric::Auc), None);

        let labels = Labels::Values { each: 2, values: vec![1.0, 10.0, 3.0, 30.0] };
        let found = measured(Task::Regress, Shape::vector(2), &[2.0, 10.0, 3.0, 28.0], &labels);
        check(&found, &[(Metric::Mae, 0.75), (Metric::Rmse, (5.0f64 / 4.0).sqrt())]);
        check(&found, &[(Metric::R2, (0.5 + (1.0 - 4.0 / 200.0)) / 2.0)]);
        let by_output = |metric, values: [f64; 2]| (metric, values.map(Some).to_vec());
        let of_each = [by_output(Metric::Rmse, [0.5f64.sqrt(), 2f64.sqrt()]), by_output(Metric::Mae, [0.5, 1.0])];
        assert_eq!(found.by_output[..2], of_each);
        assert_eq!(found.by_output[2], by_output(Metric::R2, [0.5, 1.0 - 4.0 / 200.0]));

        // 1x2 pixels of 2 classes: right, wrong; unlabelled, right.
        let labels = Labels::Pixels { each: 2, classes: vec![0, 1, UNLABELLED, 0] };
        let outputs = [1.0, 0.0, 1.0, 0.0, 9.0, 0.0, 1.0, 0.0];
        let found = measured(Task::Map, Shape::new(1, 2, 2), &outputs, &labels);
        check(&found, &[(Metric::PixelAccuracy, 2.0 / 3.0), (Metric::MeanIou, (2.0 / 3.0 + 0.0) / 2.0)]);
        assert_eq!(found.chance, Some(2.0 / 3.0));
        // One channel says yes or no.
        let found = measured(Task::Map, Shape::new(1, 2, 1), &[1.0, 1.0, -1.0, -1.0], &labels);
        check(&found, &[(Metric::PixelAccuracy, 2.0 / 3.0)]);
    }
}
