//! The first stage: settings, network and data, and the folder that the run is kept in.
//!
//! Needs settings and what they name. Owns `config.toml`. Depends on nothing in the folder.

use super::held_shares::HeldShares;
use crate::ending::usage;
use crate::input::{Batch, Dataset, Inputs, Model, Shares, Sources, Split};
use crate::observe::Monitor;
use crate::run::config::GivenShape;
use crate::run::names::CONFIG;
use crate::run::{Commit, Provenance, RESULTS_VERSION, RunConfig, RunFolder, Stage};
use crate::target::Platform;
use anyhow::{Context as _, bail};
use bitesize_ir::Policy;
use bitesize_ir::shown::ShownPath as _;
use bitesize_search::from_compact;
use bitesize_search::problem::Problem;
use std::path::Path;

/// What every later stage works with.
#[derive(Clone, Copy)]
pub struct Opened<'a> {
    /// The settings.
    pub config: &'a RunConfig,
    /// The network and the data.
    pub inputs: &'a Inputs,
    /// Where results go.
    pub folder: &'a RunFolder,
    /// Who is told, and who is asked whether to go on.
    pub monitor: &'a Monitor<'a>,
}

/// The network and the data of the run of `config`, with `train` and `val` where they are to be opened.
///
/// # Errors
/// As [`Inputs::open`]; a model file that is not the run's any more; another number of training samples than it had (0
/// where that is not known yet); a run of another results version.
pub fn inputs_of(
    config: &RunConfig,
    train: Option<&Path>,
    val: Option<&Path>,
    monitor: &Monitor,
) -> anyhow::Result<Inputs> {
    let input_shape = config.model.input_shape.as_ref().map(GivenShape::get);
    let sources = Sources {
        model: &config.model.path,
        train,
        val,
        preprocess: &config.preprocess,
        task: config.task,
        layout: config.data.layout,
        input_shape,
    };
    if config.results_version != RESULTS_VERSION {
        bail!(
            "the run was made by results version {} of bitesize ({}), and this is version {RESULTS_VERSION}: use the \
             bitesize that made it, or start a new run with `bitesize fit --config`",
            config.results_version,
            config.version
        );
    }
    let mut inputs = Inputs::open(sources, monitor)?;
    if inputs.model.sha256 != config.model.sha256 {
        bail!(
            "`{}` is not the file that the run was made from (the SHA-256 differs): bring that one back, or start a \
             new run",
            config.model.path.shown()
        );
    }
    let (now, then) = (inputs.train_samples(), config.data.train_samples);
    if train == Some(config.data.train.as_path()) && then > 0 && now != then {
        bail!(
            "`{}` has {now} samples and had {then} when the run was made: bring those back, or start a new run",
            config.data.train.shown()
        );
    }
    let unlabelled = config.finetune.as_ref().and_then(|finetune| finetune.unlabelled.as_deref());
    if let (Some(_), Some(unlabelled)) = (train, unlabelled) {
        inputs.open_unlabelled(unlabelled, config.data.layout, monitor)?;
    }
    Ok(inputs)
}

impl<'a> Opened<'a> {
    /// What the run has to fit.
    ///
    /// # Errors
    /// No target, or one whose core nothing is known of.
    pub fn platform(&self) -> anyhow::Result<Platform> {
        let target = self.config.target.clone();
        Platform::named(target.context("no target is given: pass --board, or --flash and --ram")?)
    }

    /// What is asked of the network on `platform`.
    ///
    /// # Errors
    /// Pins that do not suit the network.
    pub fn problem(&self, platform: &Platform) -> anyhow::Result<Problem<'a>> {
        let Model { network, space, .. } = &self.inputs.model;
        let problem = Problem::new(network, space, &platform.core, platform.budget());
        match &self.config.search {
            Some(search) => problem.constrained(&search.constraints).map_err(|error| usage(error.to_string())),
            None => Ok(problem),
        }
    }

    /// The widths that were given instead of a search.
    ///
    /// # Errors
    /// Widths of another network.
    pub fn given_policy(&self) -> anyhow::Result<Option<Policy>> {
        let Some(text) = self.config.search.as_ref().and_then(|s| s.policy.as_deref()) else { return Ok(None) };
        from_compact(text, &self.inputs.model.space)
            .map(Some)
            .map_err(|e| anyhow::anyhow!("the policy in {CONFIG} does not match the network: {e}"))
    }

    /// The training data.
    ///
    /// # Errors
    /// There are none.
    pub fn train(&self) -> anyhow::Result<&'a Dataset> {
        self.inputs.train.as_ref().context("no training data is given: pass --train")
    }

    /// Which training samples serve what.
    ///
    /// # Errors
    /// No training data, or too little of it.
    pub fn split(&self) -> anyhow::Result<Split> {
        Ok(Split::of(self.train()?, self.held_shares()?.get(), self.config.seed)?)
    }

    /// How many samples the settings ask for, and how many memory holds.
    pub(super) fn held_shares(&self) -> anyhow::Result<HeldShares> {
        let reward = self.config.search.as_ref().map_or(0, |s| s.eval_samples);
        let asked = Shares { reward, calibration: self.config.calibration.samples };
        Ok(HeldShares::of(asked, self.train()?, &self.inputs.model.network, &self.inputs.objective))
    }

    /// The first `count` of the calibration samples, or as many as there are.
    ///
    /// # Errors
    /// As [`Self::split`]; data that cannot be read.
    pub fn calibration_samples(&self, count: usize) -> anyhow::Result<Batch> {
        let split = self.split()?;
        Ok(self.train()?.load(&split.calibration[..count.min(split.calibration.len())])?)
    }

    /// What network and settings of `tables` say, for what depends on them.
    pub fn made_from(&self, tables: &[&str]) -> Provenance {
        Provenance::new()
            .with_all(self.config.settings(&["seed", "task", "preprocess", "model.input_shape"]))
            .with_all(self.config.settings(tables))
            .with("model.sha256", &self.inputs.model.sha256)
    }

    /// As [`Self::made_from`], with the calibration samples.
    ///
    /// # Errors
    /// No training data, or some that cannot be read.
    pub fn made_from_calibration(&self, tables: &[&str]) -> anyhow::Result<Provenance> {
        self.with_calibration(self.made_from(tables))
    }

    /// `made_from`, and the calibration samples.
    ///
    /// # Errors
    /// As [`Self::made_from_calibration`].
    pub fn with_calibration(&self, made_from: Provenance) -> anyhow::Result<Provenance> {
        let train = self.train()?;
        Ok(made_from
            .with("data.train_samples", train.len().to_string())
            .with_contents("the calibration samples", train.content_hash(&self.split()?.calibration)?))
    }

    /// Refuses to go on where the folder's files of `stage` were made from other inputs than `now`.
    ///
    /// # Errors
    /// The input that differs.
    pub fn refuse_other_inputs(&self, stage: Stage, now: &Provenance) -> anyhow::Result<()> {
        let entry = self.folder.ledger().entry(stage).filter(|entry| !entry.is_outdated).cloned();
        self.refuse(entry.and_then(|entry| entry.made_from.first_difference(now)))
    }

    /// As [`Self::refuse_other_inputs`], as far as `now` knows inputs; it knows whether anything is reconstructed.
    ///
    /// # Errors
    /// The input that differs.
    pub fn refuse_other_known_inputs(&self, stage: Stage, now: &Provenance) -> anyhow::Result<()> {
        let then = self.folder.ledger().entry(stage).map(|entry| entry.made_from.clone());
        let difference = |then: Provenance| {
            then.first_difference_within(now)
                .or_else(|| then.first_difference_of("reconstruct", now))
                .or_else(|| then.first_difference_of("finetune", now))
        };
        self.refuse(then.and_then(difference))
    }

    fn refuse(&self, difference: Option<crate::run::provenance::Difference>) -> anyhow::Result<()> {
        match difference {
            Some(difference) => bail!(
                "the run in `{}` cannot be gone on with: {difference}; bring back what it was, or start a new run in another \
                 folder",
                self.folder.path().shown()
            ),
            None => Ok(()),
        }
    }

    /// Puts the settings into their place.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(&self, commit: &mut Commit) -> anyhow::Result<()> {
        commit.stage(Stage::Opened, Provenance::new());
        commit.put(Stage::Opened, CONFIG, self.config.to_toml().as_bytes())
    }

    /// Puts the settings into their place, before long work.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn keep(&self) -> anyhow::Result<()> {
        let mut commit = self.folder.begin()?;
        self.put(&mut commit)?;
        commit.finish()
    }
}
