//! The C package, with its known-answer test.
//!
//! Needs [`Delivered`]. Owns `package/` and `example/`. Depends on the integer network, on the package's name, and on the
//! first calibration samples.

use super::candidate::Candidate;
use super::delivered::Delivered;
use super::opened::Opened;
use crate::input::Batch;
use crate::run::names::{EXAMPLE, PACKAGE};
use crate::run::{Commit, Provenance, Stage};
use crate::task::{Form, Objective, Task};
use anyhow::{Context as _, bail};
use bitesize_codegen::{EmitOptions, Figures, Reading, emit, emit_example};
use bitesize_integer::Interpreter;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::target::CoreCosts;

/// Samples of the known-answer test beside the package.
pub const KNOWN_ANSWERS: usize = 4;

/// The texts of a package and of its known-answer test, by path.
pub struct Emitted {
    package: Vec<(String, String)>,
    example: Vec<(String, String)>,
}

impl Emitted {
    /// The C of `delivered`, made from `opened`, on `core`; `samples` give the known answers.
    ///
    /// # Errors
    /// A network that the C kernels cannot hold.
    pub fn of(opened: &Opened, delivered: &Delivered, core: &CoreCosts, samples: &Batch) -> anyhow::Result<Self> {
        let Delivered { candidate, flash, ram } = delivered;
        let figures = Figures::of(core, flash, ram);
        let options = EmitOptions {
            prefix: opened.config.package.name.clone(),
            figures: Some(figures),
            reading: reading(&opened.inputs.objective),
            output_order: opened.inputs.model.output_order.text(),
            ..EmitOptions::default()
        };
        let package = emit(&candidate.integers, &ram.plan, &options).context("cannot emit C")?;
        let interpreter = Interpreter::new(&candidate.integers);
        let answer = |input: Vec<u8>| {
            let output = interpreter.run(&input);
            (input, output)
        };
        let answers: Vec<_> = inputs(candidate, samples, KNOWN_ANSWERS).into_iter().map(answer).collect();
        let example = emit_example(&candidate.integers, &ram.plan, &answers, &options)
            .context("cannot emit the known-answer test")?;
        Ok(Self { package: package.files, example: example.files })
    }

    /// What the package depends on, where the network depends on `delivered`.
    pub fn made_from(opened: &Opened, delivered: Provenance) -> Provenance {
        delivered.with_all(opened.config.settings(&["package"]))
    }

    /// Puts both into their places.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(&self, made_from: Provenance, commit: &mut Commit) -> anyhow::Result<()> {
        commit.stage(Stage::Emitted, made_from);
        commit.put_tree(Stage::Emitted, PACKAGE, &self.package)?;
        commit.put_tree(Stage::Emitted, EXAMPLE, &self.example)
    }

    /// The network in the folder, and whether its package there is as it was written; the network is made from `delivered`.
    ///
    /// # Errors
    /// No network or no package, one of other inputs, a network that was altered, or widths that were edited since.
    pub fn kept(opened: &Opened, delivered: Provenance, core: &CoreCosts) -> anyhow::Result<(Delivered, bool)> {
        let network = Delivered::kept(opened, &delivered, core)?;
        network.refuse_other_widths(opened)?;
        let is_own = Self::refuse_missing(opened, &Self::made_from(opened, delivered))?;
        Ok((network, is_own))
    }

    /// Makes sure that the folder holds a package, of which `made_from` is known. Files of it that were altered since are
    /// warned of; whether there are none.
    ///
    /// # Errors
    /// No package, or one of other inputs.
    fn refuse_missing(opened: &Opened, made_from: &Provenance) -> anyhow::Result<bool> {
        let folder = opened.folder;
        let package = folder.join(PACKAGE);
        if package.is_symlink() && !package.is_dir() {
            bail!("`{}` is a link that leads to no folder: remove it, then run `bitesize emit`", package.shown());
        }
        if !package.is_dir() || folder.ledger().entry(Stage::Emitted).is_none() {
            bail!("`{}` holds no {PACKAGE} of this run: run `bitesize emit` first", folder.path().shown());
        }
        opened.refuse_other_known_inputs(Stage::Emitted, made_from)?;
        let altered = folder.altered_files(Stage::Emitted)?;
        for name in &altered {
            opened.monitor.warn(format_args!(
                "`{}` is not as bitesize wrote it: what is told here is told of the package as it is now, and is not \
                 written into the report",
                folder.join(name).shown()
            ));
        }
        Ok(altered.is_empty())
    }
}

/// How firmware reads the output of a network for `objective`.
fn reading(objective: &Objective) -> Reading {
    match (objective.task, objective.form()) {
        (Task::Map, _) => Reading::Pixels,
        (_, Form::Softmax) if objective.shape.pixels() > 1 && objective.task != Task::Classify => Reading::Pixels,
        (_, Form::Softmax) => Reading::Class,
        (_, Form::Sigmoid) => Reading::Threshold,
        (_, Form::Real) => Reading::Values,
    }
}

/// The codes of the first `count` samples, one vector each.
pub(super) fn inputs(candidate: &Candidate, samples: &Batch, count: usize) -> Vec<Vec<u8>> {
    let codes = candidate.input_codes(samples);
    codes.chunks_exact(samples.shape.elements()).take(count).map(<[u8]>::to_vec).collect()
}
