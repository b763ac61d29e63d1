//! How far outputs are from what the float network gives, with gradients.

use crate::engine::{binary_divergence, distillation, square_error};
use bitesize_ir::Shape;

/// What the output of the whole network is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The float network's answers, as probabilities of classes at a temperature: for classifiers.
    Distillation {
        /// Positive; the higher, the more the lesser classes count.
        temperature: f64,
    },
    /// The same at each pixel of the output, mean over pixels: for maps of classes.
    PixelDistillation {
        /// As that of [`Self::Distillation`].
        temperature: f64,
    },
    /// The float network's probabilities of yes, for each output by itself, mean over pixels: for logits.
    Outcomes {
        /// What an output is multiplied by to be a logit.
        factor: f64,
    },
    /// The float network's values.
    SquareError,
    /// The same over the variance of each channel of the float network's output on the samples, mean over channels and
    /// pixels: for values, which may be of different sizes.
    VarianceError,
}

/// An [`Objective`] for outputs of one shape.
pub(crate) struct Loss {
    objective: Objective,
    shape: Shape,
    /// What the square error of each channel counts by; empty where all count the same.
    weights: Vec<f64>,
}

impl Loss {
    /// The square distance of outputs of `shape`.
    pub(crate) fn square_error(shape: Shape) -> Self {
        Self { objective: Objective::SquareError, shape, weights: Vec::new() }
    }

    /// That of `objective` for outputs of `shape`; `wanted` is what the float network gives for all samples, NHWC.
    pub(crate) fn of(objective: Objective, shape: Shape, wanted: &[f32]) -> Self {
        let weights = match objective {
            Objective::VarianceError => {
                let elements = shape.elements() as f64;
                variances(wanted, shape.c).into_iter().map(|variance| 1.0 / (variance * elements)).collect()
            }
            _ => Vec::new(),
        };
        Self { objective, shape, weights }
    }

    /// Of `images` images, each counted by `weight`; the gradient is added to `gradient`.
    pub(crate) fn add(
        &self,
        values: &[f32],
        wanted: &[f32],
        (images, weight): (usize, f64),
        gradient: &mut [f32],
    ) -> f64 {
        let pixels = self.shape.pixels();
        let of_pixel = weight / pixels as f64;
        match self.objective {
            Objective::Distillation { temperature } => {
                distillation(values, wanted, images, (temperature, weight), gradient)
            }
            Objective::PixelDistillation { temperature } => {
                distillation(values, wanted, images * pixels, (temperature, of_pixel), gradient)
            }
            Objective::Outcomes { factor } => binary_divergence(values, wanted, (factor, of_pixel), gradient),
            Objective::SquareError => square_error(values, wanted, weight, gradient),
            Objective::VarianceError => {
                let channels = self.weights.len();
                let rows = values.chunks_exact(channels).zip(wanted.chunks_exact(channels));
                let mut loss = 0.0;
                for ((values, wanted), gradient) in rows.zip(gradient.chunks_exact_mut(channels)) {
                    for (c, of_channel) in self.weights.iter().enumerate() {
                        loss += square_error(&values[c..=c], &wanted[c..=c], weight * of_channel, &mut gradient[c..=c]);
                    }
                }
                loss
            }
        }
    }
}

/// Of each channel; its mean square where it does not vary, and 1 where it is always 0.
fn variances(values: &[f32], channels: usize) -> Vec<f64> {
    let count = (values.len() / channels).max(1) as f64;
    let means = |of: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0; channels];
        for row in values.chunks_exact(channels) {
            sums.iter_mut().zip(row).enumerate().for_each(|(c, (sum, x))| *sum += of(c, f64::from(*x)));
        }
        sums.into_iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let mean = means(&|_, x| x);
    let (squares, variances) = (means(&|_, x| x * x), means(&|c, x| (x - mean[c]).powi(2)));
    let of = |(square, variance): (f64, f64)| [variance, square].into_iter().find(|x| *x > 0.0).unwrap_or(1.0);
    squares.into_iter().zip(variances).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(objective: Objective, shape: Shape, values: &[f32], wanted: &[f32], expected: f64) {
        let loss = Loss::of(objective, shape, wanted);
        let images = values.len() / shape.elements();
        let mut gradient = vec![0.0; values.len()];
        let found = loss.add(values, wanted, (images, 0.5), &mut gradient);
        assert!((found - 0.5 * expected).abs() < 1e-6 * expected, "{objective:?}: {found}, not half of {expected}");
        for i in 0..values.len() {
            let at = |step: f32| {
                let mut moved = values.to_vec();
                moved[i] += step;
                loss.add(&moved, wanted, (images, 0.5), &mut vec![0.0; values.len()])
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((f64::from(gradient[i]) - slope).abs() < 1e-4, "{objective:?} {i}: {} not {slope}", gradient[i]);
        }
    }

    #[test]
    fn each_objective_is_what_it_says() {
        let (values, wanted) = ([0.3, -1.2, 2.0, 0.1], [0.1, 0.2, -0.3, 1.5]);
        let divergence =
            |own: &[f32], wanted: &[f32]| distillation(own, wanted, 1, (2.0, 1.0), &mut vec![0.0; own.len()]);
        let (classes, pixels) =
            (Objective::Distillation { temperature: 2.0 }, Objective::PixelDistillation { temperature: 2.0 });
        check(classes, Shape::vector(4), &values, &wanted, divergence(&values, &wanted));
        let of_pixels = divergence(&values[..2], &wanted[..2]) + divergence(&values[2..], &wanted[2..]);
        check(pixels, Shape::new(1, 2, 2), &values, &wanted, of_pixels / 2.0);
        check(pixels, Shape::vector(2), &values, &wanted, of_pixels);
        let outcomes = binary_divergence(&values, &wanted, (2.0, 1.0), &mut [0.0; 4]);
        check(Objective::Outcomes { factor: 2.0 }, Shape::new(2, 1, 2), &values, &wanted, outcomes / 2.0);
        check(Objective::SquareError, Shape::vector(4), &values, &wanted, 0.04 + 1.96 + 5.29 + 1.96);
        // Variances 0.04 and 0.4225.
        let of_channels = ((0.04 + 5.29) / 0.04 + (1.96 + 1.96) / 0.4225) / 2.0;
        check(Objective::VarianceError, Shape::vector(2), &values, &wanted, of_channels);
        check(Objective::VarianceError, Shape::new(1, 2, 2), &values, &wanted, of_channels / 2.0);
    }

    #[test]
    fn what_does_not_vary_counts_by_its_size() {
        assert_eq!(variances(&[2.0, 0.0, 1.0, 2.0, 0.0, 3.0], 3), [4.0, 1.0, 1.0]);
        assert_eq!(variances(&[], 2), [1.0, 1.0]);
    }
}
