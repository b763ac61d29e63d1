//! Weights that go to and fro between two levels, and their freezing (Nagel et al., "Overcoming Oscillations in
//! Quantization-Aware Training").

/// When weights that go to and fro are frozen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Freezing {
    /// The share of training after which it begins, 0 to 1.
    pub from: f64,
    /// From which frequency on, in changes of direction a step, at first ...
    pub first: f32,
    /// ... and at the end: it falls along half a cosine.
    pub last: f32,
}

impl Default for Freezing {
    /// As the paper's for 4 bits and below, begun at a quarter.
    fn default() -> Self {
        Self { from: 0.25, first: 0.04, last: 0.01 }
    }
}

/// How much a step counts in frequencies and means.
const NEW: f32 = 0.01;

/// What is known of the weights of one layer, one number for each weight.
pub(super) struct Oscillations {
    /// The level after the last step.
    level: Vec<f32>,
    /// The direction of the last change, 1 or -1; 0 before the first.
    direction: Vec<f32>,
    /// How often the direction changes, a mean over the last steps.
    frequency: Vec<f32>,
    /// The level, a mean over the last steps.
    mean: Vec<f32>,
    /// The level that the weight is frozen at, NaN where it is not.
    frozen: Vec<f32>,
}

impl Oscillations {
    /// Begins with `levels`.
    pub(super) fn new(levels: Vec<f32>) -> Self {
        let count = levels.len();
        Self {
            mean: levels.clone(),
            level: levels,
            direction: vec![0.0; count],
            frequency: vec![0.0; count],
            frozen: vec![f32::NAN; count],
        }
    }

    pub(super) fn frozen(&self) -> usize {
        self.frozen.iter().filter(|level| !level.is_nan()).count()
    }

    /// Takes the levels after a step; weights that change direction more often than `threshold` are frozen at the level nearest to
    /// their mean. Answers at which levels.
    pub(super) fn step(&mut self, levels: &[f32], threshold: Option<f32>) -> &[f32] {
        let threshold = threshold.unwrap_or(f32::INFINITY);
        for (i, level) in levels.iter().enumerate() {
            if !self.frozen[i].is_nan() {
                continue;
            }
            let direction = if *level == self.level[i] { 0.0 } else { (level - self.level[i]).signum() };
            let turned = direction * self.direction[i] < 0.0;
            self.frequency[i] += NEW * (f32::from(u8::from(turned)) - self.frequency[i]);
            self.mean[i] += NEW * (level - self.mean[i]);
            if direction != 0.0 {
                self.direction[i] = direction;
            }
            self.level[i] = *level;
            if self.frequency[i] > threshold {
                self.frozen[i] = (self.mean[i] + 0.5).floor();
            }
        }
        &self.frozen
    }

    /// All that is known.
    pub(super) fn lists(&mut self) -> [&mut Vec<f32>; 5] {
        [&mut self.level, &mut self.direction, &mut self.frequency, &mut self.mean, &mut self.frozen]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_and_fro_is_frozen_where_it_is_most() {
        let mut oscillations = Oscillations::new(vec![0.0, 0.0, 0.0]);
        for step in 0..400 {
            // One weight is at level 1 for three steps of four, one rises once, one stays.
            let levels = [f32::from(u8::from(step % 4 != 0)), f32::from(u8::from(step >= 200)), 0.0];
            oscillations.step(&levels, None);
        }
        assert_eq!(oscillations.frozen(), 0);
        assert!((oscillations.frequency[0] - 0.5).abs() < 0.02, "{:?}", oscillations.frequency);
        let frozen = oscillations.step(&[0.0, 1.0, 0.0], Some(0.04)).to_vec();
        assert_eq!(frozen[0], 1.0);
        assert!(frozen[1].is_nan() && frozen[2].is_nan());
        // It stays there, whatever the weight does.
        assert_eq!(oscillations.step(&[0.0, 1.0, 0.0], None)[0], 1.0);
    }
}
