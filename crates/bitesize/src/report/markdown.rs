//! `report.md`.

use super::schema::{InstructionsReport, LayerReport, MetricReport, ON_VALIDATION, ReconstructionReport, Report};
use super::{by_output, rows};
use crate::task::Metric;
use crate::task::metric::{capitalized, shown_number};
use bitesize_ir::shown::{lines, markdown, markdown_code, markdown_name};
use bitesize_ir::size::{format_millions, format_size};
use bitesize_search::diagnosis::during;
use bitesize_search::{Constraints, RewardKind, WidthSet};
use std::collections::HashSet;
use std::fmt::Write as _;

fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{:.2} %", 100.0 * v))
}

fn shown(metric: Option<Metric>, value: Option<f64>) -> String {
    metric.map_or("-".into(), |metric| metric.shown(value))
}

/// Accuracy as a share of the samples, another reward as the number that it is.
fn reward(kind: &str, value: Option<f64>) -> String {
    match value {
        Some(value) if kind != RewardKind::Accuracy.name() => format!("{value:.4}"),
        value => percent(value),
    }
}

fn number(value: Option<u64>) -> String {
    value.map_or("-".into(), |v| v.to_string())
}

fn limit(bytes: Option<u64>) -> String {
    bytes.map_or("without limit".to_owned(), format_size)
}

/// The constraints as the flags that ask for them.
fn describe(constraints: &Constraints) -> String {
    let Constraints { weight_bytes, instructions, weights, activations, pins } = constraints;
    let mut parts: Vec<String> =
        weight_bytes.iter().map(|bytes| format!("weights in {}", format_size(*bytes))).collect();
    parts.extend(instructions.iter().map(|count| format!("at most {} instructions", format_millions(*count))));
    for (what, widths) in [("weights", weights), ("activations", activations)] {
        if *widths != WidthSet::ALL {
            parts.push(format!("{what} of {widths} bits"));
        }
    }
    parts.extend(pins.iter().map(|pin| format!("`{}`", markdown_code(&pin.to_string()))));
    parts.join("; ")
}

/// Text as a cell of a table can hold it: the first of its lines.
fn cell(text: &str) -> String {
    markdown(text.lines().next().unwrap_or_default().trim_end())
}

impl Report {
    /// The text of `report.md`.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_summary(&mut text);
        let _ = self.write_details(&mut text);
        text
    }

    /// The first part of the report: what a user wants to know first.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let _ = self.write_summary(&mut text);
        text
    }

    fn write_summary(&self, out: &mut String) -> std::fmt::Result {
        let target = &self.target;
        writeln!(out, "# {}\n", markdown(&self.model.path))?;
        let verdict = if self.fits { "fits" } else { "does not fit" };
        writeln!(
            out,
            "The network {verdict} `{}` ({}): FLASH {}, RAM {}.\n",
            markdown_code(&target.name),
            markdown_name(&target.core),
            limit(target.flash_bytes),
            limit(target.ram_bytes)
        )?;
        if let Some(constraints) = &self.constraints {
            writeln!(out, "Asked for besides: {}.\n", describe(constraints))?;
        }
        if let (Some(flash), Some(ram)) = (&self.flash, &self.ram) {
            let left = |limit: Option<u64>, used: u64| match limit.map(|limit| (limit, limit.checked_sub(used))) {
                None => "no limit".to_owned(),
                Some((_, Some(left))) => format!("{left} B left"),
                Some((limit, None)) => format!("{} B too much", used - limit),
            };
            writeln!(out, "| memory | bytes | | of it |\n|---|---|---|---|")?;
            writeln!(
                out,
                "| FLASH | {} | {} | weights {}, quantization {}, code {} |",
                format_size(flash.total),
                left(target.flash_bytes, flash.total),
                flash.weights,
                flash.quantization,
                flash.code
            )?;
            writeln!(
                out,
                "| RAM | {} | {} | arena {} (scratch {}), stack {} |\n",
                format_size(ram.total),
                left(target.ram_bytes, ram.total),
                ram.arena,
                ram.scratch,
                ram.stack
            )?;
            out.push_str(&rows::schedule(ram));
            if !target.compiler.is_empty() {
                let kernels = match target.kernels.as_str() {
                    "" => String::new(),
                    kernels => format!(" and the {} kernels", markdown_name(kernels)),
                };
                writeln!(out, "FLASH and stack hold for `{}`{kernels}.\n", markdown_code(&target.compiler))?;
            }
        }
        self.write_instructions(out)?;
        self.write_figures(out)?;
        if let Some(chosen) = &self.chosen {
            writeln!(out, "Delivered: the policy of `{chosen}`, as package `{}`.\n", self.package.name)?;
        }
        if let Some(reconstruction) = &self.reconstruction {
            writeln!(out, "{}.\n", reconstruction.outcome())?;
        }
        if let Some(tune) = &self.tune {
            writeln!(out, "{}.\n", tune.outcome(self.metric_column().1))?;
        }
        self.write_verification(out)?;
        self.write_diagnosis(out)
    }

    fn write_instructions(&self, out: &mut String) -> std::fmt::Result {
        let Some(InstructionsReport { predicted, counted, milliseconds }) = &self.instructions else { return Ok(()) };
        write!(out, "Instructions of an inference: {predicted} predicted")?;
        if let Some(counted) = counted {
            let more = 100.0 * (*predicted as f64 / *counted as f64 - 1.0);
            write!(out, ", {counted} counted (predicted {more:+.1} %)")?;
        }
        let macs = self.model.macs;
        if macs > 0 {
            write!(out, ", {:.2} for each multiply-accumulate", counted.unwrap_or(*predicted) as f64 / macs as f64)?;
        }
        if let (Some(milliseconds), Some(mhz)) = (milliseconds, self.target.clock_mhz) {
            let milliseconds = format!("{milliseconds:.1}");
            match self.target.core.as_str() {
                "cortex-m7" => write!(
                    out,
                    "; {milliseconds} ms at {mhz} MHz and one instruction a cycle, where a Cortex-M7 can issue two and waits for memory"
                )?,
                _ => {
                    write!(out, "; at least {milliseconds} ms at {mhz} MHz: as if each took one cycle and memory none")?
                }
            }
        }
        let limit = self.constraints.as_ref().and_then(|constraints| constraints.instructions);
        if let (Some(limit), Some(counted)) = (limit, counted.filter(|counted| Some(*counted) > limit)) {
            let over = counted - limit;
            write!(out, ". The limit is on what is predicted; what was counted passes it by {over}")?;
        }
        writeln!(out, ".\n")
    }

    /// The task's metric as the tables of policies have it, and its values.
    fn metric_column(&self) -> (&'static str, Option<Metric>) {
        let metric = self.metric.as_ref().and_then(|row| Metric::of_name(&row.name));
        (metric.map_or("metric", Metric::column), metric)
    }

    fn write_figures(&self, out: &mut String) -> std::fmt::Result {
        let values = |row: &MetricReport| format!("float {}, integer {}", row.shown(row.float), row.shown(row.integer));
        if let Some(row) = &self.metric {
            let name = if row.name == Metric::Top1.name() { "Accuracy (top-1, " } else { "" };
            let name = if name.is_empty() { format!("{} (", capitalized(row.title())) } else { name.to_owned() };
            write!(out, "{name}{} validation samples): {}", row.samples, values(row))?;
            for row in &self.metrics {
                write!(out, "; {}: {}", row.title(), values(row))?;
            }
            writeln!(out, ".\n")?;
            let of_each = by_output::table(std::iter::once(row).chain(&self.metrics), "report.json");
            for line in &of_each {
                writeln!(out, "{line}")?;
            }
            if !of_each.is_empty() {
                writeln!(out)?;
            }
        }
        let Some(fidelity) = &self.fidelity else { return Ok(()) };
        let of = if fidelity.data == ON_VALIDATION { "validation" } else { "held-out training" };
        write!(out, "Against the float network ({} {of} samples): ", fidelity.samples)?;
        match (fidelity.agreement, fidelity.rmse) {
            (Some(agreement), _) => write!(out, "the same answer in {}, ", percent(Some(agreement)))?,
            (None, Some(rmse)) => write!(out, "RMSE {}, ", shown_number(rmse))?,
            (None, None) => {}
        }
        writeln!(out, "loss {} ({}).\n", shown_number(fidelity.loss), fidelity.form)
    }

    fn write_verification(&self, out: &mut String) -> std::fmt::Result {
        let Some(rows) = &self.verification else { return Ok(()) };
        writeln!(out, "| runner | result | samples | mismatches | instructions | predicted | stack | FLASH | RAM |")?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
        for r in rows {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                r.runner,
                cell(&r.detail),
                r.samples,
                r.mismatches,
                number(r.instructions),
                number(r.predicted_instructions),
                number(r.stack_bytes),
                number(r.flash_bytes),
                number(r.ram_bytes)
            )?;
        }
        for r in rows.iter().filter(|r| r.detail.lines().count() > 1) {
            writeln!(out, "\n{} in full:\n", r.runner)?;
            for line in r.detail.lines() {
                writeln!(out, "    {}", lines(line))?;
            }
        }
        writeln!(out)?;
        let Some(shortcoming) = self.shortcoming() else { return Ok(()) };
        writeln!(out, "**{}.**\n", shortcoming.lines().next().unwrap_or_default())
    }

    fn write_diagnosis(&self, out: &mut String) -> std::fmt::Result {
        let Some(d) = &self.diagnosis else { return Ok(()) };
        // The memory of a run that found nothing is that of the policy given to it.
        if let (Some(flash), Some(ram), Some(layers)) = (&self.flash, &self.ram, &self.layers) {
            write!(
                out,
                "The given policy does not fit: it takes FLASH {}, RAM {}",
                format_size(flash.total),
                format_size(ram.total)
            )?;
            match layers.iter().max_by_key(|l| l.ram_bytes) {
                Some(peak) => writeln!(
                    out,
                    "; its RAM peaks during `{}` with {} B.\n",
                    markdown_code(&peak.name),
                    peak.ram_bytes
                )?,
                None => writeln!(out, ".\n")?,
            }
        }
        let why = match (&self.layers, d.proved) {
            (_, true) => "proved impossible for any policy",
            (Some(_), false) => "the given policy does not fit",
            (None, false) => "no policy found",
        };
        let least_instructions =
            d.least_instructions.map_or(String::new(), |count| format!(", least instructions {count}"));
        let instructions = d.would_do_instructions.map_or(String::new(), |count| format!(" and {count} instructions"));
        let limit = if d.limit_reached { " (not proved to be the least: a search met its limit)" } else { "" };
        writeln!(
            out,
            "Why not: {why}. Least FLASH of any policy found {}, least RAM {}{least_instructions}; together FLASH {} with \
             RAM {}{instructions} would do{limit}.\n",
            format_size(d.least_flash_bytes),
            format_size(d.least_ram_bytes),
            format_size(d.would_do_flash_bytes),
            format_size(d.would_do_ram_bytes)
        )?;
        writeln!(
            out,
            "RAM peaks {} with:\n\n| tensor | bytes | bits |\n|---|---|---|",
            during(&d.peak_node, d.peak_last_node.as_deref(), |name| format!("`{}`", markdown_code(name)))
        )?;
        for (name, bytes, bits) in &d.peak_tensors {
            let kept = d.peak_rows.iter().find(|(other, ..)| other == name);
            let rows = kept.map_or(String::new(), |(_, kept, all)| format!(" ({kept} of {all} rows)"));
            writeln!(out, "| {}{rows} | {bytes} | {bits} |", markdown_name(name))?;
        }
        if d.peak_scratch_bytes > 0 {
            writeln!(out, "| (kernel scratch) | {} | |", d.peak_scratch_bytes)?;
        }
        if let Some(bytes) = d.rows_least_ram_bytes {
            writeln!(out, "\nWith the input pushed in rows (`--input rows`) the least RAM is {}.", format_size(bytes))?;
        }
        if let Some(bytes) = d.image_fits_bytes {
            let [flash, ram] = bytes.map(format_size);
            let what = if self.layers.is_some() { "it" } else { "a policy" };
            writeln!(
                out,
                "\nWith the input as a whole image (`--input image`) {what} fits: FLASH {flash}, RAM {ram}."
            )?;
        }
        let boards =
            if d.boards.is_empty() { "none of those known".to_owned() } else { markdown(&d.boards.join(", ")) };
        writeln!(out, "\nBoards that would do: {boards}.\n")
    }

    /// Each policy once: under several budgets it may be the same.
    fn write_front(&self, out: &mut String) -> std::fmt::Result {
        let Some(rows) = &self.pareto else { return Ok(()) };
        let kind = self.search.as_ref().map_or("", |s| &s.reward_kind);
        writeln!(
            out,
            "## Other budgets\n\nOf the {} budgets under which something can be delivered those that no other surpasses in FLASH, RAM and reward; all of them are \
             in pareto.csv and pareto.svg, and the policies by the row's number in pareto/.{}\n",
            rows.len(),
            if self.reconstruction.is_some() || self.tune.is_some() {
                " Nothing was learned for any of them, that of the run's own budget as little."
            } else {
                ""
            }
        )?;
        let (title, metric) = self.metric_column();
        writeln!(out, "| row | FLASH | RAM | reward | {title} | of |\n|---|---|---|---|---|---|")?;
        let mut told = HashSet::new();
        for (number, row) in rows.iter().enumerate().filter(|(_, row)| row.front) {
            let point = &row.point;
            if told.insert(&point.policy) {
                let (reward, value) = (reward(kind, Some(point.reward)), shown(metric, row.metric));
                let (flash, ram, of) = (point.flash_bytes, point.ram_bytes, &point.chosen);
                writeln!(out, "| {} | {flash} | {ram} | {reward} | {value} | {of} |", number + 1)?;
            }
        }
        writeln!(out)
    }

    fn write_details(&self, out: &mut String) -> std::fmt::Result {
        if let Some(s) = &self.search {
            writeln!(
                out,
                "## Search\n\n`{}`: episodes {}, policies evaluated {}, probes {}, {:.1} s (evaluations {:.1} s, the \
                 strategy's own {:.1} s), stopped: {}; best reward \
                 ({}) {}.\n",
                s.strategy,
                s.episodes,
                s.evaluations,
                s.probes,
                s.seconds,
                s.evaluation_seconds,
                s.seconds - s.evaluation_seconds,
                s.stop_reason,
                s.reward_kind,
                reward(&s.reward_kind, s.reward)
            )?;
            if s.trials > 0 {
                writeln!(
                    out,
                    "{} policies were trained for an epoch each, and the one of least loss on the held-out samples was chosen.\n",
                    s.trials
                )?;
            }
            if !s.note.is_empty() {
                writeln!(out, "{}\n", markdown(&s.note))?;
            }
        }
        if let Some(rows) = &self.baselines {
            let (title, metric) = self.metric_column();
            writeln!(out, "| baseline | fits | reward | {title} | FLASH | RAM |\n|---|---|---|---|---|---|")?;
            for b in rows {
                let fits = if b.fits { "yes" } else { "no" };
                let kind = self.search.as_ref().map_or("", |s| &s.reward_kind);
                let (reward, value) = (reward(kind, b.reward), shown(metric, b.metric));
                let reward = if b.failed.is_some() { "failed" } else { &reward };
                writeln!(out, "| {} | {fits} | {reward} | {value} | {} | {} |", b.name, b.flash_bytes, b.ram_bytes)?;
            }
            for (name, reason) in rows.iter().filter_map(|b| Some((&b.name, b.failed.as_ref()?))) {
                writeln!(out, "\n`{name}` failed: {}", markdown(reason))?;
            }
            writeln!(out)?;
        }
        self.write_front(out)?;
        let section = |reconstruction: &ReconstructionReport| reconstruction.section(self.metric_column().1);
        out.push_str(&self.reconstruction.as_ref().map_or(String::new(), section));
        out.push_str(&self.tune.as_ref().map_or(String::new(), |tune| tune.section(self.metric_column().1)));
        if let Some(rows) = &self.layers {
            writeln!(
                out,
                "## Layers\n\nFLASH is weights, constants and call; kernels, which layers share, are not in it. RAM is what is alive while \
                 the layer runs. Instructions are predicted and, where an emulator of the core ran, counted.\n"
            )?;
            writeln!(
                out,
                "| layer | operator | weights | output | MACs | instructions | counted | FLASH | RAM |\n\
                 |---|---|---|---|---|---|---|---|---|"
            )?;
            for l in rows {
                let weights = l.weight_bits.map_or("-".into(), |b| b.to_string());
                let LayerReport { op, activation_bits, macs, flash_bytes, ram_bytes, .. } = l;
                let name = markdown_name(&l.name);
                let (instructions, counted) = (number(l.instructions), number(l.counted_instructions));
                writeln!(
                    out,
                    "| {name} | {op} | {weights} | {activation_bits} | {macs} | {instructions} | {counted} | {flash_bytes} | {ram_bytes} |"
                )?;
            }
            writeln!(out)?;
        }
        out.push_str(&self.ram.as_ref().map_or(String::new(), rows::timeline));
        if let Some(rows) = &self.tensors {
            writeln!(out, "## Tensors at 8 bits\n\nSignal to quantization noise against float, 8 bits everywhere.\n")?;
            writeln!(out, "| tensor | dB | |\n|---|---|---|")?;
            for t in rows {
                let db = t.sqnr_db.map_or("exact".into(), |v| format!("{v:.1}"));
                writeln!(
                    out,
                    "| {} | {db} | {} |",
                    markdown_name(&t.name),
                    cell(t.reason.as_deref().unwrap_or_default())
                )?;
            }
            writeln!(out)?;
        }
        writeln!(out, "## Made from\n")?;
        let m = &self.model;
        writeln!(
            out,
            "- model: {} (SHA-256 {}), {} parameters, {} MACs",
            markdown(&m.path),
            m.sha256,
            m.parameters,
            m.macs
        )?;
        if let Some(tail) = &m.tail {
            writeln!(out, "- its final {} is left out: the output is what goes into it", markdown(tail))?;
        }
        if let Some(order) = &m.output_order {
            writeln!(out, "- its output: {}", markdown(order))?;
        }
        for line in &self.data {
            writeln!(out, "- {}", markdown(line))?;
        }
        writeln!(out, "- preprocessing: {}", markdown(&self.preprocess))?;
        writeln!(out, "- bitesize {}, seed {}; config.toml reproduces the run", self.version, self.seed)?;
        for warning in &self.warnings {
            let lines: Vec<String> = warning.lines().map(markdown).collect();
            writeln!(out, "- warning: {}", lines.join("\n"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
