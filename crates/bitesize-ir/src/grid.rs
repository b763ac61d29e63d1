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
    step: i8,
    bits: u8,
}

impl WeightGrid {
    /// The grid of `width`: 8 bits -127..=127, 4 bits -8..=7, 2 bits -3, -1, 1, 3 (the half-step grid).
    pub fn of(width: BitWidth) -> Self {
        match width {
            BitWidth::B8 => Self { lowest: -127, highest: 127, step: 1, bits: 8 },
            BitWidth::B4 => Self { lowest: -8, highest: 7, step: 1, bits: 4 },
            BitWidth::B2 => Self { lowest: -3, highest: 3, step: 2, bits: 2 },
        }
    }

    /// The lowest level.
    pub fn lowest(self) -> i8 {
        self.lowest
    }

    /// The highest level.
    pub fn highest(self) -> i8 {
        self.highest
    }

    /// Distance between neighbouring levels: 1, or 2 on the half-step grid.
    pub fn step(self) -> i8 {
        self.step
    }

    /// Every level, lowest first.
    pub fn levels(self) -> impl Iterator<Item = i8> {
        (self.lowest..=self.highest).step_by(self.step as usize)
    }

    /// The level nearest to `x` (in units of the scale); halves go up, what lies outside is clamped, NaN gives the
    /// lowest level.
    pub fn nearest(self, x: f64) -> i8 {
        let step = f64::from(self.step);
        let index = ((x - f64::from(self.lowest)) / step + 0.5).floor();
        let last = f64::from((i16::from(self.highest) - i16::from(self.lowest)) / i16::from(self.step));
        // `as` saturates and maps NaN to 0, which is the lowest level.
        let index = index.clamp(0.0, last) as i16;
        (i16::from(self.lowest) + index * i16::from(self.step)) as i8
    }

    /// Whether `level` is one of the grid's.
    pub fn contains(self, level: i8) -> bool {
        (self.lowest..=self.highest).contains(&level)
            && (i16::from(level) - i16::from(self.lowest)) % i16::from(self.step) == 0
    }

    /// The packed code of a level, in the low bits: two's complement at 8 and 4 bits, `(level + 3) / 2` at 2.
    pub fn code(self, level: i8) -> u8 {
        debug_assert!(self.contains(level));
        if self.step == 1 {
            level as u8 & (((1u16 << self.bits) - 1) as u8)
        } else {
            ((level - self.lowest) / self.step) as u8
        }
    }

    /// The level of a packed code (the inverse of [`Self::code`]).
    pub fn level(self, code: u8) -> i8 {
        if self.step == 1 {
            let shift = 8 - self.bits;
            ((code << shift) as i8) >> shift
        } else {
            self.lowest + self.step * code as i8
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
        assert_eq!([-9.0, -2.0, 0.0, 2.0, 99.0].map(|x| grid.nearest(x)), [-3, -1, 1, 3, 3]);
        let grid = WeightGrid::of(BitWidth::B4);
        assert_eq!([-9.0, -0.5, 0.5, f64::NAN, f64::INFINITY].map(|x| grid.nearest(x)), [-8, 0, 1, -8, 7]);
    }
}
