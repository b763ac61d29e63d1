//! An integer network as C99: what an engineer copies into a firmware.
//!
//! [`emit`] gives the package as a list of (path, text): `model.h` (shapes, scales, entry points), `model.c` (one
//! constant descriptor a layer and straight-line calls), `weights.c` (constant arrays), `bitesize_kernels.{h,c}` (the
//! kernels that are called, and no others), `CMakeLists.txt` and the licences. [`emit_example`] gives a program beside
//! it that runs samples and compares every output byte. Same network, plan and options: same bytes.
//!
//! ```no_run
//! # fn show(network: &bitesize_integer::IntNetwork, plan: &bitesize_ir::memory::MemoryPlan) {
//! use bitesize_codegen::{EmitOptions, emit};
//! let package = emit(network, plan, &EmitOptions::default()).expect("the network fits the descriptors");
//! for (path, text) in &package.files {
//!     println!("{path}: {} bytes", text.len());
//! }
//! # }
//! ```
//!
//! The kernels are C files in `runtime/`: one always-inlined template for each operator, whose widths are constant
//! arguments. Emitting them is copying the templates in use and writing one instance for each [`KernelKey`]. The
//! arithmetic is that of `docs/numerics.md`; nothing here chooses anything.
//!
//! In reading order: [`EmitOptions`], [`emit`]; then the private modules `names` (every C name), `writer` (layout of C
//! text), `layers` (nodes to descriptors), `arrays` (nodes to constant arrays), and one for each emitted file.
//!
//! [`KernelKey`]: bitesize_ir::target::KernelKey
#![forbid(unsafe_code)]

mod arrays;
mod build;
mod example;
mod kernels;
mod layers;
mod model;
mod names;
mod writer;

pub use kernels::{instances, kernel_keys, layer_type};
pub use names::check_name;

use bitesize_integer::IntNetwork;
use bitesize_ir::memory::MemoryPlan;
use names::Names;

/// What a package is called and what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmitOptions {
    /// Prefix of every C name and file: `kws` gives `kws.h` and `kws_run`. [`check_name`] says what it may be.
    pub prefix: String,
    /// `None`: the package has kernels of its own, under its own prefix. Otherwise the prefix of kernels that lie
    /// elsewhere ([`instances`] writes them), so that packages emitted by one version can have them in common.
    pub shared_kernels: Option<String>,
    /// Figures for a comment of the header.
    pub figures: Option<Figures>,
}

impl Default for EmitOptions {
    fn default() -> Self {
        Self { prefix: names::DEFAULT.into(), shared_kernels: None, figures: None }
    }
}

/// What the memory model says of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The core that they hold for, as `cortex-m4`.
    pub core: String,
    /// The compiler that they hold for, with its flags.
    pub compiler: String,
    /// Bytes of FLASH.
    pub flash_bytes: u64,
    /// Bytes of RAM, arena and stack.
    pub ram_bytes: u64,
    /// Bytes of stack at most, of those of RAM.
    pub stack_bytes: u64,
}

/// Files to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Path, relative to the package's folder, and text; sorted by path.
    pub files: Vec<(String, String)>,
}

impl Package {
    fn of(mut files: Vec<(String, String)>) -> Self {
        files.sort();
        Self { files }
    }

    /// The text of a file, `None` where there is no such path.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str())
    }
}

/// Why a network cannot be emitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// No package can be called that.
    #[error("`{name}` cannot be the name of a package: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A number is larger than its field in the descriptor.
    #[error("`{node}`: {what} is {value}, and the C kernels take at most {limit}")]
    TooLarge {
        /// The node.
        node: String,
        /// Which number.
        what: String,
        /// Its value.
        value: usize,
        /// The largest that fits.
        limit: usize,
    },
    /// The plan is not the network's.
    #[error("the memory plan is not this network's: {0}")]
    Plan(String),
    /// A sample of the known-answer test has the wrong number of bytes.
    #[error("sample {index} of the known-answer test has {found} {what} bytes instead of {expected}")]
    Sample {
        /// Which sample.
        index: usize,
        /// Input or output.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The network's.
        expected: usize,
    },
    /// A known-answer test without samples proves nothing.
    #[error("a known-answer test needs at least one sample")]
    NoSamples,
}

/// The package of `network`, whose tensors lie as `plan` says.
///
/// # Errors
/// [`EmitError`]: a name that no package can have, a plan that is not the network's, a dimension that does not fit.
pub fn emit(network: &IntNetwork, plan: &MemoryPlan, options: &EmitOptions) -> Result<Package, EmitError> {
    let names = Names::new(&options.prefix, options.shared_kernels.as_deref())?;
    check_plan(network, plan)?;
    let layers = layers::layers(network, plan, &names)?;
    let arrays = arrays::arrays(network, &names)?;
    let mut files = vec![
        (names.header(), model::header(network, plan, options, &names)),
        (names.source(), model::source(network, plan, &layers, &names)),
        (names.weights_header(), arrays::header(&arrays, &names)),
        (names.weights_source(), arrays::source(&arrays, &names)),
    ];
    if options.shared_kernels.is_none() {
        files.extend(instances(&kernel_keys(network), names.prefix()));
    }
    files.extend(build::files(&names, options.shared_kernels.is_none()));
    Ok(Package::of(files))
}

/// The known-answer test: a program that runs the package over `samples` (input bytes, expected output bytes) and
/// exits with 0 where every byte is equal. It lies in a folder beside `package`.
///
/// # Errors
/// [`EmitError`]: a name that no package can have, no samples, a sample of the wrong length.
pub fn emit_example(
    network: &IntNetwork,
    samples: &[(Vec<u8>, Vec<u8>)],
    options: &EmitOptions,
) -> Result<Package, EmitError> {
    let names = Names::new(&options.prefix, None)?;
    example::check(network, samples)?;
    Ok(Package::of(example::files(samples, &names)))
}

fn check_plan(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), EmitError> {
    let lengths = |what: &str, found: usize, expected: usize| {
        let problem = || EmitError::Plan(format!("it places {found} {what} instead of {expected}"));
        if found == expected { Ok(()) } else { Err(problem()) }
    };
    lengths("tensors", plan.tensors.len(), network.tensors.len())?;
    lengths("nodes", plan.scratch.len(), network.nodes.len())?;
    for (tensor, offset) in network.tensors.iter().zip(&plan.tensors) {
        let end = offset + bitesize_ir::memory::tensor_bytes(tensor.shape, tensor.bits);
        if end > plan.arena_bytes {
            let problem = format!("`{}` ends at {end} in an arena of {} bytes", tensor.name, plan.arena_bytes);
            return Err(EmitError::Plan(problem));
        }
    }
    Ok(())
}
