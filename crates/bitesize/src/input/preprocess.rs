//! How stored values become the network's: `value = (pixel * scale - mean) / std`, after cropping and resizing.

use super::error::DataError;
use bitesize_ir::Shape;
use serde::{Deserialize, Serialize};

/// One number for every channel, or one each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerChannel {
    /// The same for all.
    All(f64),
    /// One for each.
    Each(Vec<f64>),
}

impl PerChannel {
    fn spread(&self, what: &str, channels: usize) -> Result<Vec<f64>, DataError> {
        let values = match self {
            Self::All(value) => vec![*value; channels],
            Self::Each(values) if values.len() == channels => values.clone(),
            Self::Each(values) if values.len() == 1 => vec![values[0]; channels],
            Self::Each(values) => {
                let found = values.len();
                return Err(fault(format!(
                    "{what} has {found} values, but the network's input has {channels} channels"
                )));
            }
        };
        match values.iter().find(|v| !v.is_finite()) {
            Some(value) => Err(fault(format!("{what} holds {value}, which is not a number to compute with"))),
            None => Ok(values),
        }
    }
}

/// Order and number of an image's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
    /// One, by the ITU-R 601 weights.
    Gray,
}

/// `preprocess.toml` as it stands, nothing checked. Absent keys have defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessFile {
    /// Factor on the stored value; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Subtracted after scaling; 0 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<PerChannel>,
    /// Divisor; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<PerChannel>,
    /// Height and width to resize to; without it images must have the network's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Share of each side that a centre crop keeps, in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_fraction: Option<f64>,
    /// Whether a centre square is cut first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_aspect: Option<bool>,
    /// The network's channel order; by its number of channels where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Added to every label; may be negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_offset: Option<i64>,
}

impl PreprocessFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong, with the line; unknown keys are errors.
    pub fn from_toml(text: &str) -> Result<Self, DataError> {
        toml::from_str(text).map_err(|e| fault(e.to_string()))
    }

    /// This, with what `other` gives in its place.
    pub fn overridden_by(self, other: Self) -> Self {
        Self {
            scale: other.scale.or(self.scale),
            mean: other.mean.or(self.mean),
            std: other.std.or(self.std),
            size: other.size.or(self.size),
            crop_fraction: other.crop_fraction.or(self.crop_fraction),
            keep_aspect: other.keep_aspect.or(self.keep_aspect),
            channels: other.channels.or(self.channels),
            label_offset: other.label_offset.or(self.label_offset),
        }
    }
}

/// Preprocessing checked against the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Positive.
    pub scale: f64,
    /// One for each channel.
    pub mean: Vec<f64>,
    /// One for each channel, positive.
    pub std: Vec<f64>,
    /// Whether images are resized to the network's size.
    pub resize: bool,
    /// Share of each side that a centre crop keeps.
    pub crop_fraction: Option<f64>,
    /// Whether a centre square is cut first.
    pub keep_aspect: bool,
    /// The network's channel order; `None` for inputs of neither 1 nor 3 channels, which are taken as they are.
    pub channels: Option<Channels>,
    /// Added to every label; may be negative.
    pub label_offset: i64,
    shape: Shape,
}

fn fault(problem: String) -> DataError {
    DataError::Preprocess(problem)
}

impl Preprocess {
    /// Checks `file` against a network whose input has `shape`.
    ///
    /// # Errors
    /// The first key that makes no sense or contradicts the network.
    pub fn checked(file: &PreprocessFile, shape: Shape) -> Result<Self, DataError> {
        let scale = file.scale.unwrap_or(1.0);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(fault(format!(
                "scale is {scale}, it must be positive (pixel / 255 is scale = 0.00392156862745098)"
            )));
        }
        let mean = file.mean.clone().unwrap_or(PerChannel::All(0.0)).spread("mean", shape.c)?;
        let std = file.std.clone().unwrap_or(PerChannel::All(1.0)).spread("std", shape.c)?;
        if let Some(value) = std.iter().find(|v| **v <= 0.0) {
            return Err(fault(format!("std holds {value}, it must be positive")));
        }
        if let Some([h, w]) = file.size
            && (h, w) != (shape.h, shape.w)
        {
            let (height, width) = (shape.h, shape.w);
            return Err(fault(format!(
                "size is {h}x{w}, but the network takes {height}x{width}: make it [{height}, {width}]"
            )));
        }
        if let Some(fraction) = file.crop_fraction.filter(|f| !(*f > 0.0 && *f <= 1.0)) {
            return Err(fault(format!("crop_fraction is {fraction}, it must lie in (0, 1]")));
        }
        let channels = match (file.channels, shape.c) {
            (Some(Channels::Gray), 1) | (None, 1) => Some(Channels::Gray),
            (Some(order @ (Channels::Rgb | Channels::Bgr)), 3) => Some(order),
            (None, 3) => Some(Channels::Rgb),
            (None, _) => None,
            (Some(order), found) => {
                let order = format!("{order:?}").to_lowercase();
                return Err(fault(format!("channels is {order}, but the network's input has {found} channels")));
            }
        };
        Ok(Self {
            scale,
            mean,
            std,
            resize: file.size.is_some(),
            crop_fraction: file.crop_fraction,
            keep_aspect: file.keep_aspect.unwrap_or(false),
            channels,
            label_offset: file.label_offset.unwrap_or(0),
            shape,
        })
    }

    /// The network's value of a stored `value` in `channel`.
    pub fn apply(&self, value: f64, channel: usize) -> f64 {
        (value * self.scale - self.mean[channel]) / self.std[channel]
    }

    /// Whether images of shape `stored` can become the network's.
    ///
    /// # Errors
    /// A sentence saying why not and what to do.
    pub(super) fn check_stored(&self, stored: Shape) -> Result<(), String> {
        if stored.h == 0 || stored.w == 0 || stored.c == 0 {
            return Err(format!("the image has no pixels: it is {}x{}x{}", stored.h, stored.w, stored.c));
        }
        let cropped = self.crop_fraction.is_some() || self.keep_aspect;
        if !self.resize && !cropped && (stored.h, stored.w) != (self.shape.h, self.shape.w) {
            let (h, w) = (self.shape.h, self.shape.w);
            return Err(format!(
                "the image is {}x{} (height x width), but the network takes {h}x{w} and no resizing is given: set \
                 size = [{h}, {w}] in the preprocessing file, or pass --size {h}x{w}",
                stored.h, stored.w
            ));
        }
        let (_, [h, w]) = self.window(stored);
        if !self.resize && (h, w) != (self.shape.h, self.shape.w) {
            return Err(format!(
                "the cropped image is {h}x{w} (height x width), but the network takes {}x{} and no resizing is given: \
                 set size = [{}, {}] in the preprocessing file",
                self.shape.h, self.shape.w, self.shape.h, self.shape.w
            ));
        }
        // Between gray and colour there is a conversion.
        let converted = self.channels.is_some() && matches!(stored.c, 1 | 3);
        if stored.c != self.shape.c && !converted {
            return Err(format!("the image has {} channels, but the network takes {}", stored.c, self.shape.c));
        }
        Ok(())
    }

    /// What the centre square and the centre crop leave of an image of shape `stored`: top and left, height and width.
    pub(super) fn window(&self, stored: Shape) -> ([usize; 2], [usize; 2]) {
        let (mut at, mut size) = ([0, 0], [stored.h, stored.w]);
        let mut cut = |keep: [usize; 2]| {
            at = [at[0] + (size[0] - keep[0]) / 2, at[1] + (size[1] - keep[1]) / 2];
            size = keep;
        };
        let mut sides = [stored.h, stored.w];
        if self.keep_aspect {
            sides = [stored.h.min(stored.w); 2];
            cut(sides);
        }
        if let Some(fraction) = self.crop_fraction {
            // Halves to even, as Python rounds, in which most networks' preprocessing was written.
            cut(sides.map(|side| ((side as f64 * fraction).round_ties_even() as usize).max(1)));
        }
        (at, size)
    }

    /// `(pixel * 0.0039 - mean [..]) / std [..], centre crop 0.875, resized to 224x224, rgb, label offset 1`.
    pub fn describe(&self) -> String {
        let same = |values: &[f64], neutral: f64| values.iter().all(|v| *v == neutral);
        let mut text = if self.scale == 1.0 { "value".to_owned() } else { format!("value * {}", self.scale) };
        if !same(&self.mean, 0.0) {
            text = format!("{text} - {:?}", self.mean);
        }
        if !same(&self.std, 1.0) {
            text = format!("({text}) / {:?}", self.std);
        }
        if self.keep_aspect {
            text += ", centre square";
        }
        if let Some(fraction) = self.crop_fraction {
            text += &format!(", centre crop {fraction}");
        }
        if self.resize {
            text += &format!(", resized to {}x{}", self.shape.h, self.shape.w);
        }
        if let Some(channels) = self.channels {
            text += &format!(", {}", format!("{channels:?}").to_lowercase());
        }
        if self.label_offset != 0 {
            text += &format!(", label offset {}", self.label_offset);
        }
        text
    }
}
