//! The float network.

use crate::forward::{self, Event};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::Network;

/// Parts that run in parallel at most. A constant, so that the machine does not decide the order of additions.
pub(crate) const LANES: usize = 16;

/// Runs a network in float.
///
/// Results are the same for any number of threads.
#[derive(Clone, Copy, Debug)]
pub struct FloatModel<'a> {
    network: &'a Network,
}

impl<'a> FloatModel<'a> {
    /// The float model of a legal network, rewritten or not.
    pub fn new(network: &'a Network) -> Self {
        Self { network }
    }

    /// The output values of each image, one image after the other (`samples.len() * outputs` in all).
    ///
    /// # Errors
    /// [`TrainError::Samples`] where the images are not what the network takes, [`TrainError::Stopped`] where
    /// `progress` said so.
    pub fn forward(&self, samples: &Samples<'_>, progress: Progress<'_>) -> Result<Vec<f32>, TrainError> {
        samples.check(self.network)?;
        let lanes = forward::fold_chunks(
            self.network,
            samples.len(),
            vec![Vec::new(); LANES],
            progress,
            |lane: &mut Vec<Vec<f32>>, range| {
                let count = range.len();
                let input = samples.range(range).to_real(self.network);
                lane.push(forward::run(self.network, input, count, &mut |_| ()));
            },
        )?;
        Ok(interleave(lanes))
    }

    /// Every tensor's values on all of `samples` at once, by tensor id: for looking at a few images.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_tensors(&self, samples: &Samples<'_>) -> Result<Vec<Vec<f32>>, TrainError> {
        samples.check(self.network)?;
        let empty = vec![Vec::new(); self.network.tensors.len()];
        let mut never = |_, _| std::ops::ControlFlow::Continue(());
        let lanes = forward::fold_chunks(
            self.network,
            samples.len(),
            vec![Vec::new(); LANES],
            &mut never,
            |lane: &mut Vec<Vec<Vec<f32>>>, range| {
                let count = range.len();
                let mut tensors = empty.clone();
                let input = samples.range(range).to_real(self.network);
                forward::run(self.network, input, count, &mut |event| {
                    if let Event::Tensor { id, values } = event {
                        tensors[id.0] = values.to_vec();
                    }
                });
                lane.push(tensors);
            },
        )?;
        let mut all = empty;
        for_each_in_order(lanes, |chunk| {
            for (all, part) in all.iter_mut().zip(chunk) {
                all.extend_from_slice(&part);
            }
        });
        Ok(all)
    }
}

/// Visits what the lanes of [`forward::fold_chunks`] pushed, chunk by chunk.
pub(crate) fn for_each_in_order<T>(lanes: Vec<Vec<T>>, mut visit: impl FnMut(T)) {
    let rounds = lanes.iter().map(Vec::len).max().unwrap_or(0);
    let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
    for _ in 0..rounds {
        lanes.iter_mut().filter_map(Iterator::next).for_each(&mut visit);
    }
}

pub(crate) fn interleave(lanes: Vec<Vec<Vec<f32>>>) -> Vec<f32> {
    let mut all = Vec::new();
    for_each_in_order(lanes, |part| all.extend_from_slice(&part));
    all
}
