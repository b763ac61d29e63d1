//! `checkpoint.safetensors`: how far a training from scratch is, numbers in an order that depends on the network alone (`list.N`, f32).
//! The metadata has one entry `bitesize`, a JSON text with the form's name, the version, all settings, what the data held, the SHA-256
//! of the numbers, and what came of each epoch.

use super::config::ScratchConfig;
use crate::hash::Hasher;
use crate::run::tensors::{Tensors, Writer};
use bitesize_train::TuneState;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "bitesize-checkpoint-1";

/// What came of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochOutcome {
    /// The mean loss of the samples that were learned from.
    pub loss: f64,
    /// What the rate was multiplied by at its end.
    pub rate: f64,
    /// The mean loss of the held-out samples.
    pub held_out_loss: f64,
    /// The share of held-out samples whose class is found.
    pub held_out_top1: f64,
    /// Wall-clock time that it took.
    pub seconds: f64,
    /// When it ended, in seconds since 1970.
    pub ended: f64,
}

/// How far a training from scratch is.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What was asked for.
    pub config: ScratchConfig,
    /// The SHA-256 of the training samples and their labels.
    pub data_sha256: String,
    /// One for each epoch that is done.
    pub epochs: Vec<EpochOutcome>,
    /// All that going on needs.
    pub state: TuneState,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: String,
    version: String,
    config: ScratchConfig,
    data_sha256: String,
    numbers_sha256: String,
    steps: usize,
    lists: usize,
    epochs: Vec<EpochOutcome>,
}

impl Checkpoint {
    /// The file's bytes.
    ///
    /// # Errors
    /// Numbers that the format cannot hold.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let mut writer = Writer::default();
        for (i, list) in self.state.lists.iter().enumerate() {
            writer.floats(name(i), list);
        }
        let about = About {
            format: FORMAT.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config: self.config.clone(),
            data_sha256: self.data_sha256.clone(),
            numbers_sha256: hash(&self.state.lists),
            steps: self.state.steps,
            lists: self.state.lists.len(),
            epochs: self.epochs.clone(),
        };
        writer.finish(Some(&serde_json::to_string(&about)?))
    }

    /// The checkpoint in `bytes`.
    ///
    /// # Errors
    /// A sentence: not such a file, a damaged one, or one without numbers that it says it has.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = Tensors::read(bytes)?;
        let about: About = serde_json::from_str(file.about().unwrap_or_default())
            .map_err(|_| format!("it is not of the form `{FORMAT}`"))?;
        if about.format != FORMAT {
            return Err(format!("its form is `{}`, this version reads `{FORMAT}`", about.format));
        }
        about.config.check()?;
        let lists = (0..about.lists).map(|i| file.floats(&name(i))).collect::<Result<Vec<_>, _>>()?;
        if hash(&lists) != about.numbers_sha256 {
            return Err("its numbers are damaged or were altered (their SHA-256 differs)".into());
        }
        let state = TuneState { epochs: about.epochs.len(), steps: about.steps, lists };
        Ok(Self { config: about.config, data_sha256: about.data_sha256, epochs: about.epochs, state })
    }
}

fn name(list: usize) -> String {
    format!("list.{list}")
}

fn hash(lists: &[Vec<f32>]) -> String {
    let mut hasher = Hasher::default();
    for list in lists {
        hasher.add(&(list.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = list.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.add(&bytes);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_seen() {
        let config = ScratchConfig::new(&"zoo:mnasnet?width=0.35".parse().unwrap(), "data".into(), 2);
        let (loss, rate, held_out_loss, held_out_top1) = (1.0 / 3.0, 0.5, 2.0, 0.25);
        let epoch = EpochOutcome { loss, rate, held_out_loss, held_out_top1, seconds: 1.5, ended: 1e9 };
        let state = TuneState { epochs: 1, steps: 7, lists: vec![vec![1.0, -0.0], Vec::new()] };
        let checkpoint = Checkpoint { config, data_sha256: "abc".into(), epochs: vec![epoch], state };
        let mut bytes = checkpoint.to_bytes().unwrap();
        assert_eq!(Checkpoint::from_bytes(&bytes).as_ref(), Ok(&checkpoint));
        assert!(Checkpoint::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(Checkpoint::from_bytes(&bytes).unwrap_err().contains("damaged"));
        assert!(Checkpoint::from_bytes(b"what").is_err());
    }
}
