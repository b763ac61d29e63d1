//! Where the package is to run: [`platform`] (a core with a budget), [`boards`] (which of those known would do), and
//! [`inspect`](mod@inspect) (what a network needs, without data).

pub mod boards;
pub mod inspect;
pub mod platform;

pub use boards::boards_that_would_do;
pub use inspect::inspect;
pub use platform::{DEFAULT_CORE, Platform, PlatformName, core};
