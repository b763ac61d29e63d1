//! Outputs that are told apart too coarsely: warnings for networks whose outputs stand for values.

use super::candidate::{Candidate, float_outputs};
use super::held_out::{compared, parts};
use super::opened::Opened;
use crate::input::Batch;
use crate::task::Form;
use crate::task::variation::Variation;
use std::collections::BTreeSet;

/// An output with fewer codes than this on the calibration samples is warned of: 4 bits of what it might say.
const FEWEST_CODES: usize = 16;

/// Outputs that are named one by one.
const NAMED: usize = 3;

/// What the samples show of one output.
#[derive(Clone, Debug, Default)]
struct Seen {
    codes: BTreeSet<u8>,
    /// Different values of the float network, as bits, up to [`FEWEST_CODES`].
    values: BTreeSet<u32>,
    float: Variation,
    error: f64,
}

impl Seen {
    /// Of the output's variation, in decibels.
    fn sqnr(&self) -> f64 {
        let signal = self.float.count() * self.float.variance().unwrap_or(0.0);
        10.0 * (signal.max(f64::MIN_POSITIVE) / self.error.max(f64::MIN_POSITIVE)).log10()
    }
}

/// Warns of outputs of `candidate` that get few codes on `samples` where the float network has more values.
///
/// # Errors
/// [`Interrupted`](crate::observe::Interrupted).
pub fn warn_of_few_codes(candidate: &Candidate, samples: &Batch, opened: &Opened) -> anyhow::Result<()> {
    let objective = &opened.inputs.objective;
    if objective.form() != Form::Real {
        return Ok(());
    }
    let (row, n) = (objective.row(), objective.shape.elements());
    let mut outputs = vec![Seen::default(); row];
    for part in parts(objective, samples.len()) {
        let batch = samples.slice(part);
        let float = float_outputs(&opened.inputs.model.network, &batch, opened.monitor)?;
        let codes = candidate.output_codes(&batch, None, opened.monitor)?;
        debug_assert_eq!(codes.len(), batch.len() * n);
        let own = compared(objective, candidate.model.output_values(&codes).into_iter());
        let real = compared(objective, float.iter().map(|x| f64::from(*x)));
        for (i, code) in codes.iter().enumerate() {
            let seen = &mut outputs[i % row];
            seen.codes.insert(*code);
            if seen.values.len() < FEWEST_CODES {
                seen.values.insert(float[i].to_bits());
            }
            seen.float.add(real[i]);
            seen.error += (own[i] - real[i]).powi(2);
        }
    }
    let is_coarse = |seen: &Seen| seen.codes.len() < FEWEST_CODES && seen.values.len() >= FEWEST_CODES;
    let coarse: Vec<(usize, &Seen)> = outputs.iter().enumerate().filter(|(_, seen)| is_coarse(seen)).collect();
    if coarse.is_empty() {
        return Ok(());
    }
    let named = coarse
        .iter()
        .take(NAMED)
        .map(|(output, seen)| format!("output {output}: {} codes, {:.1} dB", seen.codes.len(), seen.sqnr()));
    let named: Vec<String> = named.collect();
    let more = if coarse.len() > NAMED { ", ..." } else { "" };
    opened.monitor.warn(format_args!(
        "{} of {row} outputs take fewer than {FEWEST_CODES} different codes on {} calibration samples ({}{more}): their values \
         are told apart coarsely. {}",
        coarse.len(),
        samples.len(),
        named.join("; "),
        advice(candidate, row)
    ));
    Ok(())
}

fn advice(candidate: &Candidate, outputs: usize) -> &'static str {
    if candidate.model.output_channels.is_none() && outputs > 1 {
        "Where outputs are quantities of different sizes, --task regress gives each a scale of its own; else divide them by \
         their sizes before training"
    } else {
        "Their values lie close together against their distance from 0: subtract their mean before training"
    }
}
