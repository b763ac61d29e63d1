//! What a package is asked to be.

use crate::names::DEFAULT;
use bitesize_ir::memory::{FlashUse, RamUse};
use bitesize_ir::target::CoreCosts;

/// What a package is called and what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmitOptions {
    /// Prefix of every C name and file: `kws` gives `kws.h` and `kws_run`. [`check_name`](crate::check_name) says what it may be.
    pub prefix: String,
    /// `None`: the package has kernels of its own, under its own prefix. Otherwise the prefix of kernels that lie
    /// elsewhere ([`instances`](crate::instances) writes them), so that packages emitted by one version can have them in common.
    pub shared_kernels: Option<String>,
    /// Figures for a comment of the header.
    pub figures: Option<Figures>,
    /// How the output runs over height, width and channels, for a comment of the header; `None`: as every tensor does.
    pub output_order: Option<String>,
    /// How the header says that the output is read.
    pub reading: Reading,
}

/// How firmware reads a network's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// The highest of all codes is the class.
    #[default]
    Class,
    /// Each code says yes or no.
    Threshold,
    /// At each pixel the highest of its codes is the class; with one channel it says yes or no.
    Pixels,
    /// Codes stand for values.
    Values,
}

impl Default for EmitOptions {
    fn default() -> Self {
        let (shared_kernels, figures, output_order) = (None, None, None);
        Self { prefix: DEFAULT.into(), shared_kernels, figures, output_order, reading: Reading::default() }
    }
}

impl Figures {
    /// Those of `core`, where the package takes `flash` and `ram`.
    pub fn of(core: &CoreCosts, flash: &FlashUse, ram: &RamUse) -> Self {
        Self {
            core: core.name.clone(),
            compiler: core.compiler.clone(),
            flags: core.flags.clone(),
            flash_bytes: flash.total,
            ram_bytes: ram.total,
            stack_bytes: ram.stack,
        }
    }
}

/// What the memory model says of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The core that they hold for, as `cortex-m4`.
    pub core: String,
    /// The compiler that they hold for, as it names itself.
    pub compiler: String,
    /// All the flags that they hold with. Those of code generation (`-f...`) are in `CMakeLists.txt` too.
    pub flags: Vec<String>,
    /// Bytes of FLASH.
    pub flash_bytes: u64,
    /// Bytes of RAM, arena and stack.
    pub ram_bytes: u64,
    /// Bytes of stack at most, of those of RAM.
    pub stack_bytes: u64,
}
