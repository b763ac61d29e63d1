//! Figures from counts: the least sum of squares of relative errors, none of the figures below 0.

/// Sweeps at most.
const SWEEPS: usize = 200_000;

/// A sweep that changes no prediction by more than this share ends it.
const ENOUGH: f64 = 1e-9;

/// For `rows` of (what is done how often, what it took in all) what each takes once.
///
/// Coordinate descent: the sum is convex, and with one figure free at a time its least place is known.
pub(super) fn fit(rows: &[(Vec<f64>, f64)]) -> Vec<f64> {
    let count = rows.first().map_or(0, |(of, _)| of.len());
    let scaled: Vec<Vec<f64>> = rows.iter().map(|(of, total)| of.iter().map(|of| of / total).collect()).collect();
    let mut gram = vec![vec![0.0; count]; count];
    let mut target = vec![0.0; count];
    for row in &scaled {
        for i in 0..count {
            target[i] += row[i];
            for j in 0..count {
                gram[i][j] += row[i] * row[j];
            }
        }
    }
    let mut figures = vec![0.0; count];
    // The gradient, kept up to date.
    let mut gradient: Vec<f64> = target.iter().map(|target| -target).collect();
    for _ in 0..SWEEPS {
        let mut moved: f64 = 0.0;
        for i in 0..count {
            if gram[i][i] <= 0.0 {
                continue;
            }
            let new = f64::max(0.0, figures[i] - gradient[i] / gram[i][i]);
            let change = new - figures[i];
            if change == 0.0 {
                continue;
            }
            figures[i] = new;
            moved = moved.max(change.abs() * gram[i][i].sqrt());
            for (gradient, gram) in gradient.iter_mut().zip(&gram[i]) {
                *gradient += change * gram;
            }
        }
        if moved < ENOUGH {
            break;
        }
    }
    figures
}

/// The relative error of `figures` in each of `rows`.
pub(super) fn errors(rows: &[(Vec<f64>, f64)], figures: &[f64]) -> Vec<f64> {
    let error = |(of, total): &(Vec<f64>, f64)| of.iter().zip(figures).map(|(a, b)| a * b).sum::<f64>() / total - 1.0;
    rows.iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_exact_counts_are_found_and_none_is_negative() {
        let figures = [120.0, 3.5, 0.0, 17.0];
        let rows: Vec<(Vec<f64>, f64)> = (1..12_u32)
            .map(|i| {
                let of = [1.0, f64::from(i * i), f64::from(i % 3), f64::from(7 * i % 5)];
                let total = of.iter().zip(figures).map(|(a, b)| a * b).sum();
                (of.to_vec(), total)
            })
            .collect();
        let found = fit(&rows);
        assert!(found.iter().zip(figures).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
        assert!(errors(&rows, &found).iter().all(|error| error.abs() < 1e-6));
        // What would need a negative figure gets none.
        let rows = [(vec![1.0, 1.0], 10.0), (vec![1.0, 2.0], 8.0)];
        assert_eq!(fit(&rows)[1], 0.0);
    }
}
