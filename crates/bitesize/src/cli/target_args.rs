//! What the package has to fit, and how it is computed there: arguments that several subcommands share.

use bitesize::input::Model;
use bitesize::observe::Monitor;
use bitesize::target::{Asked, Kernels, Platform, settled_kernels, settled_schedule};
use bitesize::usage;
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::size::parse_size;
use bitesize_ir::target::Budget;
use bitesize_search::{Constraints, from_compact};
use clap::{Args, ValueEnum};

/// What the package has to fit: a board, or two sizes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// A board that `bitesize boards` lists, or the path of a board file of your own
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["flash", "ram", "core"])]
    board: Option<String>,
    /// FLASH for the package, as 512KiB; a bare number is bytes
    #[arg(long, value_name = "SIZE", requires = "ram", value_parser = parse_size)]
    flash: Option<u64>,
    /// RAM for arena and stack, as 96KiB; a bare number is bytes
    #[arg(long, value_name = "SIZE", requires = "flash", value_parser = parse_size)]
    ram: Option<u64>,
    /// The core that the sizes are for [default: cortex-m4]
    #[arg(long, value_name = "CORE")]
    core: Option<String>,
    /// The kernels: fast (several times fewer instructions where the core has DSP instructions, more scratch), small (the least
    /// code and RAM), or auto (fast where that takes nothing to speak of from the widths)
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    kernels: KernelChoice,
    /// What may be done with rows: auto (chains of layers that take turns row by row, where they take less RAM and their FLASH is
    /// there, else in-place), in-place (layer by layer, outputs over inputs that are not read any more), or layers (layer by
    /// layer, apart) [default: auto]
    #[arg(long, value_name = "WHICH")]
    schedule: Option<ScheduleChoice>,
    /// How the network's input comes to the package: image (whole, in the arena) or rows (pushed one by one, as a camera gives
    /// them) [default: image]
    #[arg(long, value_name = "HOW", value_parser = parse_input)]
    input: Option<InputRows>,
}

/// Which kernels are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KernelChoice {
    Auto,
    Fast,
    Small,
}

/// Which schedule is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScheduleChoice {
    Auto,
    InPlace,
    Layers,
}

impl ScheduleChoice {
    /// What a run may do with rows where nothing is settled yet.
    fn get(self) -> Scheduling {
        match self {
            Self::Auto => Scheduling::Auto,
            Self::InPlace => Scheduling::InPlace,
            Self::Layers => Scheduling::Layers,
        }
    }
}

fn parse_input(text: &str) -> Result<InputRows, String> {
    match (InputRows::ALL.into_iter().find(|input| input.name() == text), text) {
        (Some(input), _) => Ok(input),
        (None, "pixels" | "real") => {
            Err(format!("what the network is fed is `--feed {text}`; `--input` is image or rows"))
        }
        (None, _) => Err("it is neither image nor rows".into()),
    }
}

impl TargetArgs {
    /// The platform asked for, `None` where nothing was.
    pub(crate) fn platform(&self) -> anyhow::Result<Option<Platform>> {
        match (&self.board, self.flash, self.ram) {
            (Some(board), ..) => Platform::of_board(board).map(Some),
            (None, Some(flash_bytes), Some(ram_bytes)) => {
                let budget = Budget { flash_bytes: Some(flash_bytes), ram_bytes: Some(ram_bytes) };
                Platform::of_sizes(budget, self.core.as_deref()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The platform asked for; one without limits where nothing was and `limited_elsewhere`.
    pub(crate) fn required(&self, limited_elsewhere: bool) -> anyhow::Result<Platform> {
        match self.platform()? {
            Some(platform) => Ok(platform),
            None if limited_elsewhere => Platform::of_sizes(Budget::UNLIMITED, self.core.as_deref()),
            None => Err(usage(
                "say what the network has to fit: --board NAME, or --flash SIZE with --ram SIZE, or --weight-bytes, or \
                 --max-minstr, or --pareto",
            )),
        }
    }

    /// Refuses kernels, a schedule or an input other than those with which `platform`'s run was begun.
    pub(crate) fn refuse_other_ways(&self, platform: &Platform) -> anyhow::Result<()> {
        let refuse = |begun: String, flag: &str| {
            Err(usage(format!("the search was begun with {begun}: leave out {flag}, or leave out --resume")))
        };
        let (kernels, name) = (platform.kernels(), &platform.name);
        if matches!(
            (self.kernels, kernels),
            (KernelChoice::Fast, Kernels::Small) | (KernelChoice::Small, Kernels::Fast)
        ) {
            return refuse(format!("the {} kernels", kernels.name()), "--kernels");
        }
        // What `auto` was settled as may be in place.
        let is_other = |asked: ScheduleChoice| match asked {
            ScheduleChoice::Auto => name.schedule == Scheduling::Layers,
            ScheduleChoice::InPlace | ScheduleChoice::Layers => asked.get() != name.schedule,
        };
        if self.schedule.is_some_and(is_other) {
            return refuse(format!("the schedule `{}`", name.schedule), "--schedule");
        }
        if self.input.is_some_and(|input| input != name.input) {
            return refuse(format!("the input as `{}`", name.input.name()), "--input");
        }
        Ok(())
    }

    /// `platform` with the kernels, the schedule and the input asked for; where kernels or schedule are left open, those that suit the
    /// widths `policy` (in the compact form) or, where there are none, some that `constraints` leave.
    pub(crate) fn settled(
        &self,
        platform: Platform,
        model: &Model,
        constraints: &Constraints,
        policy: Option<&str>,
        monitor: &Monitor,
    ) -> anyhow::Result<Platform> {
        let policy = policy.map(|text| from_compact(text, &model.space)).transpose();
        let policy = policy.map_err(|error| usage(format!("the policy does not match the network: {error}")))?;
        let policy = policy.as_ref();
        let input = self.input.unwrap_or(platform.name.input);
        let network = &model.network;
        if input == InputRows::Pushed && network.shape(network.input).h == 1 {
            monitor.note(
                "the input has one row only: to push it takes some bytes more than `--input image`, and saves none",
            );
        }
        let schedule = self.schedule.unwrap_or(ScheduleChoice::Auto);
        let platform = platform.with_schedule(schedule.get(), input);
        let platform = match self.kernels {
            KernelChoice::Auto => settled_kernels(platform, model, constraints, policy, monitor)?,
            KernelChoice::Fast if !platform.core.has_rows() => {
                return Err(usage(format!(
                    "the core `{}` has no fast kernels: leave out --kernels, or say small",
                    platform.name.core
                )));
            }
            KernelChoice::Fast => platform.with_kernels(Kernels::Fast)?,
            KernelChoice::Small => platform.with_kernels(Kernels::Small)?,
        };
        match schedule {
            ScheduleChoice::Auto => settled_schedule(platform, model, constraints, policy, monitor),
            ScheduleChoice::InPlace | ScheduleChoice::Layers => Ok(platform),
        }
    }

    /// The kernels and the schedule asked for.
    pub(crate) fn asked(&self) -> Asked {
        let kernels = match self.kernels {
            KernelChoice::Auto => None,
            KernelChoice::Fast => Some(Kernels::Fast),
            KernelChoice::Small => Some(Kernels::Small),
        };
        Asked {
            kernels,
            schedule: self.schedule.filter(|asked| *asked != ScheduleChoice::Auto).map(ScheduleChoice::get),
        }
    }

    /// The core asked for.
    pub(crate) fn core(&self) -> Option<&str> {
        self.core.as_deref()
    }
}
