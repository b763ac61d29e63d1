//! Proof that an emitted package computes what the host says.
//!
//! A package is compiled with the host's compiler and with the cross compiler, run on the host and on emulated
//! Cortex-M, and every byte that it answers is compared with the golden interpreter's. On the way its FLASH and RAM are
//! read from the linked image, its stack from a painted one, and its instructions from SysTick.
//!
//! ```no_run
//! # fn prove(
//! #     network: &bitesize_integer::IntNetwork,
//! #     samples: &[Vec<u8>],
//! #     core: &bitesize_ir::target::CoreCosts,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use bitesize_verify::{Cases, Job, PackageFolder, Runner, VerifySettings, verify};
//!
//! let package = PackageFolder { folder: "out/package".into(), prefix: "model".into() };
//! let cases = Cases::new(network, samples, 0)?;
//! let jobs = [Job::host(64), Job::emulated(Runner::named("qemu-m4").unwrap(), 8, core, None)];
//! for result in verify(&package, &cases, &jobs, &VerifySettings::default())? {
//!     println!("{}: {}", result.runner, result.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It is a crate of its own because it runs other programs (compilers, an emulator) and needs nothing of what trains,
//! searches or imports. In reading order: [`verify()`], [`Cases`], [`VerifySettings`], and the private modules `jobs`
//! (all of them, side by side), `job` (one), `build`, `machine` (the emulated ones), `sizes`, `process`; [`boards`] holds
//! the boards and cores that the project knows.
#![forbid(unsafe_code)]

pub mod boards;

mod build;
mod cases;
mod failure;
mod job;
mod jobs;
mod machine;
mod printed;
mod process;
mod result;
mod settings;
mod sizes;

pub use build::PackageFolder;
pub use cases::{Cases, PATTERNS};
pub use failure::VerifyError;
pub use job::Job;
pub use jobs::verify;
pub use machine::{MACHINES, Machine, MemoryRegion, Runner};
pub use result::{Mismatch, Prediction, Progress, RunnerResult, Status};
pub use settings::{Tools, VerifySettings};
