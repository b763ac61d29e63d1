//! `bitesize inspect`.

use crate::args::{InstructionArgs, ModelArgs, PreprocessArgs};
use crate::console::{out_line, print};
use crate::target_args::TargetArgs;
use bitesize::input::{Model, Preprocess};
use bitesize::observe::Monitor;
use bitesize::target::{Platform, inspect, timeline};
use bitesize::{Ending, usage};
use bitesize_ir::BitWidth;
use bitesize_ir::target::Budget;
use bitesize_search::{Constraints, Problem};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Shows what a network needs.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The network, float ONNX; or one of the zoo, untrained: zoo:mobilenet-v1, zoo:mobilenet-v2 or zoo:mnasnet, with
    /// ?width=W&resolution=R&classes=C where those are not 1, 224 and 1000
    model: PathBuf,
    #[command(flatten)]
    model_input: ModelArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    instructions: InstructionArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    /// What the network will be fed [default: pixels where it takes 3 channels or preprocessing is
    /// given, else real values]
    #[arg(long, value_enum)]
    feed: Option<Feed>,
    /// Show what lies where in the arena at uniform 8 bits, step by step
    #[arg(long)]
    timeline: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What the network will be fed.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
enum Feed {
    /// Raw u8 pixels, with the preprocessing in the first layer
    Pixels,
    /// Real values, quantized by the caller
    Real,
}

impl InspectArgs {
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let given = self.target.platform()?;
        let constraints = Constraints { instructions: self.instructions.limit(), ..Constraints::default() };
        let budget_given = given.is_some() || !constraints.is_none();
        let platform = match given {
            Some(platform) => platform,
            None => Platform::of_sizes(Budget::UNLIMITED, self.target.core())?,
        };
        let mut model = Model::load_sized(&self.model, self.model_input.input_shape(), monitor)?;
        let shape = model.network.shape(model.network.input);
        let file = self.preprocess.read()?;
        let preprocessed = file != Default::default();
        let feed = self.feed.unwrap_or(if shape.c == 3 || preprocessed { Feed::Pixels } else { Feed::Real });
        if feed == Feed::Pixels {
            model.fold_preprocessing(&Preprocess::checked(&file, shape)?)?;
        } else if preprocessed {
            return Err(usage("--feed real takes no preprocessing: it happens before the network"));
        }
        let platform = self.target.settled(platform, &model, &constraints, None, monitor)?;
        let problem = Problem::new(&model.network, &model.space, &platform.core, platform.budget());
        let problem = problem.constrained(&constraints)?;
        let mut inspection = inspect(&problem, &platform, budget_given, self.target.asked(), monitor)?;
        inspection.timeline = self.timeline.then(|| timeline(&problem, &problem.uniform(BitWidth::B8)));
        if self.json {
            out_line!("{}", serde_json::to_string_pretty(&inspection)?);
        } else {
            print(format_args!("{inspection}"));
        }
        Ok(Ending::of_fit(inspection.fits != Some(false)))
    }
}
