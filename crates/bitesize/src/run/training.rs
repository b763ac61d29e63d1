//! `tuning.safetensors`: how far a training is, numbers in an order that depends on the network and the settings alone
//! (`list.N`, f32). The metadata has one entry `bitesize`, a JSON text with the form's name, the version, the model's SHA-256, the policy
//! and what came of each epoch.

use super::tensors::{Tensors, Writer};
use bitesize_ir::{Policy, PolicySpace};
use bitesize_search::{from_compact, to_compact};
use bitesize_train::TuneState;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "bitesize-tuning-1";

/// What came of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochOutcome {
    /// The mean loss of the samples that were learned from.
    pub loss: f64,
    /// What rates were multiplied by at its end.
    pub rate: f64,
    /// Weights that are frozen.
    pub frozen: usize,
    /// How far the network is from float on the held-out samples; `None` where it fits no integers.
    pub held_out_loss: Option<f64>,
    /// The loss that their labels bring there, where they have some.
    pub held_out_label_loss: Option<f64>,
    /// The task's first figure on the held-out samples, where they have labels.
    pub held_out_metric: Option<f64>,
    /// Wall-clock time that it took.
    pub seconds: f64,
    /// When it ended, in seconds since 1970.
    pub ended: f64,
}

/// How far a training is.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// All that going on needs.
    pub state: TuneState,
    /// One for each epoch that is done.
    pub epochs: Vec<EpochOutcome>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: String,
    version: String,
    model_sha256: String,
    policy: String,
    steps: usize,
    lists: usize,
    epochs: Vec<EpochOutcome>,
}

impl Training {
    /// The file's bytes, for a network of the file with `model_sha256` that has the widths `policy`.
    ///
    /// # Errors
    /// Numbers that the format cannot hold.
    pub fn to_bytes(&self, policy: &Policy, model_sha256: &str) -> anyhow::Result<Vec<u8>> {
        let mut writer = Writer::default();
        for (i, list) in self.state.lists.iter().enumerate() {
            writer.floats(name(i), list);
        }
        let about = About {
            format: FORMAT.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            model_sha256: model_sha256.into(),
            policy: to_compact(policy),
            steps: self.state.steps,
            lists: self.state.lists.len(),
            epochs: self.epochs.clone(),
        };
        writer.finish(Some(&serde_json::to_string(&about)?))
    }

    /// The training in `bytes`, with the widths that it has.
    ///
    /// # Errors
    /// A sentence: not such a file, of another model, or without numbers that it says it has.
    pub fn from_bytes(bytes: &[u8], space: &PolicySpace, model_sha256: &str) -> Result<(Self, Policy), String> {
        let file = Tensors::read(bytes)?;
        let about: About = serde_json::from_str(file.about().unwrap_or_default())
            .map_err(|_| format!("it is not of the form `{FORMAT}`"))?;
        if about.format != FORMAT {
            return Err(format!("its form is `{}`, this version reads `{FORMAT}`", about.format));
        }
        if about.model_sha256 != model_sha256 {
            return Err("it was made from another model file (the SHA-256 differs)".into());
        }
        let policy = from_compact(&about.policy, space)?;
        let lists = (0..about.lists).map(|i| file.floats(&name(i))).collect::<Result<Vec<_>, _>>()?;
        let state = TuneState { epochs: about.epochs.len(), steps: about.steps, lists };
        Ok((Self { state, epochs: about.epochs }, policy))
    }
}

fn name(list: usize) -> String {
    format!("list.{list}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::zoo;
    use bitesize_ir::BitWidth;

    #[test]
    fn what_is_written_is_read() {
        let network = zoo::network(&"zoo:mobilenet-v1?width=0.25&resolution=96".parse().unwrap());
        let space = PolicySpace::of(&network);
        let policy = Policy::uniform(&space, BitWidth::B4, BitWidth::B8);
        let epoch = EpochOutcome {
            loss: 0.25,
            rate: 0.1,
            frozen: 3,
            held_out_loss: None,
            held_out_label_loss: None,
            held_out_metric: Some(1.0 / 3.0),
            seconds: 2.5,
            ended: 1e9,
        };
        let lists = vec![vec![1.0, f32::NAN, -0.0], Vec::new(), vec![f32::MIN_POSITIVE]];
        let training = Training { state: TuneState { epochs: 1, steps: 7, lists }, epochs: vec![epoch] };
        let bytes = training.to_bytes(&policy, "abc").unwrap();
        let (found, of) = Training::from_bytes(&bytes, &space, "abc").unwrap();
        // NaN is what a weight that is not frozen has.
        let bits = |training: &Training| {
            let lists = training.state.lists.iter();
            lists.map(|list| list.iter().map(|x| x.to_bits()).collect()).collect::<Vec<Vec<u32>>>()
        };
        assert_eq!(
            (bits(&found), &found.epochs, found.state.steps, of),
            (bits(&training), &training.epochs, 7, policy)
        );
        assert!(Training::from_bytes(&bytes, &space, "abd").unwrap_err().contains("another model"));
        assert!(Training::from_bytes(&bytes[..bytes.len() - 1], &space, "abc").is_err());
    }
}
