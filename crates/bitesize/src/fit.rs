//! The whole road, from a network and data to verified C, in one page of calls.

use crate::choose::{Arena, Choice, Chosen, choose, take};
use crate::console::{Console, checkpoint};
use crate::data::{Batch, Dataset, Shares, Split};
use crate::inputs::Inputs;
use crate::measure::{Candidate, accuracies, float_hits, share};
use crate::platform::Platform;
use crate::quantize::{Quantizer, calibrate};
use crate::report::Report;
use crate::run::{self, RunConfig, RunFolder, weights};
use crate::{Ending, package, sqnr};
use anyhow::Context as _;
use bitesize_ir::memory::Widths;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::ddpg::DdpgSettings;
use bitesize_search::feasibility::Diagnosis;
use bitesize_search::problem::{Problem, from_compact};
use bitesize_search::search::{Settings, Strategy};
use bitesize_train::Calibration;
use bitesize_verify::boards;

/// Images on which each tensor is compared with the float network.
const QUALITY_SAMPLES: usize = 16;

/// Runs everything that `config` says and writes it into `folder`.
///
/// # Errors
/// Anything that cannot be read, computed or written; [`crate::console::Interrupted`].
pub fn fit(config: &RunConfig, inputs: &Inputs, folder: &mut RunFolder, console: &Console) -> anyhow::Result<Ending> {
    let platform = platform_of(config)?;
    let model = &inputs.model;
    let problem = Problem::new(&model.network, &model.space, &platform.core, platform.budget());
    let mut report = Report::new(config.seed, model, &platform);
    report.data = inputs.echo.clone();
    report.preprocess = inputs.preprocess.describe();
    let given = given_policy(config, inputs)?;
    if let Some(diagnosis) = misfit(&problem, given.as_ref()) {
        return does_not_fit(&diagnosis, given.as_ref(), &problem, report, folder, console);
    }
    folder.write(run::CONFIG, config.to_toml().as_bytes())?;

    let held = Samples::of(config, inputs)?;
    let calibration = calibrated(config, inputs, &held, folder, console)?;
    let reference = share(float_hits(&model.network, &held.reward)?, held.reward.len());
    console.note(format_args!("float accuracy on the {} held-out training samples: {reference:.4}", held.reward.len()));
    warn_of_chance(reference, inputs, console);
    let quantizer = Quantizer::prepare(&model.network, &held.calibration, calibration, console)?;

    let arena = Arena { problem: &problem, quantizer: &quantizer, reward: &held.reward, folder, console };
    let chosen = match &given {
        Some(policy) => take(&arena, policy)?,
        None => match choose(&arena, strategy_of(config)?, &search_settings(config, reference))? {
            Choice::Chosen(chosen) => *chosen,
            Choice::DoesNotFit(diagnosis) => {
                return does_not_fit(&diagnosis, None, &problem, report, folder, console);
            }
        },
    };
    let best = &chosen.finalists[chosen.best];
    let candidate = best.candidate.as_ref().context("the policy delivered was never quantized")?;
    report.fits = true;
    report.add_choice(&chosen);
    let (flash, ram) = package::memory_of(candidate, &platform.core);
    let widths = Widths::of(&model.network, &model.space, &best.policy);
    report.add_memory(&model.network, &widths, &flash, &ram);
    qualities(&chosen, &problem, &quantizer, &held.calibration, &mut report, console)?;

    write_policy(candidate, inputs, folder)?;
    package::write(candidate, &platform.core, &held.calibration, folder)?;
    console.note(format_args!("package: {}", folder.join(run::PACKAGE).display()));
    if let Some(val) = &inputs.val {
        measure(val, inputs, &chosen, &mut report, console)?;
    }
    let settings = (&config.verify, config.seed);
    let results = package::prove(candidate, &platform.core, &held.calibration, folder, settings, console)?;
    report.add_verification(&results);
    inputs.tell_skipped(console);
    finish(report, folder, console)
}

/// Samples that serve one purpose each.
struct Samples {
    calibration: Batch,
    reward: Batch,
}

impl Samples {
    fn of(config: &RunConfig, inputs: &Inputs) -> anyhow::Result<Self> {
        let train = training_data(inputs)?;
        let eval_samples = config.search.as_ref().map_or(0, |s| s.eval_samples);
        let shares = Shares { reward: eval_samples, calibration: config.calibration.samples };
        let split = Split::of(train, shares, config.seed)?;
        Ok(Self { calibration: train.load(&split.calibration)?, reward: train.load(&split.reward)? })
    }
}

fn training_data(inputs: &Inputs) -> anyhow::Result<&Dataset> {
    inputs.train.as_ref().context("no training data is given: pass --train")
}

fn platform_of(config: &RunConfig) -> anyhow::Result<Platform> {
    let target = config.target.clone().context("no target is given: pass --board, or --flash and --ram")?;
    Platform::named(target)
}

fn strategy_of(config: &RunConfig) -> anyhow::Result<Strategy> {
    let name = config.search.as_ref().map_or("auto", |s| s.strategy.as_str());
    // The quick strategy stands in for a choice between strategies.
    if name == "auto" { Ok(Strategy::Rules) } else { name.parse().map_err(crate::usage) }
}

fn search_settings(config: &RunConfig, reference_accuracy: f64) -> Settings {
    let search = config.search.as_ref();
    Settings {
        episodes: search.map_or(1, |s| s.episodes),
        patience: search.and_then(|s| s.patience),
        seed: config.seed,
        reference_accuracy,
        ddpg: DdpgSettings::default(),
    }
}

/// The widths that were given instead of a search.
fn given_policy(config: &RunConfig, inputs: &Inputs) -> anyhow::Result<Option<Policy>> {
    let Some(text) = config.search.as_ref().and_then(|s| s.policy.as_deref()) else { return Ok(None) };
    from_compact(text, &inputs.model.space)
        .map(Some)
        .map_err(|e| anyhow::anyhow!("the policy in {} does not match the network: {e}", run::CONFIG))
}

/// Why nothing fits, or the policy given does not.
fn misfit(problem: &Problem, given: Option<&Policy>) -> Option<Diagnosis> {
    match given {
        Some(policy) if problem.fits(policy) => None,
        Some(_) => Some(Diagnosis::of(problem)),
        None if problem.fits(&problem.uniform(BitWidth::B8)) => None,
        None => Some(Diagnosis::of(problem)).filter(|d| d.fitting().is_none()),
    }
}

/// The boards on which some policy of the problem's network fits.
pub fn boards_that_would_do(problem: &Problem) -> Vec<String> {
    let fits = |target: &bitesize_ir::target::Target| {
        let Some(core) = boards::core(&target.core) else { return false };
        let other = Problem::new(problem.network(), problem.space(), &core, target.budget());
        other.fits(&other.uniform(BitWidth::B8)) || Diagnosis::of(&other).fitting().is_some()
    };
    boards::all().into_iter().filter(fits).map(|target| target.name).collect()
}

fn does_not_fit(
    diagnosis: &Diagnosis,
    given: Option<&Policy>,
    problem: &Problem,
    mut report: Report,
    folder: &mut RunFolder,
    console: &Console,
) -> anyhow::Result<Ending> {
    let boards = boards_that_would_do(problem);
    let what = if given.is_some() { "the given policy does" } else { "no policy does, as far as could be found," };
    eprintln!("does not fit: {what} not fit the budget.\n{diagnosis}");
    if let Some(policy) = given {
        let memory = problem.memory(policy);
        let sizes = [memory.flash_bytes, memory.ram_bytes].map(bitesize_ir::size::format_size);
        eprintln!("the given policy takes FLASH {}, RAM {}", sizes[0], sizes[1]);
        let widths = problem.widths(policy);
        report.add_memory(problem.network(), &widths, &problem.model().flash(&widths), &problem.model().ram(&widths));
    }
    eprintln!(
        "boards that would do: {}",
        if boards.is_empty() { "none of those known".into() } else { boards.join(", ") }
    );
    report.add_diagnosis(diagnosis, boards);
    report.warnings = console.warnings();
    folder.write(run::REPORT_MD, report.to_markdown().as_bytes())?;
    folder.write(run::REPORT_JSON, report.to_json().as_bytes())?;
    folder.keep();
    Ok(Ending::DoesNotFit)
}

/// The calibration of an earlier run of the same settings, or a new one, which is kept.
fn calibrated(
    config: &RunConfig,
    inputs: &Inputs,
    held: &Samples,
    folder: &RunFolder,
    console: &Console,
) -> anyhow::Result<Calibration> {
    let path = folder.join(run::CALIBRATION);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return serde_json::from_str(&text)
            .with_context(|| format!("`{}` is damaged: remove it, and it is made again", path.display()));
    }
    let calibration = calibrate(&inputs.model.network, &held.calibration, &config.calibration.ranges, console)?;
    folder.write(run::CALIBRATION, serde_json::to_string_pretty(&calibration)?.as_bytes())?;
    Ok(calibration)
}

/// A network that is not better than guessing has most likely been fed wrongly.
fn warn_of_chance(accuracy: f64, inputs: &Inputs, console: &Console) {
    let network = &inputs.model.network;
    let chance = 1.0 / network.shape(network.output).elements() as f64;
    if accuracy < 2.0 * chance {
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
            fast = quantizer.fast(&uniform)?;
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
fn write_policy(candidate: &Candidate, inputs: &Inputs, folder: &RunFolder) -> anyhow::Result<()> {
    folder.write(run::POLICY, candidate.model.policy.to_toml().as_bytes())?;
    folder.write(run::WEIGHTS, &weights::to_bytes(&candidate.model, &inputs.model.sha256)?)
}

/// Accuracy on the validation data, of everything at once; nothing is chosen by it.
fn measure(
    val: &Dataset,
    inputs: &Inputs,
    chosen: &Chosen,
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
    let candidates: Vec<&Candidate> = measured.iter().filter_map(|i| chosen.finalists[*i].candidate.as_ref()).collect();
    let accuracies = accuracies(val, Some(&inputs.model.network), &candidates, console)?;
    report.add_accuracies(&accuracies, chosen, &measured);
    Ok(())
}

/// Writes the reports, tells the summary, and says how it ended.
fn finish(mut report: Report, folder: &mut RunFolder, console: &Console) -> anyhow::Result<Ending> {
    report.warnings = console.warnings();
    folder.write(run::REPORT_MD, report.to_markdown().as_bytes())?;
    folder.write(run::REPORT_JSON, report.to_json().as_bytes())?;
    folder.keep();
    print!("{}", report.summary());
    Ok(if report.is_refuted() { Ending::Mismatch } else { Ending::Done })
}
