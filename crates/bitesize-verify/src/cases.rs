//! What a package is fed, and what it has to answer.

use crate::failure::VerifyError;
use bitesize_integer::{IntNetwork, Interpreter};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Inputs that every run has besides samples: all 0, all 255, noise.
pub const PATTERNS: usize = 3;

/// Inputs of a network with the outputs that the golden interpreter gives for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cases {
    /// The samples in their order, then [`PATTERNS`] made ones.
    inputs: Vec<Vec<u8>>,
    /// One for each input.
    expected: Vec<Vec<u8>>,
}

impl Cases {
    /// The samples (each the codes of one input, NHWC, as the firmware would feed them), all 0, all 255 and seeded
    /// noise, with the interpreter's answers.
    ///
    /// # Errors
    /// No samples; a sample of another size than the network's input.
    pub fn new(network: &IntNetwork, samples: &[Vec<u8>], seed: u64) -> Result<Self, VerifyError> {
        let input_bytes = network.tensor(network.input).shape.elements();
        let inputs = inputs(samples, input_bytes, seed)?;
        let outputs = Interpreter::new(network).run_batch(&inputs.concat());
        let expected = outputs.chunks(outputs.len() / inputs.len()).map(<[u8]>::to_vec).collect();
        Ok(Self { inputs, expected })
    }

    /// Cases whose answers come from elsewhere than a network: `answer` is called with each input.
    ///
    /// # Errors
    /// No samples; a sample that is not of `input_bytes` bytes.
    pub fn with_answers(
        samples: &[Vec<u8>],
        input_bytes: usize,
        seed: u64,
        mut answer: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<Self, VerifyError> {
        let inputs = inputs(samples, input_bytes, seed)?;
        let expected = inputs.iter().map(|input| answer(input)).collect();
        Ok(Self { inputs, expected })
    }

    /// How many samples there are, patterns not counted.
    pub fn samples(&self) -> usize {
        self.inputs.len() - PATTERNS
    }

    /// The first `samples` samples and all patterns.
    pub(crate) fn selection(&self, samples: usize) -> Vec<Case<'_>> {
        let skipped = samples.min(self.samples())..self.samples();
        (0..self.inputs.len())
            .filter(|i| !skipped.contains(i))
            .map(|i| Case { input: &self.inputs[i], expected: &self.expected[i], name: self.name(i) })
            .collect()
    }

    fn name(&self, index: usize) -> String {
        match index.checked_sub(self.samples()) {
            None => format!("sample {index}"),
            Some(0) => "the input of zeros".into(),
            Some(1) => "the input of 255s".into(),
            Some(_) => "the input of noise".into(),
        }
    }
}

/// One input with its answer.
#[derive(Clone, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) expected: &'a [u8],
    /// For messages.
    pub(crate) name: String,
}

fn inputs(samples: &[Vec<u8>], input_bytes: usize, seed: u64) -> Result<Vec<Vec<u8>>, VerifyError> {
    if samples.is_empty() {
        return Err(VerifyError::NoSamples);
    }
    if let Some((index, sample)) = samples.iter().enumerate().find(|(_, sample)| sample.len() != input_bytes) {
        return Err(VerifyError::SampleSize { index, expected: input_bytes, found: sample.len() });
    }
    let mut noise = vec![0; input_bytes];
    ChaCha8Rng::seed_from_u64(seed).fill(&mut noise[..]);
    let mut inputs = samples.to_vec();
    inputs.extend([vec![0; input_bytes], vec![255; input_bytes], noise]);
    Ok(inputs)
}
