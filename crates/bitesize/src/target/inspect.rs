//! What a network needs, without data: layers, bytes at each width, the peak, the least, the boards.

use bitesize_ir::memory::{FlashUse, RamUse};
use bitesize_ir::size::format_size;
use bitesize_ir::target::Target;
use bitesize_ir::{BitWidth, NodeId};
use bitesize_search::problem::Problem;
use bitesize_search::{Diagnosis, Effort, Existence, Least, Stopped, some_policy_fits};
use bitesize_verify::boards;
use serde::Serialize;
use std::fmt;
use std::num::NonZeroU32;

use super::kernels::problems_on;
use super::platform::Platform;
use crate::observe::{Interrupted, Monitor};

/// Everything that `inspect` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The network's name.
    pub name: String,
    /// Height, width, channels of the input.
    pub input: String,
    /// Of the output.
    pub output: String,
    /// Weights and biases.
    pub parameters: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// The core that bytes hold for.
    pub core: String,
    /// The board's clock; null where no board was given.
    pub clock_mhz: Option<u32>,
    /// One for each operator.
    pub layers: Vec<Layer>,
    /// At uniform 8, 4 and 2 bits.
    pub uniform: Vec<Uniform>,
    /// The least FLASH that some policy found takes, and a bound that none goes below.
    pub least_flash_bytes: [u64; 2],
    /// The least RAM that some policy found takes, and a bound that none goes below.
    pub least_ram_bytes: [u64; 2],
    /// Where a search met its limit before its end, the number of policies it had tried: what it found is not proved to be
    /// the least.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub limit_reached: Limits,
    /// Whether some policy keeps the budget asked about; null where none was given.
    pub fits: Option<bool>,
    /// One for each board.
    pub boards: Vec<Board>,
    #[serde(skip)]
    diagnosis: Diagnosis,
    #[serde(skip)]
    budget_given: bool,
}

/// The searches that met the limit of their effort, with the number of policies tried; null where they ended by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// For the least FLASH.
    pub least_flash: Option<u64>,
    /// For the least RAM.
    pub least_ram: Option<u64>,
    /// For a policy that keeps the budget.
    pub fits: Option<u64>,
}

impl Limits {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One operator.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Layer {
    pub name: String,
    pub op: String,
    pub output: String,
    pub parameters: usize,
    pub macs: u64,
    /// Packed weights, constants and call at 8, 4 and 2 bits; shared kernels not counted.
    pub flash_bytes: [u64; 3],
    /// What is alive while it runs, at 8, 4 and 2 bits.
    pub ram_bytes: [u64; 3],
    /// Instructions at 8, 4 and 2 bits; null where the core's file says nothing of them.
    pub instructions: Option<[u64; 3]>,
}

/// All weights and activations at one width.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Uniform {
    pub bits: u8,
    pub flash_bytes: u64,
    pub flash_weights_bytes: u64,
    pub flash_code_bytes: u64,
    pub ram_bytes: u64,
    /// Instructions of an inference; null where the core's file says nothing of them.
    pub instructions: Option<u64>,
    /// What they take at the board's clock and one instruction a cycle; null where no board was given.
    pub milliseconds: Option<f64>,
    pub arena_bytes: u64,
    /// No arena can be smaller at these widths.
    pub arena_lower_bound_bytes: u64,
    /// Whether so many buffers meet that the planner met its limit: a smaller arena may be found by trying more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub arena_cut_short: bool,
    /// The layer during which the most is alive.
    pub peak: String,
}

/// What fits a board.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Board {
    pub name: String,
    pub core: String,
    pub flash_bytes: u64,
    pub ram_bytes: u64,
    /// The uniform widths that fit.
    pub uniform_bits: Vec<u8>,
    /// Whether some mixed policy fits; null where none was found and none was proved not to exist.
    pub mixed: Option<bool>,
    /// Where the search for one met its limit before its end, the number of policies it had tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_reached: Option<u64>,
}

/// Widths in the order in which they are told.
const WIDTHS: [BitWidth; 3] = [BitWidth::B8, BitWidth::B4, BitWidth::B2];

/// Inspects the network of `problem` (rewritten) on a platform, whose core and budget `problem` has; `budget_given` says
/// whether any of its limits was asked for.
///
/// # Errors
/// [`Interrupted`].
pub fn inspect(
    problem: &Problem,
    platform: &Platform,
    budget_given: bool,
    monitor: &Monitor,
) -> Result<Inspection, Interrupted> {
    let network = problem.network();
    let small = problem.on(&platform.core.with_rows(false), platform.budget());
    let widths = WIDTHS.map(|bits| problem.widths(&problem.uniform(bits)));
    let uses = widths.each_ref().map(|widths| (problem.model().flash(widths), problem.model().ram(widths)));
    let total_of = widths.each_ref().map(|widths| problem.model().instructions(widths));
    let instructions_of = |node: NodeId| {
        let [eight, four, two] = widths.each_ref().map(|widths| problem.model().instructions_of(node, widths));
        Some([eight?, four?, two?])
    };
    let milliseconds = |count: u64| platform.name.clock_mhz.map(|mhz| count as f64 / (1e3 * f64::from(mhz.get())));
    // All searches share one effort, so that they end together within seconds.
    let (diagnosis, boards) = monitor.ask(|effort| {
        let mut diagnosis = Diagnosis::of(problem, effort)?;
        if platform.core.has_rows() {
            // What a network needs at least, it needs with the kernels that take the least.
            let small = Diagnosis::of(&small, effort)?;
            diagnosis.least_flash = lesser(diagnosis.least_flash, small.least_flash);
            diagnosis.least_ram = lesser(diagnosis.least_ram, small.least_ram);
        }
        let boards = boards::all().into_iter().map(|target| board(problem, &target, effort));
        Ok((diagnosis, boards.collect::<Result<Vec<Option<Board>>, _>>()?))
    })?;
    let layer = |(i, node): (usize, &bitesize_ir::Node)| Layer {
        name: node.name.clone(),
        op: node.op.name().into(),
        output: network.shape(node.output).to_string(),
        parameters: node.op.parameters().map_or(0, |p| p.weights.len() + p.bias.len()),
        macs: node.op.macs(network.shape(node.output)),
        flash_bytes: [0, 1, 2].map(|w| uses[w].0.layers[i].total()),
        ram_bytes: [0, 1, 2].map(|w| uses[w].1.plan.alive[i] as u64),
        instructions: instructions_of(NodeId(i)),
    };
    let uniform = |((bits, (flash, ram)), instructions): ((BitWidth, &(FlashUse, RamUse)), Option<u64>)| Uniform {
        bits: bits.bits(),
        flash_bytes: flash.total,
        flash_weights_bytes: flash.weights,
        flash_code_bytes: flash.code,
        ram_bytes: ram.total,
        instructions,
        milliseconds: instructions.and_then(milliseconds),
        arena_bytes: ram.arena,
        arena_lower_bound_bytes: ram.plan.lower_bound as u64,
        arena_cut_short: ram.plan.cut_short,
        peak: network.node(ram.plan.peak).name.clone(),
    };
    Ok(Inspection {
        name: network.name.clone(),
        input: network.shape(network.input).to_string(),
        output: network.shape(network.output).to_string(),
        parameters: network.parameters(),
        macs: network.macs(),
        core: platform.core.name.clone(),
        clock_mhz: platform.name.clock_mhz.map(NonZeroU32::get),
        layers: network.nodes.iter().enumerate().map(layer).collect(),
        uniform: WIDTHS.into_iter().zip(&uses).zip(total_of).map(uniform).collect(),
        least_flash_bytes: [diagnosis.least_flash.bytes, diagnosis.least_flash.lower_bound],
        least_ram_bytes: [diagnosis.least_ram.bytes, diagnosis.least_ram.lower_bound],
        limit_reached: Limits {
            least_flash: diagnosis.least_flash.limit_reached,
            least_ram: diagnosis.least_ram.limit_reached,
            fits: diagnosis.limit_reached.filter(|_| budget_given),
        },
        fits: budget_given.then(|| diagnosis.fitting().is_some()),
        boards: boards.into_iter().flatten().collect(),
        diagnosis,
        budget_given,
    })
}

/// The lesser of two, and of their bounds: none goes below that, whatever the kernels.
fn lesser(a: Least, b: Least) -> Least {
    let lower_bound = a.lower_bound.min(b.lower_bound);
    let least = if a.bytes <= b.bytes { a } else { b };
    Least { lower_bound, ..least }
}

fn board(problem: &Problem, target: &Target, effort: &Effort) -> Result<Option<Board>, Stopped> {
    let problems = problems_on(problem, target);
    if problems.is_empty() {
        return Ok(None);
    }
    let fits = |bits: &BitWidth| problems.iter().any(|problem| problem.fits(&problem.uniform(*bits)));
    let uniform_bits: Vec<u8> = WIDTHS.into_iter().filter(fits).map(BitWidth::bits).collect();
    let (mixed, limit_reached) = if uniform_bits.is_empty() {
        let mut found = (Some(false), None);
        for problem in &problems {
            match some_policy_fits(problem, effort)? {
                Existence::Fits => {
                    found = (Some(true), None);
                    break;
                }
                Existence::Impossible => {}
                Existence::NotFound { limit_reached } => found = (None, limit_reached),
            }
        }
        found
    } else {
        (Some(true), None)
    };
    Ok(Some(Board {
        name: target.name.clone(),
        core: target.core.clone(),
        flash_bytes: target.flash_bytes(),
        ram_bytes: target.ram_bytes(),
        uniform_bits,
        mixed,
        limit_reached,
    }))
}

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
                "uniform {} bits: FLASH {} (weights {}, code {}), RAM {} (arena {}, no plan below {}{}), peak at {}{instructions}{time}",
                u.bits,
                format_size(u.flash_bytes),
                u.flash_weights_bytes,
                u.flash_code_bytes,
                format_size(u.ram_bytes),
                u.arena_bytes,
                u.arena_lower_bound_bytes,
                if u.arena_cut_short { "; not proved: the planner met its limit" } else { "" },
                u.peak
            )?;
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
            "least of any policy: FLASH {}, RAM {}",
            least(self.least_flash_bytes, self.limit_reached.least_flash),
            least(self.least_ram_bytes, self.limit_reached.least_ram)
        )?;
        if self.budget_given {
            writeln!(f, "\n{}", self.diagnosis)?;
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
