//! The third stage: every layer quantized under float inputs, at each width that the run can ask for.
//!
//! Needs [`Calibrated`]. Owns `prepared.safetensors`, which holds layers by width. Depends on network, preprocessing,
//! seed, the contents of the calibration samples and the equalization of channels, and not on ranges, budgets or policies:
//! so runs of several policies in one folder share layers, each at the widths that an earlier one has asked for. How layers
//! are quantized is no setting of a run: where that changes, the results version rises.

use super::calibrated::Calibrated;
use super::quantizer::Quantizer;
use crate::hash;
use crate::run::names::PREPARED;
use crate::run::prepared_layers;
use crate::run::{Provenance, Stage};
use bitesize_ir::BitWidth;
use bitesize_ir::shown::ShownPath as _;
use bitesize_search::Side;
use bitesize_search::problem::Problem;
use bitesize_search::widths::width;
use bitesize_train::{PrepareRequest, PreparedLayer, PtqSettings};

/// A quantizer for any policy.
pub struct Prepared<'a> {
    /// What it was made from.
    pub calibrated: &'a Calibrated<'a>,
    /// Makes models of policies.
    pub quantizer: Quantizer<'a>,
}

/// Which widths of weights are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All that a search may choose.
    AllAllowed,
    /// Those at which tensors are compared with float: 8 bits, or what is allowed instead.
    OnlyWidest,
    /// None: a policy is only quantized for delivery.
    None,
}

const REMEDY: &str = "remove it, and it is made again";

impl<'a> Prepared<'a> {
    /// What layers by width depend on.
    ///
    /// # Errors
    /// No training data, or some that cannot be read.
    pub fn made_from(calibrated: &Calibrated) -> anyhow::Result<Provenance> {
        let made_from = calibrated.opened.made_from_calibration(&["calibration.samples"])?;
        let equalization = &calibrated.calibration.equalization;
        if equalization.is_empty() {
            return Ok(made_from);
        }
        let text = serde_json::to_vec(equalization)?;
        Ok(made_from.with_contents("the equalization of channels", hash::sha256(&text)))
    }

    /// Takes the layers that the folder holds, quantizes those that are missing of what `asked` says of `problem`, and
    /// keeps them.
    ///
    /// # Errors
    /// A folder whose layers are of other inputs or were altered; [`Interrupted`](crate::observe::Interrupted).
    pub fn of(calibrated: &'a Calibrated<'a>, problem: &Problem, asked: Asked) -> anyhow::Result<Self> {
        let opened = &calibrated.opened;
        let (network, monitor) = (&opened.inputs.model.network, opened.monitor);
        let made_from = Self::made_from(calibrated)?;
        let kept = opened.folder.read(Stage::Prepared, PREPARED, REMEDY)?;
        let mut known = calibrated.layers.clone();
        if let Some(bytes) = &kept {
            opened.refuse_other_inputs(Stage::Prepared, &made_from)?;
            known = prepared_layers::from_bytes(bytes, network)
                .map_err(|e| anyhow::anyhow!("`{}`: {e}; {REMEDY}", opened.folder.join(PREPARED).shown()))?;
        }
        let mut request = PrepareRequest {
            settings: PtqSettings::default(),
            wanted: wanted(problem, asked),
            activations: activations(problem, asked),
            known: known.clone(),
        };
        if kept.is_none() {
            // What judged the equalization and is not asked for goes, so that a folder holds the same whoever calibrated it.
            let equalization = &calibrated.calibration.equalization;
            for i in 0..network.nodes.len() {
                let wanted = request.variants(network, equalization, i);
                if let Some(layer) = &mut request.known[i] {
                    layer.quants.retain(|variant, _| wanted.contains(variant));
                }
            }
        }
        let calibration = calibrated.calibration.clone();
        let quantizer = Quantizer::prepare(network, &calibrated.samples, calibration, request, monitor)?;
        let prepared = Self { calibrated, quantizer };
        if kept.is_none() || prepared.quantizer.layers() != known.as_slice() {
            prepared.keep(made_from)?;
        }
        Ok(prepared)
    }

    fn keep(&self, made_from: Provenance) -> anyhow::Result<()> {
        let opened = &self.calibrated.opened;
        let layers: &[Option<PreparedLayer>] = self.quantizer.layers();
        let mut commit = opened.folder.begin()?;
        commit.stage(Stage::Prepared, made_from);
        let bytes = prepared_layers::to_bytes(&opened.inputs.model.network, layers)?;
        commit.put(Stage::Prepared, PREPARED, &bytes)?;
        commit.finish()
    }
}

/// The narrowest widths that activations may have.
fn activations(problem: &Problem, asked: Asked) -> Vec<BitWidth> {
    // Ends of a network have 8 bits, whatever is allowed.
    let mut widths = vec![BitWidth::B8];
    let widest = problem.uniform(BitWidth::B8);
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Activations) {
        match asked {
            Asked::AllAllowed => widths.extend(problem.allowed(row, side).iter()),
            Asked::OnlyWidest => widths.extend(width(&widest, row, side)),
            Asked::None => {}
        }
    }
    widths.sort_unstable();
    widths.dedup();
    widths
}

/// The widths of weights that are wanted of each node.
fn wanted(problem: &Problem, asked: Asked) -> Vec<Vec<BitWidth>> {
    let mut wanted = vec![Vec::new(); problem.network().nodes.len()];
    let widest = problem.uniform(BitWidth::B8);
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Weights) {
        let widths = &mut wanted[problem.space().rows[row].node.0];
        match asked {
            Asked::AllAllowed => widths.extend(problem.allowed(row, side).iter()),
            Asked::OnlyWidest => widths.extend(width(&widest, row, side)),
            Asked::None => {}
        }
    }
    wanted
}
