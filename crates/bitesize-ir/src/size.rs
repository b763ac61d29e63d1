//! Byte sizes, and millions, as people write them.

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

/// Reads a number of millions, such as `12.5`, to whole ones; from one to 9e15 of them.
///
/// # Errors
/// A sentence that says what was found and what is accepted.
pub fn parse_millions(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number of millions above 0 and below 9000000000, as in 12.5");
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = text.parse::<f64>().ok().filter(|_| is_decimal).ok_or_else(wrong)?;
    let ones = (value * 1e6).round();
    if (1.0..9e15).contains(&ones) { Ok(ones as u64) } else { Err(wrong()) }
}

/// `12.5 million`, exact: [`parse_millions`] reads the number back.
pub fn format_millions(ones: u64) -> String {
    let decimals = format!("{:06}", ones % 1_000_000);
    let (whole, decimals) = (ones / 1_000_000, decimals.trim_end_matches('0'));
    if decimals.is_empty() { format!("{whole} million") } else { format!("{whole}.{decimals} million") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millions() {
        let cases = [("12.5", 12_500_000, "12.5"), ("0.000001", 1, "0.000001"), ("3", 3_000_000, "3")];
        let cases = cases.into_iter().chain([("12.345678", 12_345_678, "12.345678"), ("1.10", 1_100_000, "1.1")]);
        for (text, ones, written) in cases {
            assert_eq!(parse_millions(text), Ok(ones), "{text}");
            assert_eq!(format_millions(ones), format!("{written} million"));
        }
        for text in ["", "0", "0.0000001", "-1", "1e3", "inf", "nan", "1 million", "1e99", "99999999999999", "."] {
            assert!(parse_millions(text).is_err(), "{text}");
        }
    }

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
