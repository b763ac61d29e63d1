//! The stage behind the choice: the integer network that is delivered.
//!
//! Needs the network that was [chosen](super::chosen), or its files. Owns `policy.toml` and `weights.safetensors`.
//! Depends on all that the choice does. A user may edit the widths: they count once `emit` has quantized them.

use super::candidate::Candidate;
use super::opened::Opened;
use crate::input::Model;
use crate::run::names::{LEDGER, POLICY, WEIGHTS};
use crate::run::{Commit, Provenance, Stage, weights};
use anyhow::{Context as _, bail};
use bitesize_ir::memory::{FlashUse, MemoryModel, RamUse, Widths};
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{Policy, PolicySpace};

/// The integer network that is delivered.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Levels and integers.
    pub candidate: Candidate,
    /// Its bytes of FLASH on the run's core.
    pub flash: FlashUse,
    /// Its bytes of RAM there.
    pub ram: RamUse,
}

/// What a package takes on a core.
#[derive(Clone, Debug)]
pub struct Taken {
    /// FLASH.
    pub flash: FlashUse,
    /// RAM.
    pub ram: RamUse,
    /// Instructions of an inference; `None` where the core's file says nothing of them.
    pub instructions: Option<u64>,
}

/// What the package of `delivered`, which was made for the core `own`, takes on `core`: orders and places are those that it was made with,
/// whatever a package that was made for `core` would have.
pub fn taken_on(delivered: &Delivered, own: &CoreCosts, core: &CoreCosts) -> Taken {
    let (network, plan) = (&delivered.candidate.model.network, &delivered.ram.plan);
    let widths = widths_of(&delivered.candidate);
    let model = MemoryModel::of(network, own).on(core);
    let stack = model.stack_of_plan(plan, &widths);
    Taken {
        flash: model.flash(&widths),
        ram: RamUse { total: delivered.ram.arena + stack, stack, ..delivered.ram.clone() },
        instructions: model.instructions_of_plan(plan, &widths).map(|(all, _)| all),
    }
}

fn widths_of(candidate: &Candidate) -> Widths {
    let network = &candidate.model.network;
    Widths::of(network, &PolicySpace::of(network), &candidate.model.policy)
}

impl Delivered {
    /// `candidate` on `core`.
    pub fn of(candidate: Candidate, core: &CoreCosts) -> Self {
        let (model, widths) = (MemoryModel::of(&candidate.model.network, core), widths_of(&candidate));
        let (flash, ram) = (model.flash(&widths), model.ram(&widths));
        Self { candidate, flash, ram }
    }

    /// The widths.
    pub fn policy(&self) -> &Policy {
        &self.candidate.model.policy
    }

    /// Puts widths and weights into their places; the text of `policy.toml` is `edited` where a user has written it.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(
        &self,
        opened: &Opened,
        made_from: Provenance,
        edited: Option<&str>,
        commit: &mut Commit,
    ) -> anyhow::Result<()> {
        commit.stage(Stage::Delivered, made_from);
        match edited {
            Some(text) => commit.adopt(Stage::Delivered, POLICY, text.as_bytes()),
            None => commit.put(Stage::Delivered, POLICY, self.policy().to_toml().as_bytes())?,
        }
        let bytes = weights::to_bytes(&self.candidate.model, &opened.inputs.model.sha256)?;
        commit.put(Stage::Delivered, WEIGHTS, &bytes)
    }

    /// The network that the folder holds; `made_from` is what is known of what it should be made from.
    ///
    /// # Errors
    /// None there, one of other inputs, or one that was altered.
    pub fn kept(opened: &Opened, made_from: &Provenance, core: &CoreCosts) -> anyhow::Result<Self> {
        let remedy = "put back the file as it was, or start a new run";
        let path = opened.folder.join(WEIGHTS);
        let shown = path.shown();
        let Some(bytes) = opened.folder.read(Stage::Delivered, WEIGHTS, remedy)? else {
            bail!("there is no `{shown}`: run `bitesize search` or `bitesize fit` first");
        };
        if opened.folder.ledger().entry(Stage::Delivered).is_some_and(|entry| entry.is_outdated) {
            bail!(
                "a search was begun in `{0}` after the network there was delivered: bring it to its end with `bitesize search {0} \
                 --resume` first",
                opened.folder.path().shown()
            );
        }
        opened.refuse_other_known_inputs(Stage::Delivered, made_from)?;
        let Model { network, space, sha256, .. } = &opened.inputs.model;
        let model = weights::from_bytes(&bytes, network, space, sha256)
            .map_err(|problem| anyhow::anyhow!("`{shown}`: {problem}"))?;
        Ok(Self::of(Candidate::new(model)?, core))
    }

    /// Refuses to go on where the widths in `policy.toml` are not those of this network.
    ///
    /// # Errors
    /// Edited widths, or some that cannot be read.
    pub fn refuse_other_widths(&self, opened: &Opened) -> anyhow::Result<()> {
        if written_policy(opened)?.policy == *self.policy() {
            return Ok(());
        }
        let (policy, folder) = (opened.folder.join(POLICY), opened.folder.path());
        bail!(
            "`{0}` was edited after the network was quantized, and nothing writes over it: run `bitesize emit {1}` to \
             quantize the network with these widths, or remove `{0}` to go on with the run's own",
            policy.shown(),
            folder.shown()
        )
    }
}

/// The widths in a folder's `policy.toml`, which a user may have edited.
pub struct WrittenPolicy {
    /// The file's text.
    pub text: String,
    /// What it says.
    pub policy: Policy,
}

/// The widths that the folder's `policy.toml` says.
///
/// # Errors
/// None there, or widths of another network.
pub fn written_policy(opened: &Opened) -> anyhow::Result<WrittenPolicy> {
    let path = opened.folder.join(POLICY);
    let text = match crate::files::read_text(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no `{}`: put back the file, or have it written again with `bitesize fit --resume -o {}`",
            path.shown(),
            opened.folder.path().shown()
        ),
        text => text.with_context(|| format!("cannot read `{}`", path.shown()))?,
    };
    let policy = Policy::from_toml(&text, &opened.inputs.model.space)
        .with_context(|| format!("cannot use `{}`", path.shown()))?;
    Ok(WrittenPolicy { text, policy })
}

/// Refuses to go on with a run where that would write over widths that a user has edited.
///
/// # Errors
/// Widths that are not what the run wrote, or that cannot be read.
pub fn refuse_edited_policy(opened: &Opened) -> anyhow::Result<()> {
    let path = opened.folder.join(POLICY);
    let written = match crate::files::read(&path) {
        Ok(bytes) => crate::hash::sha256(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.shown())),
    };
    if opened.folder.ledger().hash_of(POLICY) == Some(&written) {
        return Ok(());
    }
    bail!(
        "`{0}` was edited after bitesize wrote it (its SHA-256 differs from that in {LEDGER}), and going on with the run \
         would write over it: run `bitesize emit {1}` to take the edited widths, or remove `{0}` to go on with the run's own",
        path.shown(),
        opened.folder.path().shown()
    )
}
