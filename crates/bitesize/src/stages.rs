//! The steps of a run. [`crate::fit`] calls them one after the other; the other commands call one each.

use crate::choose::{Arena, Choice, Chosen, Diary, Shared, choose_with, take};
use crate::console::{Console, checkpoint};
use crate::data::{Batch, Dataset, Shares, Split};
use crate::inputs::Inputs;
use crate::judge::Target;
use crate::measure::{Candidate, accuracies, share};
use crate::model::Model;
use crate::pareto::{Sweep, Swept, sweep};
use crate::platform::{Platform, PlatformName};
use crate::quantize::{Quantizer, calibrate};
use crate::report::Report;
use crate::run::{self, RunConfig, RunFolder, weights};
use crate::{package, sqnr};
use anyhow::{Context as _, bail};
use bitesize_ir::memory::Widths;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::ddpg::DdpgSettings;
use bitesize_search::evaluate::{RewardKind, Score};
use bitesize_search::feasibility::{Diagnosis, fitting_policy};
use bitesize_search::problem::{Problem, from_compact, to_compact};
use bitesize_search::search::{Settings, Strategy};
use bitesize_train::Calibration;
use bitesize_verify::{RunnerResult, boards};
use std::time::Duration;

/// Images on which each tensor is compared with the float network.
const QUALITY_SAMPLES: usize = 16;

/// What every step works with.
pub struct Run<'a> {
    /// The settings.
    pub config: &'a RunConfig,
    /// The network and the data.
    pub inputs: &'a Inputs,
    /// Where results go.
    pub folder: &'a RunFolder,
    /// Where progress is told.
    pub console: &'a Console,
    /// What the package has to fit.
    pub platform: &'a Platform,
}

/// Training samples that serve one purpose each.
pub struct Samples {
    /// Ranges, rounding and bias correction; known answers and verification.
    pub calibration: Batch,
    /// Held out, to judge policies by.
    pub reward: Batch,
}

impl Samples {
    /// Those that `config` asks for.
    ///
    /// # Errors
    /// No training data, too little of it, or some that cannot be read.
    pub fn of(config: &RunConfig, inputs: &Inputs) -> anyhow::Result<Self> {
        let split = split(config, inputs)?;
        let train = training_data(inputs)?;
        Ok(Self { calibration: train.load(&split.calibration)?, reward: train.load(&split.reward)? })
    }
}

/// The first `count` of the calibration samples that `config` asks for, or as many as there are.
///
/// # Errors
/// As [`Samples::of`].
pub fn first_samples(config: &RunConfig, inputs: &Inputs, count: usize) -> anyhow::Result<Batch> {
    let split = split(config, inputs)?;
    Ok(training_data(inputs)?.load(&split.calibration[..count.min(split.calibration.len())])?)
}

fn split(config: &RunConfig, inputs: &Inputs) -> anyhow::Result<Split> {
    let reward = config.search.as_ref().map_or(0, |s| s.eval_samples);
    let shares = Shares { reward, calibration: config.calibration.samples };
    Ok(Split::of(training_data(inputs)?, shares, config.seed)?)
}

fn training_data(inputs: &Inputs) -> anyhow::Result<&Dataset> {
    inputs.train.as_ref().context("no training data is given: pass --train")
}

/// What the run of `config` has to fit.
///
/// # Errors
/// No target, or one whose core nothing is known of.
pub fn platform_of(config: &RunConfig) -> anyhow::Result<Platform> {
    let target: PlatformName =
        config.target.clone().context("no target is given: pass --board, or --flash and --ram")?;
    Platform::named(target)
}

/// What `config` asks of `model` on `platform`.
///
/// # Errors
/// Pins that do not suit the network.
pub fn problem_of<'a>(config: &RunConfig, model: &'a Model, platform: &Platform) -> anyhow::Result<Problem<'a>> {
    let problem = Problem::new(&model.network, &model.space, &platform.core, platform.budget());
    match &config.search {
        Some(search) => problem.constrained(&search.constraints).map_err(|error| crate::usage(error.to_string())),
        None => Ok(problem),
    }
}

fn strategy_of(config: &RunConfig) -> anyhow::Result<Strategy> {
    config.search.as_ref().map_or("auto", |s| s.strategy.as_str()).parse().map_err(crate::usage)
}

fn search_settings(config: &RunConfig, reference_reward: f64) -> Settings {
    let search = config.search.as_ref();
    Settings {
        episodes: search.map_or(1, |s| s.episodes),
        patience: search.and_then(|s| s.patience),
        seed: config.seed,
        reward: search.map_or(RewardKind::default(), |s| s.reward),
        reference_reward,
        ddpg: DdpgSettings::default(),
    }
}

/// The widths that were given instead of a search.
///
/// # Errors
/// Widths of another network.
pub fn given_policy(config: &RunConfig, inputs: &Inputs) -> anyhow::Result<Option<Policy>> {
    let Some(text) = config.search.as_ref().and_then(|s| s.policy.as_deref()) else { return Ok(None) };
    from_compact(text, &inputs.model.space)
        .map(Some)
        .map_err(|e| anyhow::anyhow!("the policy in {} does not match the network: {e}", run::CONFIG))
}

/// Why nothing fits, or the policy given does not; `None` where all is well.
pub fn misfit(problem: &Problem, given: Option<&Policy>) -> Option<Diagnosis> {
    match given {
        Some(policy) if problem.fits(policy) => None,
        Some(_) => Some(Diagnosis::of(problem)),
        None if problem.fits(&problem.uniform(BitWidth::B8)) => None,
        None => Diagnosis::of_misfit(problem),
    }
}

/// The boards on which some policy of the problem's network fits.
pub fn boards_that_would_do(problem: &Problem) -> Vec<String> {
    let fits = |target: &bitesize_ir::target::Target| {
        let Some(core) = boards::core(&target.core) else { return false };
        let other = problem.on(&core, target.budget());
        other.fits(&other.uniform(BitWidth::B8)) || fitting_policy(&other).is_some()
    };
    boards::all().into_iter().filter(fits).map(|target| target.name).collect()
}

/// Tells why nothing fits, or the policy given does not, and what would do; adds it to the report.
pub fn tell_misfit(diagnosis: &Diagnosis, given: Option<&Policy>, problem: &Problem, report: &mut Report) {
    let boards = boards_that_would_do(problem);
    let what = if given.is_some() { "the given policy does not fit" } else { "no policy was found that fits" };
    crate::err_line!("does not fit: {what} the budget.\n{diagnosis}");
    if let Some(policy) = given {
        let memory = problem.memory(policy);
        let [flash, ram] = [memory.flash_bytes, memory.ram_bytes].map(bitesize_ir::size::format_size);
        crate::err_line!("the given policy takes FLASH {flash}, RAM {ram}");
        let widths = problem.widths(policy);
        report.add_memory(problem.network(), &widths, &problem.model().flash(&widths), &problem.model().ram(&widths));
    }
    crate::err_line!(
        "boards that would do: {}",
        if boards.is_empty() { "none of those known".into() } else { boards.join(", ") }
    );
    report.add_diagnosis(diagnosis, boards);
}

/// The calibration that the folder holds, or a new one, which is kept there.
///
/// # Errors
/// A damaged file; a float network that overflows on the samples; [`crate::console::Interrupted`].
pub fn calibrated(run: &Run, samples: &Batch) -> anyhow::Result<Calibration> {
    calibrate_into(run.config, run.inputs, samples, run.folder, run.console)
}

/// As [`calibrated`], for a run that has no target yet.
///
/// # Errors
/// As [`calibrated`].
pub fn calibrate_into(
    config: &RunConfig,
    inputs: &Inputs,
    samples: &Batch,
    folder: &RunFolder,
    console: &Console,
) -> anyhow::Result<Calibration> {
    let path = folder.join(run::CALIBRATION);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return serde_json::from_str(&text)
            .with_context(|| format!("`{}` is damaged: remove it, and it is made again", path.display()));
    }
    let calibration = calibrate(&inputs.model.network, samples, &config.calibration.ranges, console)?;
    folder.write(run::CALIBRATION, serde_json::to_string_pretty(&calibration)?.as_bytes())?;
    Ok(calibration)
}

/// What choosing led to.
pub enum Decision {
    /// This is delivered; and what other budgets would, where they were swept.
    Delivered(Box<Chosen>, Option<Swept>),
    /// Nothing fits.
    DoesNotFit(Box<Diagnosis>),
}

/// Searches (or takes the widths that were given), quantizes for delivery, keeps policy and weights, and adds all of it
/// to the report. Then sweeps other budgets, where that is asked for.
///
/// # Errors
/// A network that cannot be quantized; a folder that cannot be written; [`crate::console::Interrupted`].
pub fn decide(run: &Run, problem: &Problem, samples: &Samples, report: &mut Report) -> anyhow::Result<Decision> {
    let Run { config, inputs, folder, console, .. } = *run;
    let network = &inputs.model.network;
    let given = given_policy(config, inputs)?;
    let calibration = calibrated(run, &samples.calibration)?;
    let target = Target::of(network, &samples.reward)?;
    let reference = share(target.float_hits, samples.reward.len());
    console.note(format_args!("float accuracy on {} held-out training samples: {reference:.4}", samples.reward.len()));
    warn_of_chance(reference, inputs, console);
    let quantizer = Quantizer::prepare(network, &samples.calibration, calibration, console)?;
    let search = config.search.as_ref();
    let reward = search.map_or(RewardKind::default(), |s| s.reward);
    let time_limit = search.and_then(|s| s.time_limit).map(Duration::from_secs);
    let arena = Arena { problem, quantizer: &quantizer, target: &target, reward, time_limit, folder, console };
    let of_float = reward.of(Score { accuracy: reference, loss: 0.0 });
    let settings = search_settings(config, of_float);
    let (chosen, shared) = match &given {
        Some(policy) => (take(&arena, policy)?, None),
        None => {
            let mut shared = Shared::new(&arena)?;
            let diary = &mut Diary::open(folder)?;
            match choose_with(&arena, &mut shared, diary, strategy_of(config)?, &settings)? {
                Choice::Chosen(chosen) => (*chosen, Some(shared)),
                Choice::DoesNotFit(diagnosis) => return Ok(Decision::DoesNotFit(diagnosis)),
            }
        }
    };
    let candidate = chosen.delivered()?;
    warn_of_guessing(target.score(candidate, None)?.accuracy, reference, inputs, console);
    report.fits = true;
    report.add_choice(&chosen);
    let (flash, ram) = package::memory_of(candidate, &run.platform.core);
    let widths = Widths::of(network, &inputs.model.space, &candidate.model.policy);
    report.add_memory(network, &widths, &flash, &ram);
    qualities(&chosen, problem, &quantizer, &samples.calibration, report, console)?;
    keep_weights(candidate, inputs, folder)?;
    let swept = match (search.and_then(|search| search.pareto), shared) {
        (Some(steps), Some(mut shared)) => {
            let (arena, strategy, settings, float_reward) = (&arena, strategy_of(config)?, &settings, of_float);
            let (chosen, fingerprint) = (&chosen, config.fingerprint());
            let asked = Sweep { arena, strategy, settings, steps, chosen, float_reward, fingerprint };
            Some(sweep(&asked, &mut shared)?)
        }
        _ => None,
    };
    Ok(Decision::Delivered(Box::new(chosen), swept))
}

/// Quantizes `policy` for delivery.
///
/// # Errors
/// As [`decide`].
pub fn quantize_for(run: &Run, policy: &Policy, samples: &Batch) -> anyhow::Result<Candidate> {
    let calibration = calibrated(run, samples)?;
    let quantizer = Quantizer::prepare(&run.inputs.model.network, samples, calibration, run.console)?;
    let candidate = quantizer.sequential("policy", policy)?;
    keep_weights(&candidate, run.inputs, run.folder)?;
    Ok(candidate)
}

/// The quantized network that the folder holds.
///
/// # Errors
/// None there, or one of another network.
pub fn kept_candidate(inputs: &Inputs, folder: &RunFolder) -> anyhow::Result<Candidate> {
    let path = folder.join(run::WEIGHTS);
    let shown = path.display();
    let bytes = std::fs::read(&path)
        .with_context(|| format!("cannot read `{shown}`: run `bitesize search` or `bitesize fit` first"))?;
    let Model { network, space, sha256, .. } = &inputs.model;
    let model = weights::from_bytes(&bytes, network, space, sha256)
        .map_err(|problem| anyhow::anyhow!("`{shown}`: {problem}"))?;
    Candidate::new(model)
}

/// The widths in the folder's `policy.toml`, which a user may have edited.
///
/// # Errors
/// None there, or widths of another network.
pub fn written_policy(inputs: &Inputs, folder: &RunFolder) -> anyhow::Result<Policy> {
    let path = folder.join(run::POLICY);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Policy::from_toml(&text, &inputs.model.space).with_context(|| format!("cannot use `{}`", path.display()))
}

/// As [`kept_candidate`], where its widths are those of the folder's `policy.toml`.
///
/// # Errors
/// As [`kept_candidate`] and [`written_policy`]; widths that were edited since.
pub fn delivered_candidate(inputs: &Inputs, folder: &RunFolder) -> anyhow::Result<Candidate> {
    let candidate = kept_candidate(inputs, folder)?;
    if written_policy(inputs, folder)? == candidate.model.policy {
        return Ok(candidate);
    }
    bail!(
        "`{}` was edited after the network was quantized: run `bitesize emit {}` to quantize it with these widths",
        folder.join(run::POLICY).display(),
        folder.path().display()
    )
}

/// Refuses to go on with a run where that would write over widths that a user has edited.
///
/// # Errors
/// Edited widths; a policy or weights that cannot be read.
pub fn refuse_edited_policy(inputs: &Inputs, folder: &RunFolder) -> anyhow::Result<()> {
    if !folder.join(run::POLICY).is_file() || !folder.join(run::WEIGHTS).is_file() {
        return Ok(());
    }
    if written_policy(inputs, folder)? == kept_candidate(inputs, folder)?.model.policy {
        return Ok(());
    }
    bail!(
        "`{0}` was edited, and going on with the run would write over it: run `bitesize emit {1}` to take the edited \
         widths, or remove `{0}` to go on with the run's own",
        folder.join(run::POLICY).display(),
        folder.path().display()
    )
}

/// The package's proof, added to the report.
///
/// # Errors
/// No samples; [`crate::console::Interrupted`].
pub fn prove(
    run: &Run,
    candidate: &Candidate,
    samples: &Batch,
    report: &mut Report,
) -> anyhow::Result<Vec<RunnerResult>> {
    let results = package::prove(candidate, &run.platform.core, samples, run.folder, run.config, run.console)?;
    report.add_verification(&results);
    if report.verification.iter().flatten().all(|v| v.status == "not run") {
        run.console.warn("no runner could be started, so nothing is proven about the package");
    }
    Ok(results)
}

/// Writes both forms of the report.
///
/// # Errors
/// A folder that cannot be written.
pub fn write_report(report: &mut Report, folder: &RunFolder, console: &Console) -> anyhow::Result<()> {
    let new = console.warnings().into_iter().filter(|w| !report.warnings.contains(w)).collect::<Vec<_>>();
    report.warnings.extend(new);
    folder.write(run::REPORT_MD, report.to_markdown().as_bytes())?;
    folder.write(run::REPORT_JSON, report.to_json().as_bytes())
}

/// Writes what a sweep found and adds it to the report.
///
/// # Errors
/// A folder that cannot be written.
pub fn keep_sweep(run: &Run, swept: Swept, report: &mut Report) -> anyhow::Result<()> {
    let float = report.accuracy.as_ref().map(|accuracy| accuracy.float);
    swept.write(&run.inputs.model.space, float, run.folder)?;
    report.pareto = Some(swept.rows);
    Ok(())
}

/// Whether `accuracy`, in 0..=1, is hardly above that of guessing classes: by a tenth of what there is above it at most.
fn is_guessing(accuracy: f64, inputs: &Inputs) -> bool {
    let network = &inputs.model.network;
    let chance = 1.0 / network.shape(network.output).elements() as f64;
    accuracy < chance + 0.1 * (1.0 - chance)
}

/// Few bits may leave a network that fits and knows nothing.
fn warn_of_guessing(accuracy: f64, float: f64, inputs: &Inputs, console: &Console) {
    if is_guessing(accuracy, inputs) && !is_guessing(float, inputs) {
        console.warn(format_args!(
            "what is delivered classifies {:.1} % of held-out samples, hardly better than guessing (float: {:.1} %): this \
             network needs more bits than these",
            100.0 * accuracy,
            100.0 * float
        ));
    }
}

/// A network that is not better than guessing has most likely been fed wrongly.
fn warn_of_chance(accuracy: f64, inputs: &Inputs, console: &Console) {
    if is_guessing(accuracy, inputs) {
        console.warn(format_args!(
            "the float network classifies {:.1} % of held-out samples, hardly better than guessing: check the \
             preprocessing ({}), the channel order and the class order",
            100.0 * accuracy,
            inputs.preprocess.describe()
        ));
    }
}

/// Every tensor at 8 bits everywhere against float; warnings where one is poor.
fn qualities(
    chosen: &Chosen,
    problem: &Problem,
    quantizer: &Quantizer,
    samples: &Batch,
    report: &mut Report,
    console: &Console,
) -> anyhow::Result<()> {
    let uniform = problem.uniform(BitWidth::B8);
    let delivered = chosen.finalists.iter().find(|f| f.policy == uniform).and_then(|f| f.candidate.as_ref());
    let fast;
    let candidate = match delivered {
        Some(candidate) => candidate,
        None => {
            fast = match quantizer.fast(&uniform) {
                Ok(fast) => fast,
                Err(error) => {
                    console.warn(format_args!("no tensor is compared with float at 8 bits: {error:#}"));
                    return Ok(());
                }
            };
            &fast
        }
    };
    let qualities = sqnr::qualities(candidate, &samples.slice(0..samples.len().min(QUALITY_SAMPLES)))?;
    for q in &qualities {
        if let Some(reason) = &q.reason {
            console.warn(format_args!("tensor `{}` has {:.1} dB at 8 bits: {reason}", q.name, q.sqnr_db));
        }
    }
    report.add_qualities(&qualities);
    Ok(())
}

/// Writes the widths and the weights of what is delivered.
fn keep_weights(candidate: &Candidate, inputs: &Inputs, folder: &RunFolder) -> anyhow::Result<()> {
    folder.write(run::POLICY, candidate.model.policy.to_toml().as_bytes())?;
    folder.write(run::WEIGHTS, &weights::to_bytes(&candidate.model, &inputs.model.sha256)?)
}

/// Accuracy on the validation data, of everything at once, added to the report and to `swept`; nothing is chosen by it.
///
/// # Errors
/// Data that cannot be read; [`crate::console::Interrupted`].
pub fn measure(
    val: &Dataset,
    inputs: &Inputs,
    (chosen, swept): (&Chosen, Option<&mut Swept>),
    report: &mut Report,
    console: &Console,
) -> anyhow::Result<()> {
    checkpoint()?;
    let mut measured: Vec<usize> = Vec::new();
    for (i, finalist) in chosen.finalists.iter().enumerate() {
        let wanted = finalist.candidate.is_some() && (i == chosen.best || i > 0);
        let new = measured.iter().all(|m| chosen.finalists[*m].policy != finalist.policy);
        if wanted && new {
            measured.push(i);
        }
    }
    let mut candidates: Vec<&Candidate> =
        measured.iter().filter_map(|i| chosen.finalists[*i].candidate.as_ref()).collect();
    let networks: &[Candidate] = swept.as_ref().map_or(&[], |swept| &swept.networks);
    let is_new = |other: &&Candidate| candidates.iter().all(|known| known.model.policy != other.model.policy);
    let new: Vec<&Candidate> = networks.iter().filter(is_new).collect();
    candidates.extend(new);
    let accuracies = accuracies(val, Some(&inputs.model.network), &candidates, console)?;
    report.add_accuracies(&accuracies, chosen, &measured);
    let policies = candidates.iter().map(|candidate| to_compact(&candidate.model.policy));
    let by_policy = policies.zip(accuracies.integer).collect();
    if let Some(swept) = swept {
        swept.set_accuracies(&by_policy);
    }
    Ok(())
}
