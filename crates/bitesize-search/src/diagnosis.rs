//! What a network needs at least, whether that is proved, and what pins it there.

use crate::bounds::{is_proved_impossible, least_weight_bytes};
use crate::effort::{Effort, Stopped};
use crate::instructions::LeastInstructions;
use crate::least::{Least, Nearest, least_flash, least_ram, nearest};
use crate::problem::{Footprint, Limits, Problem};
use bitesize_ir::size::{format_millions, format_size};
use bitesize_ir::{BitWidth, NodeId, Policy, TensorId};
use std::fmt;

/// Whether all limits can be kept together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This policy keeps them.
    Fits(Policy),
    /// Proved: a limit is below a lower bound.
    Impossible,
    /// No policy that keeps them was found, and none was proved not to exist.
    NotFound,
}

/// What the network needs at least, and what pins it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was asked for.
    pub limits: Limits,
    /// The least bytes of packed weights that the allowed widths give.
    pub least_weight_bytes: u64,
    /// The least FLASH, whatever the RAM.
    pub least_flash: Least,
    /// The least RAM, whatever the FLASH.
    pub least_ram: Least,
    /// The fewest instructions, whatever FLASH and RAM; `None` where they are not limited.
    pub least_instructions: Option<LeastInstructions>,
    /// Whether all limits can be kept together.
    pub verdict: Verdict,
    /// What the fitting policy takes or, where there is none, the policy that comes nearest: limits that would do.
    pub would_do: Footprint,
    /// The number of policies tried after which the search for one that keeps both met the limit of its effort; `None` where
    /// it ended by itself.
    pub limit_reached: Option<u64>,
    /// What is alive at the peak of the policy of least RAM.
    pub peak: Peak,
}

/// What is alive when the most bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Name of the node that runs then, of a chain its first; empty while rows come in that no layer takes at once.
    pub node: String,
    /// Name of the last node of the chain that runs then; `None` where one node runs alone.
    pub last_node: Option<String>,
    /// Bytes of its tensors and scratch, and of what waits for later nodes.
    pub alive_bytes: usize,
    /// Bytes of scratch, and of a chain's state; part of `alive_bytes`.
    pub scratch_bytes: usize,
    /// The tensors alive, largest first.
    pub tensors: Vec<PeakTensor>,
}

/// A tensor alive at the peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeakTensor {
    /// Its name.
    pub name: String,
    /// Packed bytes of its rows that are alive.
    pub bytes: usize,
    /// How many rows the chain keeps of how many; `None` where all are kept.
    pub rows: Option<[usize; 2]>,
    /// Its width.
    pub bits: BitWidth,
    /// Whether no policy can change the width.
    pub fixed: bool,
}

impl Diagnosis {
    /// Diagnoses `problem`, each of its searches within `effort`.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn of(problem: &Problem, effort: &Effort) -> Result<Self, Stopped> {
        let least_ram = least_ram(problem, effort)?;
        let nearest = nearest(problem, &least_ram.policy, effort)?;
        Self::with(problem, least_ram, nearest, effort)
    }

    /// As [`Self::of`], where the least RAM and what comes nearest were found already.
    pub(crate) fn with(
        problem: &Problem,
        least_ram: Least,
        nearest: Nearest,
        effort: &Effort,
    ) -> Result<Self, Stopped> {
        let least_flash = least_flash(problem, effort)?;
        let limits = problem.limits();
        let Nearest { policy, footprint: would_do, limit_reached } = nearest;
        let verdict = if limits.hold(would_do) {
            Verdict::Fits(policy)
        } else if is_proved_impossible(problem) {
            Verdict::Impossible
        } else {
            Verdict::NotFound
        };
        let peak = Peak::of(problem, &least_ram.policy);
        let least_weight_bytes = least_weight_bytes(problem);
        let least_instructions = limits.instructions.and_then(|_| LeastInstructions::of(problem));
        Ok(Self {
            limits,
            least_weight_bytes,
            least_flash,
            least_ram,
            least_instructions,
            verdict,
            would_do,
            limit_reached,
            peak,
        })
    }

    /// Whether one of its searches met the limit of its effort, so that less than what it found may do.
    pub fn met_limit(&self) -> bool {
        let least = [&self.least_flash, &self.least_ram].map(|least| least.limit_reached);
        least.into_iter().chain([self.limit_reached]).any(|limit| limit.is_some())
    }

    /// A policy that keeps all limits, where one was found.
    pub fn fitting(&self) -> Option<&Policy> {
        match &self.verdict {
            Verdict::Fits(policy) => Some(policy),
            Verdict::Impossible | Verdict::NotFound => None,
        }
    }
}

impl Peak {
    /// The peak of `policy`.
    pub fn of(problem: &Problem, policy: &Policy) -> Self {
        let (network, model, widths) = (problem.network(), problem.model(), problem.widths(policy));
        let Some((moment, alive_bytes)) = model.peak(&widths) else {
            let (node, last_node, tensors) = (String::new(), None, Vec::new());
            return Self { node, last_node, alive_bytes: 0, scratch_bytes: 0, tensors };
        };
        let chain = model.chain_at(moment);
        let kept = |id: TensorId| {
            let band = chain?.bands.iter().find(|band| band.tensor == id)?;
            (band.rows < band.height).then_some([band.rows, band.height])
        };
        let tensor = |id: TensorId| PeakTensor {
            name: network.tensor(id).name.clone(),
            bytes: model.tensor_bytes_at(moment, id, widths.tensors[id.0]),
            rows: kept(id),
            bits: widths.tensors[id.0],
            fixed: problem.row_of(id).is_none(),
        };
        let mut tensors: Vec<PeakTensor> =
            model.alive_at(moment).map(tensor).filter(|tensor| tensor.bytes > 0).collect();
        tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.bytes));
        let scratch_bytes = model.scratch_bytes_at(moment, &widths);
        let name = |node: NodeId| network.node(node).name.clone();
        let node = model.node_at(moment).map_or_else(String::new, name);
        let last = chain.filter(|chain| chain.members.len() > 1).and_then(|chain| chain.members.last());
        let last_node = last.map(|member| name(NodeId(member.node)));
        Self { node, last_node, alive_bytes, scratch_bytes, tensors }
    }
}

/// What is needed, beside what is given; what pins the peak.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |least: &Least| {
            let proof = if least.bytes == least.lower_bound {
                "proved".to_owned()
            } else {
                format!("no policy goes below {}{}", format_size(least.lower_bound), Limit(least.limit_reached))
            };
            format!("{} ({proof})", format_size(least.bytes))
        };
        let limit = |bytes: Option<u64>| bytes.map_or("without limit".to_owned(), format_size);
        let Limits { budget, weight_bytes, instructions } = self.limits;
        let [flash, ram] = [budget.flash_bytes, budget.ram_bytes].map(limit);
        writeln!(f, "budget       FLASH {flash}, RAM {ram}{}", Instructions(instructions))?;
        if let Some(most) = weight_bytes {
            let [most, least] = [most, self.least_weight_bytes].map(format_size);
            writeln!(f, "weights      at most {most}, the least is {least} (proved)")?;
        }
        writeln!(f, "least FLASH  {}", line(&self.least_flash))?;
        writeln!(f, "least RAM    {}", line(&self.least_ram))?;
        writeln!(f, "             (in the orders of rows that are looked at, the input coming as it does)")?;
        if let Some(least) = &self.least_instructions {
            let [fewest, bound] = [least.instructions, least.lower_bound].map(format_millions);
            let proof = if fewest == bound { "proved".to_owned() } else { format!("no policy goes below {bound}") };
            writeln!(f, "least instructions  {fewest} ({proof})")?;
        }
        let verdict = match self.verdict {
            Verdict::Fits(_) => "fits with",
            Verdict::Impossible => "does not fit; this would do:",
            Verdict::NotFound => "no policy found that fits; this would do:",
        };
        let limit = Limit(self.limit_reached.filter(|_| self.verdict == Verdict::NotFound));
        let Footprint { flash_bytes, ram_bytes, instructions, .. } = self.would_do;
        let [flash, ram] = [flash_bytes, ram_bytes].map(format_size);
        let instructions = Instructions(self.limits.instructions.map(|_| instructions));
        writeln!(f, "together     {verdict} FLASH {flash}, RAM {ram}{instructions}{limit}")?;
        write!(f, "{}", self.peak)
    }
}

/// `, 12.5 million instructions` where they count, else nothing.
struct Instructions(Option<u64>);

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |count| write!(f, ", {} instructions", format_millions(count)))
    }
}

/// `; not proved: ...` where a limit ended a search, else nothing.
pub(crate) struct Limit(pub(crate) Option<u64>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(tried) => write!(f, "; not proved: the search met its limit after {tried} policies"),
            None => Ok(()),
        }
    }
}

impl Peak {
    /// When it is: during a layer, or while the layers of a chain take turns; `quoted` shows a layer's name.
    pub fn during(&self, quoted: impl Fn(&str) -> String) -> String {
        during(&self.node, self.last_node.as_deref(), quoted)
    }
}

/// When something is that is while `node` runs, or, where there is a `last`, the chain from it to that one.
pub fn during(node: &str, last: Option<&str>, quoted: impl Fn(&str) -> String) -> String {
    match last {
        _ if node.is_empty() => "while the input's rows come".to_owned(),
        None => format!("during {}", quoted(node)),
        Some(last) => format!("during {} to {}, in turns", quoted(node), quoted(last)),
    }
}

/// The node, then one line a tensor.
impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let during = self.during(|name| format!("`{name}`"));
        write!(f, "peak of RAM  {} B of tensors and scratch {during}", self.alive_bytes)?;
        for tensor in &self.tensors {
            let fixed = if tensor.fixed { ", fixed" } else { "" };
            let rows = tensor.rows.map_or(String::new(), |[kept, all]| format!(", {kept} of {all} rows"));
            write!(f, "\n  {:<24} {:>9} B at {} bits{rows}{fixed}", tensor.name, tensor.bytes, tensor.bits)?;
        }
        if self.scratch_bytes > 0 {
            write!(f, "\n  {:<24} {:>9} B", "(scratch)", self.scratch_bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_named_by_its_ends() {
        let quoted = |name: &str| format!("`{name}`");
        assert_eq!(during("a", None, quoted), "during `a`");
        assert_eq!(during("a", Some("b"), quoted), "during `a` to `b`, in turns");
        assert_eq!(during("", None, quoted), "while the input's rows come");
    }
}
