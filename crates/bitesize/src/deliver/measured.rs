//! Figures over whole data sets: of the float network, and of integer networks on the fast engine.

use super::candidate::{Candidate, float_outputs};
use super::held_out::{compared, parts};
use crate::input::Dataset;
use crate::observe::Monitor;
use crate::task::loss::{Comparison, Fidelity};
use crate::task::{Measured, Meter, Objective};
use bitesize_ir::Network;
use bitesize_ir::shown::ShownPath as _;

/// Figures over a whole data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// What networks are judged by.
    pub objective: Objective,
    /// Samples that could be read.
    pub samples: usize,
    /// Of the float network; `None` without labels.
    pub float: Option<Measured>,
    /// Of each candidate.
    pub integer: Vec<CandidateFigures>,
}

/// What is found of an integer network.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateFigures {
    /// Against labels; `None` without.
    pub measured: Option<Measured>,
    /// Against the float network.
    pub fidelity: Fidelity,
}

/// Samples read at once: enough for every thread, few enough for memory.
const CHUNK: usize = 250;

/// What they may take with the network's outputs, in bytes: 250 of 224 x 224 x 3 real values take 151 MB.
const CHUNK_BYTES: usize = 192 << 20;

/// Figures of the float `network` and of `candidates`, which are for `objective`, on all of `data`, which is read once.
///
/// # Errors
/// [`Interrupted`](crate::observe::Interrupted); data that cannot be read.
pub fn figures(
    data: &Dataset,
    (network, objective): (&Network, Objective),
    candidates: &[&Candidate],
    monitor: &Monitor,
) -> anyhow::Result<Figures> {
    let name = objective.metrics().first().filter(|_| data.is_labelled()).map_or("fidelity", |metric| metric.title());
    let step = monitor.step(name, data.len());
    let n = objective.shape.elements();
    let indices: Vec<usize> = (0..data.len()).collect();
    let mut samples = 0;
    let mut float_meter = Meter::new(objective);
    let mut meters: Vec<(Meter, Comparison)> =
        candidates.iter().map(|_| (Meter::new(objective), Comparison::new(objective))).collect();
    let most = CHUNK.min(data.held_in(CHUNK_BYTES, n));
    let step_size = parts(&objective, most).next().map_or(most, |part| part.len());
    for (done, chunk) in indices.chunks(step_size).enumerate() {
        monitor.checkpoint()?;
        let batch = data.load_kept(chunk)?;
        samples += batch.len();
        let float = float_outputs(network, &batch, monitor)?;
        debug_assert_eq!(float.len(), batch.len() * n);
        let float = compared(&objective, float.into_iter().map(f64::from));
        float_meter.add(&float, &batch.labels);
        for (candidate, (meter, comparison)) in candidates.iter().zip(&mut meters) {
            let own = compared(&objective, candidate.outputs(&batch, None, monitor)?.into_iter());
            meter.add(&own, &batch.labels);
            comparison.add(&float, &own);
        }
        step.set(done * step_size + chunk.len(), data.len());
    }
    if samples == 0 {
        anyhow::bail!("`{}`: none of its {} images can be decoded", data.path().shown(), data.len());
    }
    step.finish(format_args!("{samples} samples of {}", data.path().shown()));
    let of = |(meter, comparison): (Meter, Comparison)| CandidateFigures {
        measured: meter.finish(),
        fidelity: comparison.finish(),
    };
    Ok(Figures { objective, samples, float: float_meter.finish(), integer: meters.into_iter().map(of).collect() })
}
