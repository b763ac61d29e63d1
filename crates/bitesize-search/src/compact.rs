//! Policies in a line of text: what diaries hold, and by what scores are remembered.

use bitesize_ir::{BitWidth, Policy, PolicySpace};

/// `W8A4 W4A8 W2A-`: one word a row, `-` where a row has no such width. Read back by [`from_compact`].
pub fn to_compact(policy: &Policy) -> String {
    let text = |bits: Option<BitWidth>| bits.map_or('-', |bits| char::from(b'0' + bits.bits()));
    let words: Vec<String> =
        policy.rows.iter().map(|row| format!("W{}A{}", text(row.weights), text(row.activations))).collect();
    words.join(" ")
}

/// Reads what [`to_compact`] writes, for the rows of `space`.
///
/// # Errors
/// A sentence naming the row that is missing, left over or does not match.
pub fn from_compact(text: &str, space: &PolicySpace) -> Result<Policy, String> {
    let bits = |c: Option<char>| match c {
        Some('-') => Some(None),
        Some('2') => Some(Some(BitWidth::B2)),
        Some('4') => Some(Some(BitWidth::B4)),
        Some('8') => Some(Some(BitWidth::B8)),
        _ => None,
    };
    let parse = |word: &str| {
        let mut chars = word.chars();
        let weights = bits(chars.next().filter(|c| *c == 'W').and_then(|_| chars.next()))?;
        let activations = bits(chars.next().filter(|c| *c == 'A').and_then(|_| chars.next()))?;
        chars.next().is_none().then_some((weights, activations))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != space.rows.len() {
        return Err(format!("the policy has {} rows, the network {}", words.len(), space.rows.len()));
    }
    let mut policy = Policy::uniform(space, BitWidth::B8, BitWidth::B8);
    for ((row, free), word) in policy.rows.iter_mut().zip(&space.rows).zip(words) {
        match parse(word) {
            Some((weights, activations))
                if weights.is_some() == free.weights && activations.is_some() == free.activations =>
            {
                (row.weights, row.activations) = (weights, activations);
            }
            _ => return Err(format!("`{word}` does not give `{}` the widths that it needs", row.name)),
        }
    }
    Ok(policy)
}
