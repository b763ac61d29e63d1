//! The networks, with their data, that strategies are compared on.

use bitesize::deliver::equalized::JUDGES;
use bitesize::input::{Batch, Dataset, Model, Preprocess, PreprocessFile, Request, Role, Shares, Split};
use bitesize::observe::Monitor;
use bitesize::task::{Measured, Meter, Objective, Task};
use bitesize_ir::BitWidth;
use bitesize_ir::target::Budget;
use bitesize_search::{Constraints, Problem, WidthSet};
use std::path::Path;

/// Anything that ends a development command.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A CIFAR-10 network, training samples that serve one purpose each, and the whole test set.
pub(super) struct Subject {
    pub(super) model: Model,
    pub(super) calibration: Batch,
    pub(super) reward: Batch,
    /// For equalization: as in a run the first after those of calibration, so that some serve the reward too.
    pub(super) judges: Batch,
    pub(super) test: Batch,
}

impl Subject {
    /// What networks are judged by.
    pub(super) fn objective(&self) -> Objective {
        let network = &self.model.network;
        Objective { task: Task::Classify, shape: network.shape(network.output), tail: network.tail }
    }

    /// The share of the test set that `outputs` classify rightly.
    pub(super) fn accuracy(&self, outputs: &[f64]) -> f64 {
        let mut meter = Meter::new(self.objective());
        meter.add(outputs, &self.test.labels);
        meter.finish().as_ref().and_then(Measured::fraction).unwrap_or_default()
    }

    /// Reads `name` of the folder `shared`; the split is drawn with seed 0.
    pub(super) fn read(shared: &Path, name: &str, shares: Shares) -> Result<Self, Failure> {
        let file = shared.join("models").join(name);
        let mut model = Model::load(&file.with_extension("onnx"), &Monitor::unobserved())?;
        let preprocess = PreprocessFile::from_toml(&std::fs::read_to_string(file.with_extension("toml"))?)?;
        let shape = model.network.shape(model.network.input);
        let preprocess = Preprocess::checked(&preprocess, shape)?;
        let outputs = model.network.shape(model.network.output).c;
        let request = Request::new(shape, &preprocess);
        let data = shared.join("data/cifar10");
        let train = Dataset::open(&data.join("train"), Role::Train, &request)?.with_classes(outputs)?;
        let test = Dataset::open(&data.join("test"), Role::Val, &request)?.with_classes(outputs)?;
        model.fold_preprocessing(&preprocess)?;
        let split = Split::of(&train, shares, 0)?;
        let judges = Split::of(&train, Shares { reward: JUDGES, ..shares }, 0)?.reward;
        Ok(Self {
            model,
            calibration: train.load(&split.calibration)?,
            reward: train.load(&split.reward)?,
            judges: train.load(&judges)?,
            test: test.load(&(0..test.len()).collect::<Vec<_>>())?,
        })
    }
}

/// `free` under the limits that `case` names: `wN` is N % of the bytes of packed weights at 8 bits, `fN` and `rN` are N % of
/// the FLASH and RAM of uniform 8 bits; joined by `+`. Without a limit of RAM, activations have 8 bits.
pub(super) fn problem_of<'a>(free: &Problem<'a>, case: &str) -> Result<Problem<'a>, Failure> {
    let full = free.footprint(&free.uniform(BitWidth::B8));
    let (mut budget, mut constraints): (Budget, _) = (free.budget(), Constraints::default());
    for part in case.split('+') {
        let wrong = || format!("`{part}` is none of wN, fN, rN");
        let (what, percent) = part.split_at_checked(1).ok_or_else(wrong)?;
        let percent: f64 = percent.parse().map_err(|_| wrong())?;
        let share = |bytes: u64| (bytes as f64 * percent / 100.0) as u64;
        match what {
            "w" => constraints.weight_bytes = Some(share(full.weight_bytes)),
            "f" => budget.flash_bytes = Some(share(full.flash_bytes)),
            "r" => budget.ram_bytes = Some(share(full.ram_bytes)),
            _ => return Err(wrong().into()),
        }
    }
    if !case.contains('r') {
        constraints.activations = WidthSet::only(BitWidth::B8);
    }
    Ok(free.with_budget(budget).constrained(&constraints)?)
}
