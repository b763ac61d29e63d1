//! What a network needs, as text.

use super::super::ways::{left_out, taken};
use super::{Inspection, Layer};
use bitesize_ir::size::format_size;
use bitesize_search::diagnosis::during;
use std::fmt;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: input {}, output {}, {} parameters, {} MACs; bytes and instructions for {}\n",
            self.name, self.input, self.output, self.parameters, self.macs, self.core
        )?;
        let longest = self.layers.iter().map(|l| l.name.len()).max().unwrap_or(5).clamp(5, 40);
        writeln!(
            f,
            "{:<longest$} {:<16} {:<11} {:>9} {:>10}  {:>26}  {:>26}  {:>29}",
            "layer",
            "operator",
            "output",
            "params",
            "MACs",
            "FLASH at 8 / 4 / 2 bits",
            "RAM alive at 8 / 4 / 2",
            "instructions at 8 / 4 / 2"
        )?;
        let three = |v: [u64; 3]| format!("{:>8} {:>8} {:>8}", v[0], v[1], v[2]);
        let three_long = |v: [u64; 3]| format!("{:>9} {:>9} {:>9}", v[0], v[1], v[2]);
        for l in &self.layers {
            let (flash, ram) = (three(l.flash_bytes), three(l.ram_bytes));
            let instructions = l.instructions.map_or_else(|| format!("{:>29}", "-"), three_long);
            let Layer { name, op, output, parameters, macs, .. } = l;
            writeln!(
                f,
                "{name:<longest$} {op:<16} {output:<11} {parameters:>9} {macs:>10}  {flash}  {ram}  {instructions}"
            )?;
        }
        writeln!(f)?;
        for u in &self.uniform {
            let instructions = u.instructions.map_or_else(String::new, |count| format!(", {count} instructions"));
            let time = u.milliseconds.map_or_else(String::new, |ms| {
                format!(" ({ms:.1} ms at {} MHz and one a cycle)", self.clock_mhz.unwrap_or_default())
            });
            writeln!(
                f,
                "uniform {} bits: FLASH {} (weights {}, code {}), RAM {} ({}; arena {}, no plan below {}{}), peak {}{instructions}{time}\n  \
                 RAM layer by layer (--schedule layers) {}, with pushed rows (--input rows) {}",
                u.bits,
                format_size(u.flash_bytes),
                u.flash_weights_bytes,
                u.flash_code_bytes,
                format_size(u.ram_bytes),
                taken(u.schedule),
                u.arena_bytes,
                u.arena_lower_bound_bytes,
                if u.arena_cut_short { "; not proved: the planner met its limit" } else { "" },
                during(&u.peak, u.peak_last.as_deref(), str::to_owned),
                format_size(u.layers_ram_bytes),
                format_size(u.rows_ram_bytes)
            )?;
        }
        if let Some(bytes) = self.unlimited_peak_bytes {
            writeln!(f, "{}", left_out(bytes))?;
        }
        let least = |[bytes, bound]: [u64; 2], limit: Option<u64>| {
            let proof = match limit {
                _ if bytes == bound => "proved".into(),
                None => format!("none goes below {bound}"),
                Some(tried) => {
                    format!("none goes below {bound}; not proved: the search met its limit after {tried} policies")
                }
            };
            format!("{} ({proof})", format_size(bytes))
        };
        writeln!(
            f,
            "least of any policy{}: FLASH {}, RAM {}",
            self.asked,
            least(self.least_flash_bytes, self.limit_reached.least_flash),
            least(self.least_ram_bytes, self.limit_reached.least_ram)
        )?;
        if self.budget_given {
            writeln!(f, "\n{}", self.diagnosis)?;
        }
        if let Some(timeline) = &self.timeline {
            write!(f, "\nat uniform 8 bits: {timeline}")?;
        }
        writeln!(f, "\n{:<12} {:<13} {:>12} {:>12}  fits at", "board", "core", "FLASH", "RAM")?;
        for b in &self.boards {
            let bits: Vec<String> = b.uniform_bits.iter().map(|b| format!("{b} bits")).collect();
            let fits = match (bits.is_empty(), b.mixed) {
                (false, _) => bits.join(", "),
                (true, Some(true)) => "mixed widths only".into(),
                (true, Some(false)) => "no".into(),
                (true, None) => match b.limit_reached {
                    None => "none found".into(),
                    Some(tried) => format!("not proved: the search met its limit after {tried} policies"),
                },
            };
            writeln!(f, "{:<12} {:<13} {:>12} {:>12}  {fits}", b.name, b.core, b.flash_bytes, b.ram_bytes)?;
        }
        Ok(())
    }
}
