//! A trial of training at rising rates, to choose the one to train at.

use crate::deliver::held_out::HeldOut;
use crate::deliver::opened::Opened;
use crate::deliver::{Aim, Calibrated, Chosen, Prepared, Tuned};
use crate::run::FinetuneConfig;
use anyhow::bail;

/// What the loss does at a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateTrial {
    /// Of weights, as `--lr` takes it.
    pub rate: f64,
    /// The mean loss of the batches until there, in which earlier ones count less and less.
    pub loss: f64,
}

/// What the loss does while the rate rises by equal factors, where the network that the run of `opened` has chosen is trained as `asked`. Nothing of it
/// is kept.
///
/// # Errors
/// A network that does not fit; files of other inputs, or that were altered; samples that cannot be read;
/// [`Interrupted`](crate::observe::Interrupted).
pub fn try_rates(opened: Opened, asked: &FinetuneConfig) -> anyhow::Result<Vec<RateTrial>> {
    let platform = opened.platform()?;
    let problem = opened.problem(&platform)?;
    crate::fit::refuse_other_inputs(&opened, &platform)?;
    let aim = match Aim::of(&opened, &problem, &platform.core)? {
        Ok(aim) => aim,
        Err(misfit) => bail!("{misfit}"),
    };
    let calibrated = Calibrated::of(opened)?.keep()?;
    let prepared = Prepared::of(&calibrated, &problem, aim.asked(&problem))?;
    let held_out = HeldOut::of_run(&opened)?;
    let chosen = Chosen::of(&prepared, &held_out, &platform, &problem, &aim)?;
    Ok(smoothed(&Tuned::try_rates(&chosen, &platform, asked)?))
}

/// The rate to train at: a third of the greatest before the loss rises for good, 5 % above its least. `None` without trials.
pub fn suggested(trials: &[RateTrial]) -> Option<f64> {
    const MORE: f64 = 1.05;
    const SAFE: f64 = 3.0;
    let least = trials.iter().map(|trial| trial.loss).fold(f64::INFINITY, f64::min);
    let last = trials.iter().rev().find(|trial| trial.loss <= MORE * least)?;
    Some(last.rate / SAFE)
}

/// Losses of batches, each with its rate, as means in which a batch counts less by a tenth with each that follows.
fn smoothed(found: &[(f64, f64)]) -> Vec<RateTrial> {
    const KEPT: f64 = 0.9;
    let (mut sum, mut weight) = (0.0, 0.0);
    let of_one = |(rate, loss): &(f64, f64)| {
        (sum, weight) = (KEPT * sum + loss, KEPT * weight + 1.0);
        RateTrial { rate: *rate, loss: sum / weight }
    };
    found.iter().map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_below_where_the_loss_rises_for_good() {
        let found: Vec<(f64, f64)> = (0..60)
            .map(|i| (1e-5 * 10f64.powf(f64::from(i) / 10.0), if i < 40 { 1.0 - 0.01 * f64::from(i) } else { 5.0 }))
            .collect();
        let trials = smoothed(&found);
        assert!((trials[0].loss - 1.0).abs() < 1e-12 && trials[39].loss > 0.61 && trials[39].loss < 0.75);
        let rate = suggested(&trials).unwrap();
        assert!(rate > 1e-5 * 10f64.powf(3.4) / 3.0 && rate <= 1e-5 * 10f64.powf(4.0) / 3.0, "{rate}");
        assert_eq!(suggested(&[]), None);
        let lost = smoothed(&[(1e-3, 0.5), (1e-2, f64::INFINITY)]);
        assert_eq!(suggested(&lost), Some(1e-3 / 3.0));
    }
}
