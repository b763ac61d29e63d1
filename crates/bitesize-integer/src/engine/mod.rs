//! The fast engine: the bytes of the golden interpreter, in a fraction of its time.
//!
//! ```
//! # use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor};
//! # use bitesize_ir::{BitWidth, Shape, TensorId, requantize::Multiplier};
//! # let tensor = |name: &str| IntTensor { name: name.into(), shape: Shape::vector(4), bits: BitWidth::B8, zero: 0 };
//! # let clamp = IntOp::Clamp { lo: 10, hi: 200 };
//! # let network = IntNetwork {
//! #     name: "example".into(),
//! #     tensors: vec![tensor("in"), tensor("out")],
//! #     nodes: vec![IntNode { name: "clamp".into(), op: clamp, inputs: vec![TensorId(0)], output: TensorId(1) }],
//! #     input: TensorId(0),
//! #     output: TensorId(1),
//! #     input_scale: Multiplier::ZERO,
//! #     output_scale: Multiplier::ZERO,
//! #     output_channels: Vec::new(),
//! #     input_is_pixels: false,
//! #     tail: None,
//! # };
//! use bitesize_integer::engine::{Engine, InstructionSet, PackCache};
//!
//! let engine = Engine::new(&network);
//! assert_eq!(engine.run(&[0, 100, 200, 255]), [10, 100, 200, 200]);
//!
//! // Policies that share a layer's levels share its packed weights.
//! let cache = PackCache::new();
//! let plain = Engine::with(&network, InstructionSet::Portable, Some(&cache));
//! assert_eq!(plain.run_batch(&[7; 8]), [10; 8]);
//! ```
//!
//! `docs/engine.md` tells how it works. In reading order: instruction sets (`set`), spans of operators and the rooms of tensors
//! (`workspace_layout`), geometry and packed weights of layers (`conv`, `depthwise`), where kernels read (`places`), their constants (`rescaling`), operators
//! without weights (`plain`), the run (`workspace`), and the kernels (`portable`, `avx2`, `vnni`, `neon`).

mod aligned;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod cache;
mod conv;
mod depthwise;
mod kernel_sets;
#[cfg(target_arch = "aarch64")]
mod neon;
mod padded;
mod places;
mod plain;
mod portable;
mod rescaling;
mod set;
mod step;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod workspace;
mod workspace_layout;

pub use cache::PackCache;
pub use set::InstructionSet;

use crate::interpreter::Progress;
use crate::lanes::{in_a_row, lanes_of};
use crate::network::IntNetwork;
use kernel_sets::KernelSet;
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use step::Maker;
use workspace::{Program, Workspace};
use workspace_layout::WorkspaceLayout;

/// Runs an [`IntNetwork`] with vector instructions. It holds all that it needs of the network and can be shared between
/// threads.
#[derive(Debug)]
pub struct Engine {
    program: Program,
    /// Codes of an input and an output.
    sizes: [usize; 2],
    /// How many threads may run at once, each in buffers of its own.
    lanes: usize,
    /// Buffers that no thread uses at the moment.
    idle: Mutex<Vec<Workspace>>,
}

impl Engine {
    /// An engine of `network`, which must be legal ([`IntNetwork::validate`]), with the best instructions of the machine.
    pub fn new(network: &IntNetwork) -> Self {
        Self::with(network, InstructionSet::best(), None)
    }

    /// An engine with the instructions of `set`, which takes packed weights from `cache` where it can.
    ///
    /// # Panics
    /// Where the machine has not the instructions ([`InstructionSet::is_available`]), or an image has 4 GiB.
    pub fn with(network: &IntNetwork, set: InstructionSet, cache: Option<&PackCache>) -> Self {
        let kernels = KernelSet::new(set);
        let layout = WorkspaceLayout::new(network);
        let maker = Maker { network, set, cache };
        let mut steps = Vec::with_capacity(network.nodes.len());
        for (id, _) in network.iter() {
            let group = layout.spans.iter().find(|span| span.nodes.contains(&id.0)).map_or(1, |span| span.group);
            steps.push(maker.step(id, group));
        }
        let (input, output) = (network.input, network.output);
        let edges = Program::edges_of(&network.nodes);
        let program = Program { kernels, layout, steps, edges, input, output };
        Self {
            lanes: lanes_of(program.workspace_sizes().bytes()),
            idle: Mutex::new(Vec::new()),
            program,
            sizes: [input, output].map(|id| network.tensor(id).shape.elements()),
        }
    }

    /// The instructions in use.
    pub fn instruction_set(&self) -> InstructionSet {
        self.program.kernels.set()
    }

    /// The output codes for one image of input codes, both in NHWC order, one code a byte.
    ///
    /// # Panics
    /// Where `image` has not as many codes as the input has elements.
    pub fn run(&self, image: &[u8]) -> Vec<u8> {
        assert_eq!(image.len(), self.sizes[0], "codes of an image of {}", self.sizes[0]);
        let mut output = vec![0; self.sizes[1]];
        self.run_chunk(image, &mut output);
        output
    }

    /// The outputs for images that lie one after another, in their order: the same bytes whatever the number of
    /// threads (those of the current rayon pool) and the number of images.
    ///
    /// # Panics
    /// Where `images` is not a whole number of images.
    pub fn run_batch(&self, images: &[u8]) -> Vec<u8> {
        self.run_batch_with(images, &|_| ControlFlow::Continue(())).expect("nothing cancels")
    }

    /// As [`Self::run_batch`], calling `progress` for each image, several images at a time; `None` where it cancelled.
    ///
    /// # Panics
    /// As [`Self::run_batch`].
    pub fn run_batch_with(&self, images: &[u8], progress: Progress) -> Option<Vec<u8>> {
        let [input, output] = self.sizes;
        assert!(images.len().is_multiple_of(input), "{} codes are no images of {input}", images.len());
        let count = images.len() / input;
        let mut outputs = vec![0; count * output];
        let done = AtomicUsize::new(0);
        let run = |(images, outputs): (&[u8], &mut [u8])| {
            self.run_chunk(images, outputs);
            (0..images.len() / input).try_for_each(|_| progress(done.fetch_add(1, Ordering::Relaxed) + 1))
        };
        let ended = if count <= 1 {
            if count == 1 { run((images, &mut outputs)) } else { ControlFlow::Continue(()) }
        } else {
            let chunk = count.div_ceil(rayon::current_num_threads()).clamp(1, self.program.layout.chunk);
            let chunks = images.par_chunks(chunk * input).zip(outputs.par_chunks_mut(chunk * output));
            chunks.with_min_len(in_a_row(count.div_ceil(chunk), self.lanes)).map(run).try_for_each(|ended| ended)
        };
        ended.is_continue().then_some(outputs)
    }

    /// Runs at most a chunk of images in buffers that are kept for the next call.
    fn run_chunk(&self, images: &[u8], outputs: &mut [u8]) {
        // A panic elsewhere leaves whole workspaces behind, so a poisoned lock is as good as any.
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut workspace = taken.unwrap_or_else(|| self.program.workspace());
        self.program.run(images, outputs, &mut workspace);
        idle().push(workspace);
    }
}
