//! What the report says of rows: which schedule was taken, and what lies where in it.

use super::schema::RamReport;
use crate::target::left_out;
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::shown::lines;
use bitesize_ir::size::format_size;
use std::fmt::Write as _;

/// The schedule of the plan of `ram`, and what others would need, as a paragraph of Markdown; nothing of an earlier report.
pub(super) fn schedule(ram: &RamReport) -> String {
    let Ok(scheduling) = ram.schedule.parse::<Scheduling>() else { return String::new() };
    let what = match scheduling {
        Scheduling::Auto => "in rolling chains of layers that take turns",
        Scheduling::InPlace => "layer by layer, in place",
        Scheduling::Layers => "layer by layer",
    };
    let (how, other) = if ram.input == InputRows::Pushed.name() {
        ("pushed in rows", ("--input image", ram.image_total))
    } else {
        ("a whole image in the arena", ("--input rows", ram.rows_total))
    };
    let mut text = format!("Computed {what} (`schedule`: `{scheduling}`), the input {how}.");
    let layers = ram.layers_total.filter(|_| scheduling != Scheduling::Layers);
    let others = [("--schedule layers", layers), other];
    let told = others.into_iter().filter_map(|(flag, total)| Some(format!("{} with `{flag}`", format_size(total?))));
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        let _ = write!(text, " The same widths would take RAM {}.", told.join(", "));
    }
    if let Some(bytes) = ram.unlimited_peak {
        let left_out = left_out(bytes);
        let mut characters = left_out.chars();
        let first = characters.next().map(|c| c.to_ascii_uppercase());
        text.extend([' '].into_iter().chain(first).chain(characters).chain(['.']));
    }
    text + "\n\n"
}

/// The memory timeline as a section of Markdown; nothing of an earlier report.
pub(super) fn timeline(ram: &RamReport) -> String {
    if ram.timeline.is_empty() {
        return String::new();
    }
    let mut text = "## Memory, step by step\n\nThe arena from its first byte to its last. Each tensor has a letter, scratch is `#`, the \
                    state of a chain `:`, what is free `.`; the peak is marked `<`. Layers that take turns stand below one \
                    another, with the rows that are kept of what they write.\n\n"
        .to_owned();
    for line in &ram.timeline {
        let _ = writeln!(text, "    {}", apart(&lines(line)));
    }
    text + "\n"
}

/// `line`, which is code, with names in it that no reader of Markdown takes for HTML or links, whatever it knows of code.
fn apart(line: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(line.len()), line.chars().peekable());
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            // The mark of the peak stands alone.
            ('<', Some(next)) if *next != ' ' => text += "&lt;",
            (']', Some('(')) => text += "]\\",
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram(schedule: &str, input: &str) -> RamReport {
        RamReport {
            total: 100,
            arena: 80,
            scratch: 8,
            stack: 20,
            schedule: schedule.into(),
            input: input.into(),
            layers_total: Some(3000),
            image_total: Some(100),
            rows_total: Some(70),
            unlimited_peak: None,
            timeline: vec!["arena 80 B".into(), "  0 conv\u{7}<b>]( AAAA < B".into()],
        }
    }

    #[test]
    fn a_sentence_names_the_schedule_and_what_others_take() {
        let cases = [
            (
                ram("auto", "image"),
                "Computed in rolling chains of layers that take turns (`schedule`: `auto`), the input a whole image in the arena. The same \
                 widths would take RAM 3000 B (2.9 KiB) with `--schedule layers`, 70 B (0.1 KiB) with `--input rows`.\n\n",
            ),
            (
                ram("layers", "rows"),
                "Computed layer by layer (`schedule`: `layers`), the input pushed in rows. The same widths would take RAM 100 B \
                 (0.1 KiB) with `--input image`.\n\n",
            ),
            (
                RamReport { layers_total: None, rows_total: None, ..ram("in-place", "image") },
                "Computed layer by layer, in place (`schedule`: `in-place`), the input a whole image in the arena.\n\n",
            ),
            (
                RamReport {
                    layers_total: None,
                    rows_total: None,
                    unlimited_peak: Some(40),
                    ..ram("in-place", "image")
                },
                "Computed layer by layer, in place (`schedule`: `in-place`), the input a whole image in the arena. Rolling chains with a \
                 peak of 40 B (0.0 KiB) at 8 bits are left out: they take more than 3 % more instructions than layers computed at once.\n\n",
            ),
            (ram("", ""), ""),
        ];
        for (ram, expected) in cases {
            assert_eq!(schedule(&ram), expected);
        }
    }

    #[test]
    fn a_timeline_is_code_whose_lines_steer_nothing() {
        let text = timeline(&ram("auto", "image"));
        assert!(text.ends_with("\n\n    arena 80 B\n      0 conv\\u{7}&lt;b>]\\( AAAA < B\n\n"), "{text}");
        assert_eq!(timeline(&RamReport { timeline: Vec::new(), ..ram("auto", "image") }), "");
    }
}
