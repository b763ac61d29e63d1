//! The figures that are told of a network's answers.

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Share of the samples whose highest output is that of their class.
    Top1,
    /// Share of the yes-or-no answers that are right, at a probability of 1/2.
    Accuracy,
    /// Area under the receiver operating characteristic: the probability that of one sample with and one without a label
    /// the first has the higher output; mean over labels.
    Auc,
    /// Mean absolute error.
    Mae,
    /// Root of the mean squared error.
    Rmse,
    /// Coefficient of determination: 1 less the squared error over the labels' variance; mean over outputs.
    R2,
    /// Share of the labelled pixels that are classified rightly.
    PixelAccuracy,
    /// Intersection over union of a class's pixels and those classified so; mean over the classes that occur.
    MeanIou,
}

impl Metric {
    /// Every figure.
    pub const ALL: [Self; 8] =
        [Self::Top1, Self::Accuracy, Self::Auc, Self::Mae, Self::Rmse, Self::R2, Self::PixelAccuracy, Self::MeanIou];

    /// The figure that `report.json` calls `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The name in `report.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top1 => "top1",
            Self::Accuracy => "accuracy",
            Self::Auc => "auc",
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::R2 => "r2",
            Self::PixelAccuracy => "pixel_accuracy",
            Self::MeanIou => "mean_iou",
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Top1 => "top-1",
            Self::Accuracy => "accuracy",
            Self::Auc => "AUC",
            Self::Mae => "MAE",
            Self::Rmse => "RMSE",
            Self::R2 => "R2",
            Self::PixelAccuracy => "pixel accuracy",
            Self::MeanIou => "mean IoU",
        }
    }

    /// The name at the head of a column or an axis, where top-1 is what everybody calls accuracy.
    pub fn column(self) -> &'static str {
        match self {
            Self::Top1 => "accuracy",
            other => other.title(),
        }
    }

    /// Whether more is better.
    pub fn is_higher_better(self) -> bool {
        !matches!(self, Self::Mae | Self::Rmse)
    }

    /// Whether it is a share of answers that are right.
    pub fn is_fraction(self) -> bool {
        matches!(self, Self::Top1 | Self::Accuracy | Self::PixelAccuracy)
    }

    /// `value` for people: a share in per cent.
    pub fn shown(self, value: Option<f64>) -> String {
        match value {
            None => "-".into(),
            Some(value) if self.is_fraction() || self == Self::MeanIou => format!("{:.2} %", 100.0 * value),
            Some(value) if matches!(self, Self::Mae | Self::Rmse) => shown_number(value),
            Some(value) => format!("{value:.4}"),
        }
    }
}

/// `text`, which begins with a letter of ASCII, with a capital.
pub fn capitalized(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

/// Five digits, whatever the size.
pub fn shown_number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e5).contains(&size) {
        let digits = if size >= 1.0 { 4 - size.log10().floor().min(4.0) as usize } else { 5 };
        format!("{value:.digits$}")
    } else {
        format!("{value:.4e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_five_digits() {
        let check = |value: f64, text: &str| assert_eq!(shown_number(value), text);
        check(0.0, "0.00000");
        check(0.012345, "0.01235");
        check(1.23456, "1.2346");
        check(12345.6, "12346");
        check(1234567.0, "1.2346e6");
        check(0.000012345, "1.2345e-5");
    }
}
