use super::*;
use proptest::prelude::*;

const DAMPING: Damping = Damping { of_mean: 0.01, shrinkage: 0.0 };
const EFFORT: Effort = Effort { scale_candidates: 46, compensate: true, compensated_candidates: 5, rounds: 10 };

/// The covariance of `rows` correlated inputs of `length`.
fn covariance(length: usize, rows: usize, seed: &[f64]) -> Vec<f64> {
    let value = |row: usize, k: usize| {
        let common = seed[row % seed.len()];
        common + 0.5 * seed[(row * length + k * 7 + 3) % seed.len()] * (k + 1) as f64 / length as f64
    };
    let mean = |k: usize| (0..rows).map(|r| value(r, k)).sum::<f64>() / rows as f64;
    let means: Vec<f64> = (0..length).map(mean).collect();
    let entry = |i: usize, j: usize| {
        (0..rows).map(|r| (value(r, i) - means[i]) * (value(r, j) - means[j])).sum::<f64>() / rows as f64
    };
    (0..length * length).map(|at| entry(at / length, at % length)).collect()
}

/// `e' H e` with the form of `curvature`, for weights in their own order.
fn error(curvature: &Curvature, weights: &[f64], row: &Row) -> f64 {
    let e: Vec<f64> = curvature.order.iter().map(|k| weights[*k] - row.scale * f64::from(row.levels[*k])).collect();
    dot(&e, &curvature.times(&e))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_error_told_is_the_error_made(
        weights in prop::collection::vec(-1.0f64..1.0, 11),
        seed in prop::collection::vec(-1.0f64..1.0, 97),
    ) {
        let curvature = Curvature::new(&covariance(11, 60, &seed), Tiles::new(11, 11), DAMPING);
        let ordered: Vec<f64> = curvature.order.iter().map(|k| weights[*k]).collect();
        for bits in BitWidth::ALL {
            let (levels, told) = curvature.compensate(&ordered, 0.1, Levels::of(bits));
            let e: Vec<f64> = ordered.iter().zip(&levels).map(|(w, l)| w - 0.1 * l).collect();
            let made = dot(&e, &curvature.times(&e));
            prop_assert!((told - made).abs() <= 1e-9 * (1.0 + made), "{told} told, {made} made");
        }
    }

    #[test]
    fn refining_never_makes_it_worse(
        weights in prop::collection::vec(-1.0f64..1.0, 12),
        seed in prop::collection::vec(-1.0f64..1.0, 97),
    ) {
        let curvature = Curvature::new(&covariance(12, 60, &seed), Tiles::new(12, 12), DAMPING);
        for bits in BitWidth::ALL {
            let quantize = |rounds| {
                quantize_row(&curvature, &weights, Levels::of(bits), Effort { rounds, ..EFFORT })
            };
            let (before, after) = (error(&curvature, &weights, &quantize(0)), error(&curvature, &weights, &quantize(10)));
            prop_assert!(after <= before * (1.0 + 1e-9), "{bits} bits: {before} became {after}");
        }
    }

    #[test]
    fn every_level_is_one_of_the_grid(
        weights in prop::collection::vec(-1.0f64..1.0, 9),
        exponent in -100f64..30.0,
        seed in prop::collection::vec(-1.0f64..1.0, 97),
    ) {
        let weights: Vec<f64> = weights.iter().map(|w| w * exponent.exp2()).collect();
        let curvature = Curvature::new(&covariance(9, 20, &seed), Tiles::new(9, 9), DAMPING);
        for bits in BitWidth::ALL {
            let row = quantize_row(&curvature, &weights, Levels::of(bits), EFFORT);
            prop_assert!(WeightGrid::of(bits).takes_scale(row.scale));
            prop_assert!(row.levels.iter().all(|l| WeightGrid::of(bits).contains(*l)));
        }
    }
}

#[test]
fn nearest_agrees_with_the_shared_grid() {
    for bits in BitWidth::ALL {
        for i in -2000..2000 {
            let x = f64::from(i) / 13.0;
            let expected = f64::from(WeightGrid::of(bits).nearest(x));
            assert_eq!(Levels::of(bits).nearest(x), expected, "{x} at {bits} bits");
        }
    }
}

#[test]
fn weights_that_lie_on_a_grid_are_kept_exactly() {
    let weights: Vec<f64> = (0..15).map(|i| f64::from(i - 7) * 0.03).collect();
    let curvature =
        Curvature::new(&covariance(15, 60, &[0.3, -0.9, 0.5, 0.1, -0.2, 0.8, -0.4]), Tiles::new(15, 15), DAMPING);
    let row = quantize_row(&curvature, &weights, Levels::of(BitWidth::B4), EFFORT);
    assert!(error(&curvature, &weights, &row) < 1e-12, "{row:?}");
}

#[test]
fn dead_inputs_and_dead_channels_divide_nothing_by_zero() {
    let dead_inputs = Curvature::new(&[0.0; 16], Tiles::new(4, 4), DAMPING);
    let one_input = {
        let mut covariance = [0.0; 16];
        covariance[5] = 1e-60;
        Curvature::new(&covariance, Tiles::new(4, 4), DAMPING)
    };
    for curvature in [dead_inputs, one_input] {
        for weights in [[0.0; 4], [1e-38, -3e-38, 0.0, 2e-38], [1e-30; 4], [3e20, 1.0, -1e-20, 0.0]] {
            for bits in BitWidth::ALL {
                let row = quantize_row(&curvature, &weights, Levels::of(bits), EFFORT);
                assert!(WeightGrid::of(bits).takes_scale(row.scale), "{weights:?} at {bits} bits: {row:?}");
                let largest = weights.iter().fold(0f64, |max, w| max.max(w.abs()));
                let reached =
                    row.levels.iter().map(|l| row.scale.abs() * f64::from(l.unsigned_abs())).fold(0.0, f64::max);
                assert!(reached <= 3.0 * largest.max(1e-30), "{weights:?} at {bits} bits: {row:?}");
            }
        }
    }
}
