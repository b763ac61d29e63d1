//! Which layers take turns: the partition of a network into layers and chains that takes the least.
//!
//! What a chain needs is estimated from shapes: at some rows of its last output, the rows of each tensor that are there
//! ([`Window`](crate::shape::Window)s say which, from the last layer to the first). What it needs in truth the memory
//! model finds out of the chains that are chosen; where an estimate is off, a better partition may be missed.
//!
//! All partitions are looked at by dynamic programming: for the least peak that chains reach without taking too many more
//! instructions, and for the partition that keeps it and takes the fewest; or, of those that keep it, for the one whose layers see the least
//! bytes alive, so that a policy that cuts the tensors at the peak does not meet another peak at once. Layers that see less than
//! a share of the peak stay alone then.

use super::node::{RowNetwork, RowNode};
use super::schedule::{InputRows, Schedule, Segment};
use crate::network::TensorId;
use std::ops::Range;

/// Layers of a chain at most.
const LONGEST: usize = 48;

/// Inputs of a chain's layers at most: its table has a byte for the number of each.
const MOST_INPUTS: usize = 250;

/// Rows of the last output at which a chain is looked at, in parts of its height.
const SAMPLES: [(usize, usize); 4] = [(0, 1), (1, 3), (2, 3), (1, 1)];

/// A network as it is partitioned.
pub(in crate::memory) struct Rolled<'a> {
    pub(in crate::memory) network: &'a RowNetwork,
    /// Bytes of each tensor.
    pub(in crate::memory) bytes: Vec<usize>,
    /// Bytes of a row of each.
    pub(in crate::memory) row_bytes: Vec<usize>,
    /// Bytes of scratch of each node.
    pub(in crate::memory) scratch: Vec<usize>,
    /// Bytes alive during each node where it is computed alone.
    pub(in crate::memory) alone: Vec<usize>,
    /// Which part of the network's instructions each node takes more in turns than at once.
    pub(in crate::memory) rise: &'a [f64],
    /// Which part of them a byte of a moved row takes.
    pub(in crate::memory) moved_byte: f64,
}

/// What a chain is estimated to need.
#[derive(Clone, Copy)]
struct Need {
    /// The most bytes alive while it runs.
    load: usize,
    /// The part of the network's instructions that moves of its rows take.
    moves: f64,
}

/// What every chain is estimated to need.
pub(in crate::memory) struct Needs {
    input: InputRows,
    /// For each number of nodes, of chains that end there, by their length less one.
    chains: Vec<Vec<Need>>,
}

/// What one partition of the first nodes comes to.
#[derive(Clone, Copy)]
struct Best {
    cost: f64,
    /// Where its last segment begins; `None` where its last node is alone.
    chain_from: Option<usize>,
}

impl Rolled<'_> {
    /// The least peak of a partition whose chains take at most `allowance` (finite) of the network's instructions more,
    /// and of those that keep it the one that takes the fewest.
    pub(in crate::memory) fn least_peak(&self, needs: &Needs, allowance: f64) -> (usize, Schedule) {
        let mut loads: Vec<usize> =
            self.alone.iter().copied().chain(needs.chains.iter().flatten().map(|need| need.load)).collect();
        loads.sort_unstable();
        loads.dedup();
        let within = |limit: usize| {
            self.partition(needs, |need, nodes, is_alone| match (need.load > limit, is_alone) {
                (true, _) => f64::INFINITY,
                (false, true) => 0.0,
                (false, false) => self.rise_of(need, nodes),
            })
        };
        let is_quick = |best: &[Best]| best.last().is_none_or(|best| best.cost <= allowance);
        let at = loads.partition_point(|limit| !is_quick(&within(*limit)));
        let limit = loads.get(at).copied().unwrap_or(0);
        (limit, self.of_best(&within(limit), needs.input))
    }

    /// Of partitions that keep the peak `limit` the one whose layers see the least, where those that see less than one
    /// part in `share` of it stay alone; the larger the `price` of instructions, the fewer it takes.
    pub(in crate::memory) fn looking_further(&self, needs: &Needs, limit: usize, share: usize, price: f64) -> Schedule {
        let cost = |need: Need, nodes: Range<usize>, is_alone: bool| {
            if need.load > limit {
                return f64::INFINITY;
            }
            let share = need.load.max(limit / share) as f64 / limit.max(1) as f64;
            let cubed = share * share * share;
            let rise = if is_alone { 0.0 } else { self.rise_of(need, nodes.clone()) };
            cubed * cubed * nodes.len() as f64 + price * rise
        };
        self.of_best(&self.partition(needs, cost), needs.input)
    }

    /// The part of the network's instructions that a chain of `nodes` takes more.
    fn rise_of(&self, need: Need, nodes: Range<usize>) -> f64 {
        nodes.map(|node| self.rise[node]).sum::<f64>() + need.moves
    }

    /// The schedule of the partition that `best` ends with.
    fn of_best(&self, best: &[Best], input: InputRows) -> Schedule {
        let mut segments = Vec::new();
        let mut end = self.network.nodes.len();
        while end > 0 {
            let first = best[end].chain_from.unwrap_or(end - 1);
            segments.push(Segment { nodes: first..end, is_rolling: best[end].chain_from.is_some() });
            end = first;
        }
        segments.reverse();
        // Where nothing rolls with a pushed input, all of it comes first.
        let begins_rolling = segments.first().is_some_and(|segment| segment.is_rolling);
        let own = if begins_rolling { input } else { InputRows::Image };
        let mut schedule = Schedule { segments, in_place: true, input: own };
        schedule.take_input(input);
        schedule
    }

    /// For each number of first nodes, the best partition of them, by the sum of `cost` over its segments: of what each
    /// needs, its nodes, and whether it is one alone; of equals the one with nodes alone.
    fn partition(&self, needs: &Needs, cost: impl Fn(Need, Range<usize>, bool) -> f64) -> Vec<Best> {
        let mut best = vec![Best { cost: 0.0, chain_from: None }];
        for end in 1..=self.network.nodes.len() {
            let need = Need { load: self.alone[end - 1], moves: 0.0 };
            let alone = best[end - 1].cost + cost(need, end - 1..end, true);
            let mut found = Best { cost: alone, chain_from: None };
            for (length, need) in needs.chains[end].iter().enumerate().map(|(i, need)| (i + 1, *need)) {
                let first = end - length;
                let cost = best[first].cost + cost(need, first..end, false);
                if cost < found.cost {
                    found = Best { cost, chain_from: Some(first) };
                }
            }
            best.push(found);
        }
        best
    }

    /// What every chain is estimated to need, the input coming as `input` says; a chain of one node is one only where
    /// rows are pushed into it.
    pub(in crate::memory) fn needs(&self, input: InputRows) -> Needs {
        let waiting = self.waiting();
        let mut chains = vec![Vec::new(); self.network.nodes.len() + 1];
        let mut rows: Vec<[Option<(usize, usize)>; SAMPLES.len()]> = vec![[None; SAMPLES.len()]; self.bytes.len()];
        for (end, chains) in chains.iter_mut().enumerate().skip(1) {
            let mut touched: Vec<TensorId> = Vec::new();
            let (mut scratch, mut inputs) = (0, 0);
            for first in (end.saturating_sub(LONGEST)..end).rev() {
                let Some(node) = self.network.nodes[first].as_ref().filter(|node| node.has_rows()) else { break };
                inputs += node.inputs.len();
                if inputs > MOST_INPUTS {
                    break;
                }
                self.add(node, &mut rows, &mut touched);
                scratch = scratch.max(self.scratch[first]);
                let is_pushed = input == InputRows::Pushed && first == 0;
                let load = if end - first == 1 && !is_pushed {
                    usize::MAX
                } else {
                    let state = touched.len() * super::STATE_BYTES;
                    let more = |sample| self.more(first..end, sample, is_pushed, &rows, &touched);
                    let samples = std::iter::once(None).chain((0..SAMPLES.len()).map(Some));
                    let more = samples.map(more).max().unwrap_or(0);
                    let waits = waiting[first] - if is_pushed { self.bytes[self.network.input.0] } else { 0 };
                    waits.saturating_add_signed(more) + scratch + state
                };
                let moves = self.moves(first..end, is_pushed, &rows, &touched);
                chains.push(Need { load, moves });
            }
            touched.into_iter().for_each(|tensor| rows[tensor.0] = [None; SAMPLES.len()]);
        }
        Needs { input, chains }
    }

    /// The part of the network's instructions that it takes to move rows of the tensors of which a chain of `nodes`
    /// keeps some: where a row comes in, all that stay move.
    fn moves(
        &self,
        nodes: Range<usize>,
        is_pushed: bool,
        rows: &[[Option<(usize, usize)>; SAMPLES.len()]],
        touched: &[TensorId],
    ) -> f64 {
        let of = |tensor: &TensorId| {
            let (first, last) = self.network.lifetimes[tensor.0];
            let is_pushed = *tensor == self.network.input && is_pushed;
            let is_inside = *tensor != self.network.input && nodes.contains(&first) && first + 1 < nodes.end;
            if last >= nodes.end || *tensor == self.network.output || !(is_pushed || is_inside) {
                return 0;
            }
            let writer = self.network.nodes[first].as_ref().filter(|_| !is_pushed);
            let (height, at_once) = (self.network.shapes[tensor.0].h, writer.map_or(1, RowNode::at_once));
            let kept = self.kept(tensor, rows);
            (height - kept.min(height)) / at_once * kept.saturating_sub(at_once) * self.row_bytes[tensor.0]
        };
        touched.iter().map(of).sum::<usize>() as f64 * self.moved_byte
    }

    /// Before each node, bytes of the tensors that are there and that it or one after it reads.
    fn waiting(&self) -> Vec<usize> {
        let mut changes = vec![0i64; self.network.nodes.len() + 2];
        for (tensor, &(first, last)) in self.network.lifetimes.iter().enumerate() {
            let from = if TensorId(tensor) == self.network.input { 0 } else { first + 1 };
            if from <= last {
                changes[from] += self.bytes[tensor] as i64;
                changes[last + 1] -= self.bytes[tensor] as i64;
            }
        }
        let mut sum = 0;
        let summed = changes.into_iter().map(|change| {
            sum += change;
            sum as usize
        });
        summed.collect()
    }

    /// Adds a node before those of a chain: the rows of its inputs that are there when it has made those of its output.
    fn add(&self, node: &RowNode, rows: &mut [[Option<(usize, usize)>; SAMPLES.len()]], touched: &mut Vec<TensorId>) {
        for (sample, (part, of)) in SAMPLES.into_iter().enumerate() {
            let at_once = node.at_once();
            let made = match rows[node.output.0][sample] {
                Some((_, end)) => end,
                // The last, or one whose output nothing in the chain reads: as far as the last is.
                None => (node.height() * part / of).max(at_once).min(node.height()),
            };
            rows[node.output.0][sample].get_or_insert((0, made));
            let computed = made.saturating_sub(at_once);
            let (low, mut high) = (node.first_read(computed), if made == 0 { 0 } else { node.needed(made - 1) });
            if node.height() == 1 {
                // Rows come in for its only one.
                high = (high * part).div_ceil(of).max(1);
            }
            for input in &node.inputs {
                let entry = &mut rows[input.0][sample];
                *entry = Some(entry.map_or((low, high), |(first, end)| (first.min(low), end.max(high))));
            }
        }
        for tensor in node.inputs.iter().chain([&node.output]) {
            if !touched.contains(tensor) {
                touched.push(*tensor);
            }
        }
    }

    /// At a sample, or (`None`) at the beginning, what the tensors of a chain of `nodes` take beside those that wait before it, less what
    /// is dead of these. Of what stays inside it all rows have their place from the beginning.
    fn more(
        &self,
        nodes: Range<usize>,
        sample: Option<usize>,
        is_pushed: bool,
        rows: &[[Option<(usize, usize)>; SAMPLES.len()]],
        touched: &[TensorId],
    ) -> isize {
        let (mut born, mut dead) = (0, 0);
        for tensor in touched {
            let (first, last) = self.network.lifetimes[tensor.0];
            let (low, high) = sample.map_or((0, 0), |sample| rows[tensor.0][sample].unwrap_or((0, 0)));
            let is_input = *tensor == self.network.input;
            let stays = last >= nodes.end || *tensor == self.network.output;
            let is_inside = !is_input && nodes.contains(&first);
            let row_bytes = self.row_bytes[tensor.0];
            if is_inside || (is_input && is_pushed) {
                let is_last = first + 1 == nodes.end && is_inside;
                let kept = match (stays, is_last) {
                    (true, _) if is_input => self.network.shapes[tensor.0].h,
                    (true, _) | (_, true) => high,
                    (false, false) => self.kept(tensor, rows),
                };
                born += kept * row_bytes;
            } else if !stays {
                dead += low * row_bytes;
            }
        }
        born as isize - dead as isize
    }

    /// The most rows of a tensor that are there at a sample.
    fn kept(&self, tensor: &TensorId, rows: &[[Option<(usize, usize)>; SAMPLES.len()]]) -> usize {
        let there = rows[tensor.0].iter().flatten().map(|(low, high)| high - low.min(high));
        there.max().unwrap_or(0).min(self.network.shapes[tensor.0].h)
    }
}
