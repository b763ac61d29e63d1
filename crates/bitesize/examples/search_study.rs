//! Compares search strategies: `cargo run --release -p bitesize --example search_study -- NETWORK...`
//!
//! `NETWORK` is the name of a CIFAR-10 file in `models/` of the folder that `BITESIZE_SHARED` names (`../shared` beside
//! the workspace where it is not set). Environment:
//!
//! - `CASES` (`w70,w50,w35,w30`): `wN` limits packed weights to N % of their bytes at 8 bits, activations at 8 bits;
//!   `fN+rM` limits FLASH and RAM to N and M % of what uniform 8 bits takes; `wN+rM` weights and RAM.
//! - `STRATEGIES` (`auto,exact,greedy,rules`), `EVALUATIONS` (200), `SEEDS` (0), `REWARD` (`loss`), `IMAGES` (512, for
//!   calibration), `EVAL_IMAGES` (512).
//!
//! A line for each: reward, loss and accuracy on held-out training images by the search's quantization, accuracy on the
//! whole test set after the final one, shares of the 8-bit bytes used, seconds.

use bitesize::console::{Console, Verbosity};
use bitesize::data::{Batch, Dataset, Preprocess, PreprocessFile, Request, Role, Shares, Split};
use bitesize::judge::{Judge, Target};
use bitesize::model::Model;
use bitesize::quantize::{Quantizer, calibrate};
use bitesize::run::RunFolder;
use bitesize_ir::BitWidth;
use bitesize_ir::target::Budget;
use bitesize_search::{
    Constraints, DdpgSettings, Memo, Outcome, Problem, RewardKind, Settings, Strategy, WidthSet, search,
};
use bitesize_train::CalibrationSettings;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let shared = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    for name in std::env::args().skip(1) {
        study(&shared, &name)?;
    }
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

struct Subject {
    model: Model,
    calibration: Batch,
    reward: Batch,
    test: Batch,
}

impl Subject {
    fn read(shared: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let file = shared.join("models").join(name);
        let mut model = Model::load(&file.with_extension("onnx"), &Console::new(Verbosity::Quiet))?;
        let preprocess = PreprocessFile::from_toml(&std::fs::read_to_string(file.with_extension("toml"))?)?;
        let shape = model.network.shape(model.network.input);
        let preprocess = Preprocess::checked(&preprocess, shape)?;
        let outputs = model.network.shape(model.network.output).c;
        let request = Request { shape, outputs, preprocess: &preprocess, classes: None };
        let data = shared.join("data/cifar10");
        let train = Dataset::open(&data.join("train"), Role::Train, &request)?;
        let test = Dataset::open(&data.join("test"), Role::Val, &request)?;
        model.fold_preprocessing(&preprocess)?;
        let count = |name| setting(name, "512").parse();
        let shares = Shares { calibration: count("IMAGES")?, reward: count("EVAL_IMAGES")? };
        let split = Split::of(&train, shares, 0)?;
        Ok(Self {
            model,
            calibration: train.load(&split.calibration)?,
            reward: train.load(&split.reward)?,
            test: test.load(&(0..test.len()).collect::<Vec<_>>())?,
        })
    }
}

fn study(shared: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let subject = Subject::read(shared, name)?;
    let (network, space) = (&subject.model.network, &subject.model.space);
    let console = Console::new(Verbosity::Quiet);
    let start = Instant::now();
    let calibration = calibrate(network, &subject.calibration, &CalibrationSettings::default(), &console)?;
    let quantizer = Quantizer::prepare(network, &subject.calibration, calibration, &console)?;
    let target = Target::of(network, &subject.reward)?;
    let core = bitesize::platform::core("cortex-m4")?;
    let free = Problem::new(network, space, &core, Budget { flash_bytes: u64::MAX, ram_bytes: u64::MAX });
    let reference = target.float_hits as f64 / subject.reward.len() as f64;
    println!("{name}: float {:.2} held out, prepared in {:.1} s", 100.0 * reference, start.elapsed().as_secs_f64());
    for case in setting("CASES", "w70,w50,w35,w30").split(',') {
        let problem = problem_of(&free, case)?;
        for strategy in setting("STRATEGIES", "auto,exact,greedy,rules").split(',') {
            for seed in setting("SEEDS", "0").split(',') {
                let run = Run { subject: &subject, quantizer: &quantizer, target: &target, problem: &problem };
                println!("  {case} {strategy:<9} {}", run.line(strategy.parse()?, seed.parse()?, reference)?);
            }
        }
    }
    Ok(())
}

/// `free` under the limits that `case` names.
fn problem_of<'a>(free: &Problem<'a>, case: &str) -> Result<Problem<'a>, Box<dyn Error>> {
    let full = free.memory(&free.uniform(BitWidth::B8));
    let (mut budget, mut constraints) = (free.budget(), Constraints::default());
    let share = |part: &str, bytes: u64| -> Result<u64, Box<dyn Error>> {
        Ok((bytes as f64 * part[1..].parse::<f64>()? / 100.0) as u64)
    };
    for part in case.split('+') {
        match part.chars().next() {
            Some('w') => constraints.weight_bytes = Some(share(part, full.weight_bytes)?),
            Some('f') => budget.flash_bytes = share(part, full.flash_bytes)?,
            Some('r') => budget.ram_bytes = share(part, full.ram_bytes)?,
            _ => return Err(format!("`{part}` is none of wN, fN, rN").into()),
        }
    }
    if !case.contains('r') {
        constraints.activations = WidthSet::only(BitWidth::B8);
    }
    Ok(free.with_budget(budget).constrained(&constraints)?)
}

struct Run<'a> {
    subject: &'a Subject,
    quantizer: &'a Quantizer<'a>,
    target: &'a Target,
    problem: &'a Problem<'a>,
}

impl Run<'_> {
    fn line(&self, strategy: Strategy, seed: u64, reference: f64) -> Result<String, Box<dyn Error>> {
        let place = std::env::temp_dir().join(format!("bitesize-search-study-{}", std::process::id()));
        let folder = RunFolder::create(&place)?;
        let mut judge = Judge::new(self.quantizer, self.target, &folder)?;
        let reward: RewardKind = setting("REWARD", "loss").parse()?;
        let settings = Settings {
            episodes: setting("EVALUATIONS", "200").parse()?,
            patience: None,
            reward,
            seed,
            reference_reward: if reward == RewardKind::Loss { 1.0 } else { reference },
            ddpg: DdpgSettings::default(),
        };
        let start = Instant::now();
        let mut memo = Memo::new(&mut judge);
        let mut records = Vec::new();
        let outcome = search(self.problem, strategy, &settings, &mut memo, &mut |record| {
            records.push(record.clone());
            ControlFlow::Continue(())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let Outcome::Found(found) = outcome else { return Ok("does not fit".into()) };
        let best = &records[found.episode];
        let mut finals = Vec::new();
        for policy in found.best.iter().take(4) {
            let candidate = self.quantizer.sequential("final", policy)?;
            let score = self.target.score(&candidate, None)?;
            finals.push((reward.of(score), policy.clone(), candidate));
        }
        let test = |candidate: &bitesize::measure::Candidate| -> Result<f64, Box<dyn Error>> {
            Ok(100.0 * candidate.hits(&self.subject.test)? as f64 / self.subject.test.len() as f64)
        };
        let first = test(&finals[0].2)?;
        finals.sort_by(|a, b| b.0.total_cmp(&a.0));
        let full = self.problem.memory(&self.problem.uniform(BitWidth::B8));
        let memory = self.problem.memory(&finals[0].1);
        let share = |used: u64, of: u64| 100.0 * used as f64 / of as f64;
        Ok(format!(
            "seed {seed}: reward {:.5} loss {:.5} accuracy {:.2}; final reward {:.5}; test {:.2} (first {first:.2}); weights {:.1} % \
             FLASH {:.1} % RAM {:.1} %; {} evaluations, {} probes, {seconds:.1} s",
            found.reward,
            best.loss,
            100.0 * best.accuracy,
            finals[0].0,
            test(&finals[0].2)?,
            share(memory.weight_bytes, full.weight_bytes),
            share(memory.flash_bytes, full.flash_bytes),
            share(memory.ram_bytes, full.ram_bytes),
            found.evaluations,
            found.probes
        ))
    }
}
