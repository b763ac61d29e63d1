//! Widths: sets of them, and those of a policy's rows.

use bitesize_ir::{BitWidth, Policy};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Some of the widths 2, 4 and 8; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<BitWidth>", into = "Vec<BitWidth>")]
pub struct WidthSet {
    has: [bool; 3],
}

impl WidthSet {
    /// All three.
    pub const ALL: Self = Self { has: [true; 3] };

    /// `bits` alone.
    pub fn only(bits: BitWidth) -> Self {
        Self { has: BitWidth::ALL.map(|width| width == bits) }
    }

    /// Those of `widths`; `None` for none.
    pub fn of(widths: &[BitWidth]) -> Option<Self> {
        (!widths.is_empty()).then(|| Self { has: BitWidth::ALL.map(|width| widths.contains(&width)) })
    }

    /// Whether `bits` is one of them.
    pub fn contains(self, bits: BitWidth) -> bool {
        self.has[bits as usize]
    }

    /// Narrowest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = BitWidth> {
        BitWidth::ALL.into_iter().filter(move |bits| self.contains(*bits))
    }

    /// How many there are, 1 to 3.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Never: there is at least one.
    pub fn is_empty(self) -> bool {
        false
    }

    /// The narrowest.
    pub fn narrowest(self) -> BitWidth {
        self.iter().next().unwrap_or(BitWidth::B8)
    }

    /// The widest.
    pub fn widest(self) -> BitWidth {
        self.iter().next_back().unwrap_or(BitWidth::B8)
    }

    /// The widest that is not wider than `bits`, or else the narrowest.
    pub fn at_most(self, bits: BitWidth) -> BitWidth {
        self.iter().rfind(|width| *width <= bits).unwrap_or_else(|| self.narrowest())
    }

    /// The seven sets that there are, single widths first, the wider before the narrower.
    pub fn every() -> impl Iterator<Item = Self> {
        [[8].as_slice(), &[4], &[2], &[4, 8], &[2, 8], &[2, 4], &[2, 4, 8]]
            .into_iter()
            .map(|bits| Self { has: BitWidth::ALL.map(|width| bits.contains(&width.bits())) })
    }

    /// The narrowest that `other` has too.
    pub fn narrowest_in(self, other: Self) -> Option<BitWidth> {
        self.iter().find(|bits| other.contains(*bits))
    }

    /// The next that is narrower than `bits`.
    pub fn below(self, bits: BitWidth) -> Option<BitWidth> {
        self.iter().rfind(|width| *width < bits)
    }
}

impl Default for WidthSet {
    fn default() -> Self {
        Self::ALL
    }
}

impl From<WidthSet> for Vec<BitWidth> {
    fn from(set: WidthSet) -> Self {
        set.iter().collect()
    }
}

impl TryFrom<Vec<BitWidth>> for WidthSet {
    type Error = &'static str;

    fn try_from(widths: Vec<BitWidth>) -> Result<Self, Self::Error> {
        Self::of(&widths).ok_or("at least one width has to be allowed")
    }
}

/// `4,8`.
impl fmt::Display for WidthSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<String> = self.iter().map(|bits| bits.to_string()).collect();
        f.write_str(&widths.join(","))
    }
}

/// Widths between commas.
impl FromStr for WidthSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let widths: Option<Vec<BitWidth>> = text.split(',').map(parse_width).collect();
        widths
            .and_then(|widths| Self::of(&widths))
            .ok_or_else(|| format!("`{text}` is not a list of the widths 2, 4 and 8, as in 4,8"))
    }
}

/// One of 2, 4 and 8.
pub(crate) fn parse_width(text: &str) -> Option<BitWidth> {
    text.trim().parse::<u8>().ok().and_then(|bits| BitWidth::try_from(bits).ok())
}

/// Which of a row's two widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Of its weights.
    Weights,
    /// Of its output.
    Activations,
}

/// The width that `row` of `policy` has on `side`; `None` where there is none to choose.
pub fn width(policy: &Policy, row: usize, side: Side) -> Option<BitWidth> {
    match side {
        Side::Weights => policy.rows[row].weights,
        Side::Activations => policy.rows[row].activations,
    }
}

/// Gives `row` of `policy` the width `bits` on `side`, which must be free.
pub fn set_width(policy: &mut Policy, row: usize, side: Side, bits: BitWidth) {
    let slot = match side {
        Side::Weights => &mut policy.rows[row].weights,
        Side::Activations => &mut policy.rows[row].activations,
    };
    debug_assert!(slot.is_some(), "row {row} has no free width on that side");
    *slot = Some(bits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use BitWidth::{B2, B4, B8};

    #[test]
    fn sets() {
        let cases = [
            ("2,4,8", Some([true, true, true])),
            ("8", Some([false, false, true])),
            ("4, 2", Some([true, true, false])),
        ];
        for (text, has) in cases.into_iter().chain(["", "3", "8;4", "8,"].map(|text| (text, None))) {
            assert_eq!(text.parse::<WidthSet>().ok().map(|set| set.has), has, "{text}");
        }
        let set: WidthSet = "2,8".parse().expect("two widths");
        assert_eq!((set.narrowest(), set.widest(), set.len()), (B2, B8, 2));
        assert_eq!([B2, B4, B8].map(|bits| set.at_most(bits)), [B2, B2, B8]);
        assert_eq!([B2, B4, B8].map(|bits| set.below(bits)), [None, Some(B2), Some(B2)]);
        assert_eq!(WidthSet::only(B4).at_most(B2), B4);
        assert_eq!(set.to_string(), "2,8");
    }
}
