//! QDrop: which elements of an activation stay unquantized while a block is reconstructed.

/// Leaves each element of a tensor as it is with a probability, by a hash of its index: whoever asks, and in whatever order,
/// gets the same answer.
#[derive(Clone, Copy, Debug)]
pub struct Drop {
    seed: u32,
    threshold: u32,
}

impl Drop {
    /// Drops the quantization of an element with `probability` (0 to 1).
    pub fn new(seed: u64, probability: f64) -> Self {
        let threshold = (probability.clamp(0.0, 1.0) * f64::from(1u32 << 24)).round() as u32;
        Self { seed: mixed(seed as u32 ^ mixed((seed >> 32) as u32)), threshold }
    }

    /// The same probability with other draws, for one tensor of many.
    pub(super) fn of_tensor(self, tensor: usize) -> Self {
        Self { seed: mixed(self.seed ^ (tensor as u32).wrapping_mul(0x9E37_79B9)), ..self }
    }

    /// Whether the element at `index` (images before it included) stays as it is.
    #[inline(always)]
    pub(super) fn drops(&self, index: usize) -> bool {
        mixed(index as u32 ^ self.seed) >> 8 < self.threshold
    }
}

/// A bijection in which every bit of the input changes about half of the output's.
#[inline(always)]
fn mixed(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_dropped_as_the_probability_says() {
        for probability in [0.0, 0.2, 0.5, 1.0] {
            let of = |seed| (0..100_000).filter(|i| Drop::new(seed, probability).drops(*i)).count() as f64 / 1e5;
            assert!((of(1) - probability).abs() < 0.01, "{} of {probability}", of(1));
        }
        let draws = |drop: Drop| (0..1000).map(|i| drop.drops(i)).collect::<Vec<_>>();
        let half = Drop::new(3, 0.5);
        assert_ne!(draws(half), draws(Drop::new(4, 0.5)));
        assert_ne!(draws(half.of_tensor(1)), draws(half.of_tensor(2)));
    }
}
