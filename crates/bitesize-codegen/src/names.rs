//! Every C name and file name of a package, and what a package may be called.

use crate::error::EmitError;
use bitesize_ir::code::Code;
use bitesize_ir::op::KernelKind;

/// The package that keeps the short file names.
pub(crate) const DEFAULT: &str = "model";

/// The files with the samples of the known-answer test, without their endings.
pub(crate) const KNOWN_ANSWERS: &str = "known_answers";

/// What a name may have, so that the longest name made from it stays below the 63 characters that C99 tells apart.
const LONGEST: usize = 31;

/// Words of C (up to C23) and of C++ that somebody might call a network.
const KEYWORDS: &str = "alignas alignof auto bool break case catch char class const constexpr continue default delete \
    do double else enum explicit export extern false float for friend goto if inline int long main mutable namespace \
    new nullptr operator private protected public register restrict return short signed sizeof static static_assert \
    struct switch template this thread_local throw true try typedef typeid typename typeof union unsigned using virtual \
    void volatile while";

/// `NAME.h` would hide these from the whole firmware.
const STANDARD_HEADERS: &str = "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal \
    stdalign stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string strings tgmath \
    threads time uchar unistd wchar wctype";

/// Targets that CMake has already, and libraries that every firmware links by these names.
const CMAKE_TARGETS: &str = "all clean depend edit_cache help install list_install_components package package_source \
    rebuild_cache test zero_check c m gcc g nosys";

/// Whether `name` can be what a package is called: a C identifier of at most 31 ASCII letters, digits and underscores,
/// a letter first, that collides with nothing which every firmware has, nor with another file of a package.
///
/// # Errors
/// [`EmitError::Name`], with the reason.
pub fn check_name(name: &str) -> Result<(), EmitError> {
    let lower = name.to_ascii_lowercase();
    let listed = |words: &str| words.split_whitespace().any(|word| word == lower);
    let reason = if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        || !name.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        "use letters, digits and underscores, a letter first"
    } else if name.len() > LONGEST {
        "use at most 31 characters"
    } else if lower.starts_with("bitesize") {
        "names that begin with `bitesize` are reserved"
    } else if listed(KEYWORDS) {
        "it is a word of C or C++"
    } else if listed(STANDARD_HEADERS) {
        "its header would hide one of the C library's"
    } else if listed(CMAKE_TARGETS) {
        "CMake or the linker gives this name a meaning of its own"
    } else if ["weights", "kernels"].iter().any(|file| lower == *file || lower.ends_with(&format!("_{file}")))
        || lower == KNOWN_ANSWERS
    {
        "it is that of another file of a package"
    } else {
        return Ok(());
    };
    Err(EmitError::Name { name: name.into(), reason })
}

/// The names that carry a package's prefix: whoever writes C beside a package, or looks for one of its files, asks here.
#[derive(Clone, Debug)]
pub struct PackageNames {
    prefix: String,
    kernels: KernelNames,
}

impl PackageNames {
    /// The names of package `prefix`, which calls the kernels of `kernels`, its own where that is `None`.
    ///
    /// # Errors
    /// [`EmitError::Name`] where no package can be called `prefix`.
    pub fn new(prefix: &str, kernels: Option<&str>) -> Result<Self, EmitError> {
        check_name(prefix)?;
        Ok(Self { prefix: prefix.into(), kernels: KernelNames::new(kernels.unwrap_or(prefix)) })
    }

    /// The file with the entry points' declarations.
    pub fn header(&self) -> String {
        format!("{}.h", self.prefix)
    }

    /// The file with descriptors and calls.
    pub fn source(&self) -> String {
        format!("{}.c", self.prefix)
    }

    /// The file that declares the constant arrays.
    pub fn weights_header(&self) -> String {
        format!("{}.h", self.weights_file())
    }

    /// The file that defines the constant arrays.
    pub fn weights_source(&self) -> String {
        format!("{}.c", self.weights_file())
    }

    fn weights_file(&self) -> String {
        if self.prefix == DEFAULT { "weights".into() } else { format!("{}_weights", self.prefix) }
    }

    /// The function that says where in the arena the input goes.
    pub fn input(&self) -> String {
        self.function("input")
    }

    /// The function that says where in the arena the output lies.
    pub fn output(&self) -> String {
        self.function("output")
    }

    /// The function that runs the network.
    pub fn run(&self) -> String {
        self.function("run")
    }

    /// The function that begins an image whose rows are pushed.
    pub fn begin(&self) -> String {
        self.function("begin")
    }

    /// The function that takes a row of the image.
    pub fn push_row(&self) -> String {
        self.function("push_row")
    }

    /// The macro with the bytes of a row that is pushed; there is none where the input is a whole image.
    pub fn input_row_bytes(&self) -> String {
        self.macro_name("INPUT_ROW_BYTES")
    }

    /// The macro with the input's rows.
    pub fn input_height(&self) -> String {
        self.macro_name("INPUT_HEIGHT")
    }

    /// The package's own arena.
    pub fn arena(&self) -> String {
        format!("{}_arena", self.prefix)
    }

    /// The macro with the arena's bytes.
    pub fn arena_bytes(&self) -> String {
        self.macro_name("ARENA_BYTES")
    }

    /// The macro with the input's bytes.
    pub fn input_bytes(&self) -> String {
        self.macro_name("INPUT_BYTES")
    }

    /// The macro with the output's bytes.
    pub fn output_bytes(&self) -> String {
        self.macro_name("OUTPUT_BYTES")
    }

    /// The names of the kernels that it calls.
    pub(crate) fn kernels(&self) -> &KernelNames {
        &self.kernels
    }

    /// The library's name.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of the program and the project of the known-answer test.
    pub(crate) fn example(&self) -> String {
        format!("{}_example", self.prefix)
    }

    /// `MODEL_ARENA_BYTES` for `ARENA_BYTES`.
    pub(crate) fn macro_name(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix.to_ascii_uppercase())
    }

    /// The macro that says that the caller brings an arena of his own.
    pub(crate) fn caller_arena(&self) -> String {
        self.macro_name("CALLER_ARENA")
    }

    /// The macro that places the package's own arena.
    pub(crate) fn arena_attribute(&self) -> String {
        self.macro_name("ARENA_ATTRIBUTE")
    }

    /// The macro that a caller defines to be told after the last row of each layer.
    pub fn layer_done(&self) -> String {
        self.macro_name("LAYER_DONE")
    }

    /// The macro that a caller defines to be told after each call of a kernel, for all rows of a layer or some.
    pub fn step_done(&self) -> String {
        self.macro_name("STEP_DONE")
    }

    /// The step that is a whole layer.
    pub(crate) fn all_rows(&self) -> String {
        self.function("all_rows")
    }

    /// A table of a chain: `model_bands_0`.
    pub(crate) fn of_chain(&self, what: &str, chain: usize) -> String {
        format!("{}_{what}_{chain}", self.prefix)
    }

    /// A text of `runtime/` that is part of the package itself and names the kernels' step.
    pub(crate) fn of_runtime(&self, text: &str) -> String {
        let own = KernelNames::new(&self.prefix);
        let parts: Vec<String> = text.split("bitesize_step").map(|part| own.of_runtime(part)).collect();
        parts.join(&self.kernels.of_runtime("bitesize_step"))
    }

    /// `model_run` for `run`.
    fn function(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    /// The descriptor of a call: `model_layer_3`, or `model_layer_3_1` where a node makes several.
    pub(crate) fn layer(&self, node: usize, part: Option<usize>) -> String {
        match part {
            Some(part) => format!("{}_layer_{node}_{part}", self.prefix),
            None => format!("{}_layer_{node}", self.prefix),
        }
    }

    /// A constant array of a node: `model_shifts_3`.
    pub(crate) fn array(&self, what: &str, node: usize) -> String {
        format!("{}_{what}_{node}", self.prefix)
    }

    pub(crate) fn known_inputs(&self) -> String {
        format!("{}_known_inputs", self.prefix)
    }

    pub(crate) fn known_outputs(&self) -> String {
        format!("{}_known_outputs", self.prefix)
    }
}

/// The names of kernels, their descriptors and their files.
#[derive(Clone, Debug)]
pub(crate) struct KernelNames {
    prefix: String,
}

impl KernelNames {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(crate) fn header(&self) -> String {
        format!("{}.h", self.file())
    }

    pub(crate) fn source(&self) -> String {
        format!("{}.c", self.file())
    }

    fn file(&self) -> String {
        let prefix = if self.prefix == DEFAULT { "bitesize" } else { &self.prefix };
        format!("{prefix}_kernels")
    }

    /// The function that is `code`.
    pub(crate) fn code(&self, code: Code) -> String {
        format!("{}_{}", self.prefix, code.name())
    }

    /// The template that it is an instance of.
    pub(crate) fn template(&self, kind: KernelKind) -> String {
        format!("{}_{}", self.prefix, kind.name())
    }

    /// The type of its descriptor.
    pub(crate) fn layer_type(&self, kind: KernelKind) -> String {
        format!("{}_{}_layer", self.prefix, kind.name())
    }

    /// The type of its descriptor where it is computed row by row.
    pub(crate) fn rows_layer_type(&self, kind: KernelKind) -> String {
        format!("{}_{}_rows_layer", self.prefix, kind.name())
    }

    /// A type or macro of `runtime/` by the name that it has there, or a whole text with such names.
    pub(crate) fn of_runtime(&self, text: &str) -> String {
        // Upper case first: it leaves nothing behind that the second step could take for a name.
        text.replace("BITESIZE_", &format!("{}_", self.prefix.to_ascii_uppercase()))
            .replace("bitesize_", &format!("{}_", self.prefix))
    }
}
