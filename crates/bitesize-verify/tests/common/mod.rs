//! A small network as the product makes one, and its package.

#![allow(dead_code)] // each test binary uses its part

#[path = "../../../bitesize-codegen/tests/common/networks.rs"]
pub(crate) mod networks;

#[path = "../../../bitesize-codegen/tests/common/plans.rs"]
pub(crate) mod plans;

use bitesize_codegen::{EmitOptions, emit};
use bitesize_integer::IntNetwork;
use bitesize_ir::memory::{MemoryModel, RamUse, flash, ram};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{BitWidth, Policy, PolicySpace, Shape, TensorId};
use bitesize_verify::{Job, PackageFolder, Prediction, Runner, boards};
use networks::{Draw, Drawn};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A lowered network with what the memory model counts.
pub(crate) struct Example {
    drawn: Drawn,
}

impl Example {
    /// Convolution, depthwise convolution and a convolution to 10 logits over 8x8 images of 3 channels.
    pub(crate) fn new(weights: BitWidth, activations: BitWidth, seed: u64) -> Self {
        let mut draw = Draw::new(seed, Shape::new(8, 8, 3), true);
        let window = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
        let image = draw.conv(TensorId(0), 8, 1, Window { stride: [2, 2], ..window });
        let image = draw.depthwise(image, window);
        draw.conv(image, 10, 1, Window::of([4, 4]));
        let policy = Policy::uniform(&PolicySpace::of(&draw.network), weights, activations);
        Self { drawn: draw.finish_with(policy) }
    }

    pub(crate) fn integer(&self) -> &IntNetwork {
        &self.drawn.integer
    }

    /// Images of noise, of 0 and of 255.
    pub(crate) fn images(&self, count: usize) -> Vec<Vec<u8>> {
        networks::images(&self.drawn.integer, 5, count)
    }

    /// On `runner`, with the memory model's prediction for its core.
    pub(crate) fn job(&self, runner: Runner, samples: usize) -> Job {
        let Some(core) = runner.core() else { return Job::host(samples) };
        // The package has the kernels of a Cortex-M4.
        let core = boards::core(core).unwrap().with_rows(true);
        let flash = flash(&self.drawn.network, &self.drawn.widths, &core);
        let instructions = MemoryModel::of(&self.drawn.network, &core).instructions(&self.drawn.widths);
        let prediction = Prediction::new(&flash, &self.ram(&core), instructions, &core);
        Job::emulated(runner, samples, &core, Some(prediction))
    }

    fn ram(&self, core: &CoreCosts) -> RamUse {
        ram(&self.drawn.network, &self.drawn.widths, core)
    }

    /// Writes the package; `edit` is given the name and text of each file.
    pub(crate) fn package(&self, edit: impl Fn(&str, &str) -> String) -> (TempDir, PackageFolder) {
        let folder = tempfile::tempdir().unwrap();
        let package = PackageFolder { folder: folder.path().into(), prefix: "model".into() };
        self.write(folder.path(), &package.prefix, edit);
        (folder, package)
    }

    /// Writes the package called `prefix` into `folder`.
    pub(crate) fn write(&self, folder: &Path, prefix: &str, edit: impl Fn(&str, &str) -> String) {
        let plan = self.ram(&boards::core("cortex-m4").unwrap()).plan;
        let options = EmitOptions { prefix: prefix.into(), ..EmitOptions::default() };
        for (path, text) in &emit(&self.drawn.integer, &plan, &options).unwrap().files {
            fs::write(folder.join(path), edit(path, text)).unwrap();
        }
    }
}
