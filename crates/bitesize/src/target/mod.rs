//! Where the package is to run: [`platform`] (a core with a budget), [`boards`] (which of those known would do),
//! [`ways`] (by which kernels and in which schedules), [`kernels`] and [`schedules`] (which of them a run takes), and
//! [`inspect`](mod@inspect) (what a network needs, without data).

pub mod boards;
pub mod inspect;
pub mod kernels;
pub mod platform;
pub mod schedules;
pub mod ways;

pub use boards::boards_that_would_do;
pub use inspect::inspect;
pub use kernels::settled_kernels;
pub use platform::{DEFAULT_CORE, Kernels, Platform, PlatformName, core};
pub use schedules::settled_schedule;
pub use ways::{Asked, RamByWay, RamWays, left_out, timeline};
