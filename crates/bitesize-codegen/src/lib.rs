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
//! The kernels are C files in `runtime/`: always-inlined templates, one for each operator and for each stage, whose widths are
//! constant arguments. Emitting them is copying the templates in use and writing one instance for each [`Code`]. The
//! arithmetic is that of `docs/numerics.md`; nothing here chooses anything.
//!
//! In reading order: [`EmitOptions`], [`emit`]; then [`PackageNames`] (every C name) and the private modules `writer` (layout of C
//! text), `layers` (nodes to descriptors), `arrays` (nodes to constant arrays), and one for each emitted file.
//!
//! [`Code`]: bitesize_ir::code::Code
#![forbid(unsafe_code)]

mod arrays;
mod build;
mod check;
mod error;
mod example;
mod kernels;
mod lane_order;
mod layers;
mod model;
mod names;
mod options;
mod rolling;
mod rows;
mod source;
mod writer;

pub use error::EmitError;
pub use kernels::{code_of, instances, layer_type, rows_layer_type};
pub use names::{PackageNames, check_name};
pub use options::{EmitOptions, Figures, Reading};

use bitesize_integer::IntNetwork;
use bitesize_ir::memory::MemoryPlan;

/// The files of a package or of an example, to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFiles {
    /// Path, relative to their folder, and text; sorted by path.
    pub files: Vec<(String, String)>,
}

impl PackageFiles {
    fn of(mut files: Vec<(String, String)>) -> Self {
        files.sort();
        Self { files }
    }

    /// The text of a file, `None` where there is no such path.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str())
    }
}

/// The package of `network`, whose tensors lie as `plan` says.
///
/// # Errors
/// [`EmitError`]: a name that no package can have, a plan that is not the network's, a dimension that does not fit.
pub fn emit(network: &IntNetwork, plan: &MemoryPlan, options: &EmitOptions) -> Result<PackageFiles, EmitError> {
    let names = PackageNames::new(&options.prefix, options.shared_kernels.as_deref())?;
    check::check(network, plan)?;
    let layers = layers::layers(network, plan, &names)?;
    let chains = rolling::chains(network, plan, &names)?;
    let arrays = arrays::arrays(network, plan, &names)?;
    let mut files = vec![
        (names.header(), model::header(network, plan, options, &names)),
        (names.source(), source::source(network, plan, &layers, &chains, &names)),
        (names.weights_header(), arrays::header(&arrays, &names)),
        (names.weights_source(), arrays::source(&arrays, &names)),
    ];
    if options.shared_kernels.is_none() {
        files.extend(instances(&code_of(network, plan), names.prefix()));
    }
    files.extend(build::files(&names, options.shared_kernels.is_none(), options.figures.as_ref()));
    Ok(PackageFiles::of(files))
}

/// The known-answer test: a program that runs the package over `samples` (input bytes, expected output bytes) and
/// exits with 0 where every byte is equal. It lies in a folder beside `package`.
///
/// # Errors
/// [`EmitError`]: a name that no package can have, no samples, a sample of the wrong length.
pub fn emit_example(
    network: &IntNetwork,
    plan: &MemoryPlan,
    samples: &[(Vec<u8>, Vec<u8>)],
    options: &EmitOptions,
) -> Result<PackageFiles, EmitError> {
    let names = PackageNames::new(&options.prefix, None)?;
    example::check(network, samples)?;
    Ok(PackageFiles::of(example::files(plan.input, samples, &names)))
}
