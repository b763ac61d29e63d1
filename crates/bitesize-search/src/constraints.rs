//! What a policy has to keep beside FLASH and RAM: widths that are allowed, pins, and the bytes of packed weights.

use crate::problem::Side;
use bitesize_ir::{BitWidth, PolicySpace};
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

fn parse_width(text: &str) -> Option<BitWidth> {
    text.trim().parse::<u8>().ok().and_then(|bits| BitWidth::try_from(bits).ok())
}

/// Widths that one row must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin {
    /// The row's name.
    pub row: String,
    /// Of its weights, `None` where they stay free.
    pub weights: Option<BitWidth>,
    /// Of its output, `None` where it stays free.
    pub activations: Option<BitWidth>,
}

/// `conv0=8/4`, with `*` (or `-`) for a width that stays free.
impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=W/A with 2, 4, 8 or * (free) for each, as in conv0=8/*");
        let (row, widths) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (weights, activations) = widths.split_once('/').ok_or_else(wrong)?;
        let width = |text: &str| match text.trim() {
            "*" | "-" => Ok(None),
            text => parse_width(text).map(Some).ok_or_else(wrong),
        };
        let (weights, activations) = (width(weights)?, width(activations)?);
        if row.trim().is_empty() { Err(wrong()) } else { Ok(Self { row: row.trim().into(), weights, activations }) }
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bits: Option<BitWidth>| bits.map_or("*".to_owned(), |bits| bits.to_string());
        write!(f, "{}={}/{}", self.row, text(self.weights), text(self.activations))
    }
}

/// What every policy has to keep, beside FLASH and RAM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constraints {
    /// Bytes of packed weights at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bytes: Option<u64>,
    /// Widths allowed for weights.
    #[serde(skip_serializing_if = "is_all")]
    pub weights: WidthSet,
    /// Widths allowed for activations.
    #[serde(skip_serializing_if = "is_all")]
    pub activations: WidthSet,
    /// Rows whose widths are given; they go before what is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
}

fn is_all(set: &WidthSet) -> bool {
    *set == WidthSet::ALL
}

/// Pins that do not suit the network; all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these pins do not suit the network:\n  {}", .0.join("\n  "))]
pub struct ConstraintError(pub Vec<String>);

impl Constraints {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The widths allowed for weights and activations of each row of `space`.
    ///
    /// # Errors
    /// Every pin of a row that is not there, that gives a width where none is free, or that contradicts another.
    pub fn allowed(&self, space: &PolicySpace) -> Result<Vec<[WidthSet; 2]>, ConstraintError> {
        let mut allowed = vec![[self.weights, self.activations]; space.rows.len()];
        let mut pinned = vec![[None; 2]; space.rows.len()];
        let mut problems = Vec::new();
        for pin in &self.pins {
            let Some(row) = space.rows.iter().position(|row| row.name == pin.row) else {
                problems.push(unknown(pin, space));
                continue;
            };
            let free = [space.rows[row].weights, space.rows[row].activations];
            for (side, given) in [(Side::Weights, pin.weights), (Side::Activations, pin.activations)] {
                let (Some(bits), at) = (given, side as usize) else { continue };
                // The network's output has 8 bits anyhow.
                let stated = side == Side::Activations && bits == BitWidth::B8;
                match (free[at], pinned[row][at]) {
                    (false, _) if stated => {}
                    (false, _) => problems.push(not_free(pin, side)),
                    (true, Some(other)) if other != bits => {
                        problems.push(format!("`{pin}`: another pin gives `{}` {other} bits there", pin.row));
                    }
                    (true, _) => {
                        pinned[row][at] = Some(bits);
                        allowed[row][at] = WidthSet::only(bits);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(allowed) } else { Err(ConstraintError(problems)) }
    }
}

fn not_free(pin: &Pin, side: Side) -> String {
    match side {
        Side::Weights => format!("`{pin}`: `{}` has no weights; leave them free, as in {}=*/8", pin.row, pin.row),
        Side::Activations => format!("`{pin}`: the output of `{}` always has 8 bits", pin.row),
    }
}

fn unknown(pin: &Pin, space: &PolicySpace) -> String {
    let near: Vec<&str> =
        space.rows.iter().map(|row| row.name.as_str()).filter(|name| name.contains(&pin.row)).take(3).collect();
    let hint = match near.is_empty() {
        true => "`bitesize inspect` lists the rows".to_owned(),
        false => format!("did you mean {}?", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    };
    format!("`{pin}`: the network has no row `{}`; {hint}", pin.row)
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

    #[test]
    fn pins() {
        let pin = |row: &str, weights, activations| Some(Pin { row: row.into(), weights, activations });
        let cases = [
            ("conv0=8/4", pin("conv0", Some(B8), Some(B4))),
            ("a=b/c=*/2", pin("a=b/c", None, Some(B2))),
            ("x=4/-", pin("x", Some(B4), None)),
            ("conv0", None),
            ("conv0=8", None),
            ("=8/8", None),
            ("conv0=3/8", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Pin>().ok(), expected, "{text}");
        }
        assert_eq!("x=4/-".parse::<Pin>().map(String::from), Ok("x=4/*".to_owned()));
    }
}
