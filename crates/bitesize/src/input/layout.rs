//! Which axis of stored samples is which.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where the channels of stored samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataLayout {
    /// Last: (N, H, W, C).
    Nhwc,
    /// First: (N, C, H, W).
    Nchw,
}

impl fmt::Display for DataLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nhwc => "nhwc",
            Self::Nchw => "nchw",
        })
    }
}

impl FromStr for DataLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nhwc" => Ok(Self::Nhwc),
            "nchw" => Ok(Self::Nchw),
            _ => Err(format!("`{text}` is neither nhwc nor nchw")),
        }
    }
}
