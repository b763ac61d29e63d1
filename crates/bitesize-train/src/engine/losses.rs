//! Losses on real values, each with its gradient. Every one is a sum over images times `weight`: with one over the batch's
//! number of images it is the mean.

/// The cross entropy of the softmax of `values` (`labels.len()` images of equally many classes) against the labels; its gradient
/// is added to `gradient`.
///
/// # Panics
/// Where `values` and `gradient` are not a whole number of classes for each label, or a label is no class.
pub fn cross_entropy(values: &[f32], labels: &[usize], weight: f64, gradient: &mut [f32]) -> f64 {
    let classes = classes(values, labels.len());
    let mut loss = 0.0;
    for ((values, gradient), label) in rows(values, gradient, classes).zip(labels) {
        let logarithms = log_softmax(values, 1.0);
        loss -= logarithms[*label];
        for (c, gradient) in gradient.iter_mut().enumerate() {
            let target = if c == *label { 1.0 } else { 0.0 };
            *gradient += (weight * (logarithms[c].exp() - target)) as f32;
        }
    }
    weight * loss
}

/// The divergence of the softmax of `values` from that of `teacher` (`images` images), both at `temperature`, times its square:
/// so that gradients keep their size whatever the temperature. Its gradient is added to `gradient`.
///
/// # Panics
/// Where the lists are not of `images` equally long rows.
pub fn distillation(
    values: &[f32],
    teacher: &[f32],
    images: usize,
    (temperature, weight): (f64, f64),
    gradient: &mut [f32],
) -> f64 {
    let classes = classes(values, images);
    assert_eq!(teacher.len(), values.len(), "the teacher gives as many values");
    let mut loss = 0.0;
    for ((values, gradient), teacher) in rows(values, gradient, classes).zip(teacher.chunks_exact(classes)) {
        let (own, wanted) = (log_softmax(values, temperature), log_softmax(teacher, temperature));
        for (c, gradient) in gradient.iter_mut().enumerate() {
            let probability = wanted[c].exp();
            loss += temperature * temperature * probability * (wanted[c] - own[c]);
            *gradient += (weight * temperature * (own[c].exp() - probability)) as f32;
        }
    }
    weight * loss
}

/// The square distance from `wanted`; its gradient is added to `gradient`.
///
/// # Panics
/// Where the lists differ in length.
pub fn square_error(values: &[f32], wanted: &[f32], weight: f64, gradient: &mut [f32]) -> f64 {
    assert!(values.len() == wanted.len() && values.len() == gradient.len(), "the lists are equally long");
    let mut loss = 0.0;
    for ((value, wanted), gradient) in values.iter().zip(wanted).zip(gradient) {
        let distance = f64::from(value - wanted);
        loss += distance * distance;
        *gradient += (2.0 * weight * distance) as f32;
    }
    weight * loss
}

/// The divergence of the outcomes yes and no of each of `values`, which are logits once multiplied by `factor`, from
/// those of `teacher`, a sum over all. Its gradient is added to `gradient`.
///
/// # Panics
/// Where the lists differ in length.
pub fn binary_divergence(values: &[f32], teacher: &[f32], (factor, weight): (f64, f64), gradient: &mut [f32]) -> f64 {
    assert!(values.len() == teacher.len() && values.len() == gradient.len(), "the lists are equally long");
    // The logarithm of the probability of yes: none of it overflows far out.
    let log_sigmoid = |x: f64| x.min(0.0) - (-x.abs()).exp().ln_1p();
    let mut loss = 0.0;
    for ((value, teacher), gradient) in values.iter().zip(teacher).zip(gradient) {
        let [own, wanted] = [value, teacher].map(|x| factor * f64::from(*x));
        let [yes, no] = [wanted, -wanted].map(|x| log_sigmoid(x).exp());
        loss += yes * (log_sigmoid(wanted) - log_sigmoid(own)) + no * (log_sigmoid(-wanted) - log_sigmoid(-own));
        *gradient += (weight * factor * (log_sigmoid(own).exp() - yes)) as f32;
    }
    weight * loss
}

fn classes(values: &[f32], images: usize) -> usize {
    let classes = values.len() / images.max(1);
    assert_eq!(classes * images, values.len(), "each image has as many values");
    classes.max(1)
}

fn rows<'a>(
    values: &'a [f32],
    gradient: &'a mut [f32],
    classes: usize,
) -> impl Iterator<Item = (&'a [f32], &'a mut [f32])> {
    assert_eq!(values.len(), gradient.len(), "each value has a gradient");
    values.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes))
}

/// Logarithms of the softmax of `values / temperature`.
fn log_softmax(values: &[f32], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = values.iter().map(|value| f64::from(*value) / temperature).collect();
    let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scaled.iter().map(|value| (value - largest).exp()).sum();
    scaled.iter().map(|value| value - largest - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient that `loss` adds against central differences.
    fn check(values: &[f32], loss: impl Fn(&[f32], &mut [f32]) -> f64) {
        let mut gradient = vec![0.5; values.len()];
        loss(values, &mut gradient);
        for (i, gradient) in gradient.iter().enumerate() {
            let at = |step: f32| {
                let mut moved = values.to_vec();
                moved[i] += step;
                (f64::from(moved[i]), loss(&moved, &mut vec![0.0; values.len()]))
            };
            let ((x0, y0), (x1, y1)) = (at(-1e-2), at(1e-2));
            let expected = (y1 - y0) / (x1 - x0);
            assert!((f64::from(*gradient) - 0.5 - expected).abs() < 1e-4, "{i}: {gradient} instead of {expected}");
        }
    }

    #[test]
    fn gradients_are_the_slopes() {
        let values = [0.3, -1.2, 2.0, 0.1, 0.4, -0.7];
        let other = [0.1, 0.2, -0.3, 1.5, -0.4, 0.0];
        check(&values, |v, g| cross_entropy(v, &[2, 0], 0.5, g));
        check(&values, |v, g| distillation(v, &other, 2, (3.0, 0.5), g));
        check(&values, |v, g| square_error(v, &other, 0.25, g));
        check(&values, |v, g| binary_divergence(v, &other, (2.0, 0.5), g));
    }

    #[test]
    fn known_values() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
        near(cross_entropy(&[0.0, 0.0], &[1], 1.0, &mut [0.0; 2]), 2f64.ln());
        near(distillation(&[1.0, 2.0], &[1.0, 2.0], 1, (4.0, 1.0), &mut [0.0; 2]), 0.0);
        // Of a probability of 1/2 from 3/4; and so sure of the wrong outcome that it costs what it is sure of.
        let expected = 0.75 * (0.75f64 / 0.5).ln() + 0.25 * (0.25f64 / 0.5).ln();
        near(binary_divergence(&[0.0], &[3f32.ln() / 2.0], (2.0, 2.0), &mut [0.0]), 2.0 * expected);
        near(binary_divergence(&[-900.0], &[800.0], (1.0, 1.0), &mut [0.0]), 900.0);
        near(square_error(&[1.0, 2.0], &[0.0, 4.0], 0.5, &mut [0.0; 2]), 2.5);
    }
}
