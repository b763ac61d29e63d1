//! How near each tensor of an integer network comes to the float network's.

use super::calibrated::Calibrated;
use super::candidate::{Candidate, samples, train_error};
use super::chosen::Chosen;
use crate::input::Batch;
use crate::observe::Monitor;
use bitesize_integer::Interpreter;
use bitesize_ir::{BitWidth, TensorId};
use bitesize_search::problem::Problem;
use bitesize_train::FloatModel;

/// Below this a tensor is named in a warning.
pub const WARNING_DB: f64 = 20.0;

/// Signal and error of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorQuality {
    /// The tensor.
    pub name: String,
    /// `10 log10(sum of squares / sum of squared errors)`; infinite without error.
    pub sqnr_db: f64,
    /// Why it is below [`WARNING_DB`], where it is.
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    signal: f64,
    error: f64,
    largest: f64,
    clipped: f64,
    count: usize,
}

/// Images on which each tensor is compared with the float network.
const SAMPLES: usize = 16;

/// The quality of every tensor at 8 bits everywhere (or what is allowed instead), with a warning for each that is poor.
/// `None` where the network cannot be made integer-only so, which is warned of.
///
/// # Errors
/// [`Interrupted`](crate::observe::Interrupted); samples that the network does not take.
pub fn at_widest(chosen: &Chosen, problem: &Problem) -> anyhow::Result<Option<Vec<TensorQuality>>> {
    let Calibrated { opened, samples, .. } = chosen.prepared.calibrated;
    let monitor = opened.monitor;
    let uniform = problem.uniform(BitWidth::B8);
    let delivered = chosen.winner.finalists.iter().find(|f| f.policy == uniform).and_then(|f| f.candidate.as_ref());
    let fast;
    let candidate = match delivered {
        Some(candidate) => candidate,
        None => {
            fast = match chosen.prepared.quantizer.fast(&uniform) {
                Ok(fast) => fast,
                Err(error) => {
                    monitor.warn(format_args!("no tensor is compared with float at 8 bits: {error:#}"));
                    return Ok(None);
                }
            };
            &fast
        }
    };
    let qualities = qualities(candidate, &samples.slice(0..samples.len().min(SAMPLES)), monitor)?;
    for q in &qualities {
        if let Some(reason) = &q.reason {
            monitor.warn(format_args!("tensor `{}` has {:.1} dB at 8 bits: {reason}", q.name, q.sqnr_db));
        }
    }
    Ok(Some(qualities))
}

/// The quality of every tensor but the input, on all samples of `batch`.
///
/// # Errors
/// [`Interrupted`](crate::observe::Interrupted); samples that the network does not take.
pub fn qualities(candidate: &Candidate, batch: &Batch, monitor: &Monitor) -> anyhow::Result<Vec<TensorQuality>> {
    let network = &candidate.model.network;
    let mut sums = vec![Sums::default(); network.tensors.len()];
    let interpreter = Interpreter::new(&candidate.integers);
    for i in 0..batch.len() {
        monitor.checkpoint()?;
        let one = batch.slice(i..i + 1);
        let float = FloatModel::new(network).forward_tensors(&samples(&one)).map_err(train_error)?;
        let codes = interpreter.run_tensors(&candidate.input_codes(&one));
        for (t, sums) in sums.iter_mut().enumerate() {
            let channels = network.tensors[t].shape.c;
            let quants: Vec<_> = (0..channels).map(|c| candidate.model.encoding(TensorId(t), c)).collect();
            for (i, (real, code)) in float[t].iter().map(|v| f64::from(*v)).zip(&codes[t]).enumerate() {
                let quant = quants[i % channels];
                let (lo, hi) = (quant.dequantize(0), quant.dequantize(quant.bits.max_code()));
                let error = quant.dequantize(*code) - real;
                sums.signal += real * real;
                sums.error += error * error;
                sums.largest = sums.largest.max(real.abs());
                sums.clipped += (real - real.clamp(lo, hi)).powi(2);
            }
            sums.count += float[t].len();
        }
    }
    let db = |s: &Sums| if s.error == 0.0 { f64::INFINITY } else { 10.0 * (s.signal / s.error).log10() };
    let quality = |(t, s): (usize, &Sums)| {
        let sqnr_db = db(s);
        let low = sqnr_db < WARNING_DB || sqnr_db.is_nan();
        TensorQuality {
            name: network.tensors[t].name.clone(),
            sqnr_db,
            reason: low.then(|| reason(candidate, t, s, |i| db(&sums[i]))),
        }
    };
    Ok(sums.iter().enumerate().filter(|(t, _)| *t != network.input.0).map(quality).collect())
}

/// The likeliest of a few reasons for a low quality.
fn reason(candidate: &Candidate, tensor: usize, sums: &Sums, db: impl Fn(usize) -> f64) -> String {
    let network = &candidate.model.network;
    if sums.signal == 0.0 {
        return "the float tensor is 0 everywhere on these samples".into();
    }
    let producer = network.nodes.iter().find(|n| n.output.0 == tensor);
    let inputs = producer.map(|n| n.inputs.as_slice()).unwrap_or_default();
    let measured = inputs.iter().map(|i| i.0).filter(|i| *i != network.input.0);
    let worst = measured.min_by(|a, b| db(*a).total_cmp(&db(*b)));
    if let Some(input) = worst.filter(|i| db(*i) < WARNING_DB) {
        return format!("it is made from `{}`, which has {:.1} dB itself", network.tensors[input].name, db(input));
    }
    if sums.clipped > 0.5 * sums.error {
        return format!("values up to {:.3} lie outside the calibrated range", sums.largest);
    }
    let step = candidate.model.activations[tensor].scale;
    let rms = (sums.signal / sums.count.max(1) as f64).sqrt();
    if rms < 4.0 * step {
        return format!(
            "most values are small against the range: root mean square {:.2} steps of {step:.4}, largest {:.3}",
            rms / step,
            sums.largest
        );
    }
    let before = worst.map_or(String::new(), |i| {
        format!(" and the noise of what it is made from (`{}` has {:.1} dB)", network.tensors[i].name, db(i))
    });
    format!("the rounding errors of its layer's weights{before} add up")
}
