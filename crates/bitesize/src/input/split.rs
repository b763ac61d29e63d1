//! Which training samples serve what.

use super::dataset::Dataset;
use super::error::DataError;
use crate::task::Labels;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// How many samples are wanted for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// For the reward of candidates.
    pub reward: usize,
    /// For ranges, rounding and bias correction.
    pub calibration: usize,
}

/// Disjoint samples of a training set, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Held out: nothing is fitted to them.
    pub reward: Vec<usize>,
    /// Ranges, rounding and bias correction; verification takes its samples from here too.
    pub calibration: Vec<usize>,
    /// All others, in the same order.
    pub rest: Vec<usize>,
}

impl Split {
    /// Splits by label, where that is a class, and seed: calibration takes at most half, the reward comes from the rest. Which samples calibrate
    /// does not depend on how many judge.
    ///
    /// # Errors
    /// Fewer than two samples.
    pub fn of(data: &Dataset, shares: Shares, seed: u64) -> Result<Self, DataError> {
        if data.len() < 2 {
            let problem = "the training data needs at least two samples, one to calibrate and one to hold out";
            return Err(DataError::unusable(data.path(), problem));
        }
        let order = match data.labels() {
            Labels::Classes(classes) => stratified_order(classes, seed),
            Labels::Flags { each: 1, flags } => {
                stratified_order(&flags.iter().map(|flag| usize::from(*flag)).collect::<Vec<_>>(), seed)
            }
            // One class: only shuffled.
            labels => stratified_order(&vec![0; labels.len()], seed),
        };
        let calibration = shares.calibration.min(order.len() / 2);
        let end = order.len().min(calibration + shares.reward);
        let rest = order[end..].to_vec();
        Ok(Self { calibration: order[..calibration].to_vec(), reward: order[calibration..end].to_vec(), rest })
    }
}

/// All indices in a seeded order of which every prefix holds the classes in proportion.
pub fn stratified_order(labels: &[usize], seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let classes = labels.iter().max().map_or(0, |m| m + 1);
    let mut members = vec![Vec::new(); classes];
    for (i, label) in labels.iter().enumerate() {
        members[*label].push(i);
    }
    let mut ranked = Vec::with_capacity(labels.len());
    for class in &mut members {
        class.shuffle(&mut rng);
        // A random phase for each class, so that classes with few samples do not all come at one place.
        let phase: f64 = rand::RngExt::random(&mut rng);
        let size = class.len() as f64;
        ranked.extend(class.iter().enumerate().map(|(rank, i)| ((rank as f64 + phase) / size, *i)));
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().map(|(_, i)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_prefix_holds_the_classes_in_proportion(
            labels in prop::collection::vec(0usize..5, 1..400),
            seed in any::<u64>(),
            share in 0.0f64..=1.0,
        ) {
            let order = stratified_order(&labels, seed);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..labels.len()).collect::<Vec<_>>());
            let prefix = &order[..(share * labels.len() as f64) as usize];
            for class in 0..5 {
                let all = labels.iter().filter(|l| **l == class).count() as f64;
                let found = prefix.iter().filter(|i| labels[**i] == class).count() as f64;
                let expected = all * prefix.len() as f64 / labels.len() as f64;
                // Each class's phase moves it by less than one sample, and the prefix's end by less than one a class.
                prop_assert!((found - expected).abs() < 2.0 + 4.0 * all / labels.len() as f64, "{found} of {expected}");
            }
            prop_assert_eq!(&order, &stratified_order(&labels, seed));
        }
    }
}
