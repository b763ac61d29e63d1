//! Accuracy over whole data sets: of the float network, and of integer networks on the fast engine.

use super::candidate::{Candidate, float_hits};
use crate::input::Dataset;
use crate::observe::Monitor;
use bitesize_ir::Network;

/// `hits` of `samples` as a share.
pub fn share(hits: usize, samples: usize) -> f64 {
    hits as f64 / samples.max(1) as f64
}

/// Accuracies over a whole data set, as shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracies {
    /// Samples that could be read.
    pub samples: usize,
    /// Of the float network.
    pub float: Option<f64>,
    /// Of each candidate.
    pub integer: Vec<f64>,
}

/// Samples read at once: enough for every thread, few enough for memory.
const CHUNK: usize = 250;

/// Accuracies of the float network and of `candidates` on all of `data`, which is read once.
///
/// # Errors
/// [`Interrupted`](crate::observe::Interrupted); data that cannot be read.
pub fn accuracies(
    data: &Dataset,
    float: Option<&Network>,
    candidates: &[&Candidate],
    monitor: &Monitor,
) -> anyhow::Result<Accuracies> {
    let step = monitor.step("accuracy", data.len());
    let indices: Vec<usize> = (0..data.len()).collect();
    let (mut samples, mut float_right, mut right) = (0, 0, vec![0; candidates.len()]);
    for (done, chunk) in indices.chunks(CHUNK).enumerate() {
        monitor.checkpoint()?;
        let batch = data.load_kept(chunk)?;
        samples += batch.len();
        if let Some(network) = float {
            float_right += float_hits(network, &batch, monitor)?;
        }
        for (total, candidate) in right.iter_mut().zip(candidates) {
            *total += candidate.hits(&batch, monitor)?;
        }
        step.set(done * CHUNK + chunk.len(), data.len());
    }
    if samples == 0 {
        anyhow::bail!("`{}`: none of its {} images can be decoded", data.path().display(), data.len());
    }
    step.finish(format_args!("{samples} samples of {}", data.path().display()));
    Ok(Accuracies {
        samples,
        float: float.map(|_| share(float_right, samples)),
        integer: right.into_iter().map(|hits| share(hits, samples)).collect(),
    })
}
