//! How much numbers vary.

/// Adds up numbers for their mean and variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Variation {
    count: f64,
    /// The first number, from which all are counted: a large mean would swallow a small variance.
    first: f64,
    sum: f64,
    squares: f64,
}

/// Of the mean square. A smaller variance is the rounding of single precision.
const ROUNDING: f64 = 1e-13;

impl Variation {
    /// Adds a number.
    pub fn add(&mut self, x: f64) {
        if self.count == 0.0 {
            self.first = x;
        }
        self.count += 1.0;
        self.sum += x - self.first;
        self.squares += (x - self.first).powi(2);
    }

    /// How many numbers there are.
    pub fn count(&self) -> f64 {
        self.count
    }

    fn parts(&self) -> (f64, f64) {
        let count = self.count.max(1.0);
        let mean = self.sum / count;
        let variance = (self.squares / count - mean * mean).max(0.0);
        (variance, (self.first + mean).powi(2) + variance)
    }

    /// The mean of the squares.
    pub fn mean_square(&self) -> f64 {
        self.parts().1
    }

    /// The mean of the squares less the square of the mean; `None` where the numbers do not vary.
    pub fn variance(&self) -> Option<f64> {
        let (variance, mean_square) = self.parts();
        (variance > ROUNDING * mean_square).then_some(variance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mean_hides_no_variance() {
        let check = |numbers: &[f64], variance: Option<f64>, mean_square: f64| {
            let mut found = Variation::default();
            numbers.iter().for_each(|x| found.add(*x));
            assert_eq!((found.variance(), found.mean_square()), (variance, mean_square), "{numbers:?}");
        };
        check(&[1.0, 3.0], Some(1.0), 5.0);
        check(&[101_325.0, 101_327.0], Some(1.0), 101_326.0f64.powi(2) + 1.0);
        check(&[5.0, 5.0], None, 25.0);
        check(&[0.0, 0.0], None, 0.0);
        check(&[], None, 0.0);
    }
}
