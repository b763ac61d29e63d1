//! Every C name of a package.

use crate::EmitError;
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::KernelKey;

/// The names that carry a package's prefix.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Result<Self, EmitError> {
        let letters = prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let starts = prefix.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        // `bitesize_kernels` and `weights` are the other files and `bitesize_...` the kernels' names.
        let free = !prefix.to_ascii_lowercase().starts_with("bitesize") && !prefix.eq_ignore_ascii_case("weights");
        if letters && starts && free && !is_keyword(prefix) {
            Ok(Self { prefix: prefix.into() })
        } else {
            Err(EmitError::Prefix(prefix.into()))
        }
    }

    /// The library's name.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn header(&self) -> String {
        format!("{}.h", self.prefix)
    }

    pub(crate) fn source(&self) -> String {
        format!("{}.c", self.prefix)
    }

    /// `MODEL_ARENA_BYTES` for `ARENA_BYTES`.
    pub(crate) fn macro_name(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix.to_ascii_uppercase())
    }

    /// `model_run` for `run`.
    pub(crate) fn function(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    pub(crate) fn arena(&self) -> String {
        format!("{}_arena", self.prefix)
    }

    /// The descriptor of a call: `model_layer_3`, or `model_layer_3_1` where a node makes several.
    pub(crate) fn layer(&self, node: usize, part: Option<usize>) -> String {
        match part {
            Some(part) => format!("{}_layer_{node}_{part}", self.prefix),
            None => format!("{}_layer_{node}", self.prefix),
        }
    }

    /// A constant array of a node: `model_bias_3`.
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

/// The function that computes `key`.
pub(crate) fn kernel(key: KernelKey) -> String {
    format!("bitesize_{}", key.name())
}

/// The template that it is an instance of.
pub(crate) fn template(kind: KernelKind) -> String {
    format!("bitesize_{}", kind.name())
}

/// The type of its descriptor.
pub(crate) fn layer_type(kind: KernelKind) -> String {
    format!("bitesize_{}_layer", kind.name())
}

fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = "auto break case char const continue default do double else enum extern float for goto if \
        inline int long register restrict return short signed sizeof static struct switch typedef union unsigned void \
        volatile while main";
    KEYWORDS.split_whitespace().any(|keyword| keyword == name)
}
