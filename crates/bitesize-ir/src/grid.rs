//! The quantization grids: which levels a width has, how a real value is rounded to them, and their packed codes.
//!
//! This is the one place that knows them; training, lowering and packing ask here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Width of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum BitWidth {
    /// 2 bits.
    B2,
    /// 4 bits.
    B4,
    /// 8 bits.
    B8,
}

impl BitWidth {
    /// Every width, narrowest first.
    pub const ALL: [Self; 3] = [Self::B2, Self::B4, Self::B8];

    /// 2, 4 or 8.
    pub fn bits(self) -> u8 {
        match self {
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }

    /// Where the width stands in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The next narrower width, `None` at 2 bits.
    pub fn narrower(self) -> Option<Self> {
        match self {
            Self::B2 => None,
            Self::B4 => Some(Self::B2),
            Self::B8 => Some(Self::B4),
        }
    }

    /// The largest activation code, `2^bits - 1`.
    pub fn max_code(self) -> u8 {
        ((1u16 << self.bits()) - 1) as u8
    }

    /// Bytes of a packed row of `elements`.
    pub fn row_bytes(self, elements: usize) -> usize {
        (elements * usize::from(self.bits())).div_ceil(8)
    }
}

impl TryFrom<u8> for BitWidth {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            2 => Ok(Self::B2),
            4 => Ok(Self::B4),
            8 => Ok(Self::B8),
            other => Err(format!("a width is 2, 4 or 8 bits, found {other}")),
        }
    }
}

impl From<BitWidth> for u8 {
    fn from(width: BitWidth) -> u8 {
        width.bits()
    }
}

impl fmt::Display for BitWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bits())
    }
}

/// The levels that a weight of some width can take, in units of its channel's scale. There is no zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightGrid {
    lowest: i8,
    highest: i8,
    bits: u8,
}

impl WeightGrid {
    /// The grid of `width`: 8 bits -127..=127, 4 bits -8..=7, 2 bits -2..=1. Scales are positive at 8 and 4 bits; at 2,
    /// where the grid is lopsided, a channel's scale may be negative.
    pub fn of(width: BitWidth) -> Self {
        match width {
            BitWidth::B8 => Self { lowest: -127, highest: 127, bits: 8 },
            BitWidth::B4 => Self { lowest: -8, highest: 7, bits: 4 },
            BitWidth::B2 => Self { lowest: -2, highest: 1, bits: 2 },
        }
    }

    /// Whether a channel's scale may be `scale`: finite, not 0, and positive except at 2 bits.
    pub fn takes_scale(self, scale: f64) -> bool {
        scale.is_finite() && (scale > 0.0 || (scale < 0.0 && self.bits == 2))
    }

    /// The lowest level.
    pub fn lowest(self) -> i8 {
        self.lowest
    }

    /// The highest level.
    pub fn highest(self) -> i8 {
        self.highest
    }

    /// Every level, lowest first.
    pub fn levels(self) -> impl Iterator<Item = i8> {
        self.lowest..=self.highest
    }

    /// The level nearest to `x` (in units of the scale); halves go up, what lies outside is clamped, NaN gives the
    /// lowest level.
    pub fn nearest(self, x: f64) -> i8 {
        if x.is_nan() {
            return self.lowest;
        }
        (x + 0.5).floor().clamp(f64::from(self.lowest), f64::from(self.highest)) as i8
    }

    /// Whether `level` is one of the grid's.
    pub fn contains(self, level: i8) -> bool {
        (self.lowest..=self.highest).contains(&level)
    }

    /// The packed code of a level, in the low bits: two's complement at 8 and 4 bits, `level + 2` at 2.
    pub fn code(self, level: i8) -> u8 {
        debug_assert!(self.contains(level));
        if self.bits == 2 { (level - self.lowest) as u8 } else { level as u8 & (((1u16 << self.bits) - 1) as u8) }
    }

    /// The level of a packed code (the inverse of [`Self::code`]).
    pub fn level(self, code: u8) -> i8 {
        if self.bits == 2 {
            self.lowest + code as i8
        } else {
            let shift = 8 - self.bits;
            ((code << shift) as i8) >> shift
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_level_are_inverse_on_every_grid() {
        for width in BitWidth::ALL {
            let grid = WeightGrid::of(width);
            for level in grid.levels() {
                assert_eq!(grid.level(grid.code(level)), level, "{width} bits");
                assert!(grid.code(level) <= width.max_code());
                assert_eq!(grid.nearest(f64::from(level)), level);
            }
        }
    }

    #[test]
    fn halves_go_up_and_the_outside_is_clamped() {
        let grid = WeightGrid::of(BitWidth::B2);
        assert_eq!([-9.0, -0.5, 0.4, 0.5, 99.0].map(|x| grid.nearest(x)), [-2, 0, 0, 1, 1]);
        let grid = WeightGrid::of(BitWidth::B4);
        assert_eq!([-9.0, -0.5, 0.5, f64::NAN, f64::INFINITY].map(|x| grid.nearest(x)), [-8, 0, 1, -8, 7]);
    }
}
