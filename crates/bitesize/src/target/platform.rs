//! Where the package is to run: a core's costs and a budget, from a board or from two sizes.

use crate::ending::usage;
use anyhow::Context as _;
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::target::{Budget, CoreCosts, Target};
use bitesize_verify::boards;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::Path;

/// The core that a budget of two sizes is for, unless said otherwise.
pub const DEFAULT_CORE: &str = "cortex-m4";

/// Name and limits of a target, as `config.toml` keeps them. A limit that is not given is an absent key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformName {
    /// The board's name, or `custom`.
    pub name: String,
    /// As `cortex-m4`.
    pub core: String,
    /// Bytes of FLASH for the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flash_bytes: Option<u64>,
    /// Bytes of RAM for arena and stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// The board's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<NonZeroU32>,
    /// The kernels that layers are computed by.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kernels: Kernels,
    /// What the run may do with rows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Scheduling,
    /// How the network's input comes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub input: InputRows,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Which of a core's kernels layers are computed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernels {
    /// Those that work row by row, composed of stages, where the core has them.
    #[default]
    Fast,
    /// One for each combination of widths: slower, with less code for a single combination, less scratch and stack.
    Small,
}

impl Kernels {
    /// The name used in flags, `config.toml` and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Small => "small",
        }
    }
}

impl PlatformName {
    /// A core and what limits there are, with everything that is chosen left at its default.
    fn of(name: String, core: String, budget: Budget, clock_mhz: Option<NonZeroU32>) -> Self {
        let Budget { flash_bytes, ram_bytes } = budget;
        let (kernels, schedule, input) = Default::default();
        Self { name, core, flash_bytes, ram_bytes, clock_mhz, kernels, schedule, input }
    }

    /// Whether FLASH or RAM is limited.
    pub fn has_limit(&self) -> bool {
        self.flash_bytes.is_some() || self.ram_bytes.is_some()
    }

    /// The two limits.
    pub fn budget(&self) -> Budget {
        Budget { flash_bytes: self.flash_bytes, ram_bytes: self.ram_bytes }
    }
}

/// A core with a budget.
#[derive(Clone, Debug)]
pub struct Platform {
    /// What it is called, and the budget.
    pub name: PlatformName,
    /// What kernels cost there.
    pub core: CoreCosts,
}

impl Platform {
    /// The two limits.
    pub fn budget(&self) -> Budget {
        self.name.budget()
    }

    /// The kernels that layers are computed by where they can be: a core without fast ones has the small ones only.
    pub fn kernels(&self) -> Kernels {
        if self.core.has_rows() { Kernels::Fast } else { Kernels::Small }
    }

    /// The platform that `name` describes.
    ///
    /// # Errors
    /// A core that nothing is known of.
    pub fn named(name: PlatformName) -> anyhow::Result<Self> {
        let core = core(&name.core)?;
        let core = core.with_rows(core.by_rows && name.kernels == Kernels::Fast);
        let core = core.with_schedule(name.schedule, name.input);
        Ok(Self { name, core })
    }

    /// The same with other kernels.
    ///
    /// # Errors
    /// A core that nothing is known of.
    pub fn with_kernels(self, kernels: Kernels) -> anyhow::Result<Self> {
        Self::named(PlatformName { kernels, ..self.name })
    }

    /// The same where the run may do as `schedule` says with rows, and its input comes as `input` says.
    pub fn with_schedule(self, schedule: Scheduling, input: InputRows) -> Self {
        let core = self.core.with_schedule(schedule, input);
        Self { name: PlatformName { schedule, input, ..self.name }, core }
    }

    /// A board of `targets/`, or the one in the file `board`.
    ///
    /// # Errors
    /// No board of that name and no file either; a file that cannot be used.
    pub fn of_board(board: &str) -> anyhow::Result<Self> {
        let target = find_board(board)?;
        let budget = target.budget();
        let Target { name, core, clock_mhz, .. } = target;
        Self::named(PlatformName::of(name, core, budget, clock_mhz))
    }

    /// Two sizes, or none, on a core.
    ///
    /// # Errors
    /// A core that nothing is known of.
    pub fn of_sizes(budget: Budget, core: Option<&str>) -> anyhow::Result<Self> {
        let core = core.unwrap_or(DEFAULT_CORE).to_owned();
        Self::named(PlatformName::of("custom".into(), core, budget, None))
    }
}

/// The costs of a core.
///
/// # Errors
/// No core of that name; the ones that there are.
pub fn core(name: &str) -> anyhow::Result<CoreCosts> {
    boards::core(name).ok_or_else(|| {
        let names: Vec<String> = boards::cores().into_iter().map(|c| c.name).collect();
        usage(format!("nothing is known of the core `{name}`; known: {}", names.join(", ")))
    })
}

fn find_board(board: &str) -> anyhow::Result<Target> {
    if let Some(target) = boards::board(board) {
        return Ok(target);
    }
    let path = Path::new(board);
    if path.exists() && !path.is_dir() {
        let text = crate::files::read_text(path).with_context(|| format!("cannot read the board file `{board}`"))?;
        let wrong = |problem: String| anyhow::anyhow!("the board file `{board}`: {}", problem.trim_end());
        let target = Target::from_toml(&text).map_err(|e| wrong(e.to_string()))?;
        // A wrong file, and not wrong usage.
        core(&target.core).map_err(|e| wrong(e.to_string()))?;
        return Ok(target);
    }
    let names: Vec<String> = boards::all().into_iter().map(|t| t.name).collect();
    Err(usage(format!(
        "there is no board `{board}`; known: {}; or give the path of a board file of your own",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_what_is_not_the_default_and_the_core_has_it() {
        let check = |schedule, input, lines: &[&str]| {
            let platform = Platform::of_sizes(Budget::of(1, 2), None).unwrap().with_schedule(schedule, input);
            let text = toml::to_string(&platform.name).unwrap();
            let told: Vec<&str> = text.lines().filter(|line| !line.contains("_bytes") && !line.contains('-')).collect();
            assert_eq!(told, [&["name = \"custom\""], lines].concat());
            let read = Platform::named(toml::from_str(&text).unwrap()).unwrap();
            assert_eq!(read.name, platform.name);
            assert_eq!((read.core.scheduling, read.core.input), (schedule, input));
            // Other kernels, the same schedule.
            let small = read.with_kernels(Kernels::Small).unwrap();
            assert_eq!((small.core.scheduling, small.core.input, small.kernels()), (schedule, input, Kernels::Small));
        };
        check(Scheduling::Auto, InputRows::Image, &[]);
        check(Scheduling::Layers, InputRows::Image, &["schedule = \"layers\""]);
        check(Scheduling::Auto, InputRows::Pushed, &["input = \"rows\""]);
        let name =
            Platform::of_sizes(Budget::UNLIMITED, None).unwrap().with_schedule(Scheduling::InPlace, InputRows::Image);
        assert!(toml::to_string(&name.name).unwrap().contains("schedule = \"in-place\"\n"));
    }
}
