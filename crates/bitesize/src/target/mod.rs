//! Where the package is to run: [`platform`] (a core with a budget), [`boards`] (which of those known would do),
//! [`kernels`] (which of a core's kernels do), and [`inspect`](mod@inspect) (what a network needs, without data).

pub mod boards;
pub mod inspect;
pub mod kernels;
pub mod platform;

pub use boards::boards_that_would_do;
pub use inspect::inspect;
pub use kernels::settled;
pub use platform::{DEFAULT_CORE, Kernels, Platform, PlatformName, core};
