//! What a network needs, without data: layers, bytes at each width, the peak, the least, the boards.

mod text;

use bitesize_ir::memory::{FlashUse, MemoryPlan, PlannedSegment, RamUse};
use bitesize_ir::target::{CoreCosts, Target};
use bitesize_ir::{BitWidth, NodeId};
use bitesize_search::problem::Problem;
use bitesize_search::{Diagnosis, Effort, Existence, Least, Stopped, least_flash, least_ram, some_policy_fits};
use bitesize_verify::boards;
use serde::Serialize;
use std::num::NonZeroU32;

use super::platform::Platform;
use super::ways::{self, Asked, OnBoards, RamByWay, RamWays};
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
    /// The kernels that they hold for: `fast` or `small`.
    pub kernels: &'static str,
    /// What may be done with rows: `auto`, `in-place` or `layers`.
    pub schedule: &'static str,
    /// How the input comes: `image` or `rows`.
    pub input_rows: &'static str,
    /// The board's clock; null where no board was given.
    pub clock_mhz: Option<u32>,
    /// One for each operator.
    pub layers: Vec<Layer>,
    /// At uniform 8, 4 and 2 bits.
    pub uniform: Vec<Uniform>,
    /// The least FLASH that some policy found takes in the ways asked for, and a bound that none goes below.
    pub least_flash_bytes: [u64; 2],
    /// The least RAM that some policy found takes in the ways asked for, and a bound that none goes below.
    pub least_ram_bytes: [u64; 2],
    /// Where a search met its limit before its end, the number of policies it had tried: what it found is not proved to be
    /// the least.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub limit_reached: Limits,
    /// Whether some policy keeps the budget asked about; null where none was given.
    pub fits: Option<bool>,
    /// One for each board.
    pub boards: Vec<Board>,
    /// The most bytes alive at uniform 8 bits in rolling chains that are left out because they take too many instructions; absent where
    /// none that are at least a tenth below are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlimited_peak_bytes: Option<usize>,
    /// What lies where at uniform 8 bits, step by step; absent where it is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<String>,
    #[serde(skip)]
    asked: Asked,
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
    /// Instructions at 8, 4 and 2 bits in the order of rows of each plan; null where the core's file says nothing of them.
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
    /// What of rows the plan makes use of: `auto`, `in-place` or `layers`.
    pub schedule: &'static str,
    /// RAM with `--schedule layers`.
    pub layers_ram_bytes: u64,
    /// RAM with `--input rows`.
    pub rows_ram_bytes: u64,
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
    /// The layer during which the most is alive, of a chain the first.
    pub peak: String,
    /// The last layer of the chain that runs then; null where one layer runs alone.
    pub peak_last: Option<String>,
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
/// whether any of its limits was asked for, `asked` which of the ways of computing it.
///
/// # Errors
/// [`Interrupted`].
pub fn inspect(
    problem: &Problem,
    platform: &Platform,
    budget_given: bool,
    asked: Asked,
    monitor: &Monitor,
) -> Result<Inspection, Interrupted> {
    let network = problem.network();
    let widths = WIDTHS.map(|bits| problem.widths(&problem.uniform(bits)));
    let uses = widths.each_ref().map(|widths| (problem.model().flash(widths), problem.model().ram(widths)));
    // As the plans compute the network that RAM is told of.
    let taken = [0, 1, 2].map(|w| problem.model().instructions_of_plan(&uses[w].1.plan, &widths[w]));
    let total_of = taken.each_ref().map(|taken| taken.as_ref().map(|(total, _)| *total));
    let instructions_of = |node: NodeId| {
        let [eight, four, two] = taken.each_ref().map(|taken| taken.as_ref().map(|(_, nodes)| nodes[node.0]));
        Some([eight?, four?, two?])
    };
    let milliseconds = |count: u64| platform.name.clock_mhz.map(|mhz| count as f64 / (1e3 * f64::from(mhz.get())));
    // All searches share one effort, so that they end together within seconds.
    let (diagnosis, boards) = monitor.ask(|effort| {
        let mut diagnosis = Diagnosis::of(problem, effort)?;
        // What a network needs at least, it needs with the kernels and in the schedule that take the least of those asked for.
        let ways = ways::problems(problem, ways::all_on(&platform.core, asked), platform.budget());
        let own = |core: &CoreCosts| (core.has_rows(), core.scheduling);
        for (_, way) in ways.into_iter().filter(|(core, _)| own(core) != own(&platform.core)) {
            diagnosis.least_flash = lesser(diagnosis.least_flash, least_flash(&way, effort)?);
            diagnosis.least_ram = lesser(diagnosis.least_ram, least_ram(&way, effort)?);
        }
        let mut on_boards = OnBoards::of(problem, asked);
        let boards = boards::all().into_iter().map(|target| board(on_boards.on(&target), &target, effort));
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
    let ram_ways = RamWays::of(network, &platform.core);
    let by_way = widths.each_ref().map(|widths| ram_ways.ram(widths));
    let uniform = |(((bits, (flash, ram)), by_way), instructions): (UniformUse, Option<u64>)| Uniform {
        bits: bits.bits(),
        flash_bytes: flash.total,
        flash_weights_bytes: flash.weights,
        flash_code_bytes: flash.code,
        ram_bytes: ram.total,
        schedule: ram.plan.scheduling.name(),
        layers_ram_bytes: by_way.layers,
        rows_ram_bytes: by_way.rows,
        instructions,
        milliseconds: instructions.and_then(milliseconds),
        arena_bytes: ram.arena,
        arena_lower_bound_bytes: ram.plan.lower_bound as u64,
        arena_cut_short: ram.plan.cut_short,
        peak: network.node(ram.plan.peak).name.clone(),
        peak_last: last_of_chain(&ram.plan).map(|last| network.node(last).name.clone()),
    };
    Ok(Inspection {
        name: network.name.clone(),
        input: network.shape(network.input).to_string(),
        output: network.shape(network.output).to_string(),
        parameters: network.parameters(),
        macs: network.macs(),
        core: platform.core.name.clone(),
        kernels: platform.kernels().name(),
        schedule: platform.name.schedule.name(),
        input_rows: platform.name.input.name(),
        clock_mhz: platform.name.clock_mhz.map(NonZeroU32::get),
        layers: network.nodes.iter().enumerate().map(layer).collect(),
        uniform: WIDTHS.into_iter().zip(&uses).zip(by_way).zip(total_of).map(uniform).collect(),
        least_flash_bytes: [diagnosis.least_flash.bytes, diagnosis.least_flash.lower_bound],
        least_ram_bytes: [diagnosis.least_ram.bytes, diagnosis.least_ram.lower_bound],
        limit_reached: Limits {
            least_flash: diagnosis.least_flash.limit_reached,
            least_ram: diagnosis.least_ram.limit_reached,
            fits: diagnosis.limit_reached.filter(|_| budget_given),
        },
        fits: budget_given.then(|| diagnosis.fitting().is_some()),
        boards: boards.into_iter().flatten().collect(),
        unlimited_peak_bytes: problem.model().unlimited_peak_bytes(),
        timeline: None,
        asked,
        diagnosis,
        budget_given,
    })
}

/// What widths take.
type UniformUse<'a> = ((BitWidth, &'a (FlashUse, RamUse)), RamByWay);

/// The last node of the chain at the peak of `plan`, where there are several.
fn last_of_chain(plan: &MemoryPlan) -> Option<NodeId> {
    plan.segments.iter().find_map(|segment| match segment {
        PlannedSegment::Chain { chain, .. } if chain.members.iter().any(|member| member.node == plan.peak.0) => {
            chain.members.get(1..)?.last().map(|member| NodeId(member.node))
        }
        PlannedSegment::Layer(_) | PlannedSegment::Chain { .. } => None,
    })
}

/// The lesser of two, and of their bounds: none goes below that, whichever way is taken.
fn lesser(a: Least, b: Least) -> Least {
    let lower_bound = a.lower_bound.min(b.lower_bound);
    let least = if a.bytes <= b.bytes { a } else { b };
    Least { lower_bound, ..least }
}

fn board(problems: Vec<Problem>, target: &Target, effort: &Effort) -> Result<Option<Board>, Stopped> {
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
