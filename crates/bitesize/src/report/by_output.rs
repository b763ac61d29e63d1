//! The figures of each output, where a network gives several values: they may be of different units.

use super::schema::{ByOutput, MetricReport};

/// Outputs whose figures stand one by one.
const OUTPUTS_SHOWN: usize = 16;

/// A table of the figures of each output, in markdown, a line each; empty where `rows` know none. Of many outputs it only
/// says that they stand `elsewhere`.
pub fn table<'a>(rows: impl IntoIterator<Item = &'a MetricReport>, elsewhere: &str) -> Vec<String> {
    let rows: Vec<(&MetricReport, &ByOutput)> =
        rows.into_iter().filter_map(|row| Some((row, row.by_output.as_ref()?))).collect();
    let Some(count) = rows.first().map(|(_, of_each)| of_each.float.len()) else { return Vec::new() };
    if count > OUTPUTS_SHOWN {
        return vec![format!("The figures of each of the {count} outputs are in {elsewhere}.")];
    }
    let has_integer = rows.iter().any(|(_, of_each)| of_each.integer.is_some());
    let kinds: &[&str] = if has_integer { &["float", "integer"] } else { &["float"] };
    let heads = rows.iter().flat_map(|(row, _)| kinds.iter().map(|kind| format!(" {} {kind} |", row.title())));
    let mut lines = vec![format!("| output |{}", heads.collect::<String>())];
    lines.push(format!("|---|{}", "---|".repeat(rows.len() * kinds.len())));
    for output in 0..count {
        let cells = rows.iter().flat_map(|(row, of_each)| {
            let of = |values: &[Option<f64>]| format!(" {} |", row.shown(values.get(output).copied().flatten()));
            let integer = has_integer.then(|| of(of_each.integer.as_deref().unwrap_or_default()));
            std::iter::once(of(&of_each.float)).chain(integer)
        });
        lines.push(format!("| {output} |{}", cells.collect::<String>()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_stand_one_by_one_where_they_are_few() {
        let row = |outputs: usize, integer: Option<f64>| MetricReport {
            name: "rmse".into(),
            better: "lower".into(),
            float: Some(1.0),
            integer,
            samples: 2,
            by_output: Some(ByOutput {
                float: (0..outputs).map(|i| Some(i as f64)).collect(),
                integer: integer.map(|integer| vec![Some(integer); outputs]),
            }),
        };
        let lines = table([&row(2, Some(3.0))], "x");
        assert_eq!(lines[0], "| output | RMSE float | RMSE integer |");
        assert_eq!(lines[1..], ["|---|---|---|", "| 0 | 0.00000 | 3.0000 |", "| 1 | 1.0000 | 3.0000 |"]);
        assert_eq!(table([&row(2, None)], "x")[2..], ["| 0 | 0.00000 |", "| 1 | 1.0000 |"]);
        assert_eq!(table([&row(17, None)], "x"), ["The figures of each of the 17 outputs are in x."]);
        assert!(table([&MetricReport { by_output: None, ..row(2, None) }], "x").is_empty());
    }
}
