//! Why there is no package.

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
