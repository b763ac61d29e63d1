//! Byte sizes as people write them.

/// Reads a size: a number with `B`, `K`/`KiB`/`kB`, `M`/`MiB`/`MB` or no unit (bytes). KiB, MiB, `K` and `M` are
/// 1024-based, kB and MB 1000-based. The number may have decimals (`1.5MiB`); the result is rounded down.
///
/// # Errors
/// A sentence that says what was found and what is accepted.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor = match unit.trim() {
        "" | "B" => 1.0,
        "K" | "KiB" => 1024.0,
        "kB" => 1000.0,
        "M" | "MiB" => 1024.0 * 1024.0,
        "MB" => 1e6,
        _ => return Err(format!("`{text}` is not a size: use B, K, KiB, kB, M, MiB or MB, as in 512KiB")),
    };
    let value: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a size: write a number first, as in 512KiB"))?;
    let bytes = value * factor;
    if bytes.is_finite() && bytes < 9e15 { Ok(bytes as u64) } else { Err(format!("`{text}` is too large a size")) }
}

/// `123456 B (120.6 KiB)`.
pub fn format_size(bytes: u64) -> String {
    format!("{bytes} B ({:.1} KiB)", bytes as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let cases = [
            ("512KiB", 524_288),
            ("1 kB", 1000),
            ("2M", 2_097_152),
            ("2MB", 2_000_000),
            ("77", 77),
            ("9B", 9),
            ("1.5K", 1536),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "12 GB", "1e3", "-4K", "1.2.3K"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
