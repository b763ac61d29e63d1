//! What stored labels may be taken for.

use crate::input::labels::{Numbers, StoredLabels};
use bitesize_ir::Shape;

impl StoredLabels {
    /// Numbers behind each sample.
    pub(crate) fn each(&self) -> usize {
        self.dims.iter().product()
    }

    /// How many samples they are of.
    pub(super) fn samples(&self) -> usize {
        let count = match &self.numbers {
            Numbers::Integers(numbers) => numbers.len(),
            Numbers::Reals(numbers) => numbers.len(),
        };
        count / self.each().max(1)
    }

    /// `offset` added to every number.
    pub(super) fn with_offset(&self, offset: i64) -> Self {
        let numbers = match &self.numbers {
            Numbers::Integers(numbers) => Numbers::Integers(numbers.iter().map(|n| n.saturating_add(offset)).collect()),
            Numbers::Reals(numbers) => Numbers::Reals(numbers.iter().map(|n| n + offset as f32).collect()),
        };
        Self { dims: self.dims.clone(), numbers, of_classes: self.of_classes }
    }

    /// The answers that numbers of 0 and 1 are, or of -1 and 1; `None` for others.
    pub(super) fn answers(&self) -> Option<Vec<bool>> {
        let numbers = self.reals();
        let are = |no: f32| numbers.iter().all(|n| *n == no || *n == 1.0);
        (are(0.0) || are(-1.0)).then(|| numbers.iter().map(|n| *n == 1.0).collect())
    }

    /// The numbers as integers, where they are.
    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        match &self.numbers {
            Numbers::Integers(numbers) => Some(numbers.clone()),
            Numbers::Reals(numbers) => {
                let is_integer = |n: &f32| n.fract() == 0.0 && n.abs() < 1e9;
                numbers.iter().all(is_integer).then(|| numbers.iter().map(|n| *n as i64).collect())
            }
        }
    }

    /// Whether every number is 0 or 1 with `offset`, or the one of pixels without a label.
    pub(super) fn are_masks(&self, offset: i64) -> bool {
        let is_mask = |n: i64| (0..=1).contains(&n.saturating_add(offset)) || is_unlabelled(n);
        self.integers().is_some_and(|numbers| numbers.into_iter().all(is_mask))
    }

    /// Whether each pixel of arrays of `shape`, channels last or first, is a no but for one yes.
    pub(super) fn are_one_hot_maps(&self, shape: Shape) -> bool {
        let (n, pixels) = (shape.elements(), shape.pixels());
        let is_one = |answers: &mut dyn Iterator<Item = &bool>| answers.filter(|answer| **answer).count() == 1;
        let of_planes = |sample: &[bool]| (0..pixels).all(|pixel| is_one(&mut sample[pixel..].iter().step_by(pixels)));
        shape.c > 1
            && self
                .answers()
                .is_some_and(|answers| are_one_hot(&answers, shape.c) || answers.chunks_exact(n).all(of_planes))
    }

    /// Whether each row of `width` numbers is a no but for one yes.
    pub(super) fn are_one_hot(&self, width: usize) -> bool {
        width > 1 && self.answers().is_some_and(|answers| are_one_hot(&answers, width))
    }

    pub(super) fn reals(&self) -> Vec<f32> {
        match &self.numbers {
            Numbers::Integers(numbers) => numbers.iter().map(|n| *n as f32).collect(),
            Numbers::Reals(numbers) => numbers.clone(),
        }
    }

    /// What labels are, in words, with `offset` behind them where there is one.
    pub(super) fn describe(&self, offset: i64) -> String {
        let kind = match self.numbers {
            Numbers::Integers(_) => "integers",
            Numbers::Reals(_) => "real values",
        };
        format!("{kind} of shape {}{}", shown(&self.dims), plus(offset))
    }
}

/// Whether `stored` stands for a pixel without a label: 255 as in PASCAL VOC and Cityscapes, or -1.
pub(super) fn is_unlabelled(stored: i64) -> bool {
    stored == 255 || stored == -1
}

/// Whether each row of `width` answers has one yes.
pub(super) fn are_one_hot(answers: &[bool], width: usize) -> bool {
    answers.chunks_exact(width).all(|row| row.iter().filter(|answer| **answer).count() == 1)
}

/// `(N, 3, 128)`, of the sizes behind the samples'.
pub(super) fn shown(dims: &[usize]) -> String {
    let dims: String = dims.iter().map(|dim| format!(", {dim}")).collect();
    format!("(N{dims})")
}

/// What is said of `offset` behind labels.
pub(super) fn plus(offset: i64) -> String {
    if offset == 0 { String::new() } else { format!(" (plus label_offset {offset})") }
}
