//! What labels say of outputs, with gradients.

use super::settings::LabelLoss;
use crate::engine::{binary_divergence, square_error};
use std::ops::Range;

/// The labels of some samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// None.
    None,
    /// A class for each row of outputs that exclude one another, `[sample][row]`; `None` where a row counts nowhere.
    Classes(Vec<Option<usize>>),
    /// A value for each output, `[sample][output]`; of yes and no 1 and 0. NaN where it is not known, which counts nowhere.
    Values(Vec<f32>),
}

impl Targets {
    /// Whether there are labels.
    pub fn are_there(&self) -> bool {
        *self != Self::None
    }

    /// The loss of `values`, the outputs of `samples` samples: a mean over them; `None` where there are no labels.
    pub fn loss(&self, by: &LabelLoss, values: &[f32], samples: usize) -> Option<f64> {
        let mut gradient = vec![0.0; values.len()];
        self.are_there().then(|| self.add(by, (values, 0..samples), 1.0 / samples.max(1) as f64, &mut gradient))
    }

    /// The loss of `values`, the outputs of the samples `range`, each counted by `weight`; the gradient is added to
    /// `gradient`.
    pub(crate) fn add(
        &self,
        by: &LabelLoss,
        (values, range): (&[f32], Range<usize>),
        weight: f64,
        gradient: &mut [f32],
    ) -> f64 {
        let each = values.len() / range.len().max(1);
        match (self, *by) {
            (Self::Classes(all), LabelLoss::CrossEntropy { classes, smoothing }) => {
                let rows = each / classes;
                let labels = &all[range.start * rows..range.end * rows];
                let rows_of_all = values.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes));
                let mut loss = 0.0;
                for ((values, gradient), label) in rows_of_all.zip(labels) {
                    let Some(label) = label else { continue };
                    loss += cross_entropy(values, (*label, smoothing), weight / rows as f64, gradient);
                }
                loss
            }
            (Self::Values(all), LabelLoss::Binary { factor }) => {
                // As the logits of outcomes that are as good as certain.
                let logit = |flag: f32| if flag > 0.5 { 40.0 } else { -40.0 } / factor as f32;
                let flags = &all[range.start * each..range.end * each];
                of_known(flags, values, gradient, |flag, value, gradient| {
                    binary_divergence(value, &[logit(flag)], (factor, weight / each as f64), gradient)
                })
            }
            (Self::Values(all), LabelLoss::SquareError) => {
                let wanted = &all[range.start * each..range.end * each];
                of_known(wanted, values, gradient, |wanted, value, gradient| {
                    square_error(value, &[wanted], weight / each as f64, gradient)
                })
            }
            _ => 0.0,
        }
    }
}

/// The sum of `loss` over the outputs that something is known of.
fn of_known(
    wanted: &[f32],
    values: &[f32],
    gradient: &mut [f32],
    mut loss: impl FnMut(f32, &[f32], &mut [f32]) -> f64,
) -> f64 {
    let outputs = wanted.iter().zip(values.chunks_exact(1)).zip(gradient.chunks_exact_mut(1));
    outputs.filter(|((wanted, _), _)| !wanted.is_nan()).map(|((wanted, value), g)| loss(*wanted, value, g)).sum()
}

/// Of one row.
fn cross_entropy(values: &[f32], (label, smoothing): (usize, f64), weight: f64, gradient: &mut [f32]) -> f64 {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponents: Vec<f64> = values.iter().map(|value| f64::from(value - largest).exp()).collect();
    let sum: f64 = exponents.iter().sum();
    let all = smoothing / values.len() as f64;
    let mut loss = 0.0;
    for (c, gradient) in gradient.iter_mut().enumerate() {
        let target = all + if c == label { 1.0 - smoothing } else { 0.0 };
        loss -= target * (f64::from(values[c] - largest) - sum.ln());
        *gradient += (weight * (exponents[c] / sum - target)) as f32;
    }
    weight * loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(targets: &Targets, by: LabelLoss, values: &[f32], samples: usize, expected: f64) {
        let mut gradient = vec![0.0; values.len()];
        let found = targets.add(&by, (values, 0..samples), 0.5, &mut gradient);
        assert!((found - 0.5 * expected).abs() < 1e-6, "{by:?}: {found}, not half of {expected}");
        for i in 0..values.len() {
            let at = |step: f32| {
                let mut moved = values.to_vec();
                moved[i] += step;
                targets.add(&by, (&moved, 0..samples), 0.5, &mut vec![0.0; values.len()])
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((f64::from(gradient[i]) - slope).abs() < 1e-4, "{by:?} {i}: {} not {slope}", gradient[i]);
        }
    }

    #[test]
    fn each_loss_is_what_it_says() {
        let values = [0.3f32, -1.2, 2.0, 0.1];
        let log = |values: &[f32], c: usize| {
            f64::from(values[c]) - values.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln()
        };
        let entropy = |smoothing| LabelLoss::CrossEntropy { classes: 2, smoothing };
        let labels = Targets::Classes(vec![Some(1), Some(0)]);
        check(&labels, entropy(0.0), &values, 2, -log(&values[..2], 1) - log(&values[2..], 0));
        // Two pixels of one sample, of which one counts nowhere.
        check(&Targets::Classes(vec![None, Some(0)]), entropy(0.0), &values, 1, -log(&values[2..], 0) / 2.0);
        let smooth = -0.9 * log(&values[..2], 1) - 0.1 * log(&values[..2], 0);
        check(&Targets::Classes(vec![Some(1), None]), entropy(0.2), &values, 2, smooth);
        let flags = Targets::Values(vec![1.0, 0.0, 1.0, 0.0]);
        let outcome = |x: f32, yes: bool| (1.0 + (if yes { -2.0 * x } else { 2.0 * x }).exp()).ln();
        let sum: f32 = values.iter().enumerate().map(|(i, x)| outcome(*x, i % 2 == 0)).sum();
        check(&flags, LabelLoss::Binary { factor: 2.0 }, &values, 2, f64::from(sum) / 2.0);
        check(&flags, LabelLoss::SquareError, &values, 1, (0.49 + 1.44 + 1.0 + 0.01) / 4.0);
        let some = Targets::Values(vec![1.0, f32::NAN, 1.0, f32::NAN]);
        check(&some, LabelLoss::SquareError, &values, 1, (0.49 + 1.0) / 4.0);
        check(&Targets::None, LabelLoss::SquareError, &values, 1, 0.0);
    }
}
