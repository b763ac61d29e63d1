//! How far outputs are from the float network's. No label is used.

use super::form::{Form, highest, log_softmax};
use super::objective::Objective;
use super::variation::Variation;

/// Kullback-Leibler divergence of the softmax of `own` from that of `float`, in nats; the two others are overwritten.
fn softmax_divergence(float: &[f64], own: &[f64], [p, q]: &mut [Vec<f64>; 2]) -> f64 {
    p.copy_from_slice(float);
    q.copy_from_slice(own);
    log_softmax(p);
    log_softmax(q);
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - *q)).sum()
}

/// `ln(1 / (1 + exp(-x)))`, exact also where the exponential overflows.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// Kullback-Leibler divergence of the outcome with logit `own` from that with logit `float`, in nats.
fn sigmoid_divergence(float: f64, own: f64) -> f64 {
    let (p, not_p) = (log_sigmoid(float), log_sigmoid(-float));
    p.exp() * (p - log_sigmoid(own)) + not_p.exp() * (not_p - log_sigmoid(-own))
}

/// What a channel's squared errors are divided by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread(Vec<f64>);

/// Finds the spread of the float network's outputs, batch after batch.
#[derive(Clone, Debug)]
pub struct SpreadOf(Vec<Variation>);

impl SpreadOf {
    /// Of nothing yet.
    pub fn new(objective: &Objective) -> Self {
        Self(vec![Variation::default(); objective.row()])
    }

    /// Adds outputs, `[sample][pixel][channel]`, the tail applied.
    pub fn add(&mut self, outputs: &[f64]) {
        for row in outputs.chunks_exact(self.0.len()) {
            self.0.iter_mut().zip(row).for_each(|(channel, x)| channel.add(*x));
        }
    }

    /// What was found: a channel that does not vary has its mean square instead, and one that is always 0 has 1.
    pub fn finish(self) -> Spread {
        let of = |channel: &Variation| {
            let mean_square = channel.mean_square();
            channel.variance().unwrap_or(if mean_square > 0.0 { mean_square } else { 1.0 })
        };
        Spread(self.0.iter().map(of).collect())
    }
}

/// The loss of some samples, added up over them: `own` against `float`, both `[sample][pixel][channel]`, tails applied.
pub fn total(objective: &Objective, spread: &Spread, float: &[f64], own: &[f64]) -> f64 {
    let row = objective.row();
    let rows = float.chunks_exact(row).zip(own.chunks_exact(row));
    let rows_a_sample = (objective.shape.elements() / row) as f64;
    let sum: f64 = match objective.form() {
        Form::Softmax => {
            let mut logarithms = [vec![0.0; row], vec![0.0; row]];
            rows.map(|(float, own)| softmax_divergence(float, own, &mut logarithms)).sum()
        }
        Form::Sigmoid => float.iter().zip(own).map(|(float, own)| sigmoid_divergence(*float, *own)).sum(),
        Form::Real => {
            let of_row = |(float, own): (&[f64], &[f64])| {
                let errors = float.iter().zip(own).zip(&spread.0);
                errors.map(|((float, own), spread)| (float - own).powi(2) / spread).sum::<f64>() / row as f64
            };
            rows.map(of_row).sum()
        }
    };
    sum / rows_a_sample
}

/// How near a network comes to the float network on some samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Fidelity {
    /// Samples that were compared.
    pub samples: usize,
    /// The loss of the objective's form, mean over samples.
    pub loss: f64,
    /// Share of the pixels with the same highest output, or of the logits with the same sign; `None` for values.
    pub agreement: Option<f64>,
    /// Root mean square of the differences, in the units of the output; `None` but for values.
    pub rmse: Option<f64>,
    /// The same of each output; empty but for values of several.
    pub rmse_by_output: Vec<f64>,
}

/// Compares a network with the float network, batch after batch.
#[derive(Clone, Debug)]
pub struct Comparison {
    objective: Objective,
    samples: usize,
    /// Losses of all but values.
    loss: f64,
    agreeing: usize,
    compared: usize,
    float: SpreadOf,
    /// Squared errors, by channel.
    errors: Vec<f64>,
    /// Pixels that they are of.
    pixels: usize,
}

impl Comparison {
    /// Of nothing yet.
    pub fn new(objective: Objective) -> Self {
        let (float, errors) = (SpreadOf::new(&objective), vec![0.0; objective.row()]);
        Self { objective, samples: 0, loss: 0.0, agreeing: 0, compared: 0, float, errors, pixels: 0 }
    }

    /// Adds samples: both outputs `[sample][pixel][channel]`, tails applied.
    pub fn add(&mut self, float: &[f64], own: &[f64]) {
        let row = self.objective.row();
        self.samples += float.len() / self.objective.shape.elements();
        let rows = || float.chunks_exact(row).zip(own.chunks_exact(row));
        match self.objective.form() {
            Form::Softmax => {
                self.loss += total(&self.objective, &Spread::default(), float, own);
                self.compared += float.len() / row;
                self.agreeing += rows().filter(|(float, own)| highest(float) == highest(own)).count();
            }
            Form::Sigmoid => {
                self.loss += total(&self.objective, &Spread::default(), float, own);
                self.compared += float.len();
                self.agreeing += float.iter().zip(own).filter(|(float, own)| (**float > 0.0) == (**own > 0.0)).count();
            }
            Form::Real => {
                self.float.add(float);
                self.pixels += float.len() / row;
                for (float, own) in rows() {
                    for (error, (float, own)) in self.errors.iter_mut().zip(float.iter().zip(own)) {
                        *error += (float - own).powi(2);
                    }
                }
            }
        }
    }

    /// What was found.
    pub fn finish(self) -> Fidelity {
        let samples = self.samples.max(1) as f64;
        let (mut loss, mut agreement, mut rmse) = (self.loss / samples, None, None);
        let mut rmse_by_output = Vec::new();
        if self.objective.form() == Form::Real {
            let count = self.pixels.max(1) as f64;
            let Spread(spread) = self.float.finish();
            let shares = self.errors.iter().zip(&spread).map(|(error, spread)| error / count / spread);
            loss = shares.sum::<f64>() / self.errors.len() as f64;
            rmse = Some((self.errors.iter().sum::<f64>() / count / self.errors.len() as f64).sqrt());
            if self.errors.len() > 1 {
                rmse_by_output = self.errors.iter().map(|error| (error / count).sqrt()).collect();
            }
        } else {
            agreement = Some(self.agreeing as f64 / self.compared.max(1) as f64);
        }
        Fidelity { samples: self.samples, loss: loss.max(0.0), agreement, rmse, rmse_by_output }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Task;
    use super::*;
    use bitesize_ir::Shape;

    fn objective(task: Task, shape: Shape) -> Objective {
        Objective { task, shape, tail: None }
    }

    fn loss(objective: &Objective, float: &[f64], own: &[f64]) -> f64 {
        let mut spread = SpreadOf::new(objective);
        spread.add(float);
        total(objective, &spread.finish(), float, own)
    }

    #[test]
    fn divergence_of_distributions() {
        let classes = objective(Task::Classify, Shape::vector(3));
        let float = [0.0, 1.0, -2.0];
        assert!(loss(&classes, &float, &float).abs() < 1e-12);
        // Shifting all outputs alike changes no probability.
        assert!(loss(&classes, &float, &[5.0, 6.0, 3.0]).abs() < 1e-12);
        let own = [0.0, 0.5, -2.0];
        let softmax = |row: &[f64]| -> Vec<f64> {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x.exp() / sum).collect()
        };
        let (p, q) = (softmax(&float), softmax(&own));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        assert!((loss(&classes, &float, &own) - expected).abs() < 1e-12 && expected > 0.0);
        // At each pixel of a map, and their mean.
        let map = objective(Task::Map, Shape::new(1, 2, 3));
        let (float, own) = ([0.0, 1.0, -2.0, 3.0, 3.0, 3.0], [0.0, 0.5, -2.0, 3.0, 3.0, 3.0]);
        assert!((loss(&map, &float, &own) - expected / 2.0).abs() < 1e-12);
    }

    #[test]
    fn divergence_of_outcomes_is_a_sum_over_outputs() {
        let two = objective(Task::Multilabel, Shape::vector(2));
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (p, q) = (sigmoid(1.0), sigmoid(-0.5));
        let expected = p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln();
        assert!((loss(&two, &[1.0, 3.0], &[-0.5, 3.0]) - expected).abs() < 1e-12);
        assert!((loss(&two, &[1.0, 1.0], &[-0.5, -0.5]) - 2.0 * expected).abs() < 1e-12);
        // Far out nothing overflows, and a wrong sign costs as much as it is sure.
        assert!((loss(&two, &[800.0, 0.0], &[-900.0, 0.0]) - 900.0).abs() < 1e-6);
    }

    #[test]
    fn squared_error_counts_by_a_channel_s_own_variance() {
        let two = objective(Task::Regress, Shape::vector(2));
        // Variances 1 and 10^6.
        let float = [-1.0, -1000.0, 1.0, 1000.0];
        let off = loss(&two, &float, &[-1.0 + 0.1, -1000.0, 1.0, 1000.0]);
        assert!((off - 0.01 / 2.0).abs() < 1e-12, "{off}");
        assert!((loss(&two, &float, &[-1.0, -1100.0, 1.0, 1000.0]) - 0.01 / 2.0).abs() < 1e-12);
        // The mean alone knows nothing.
        let nothing = loss(&two, &float, &[0.0; 4]) / 2.0;
        assert!((nothing - two.loss_of_knowing_nothing()).abs() < 1e-12);
        let mut comparison = Comparison::new(two);
        comparison.add(&float[..2], &[0.0; 2]);
        comparison.add(&float[2..], &[0.0; 2]);
        let found = comparison.finish();
        assert!((found.loss - 1.0).abs() < 1e-12 && found.agreement.is_none() && found.samples == 2);
        assert!((found.rmse.unwrap() - (500_000.5f64).sqrt()).abs() < 1e-9);
        assert_eq!(found.rmse_by_output, [1.0, 1000.0]);
        // A large mean hides nothing.
        let far = [101_325.0, 0.0, 101_327.0, 2.0];
        let off = loss(&two, &far, &[101_325.5, 0.0, 101_327.0, 2.0]);
        assert!((off - 0.25 / 2.0).abs() < 1e-9, "{off}");
        // Channels that never change are measured by their size.
        let constant = [5.0, 0.0, 5.0, 0.0];
        assert!((loss(&two, &constant, &[5.5, 0.0, 5.0, 0.0]) - 0.01 / 2.0).abs() < 1e-12);
    }
}
