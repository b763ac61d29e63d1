//! Labels as they are stored, before anyone knows what they mean.

/// What is stored beside the samples: for each of them an array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredLabels {
    /// The array's dimensions, the samples' left out: none for one number a sample.
    pub(crate) dims: Vec<usize>,
    /// `[sample][element]`.
    pub(crate) numbers: Numbers,
    /// Whether they can be nothing but classes, as those of folders.
    pub(crate) of_classes: bool,
}

/// Numbers of either kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// Of any integer type, and bool.
    Integers(Vec<i64>),
    /// Of any floating-point type.
    Reals(Vec<f32>),
}

impl StoredLabels {
    /// A class for each sample.
    pub(crate) fn classes(classes: Vec<i64>) -> Self {
        Self { dims: Vec::new(), numbers: Numbers::Integers(classes), of_classes: true }
    }

    /// Whether there is one integer for each sample of a network of several `outputs`: it can name a class, and no values.
    pub(crate) fn name_classes(&self, outputs: usize) -> bool {
        outputs > 1 && self.dims.is_empty() && matches!(self.numbers, Numbers::Integers(_))
    }
}
