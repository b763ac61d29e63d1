//! What a policy has to keep beside FLASH and RAM: widths that are allowed, pins, the bytes of packed weights, and
//! instructions.

use crate::widths::{Side, WidthSet, parse_width};
use bitesize_ir::{BitWidth, PolicySpace};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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
    /// Instructions of an inference at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
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

/// Constraints that cannot be kept or checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// Pins that do not suit the network; all of them.
    #[error("these pins do not suit the network:\n  {}", .0.join("\n  "))]
    Pins(Vec<String>),
    /// Instructions are limited and cannot be counted.
    #[error("instructions are limited, but none were measured on this core: take another core, or no such limit")]
    NoInstructions,
}

impl Constraints {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What they limit, whatever the widths.
    pub fn limits(&self) -> Self {
        Self { weight_bytes: self.weight_bytes, instructions: self.instructions, ..Self::default() }
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
        if problems.is_empty() { Ok(allowed) } else { Err(ConstraintError::Pins(problems)) }
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
