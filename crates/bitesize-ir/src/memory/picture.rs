//! A memory plan as text.

use super::model::MemoryModel;
use super::ram::{MemoryPlan, PlannedSegment};
use super::rows::{Band, InputRows, Member};
use super::tensor_bytes::tensor_bytes;
use super::widths::Widths;
use crate::grid::BitWidth;
use crate::network::{NodeId, Tensor, TensorId};
use crate::shape::Shape;
use std::fmt::Write as _;

/// Characters that the arena is drawn with.
const COLUMNS: usize = 64;

impl MemoryModel<'_> {
    /// A picture of `plan`, which must be that of `widths`: a line for each layer or chain, the arena from its first byte to its
    /// last from left to right. Each tensor has a letter, scratch is `#`, a chain's state `:`, what is free `.`; where two lie over one
    /// another, or within one column, the smaller hides the larger. At the end of a line, the most bytes alive, `<` at the
    /// peak, and what is written; a chain's layers stand below one another, those that follow the first without a line of their own, each with
    /// the rows that are kept of what it writes.
    pub fn picture(&self, plan: &MemoryPlan, widths: &Widths) -> String {
        let network = self.network;
        let mut text = format!(
            "arena {} B (lower bound {} B), {COLUMNS} columns of {} B\n",
            plan.arena_bytes,
            plan.lower_bound,
            plan.arena_bytes.div_ceil(COLUMNS)
        );
        let longest = network.nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or(0).min(32);
        let places = Places::of(self, plan, widths);
        for (number, segment) in plan.segments.iter().enumerate() {
            let line = draw(plan, &places.alive(self, plan, widths, number));
            let members: Vec<(usize, String)> = match segment {
                PlannedSegment::Layer(node) => vec![(node.0, String::new())],
                PlannedSegment::Chain { chain, .. } => {
                    let kept = |band: &Band| format!(", {} of {} rows", band.rows, band.height);
                    let of = |member: &Member| (member.node, kept(&chain.bands[member.output]));
                    chain.members.iter().map(of).collect()
                }
            };
            if members.is_empty() {
                let _ = writeln!(
                    text,
                    "    {:<longest$} {line} {:>10}   {}",
                    "(rows come)", "", places.letters[network.input.0]
                );
            }
            for (i, (step, kept)) in members.into_iter().enumerate() {
                let node = &network.nodes[step];
                let name = shortened(&node.name, longest);
                let mark = if step == plan.peak.0 { '<' } else { ' ' };
                let written = format!("{} {}{kept}", places.letters[node.output.0], network.tensor(node.output).name);
                let (line, bytes) = match i {
                    0 => (line.clone(), format!("{:>8} B", plan.alive[step])),
                    _ => (" ".repeat(COLUMNS), " ".repeat(10)),
                };
                let _ = writeln!(text, "{step:>3} {name:<longest$} {line} {bytes} {mark} {written}");
            }
        }
        text
    }
}

/// Where tensors lie, and during which segments.
struct Places {
    /// Bytes of each.
    bytes: Vec<usize>,
    /// First and last segment of each.
    lives: Vec<(usize, usize)>,
    letters: Vec<char>,
}

impl Places {
    fn of(model: &MemoryModel, plan: &MemoryPlan, widths: &Widths) -> Self {
        let network = model.network;
        let whole = |(tensor, bits): (&Tensor, &BitWidth)| tensor_bytes(tensor.shape, *bits);
        let mut bytes: Vec<usize> = network.tensors.iter().zip(&widths.tensors).map(whole).collect();
        let mut segment_of = vec![0; network.nodes.len()];
        for (number, segment) in plan.segments.iter().enumerate() {
            match segment {
                PlannedSegment::Layer(node) => segment_of[node.0] = number,
                PlannedSegment::Chain { chain, .. } => {
                    chain.members.iter().for_each(|member| segment_of[member.node] = number);
                    for band in chain.bands.iter().filter(|band| band.rows < band.height) {
                        let shape = Shape { h: band.rows, ..network.shape(band.tensor) };
                        bytes[band.tensor.0] = tensor_bytes(shape, widths.tensors[band.tensor.0]);
                    }
                }
            }
        }
        let life = |tensor: usize| {
            let (first, last) = model.lifetime(TensorId(tensor));
            let at = |node: usize| segment_of.get(node).copied().unwrap_or(0);
            (if TensorId(tensor) == network.input { 0 } else { at(first) }, at(last))
        };
        let lives: Vec<(usize, usize)> = (0..network.tensors.len()).map(life).collect();
        Self { bytes, letters: letters(&lives), lives }
    }

    /// Letter, offset and bytes of each buffer alive in segment `number`.
    fn alive(
        &self,
        model: &MemoryModel,
        plan: &MemoryPlan,
        widths: &Widths,
        number: usize,
    ) -> Vec<(char, usize, usize)> {
        let is_alive = |(tensor, (first, last)): (usize, &(usize, usize))| {
            (*first..=*last).contains(&number).then(|| (self.letters[tensor], plan.tensors[tensor], self.bytes[tensor]))
        };
        let scratch = |node: usize| {
            let first = widths.tensors[model.network.nodes[node].inputs[0].0];
            plan.scratch[node].map(|offset| ('#', offset, model.scratch_bytes(NodeId(node), first)))
        };
        // The state of the chain that rows are pushed into says how many came, until the end.
        let pushed = plan.segments.first().filter(|_| plan.input == InputRows::Pushed && number > 0);
        let pushed = pushed.and_then(|segment| match segment {
            PlannedSegment::Chain { chain, state } => Some((':', *state, chain.state_bytes())),
            PlannedSegment::Layer(_) => None,
        });
        let tensors = self.lives.iter().enumerate().filter_map(is_alive).chain(pushed);
        match &plan.segments[number] {
            PlannedSegment::Layer(node) => tensors.chain(scratch(node.0)).collect(),
            PlannedSegment::Chain { chain, state } => {
                let scratch = chain.members.iter().filter_map(|member| scratch(member.node));
                tensors.chain(scratch).chain([(':', *state, chain.state_bytes())]).collect()
            }
        }
    }
}

/// `name` in at most `most` characters, more of its end kept than of its beginning: ends tell names apart.
fn shortened(name: &str, most: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= most || most < 4 {
        return characters.into_iter().take(most).collect();
    }
    let (head, tail) = (most / 3, most - most / 3 - 2);
    let [head, tail] =
        [&characters[..head], &characters[characters.len() - tail..]].map(|part| part.iter().collect::<String>());
    format!("{head}..{tail}")
}

/// A letter for each tensor, in turn; one that a tensor has that is alive in the same segment is passed over while
/// others are free.
fn letters(lives: &[(usize, usize)]) -> Vec<char> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut taken: Vec<usize> = Vec::with_capacity(lives.len());
    for (tensor, (first, last)) in lives.iter().enumerate() {
        let meets = |other: usize| lives[other].0 <= *last && *first <= lives[other].1;
        let is_free = |letter: &usize| !(0..tensor).any(|other| taken[other] == *letter && meets(other));
        let in_turn = (0..LETTERS.len()).map(|i| (tensor + i) % LETTERS.len());
        taken.push(in_turn.clone().find(is_free).unwrap_or(tensor % LETTERS.len()));
    }
    taken.into_iter().map(|letter| char::from(LETTERS[letter])).collect()
}

fn draw(plan: &MemoryPlan, alive: &[(char, usize, usize)]) -> String {
    let mut line = ['.'; COLUMNS];
    let mut buffers: Vec<&(char, usize, usize)> = alive.iter().filter(|(_, _, bytes)| *bytes > 0).collect();
    buffers.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
    let column = |byte: usize| byte * COLUMNS / plan.arena_bytes.max(1);
    for (letter, offset, bytes) in buffers {
        line[column(*offset)..=column(offset + bytes - 1)].fill(*letter);
    }
    line.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::KernelKey;
    use crate::grid::BitWidth;
    use crate::memory::Scheduling;
    use crate::op::{Clamp, Conv2d, KernelKind, Op};
    use crate::policy::{Policy, PolicySpace};
    use crate::shape::{Pads, Shape, Window};
    use crate::target::{CoreCosts, KernelCost, LayerCost};
    use crate::{InputEncoding, Network, Node};

    fn convolution(channels: [usize; 2]) -> Op {
        Op::Conv2d(Conv2d {
            window: Window { pads: Pads::all(1), ..Window::of([3, 3]) },
            groups: 1,
            weights: vec![0.0; 9 * channels[0] * channels[1]],
            bias: vec![0.0; channels[1]],
            clamp: Clamp::RELU,
        })
    }

    #[test]
    fn tensors_that_meet_have_letters_of_their_own() {
        // One alive all the time, 60 one after the other, each with the next.
        let lives: Vec<(usize, usize)> = std::iter::once((0, 100)).chain((0..60).map(|i| (i, i + 1))).collect();
        let letters = letters(&lives);
        assert_eq!((letters[0], letters[1], letters[51], letters[52], letters[53]), ('A', 'B', 'z', 'B', 'C'));
        assert!(letters[1..].iter().all(|letter| *letter != 'A'));
        assert!(letters.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn names_keep_their_ends() {
        let name = "features.conv_block_17.depthwise.activation";
        assert_eq!(shortened(name, 32), "features.c..depthwise.activation");
        assert_eq!(shortened(name, 32).len(), 32);
        assert_eq!((shortened("conv_ä", 6), shortened("conv", 2)), ("conv_ä".into(), "co".into()));
    }

    /// A convolution, a second one, and the sum of both; all costs 0.
    #[test]
    fn a_residual_block() {
        let tensor = |name: &str, c| Tensor { name: name.into(), shape: Shape::new(8, 8, c) };
        let node = |name: &str, op, inputs: &[usize], output| Node {
            name: name.into(),
            op,
            inputs: inputs.iter().map(|id| TensorId(*id)).collect(),
            output: TensorId(output),
        };
        let network = Network {
            name: "block".into(),
            tensors: vec![tensor("in", 2), tensor("first", 8), tensor("second", 8), tensor("sum", 8)],
            nodes: vec![
                node("conv_a", convolution([2, 8]), &[0], 1),
                node("conv_b", convolution([8, 8]), &[1], 2),
                node("join", Op::Add(Clamp::RELU), &[1, 2], 3),
            ],
            input: TensorId(0),
            output: TensorId(3),
            input_encoding: InputEncoding::Real,
            tail: None,
        };
        network.validate().expect("a legal network");
        let core = CoreCosts {
            name: String::new(),
            compiler: String::new(),
            flags: Vec::new(),
            base_code_bytes: 0,
            base_stack_bytes: 0,
            layers: KernelKind::ALL.map(|kind| (kind, LayerCost { descriptor_bytes: 0, call_bytes: 0 })).into(),
            kernels: (KernelKey::all().iter())
                .map(|key| (key.name(), KernelCost { code_bytes: 0, stack_bytes: 0 }))
                .collect(),
            by_rows: true,
            rows: None,
            rolling: None,
            instructions: None,
            scheduling: Scheduling::Layers,
            input: InputRows::Image,
        };
        let space = PolicySpace::of(&network);
        let widths = Widths::of(&network, &space, &Policy::uniform(&space, BitWidth::B4, BitWidth::B4));
        let model = MemoryModel::of(&network, &core);
        let picture = model.picture(&model.ram(&widths).plan, &widths);
        assert_eq!(
            picture,
            "\
arena 1024 B (lower bound 1024 B), 64 columns of 16 B
  0 conv_a AAAAAAAA##......................BBBBBBBBBBBBBBBB................      404 B   B first
  1 conv_b #####...........................BBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCC      584 B   C second
  2 join   DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDBBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCC     1024 B < D sum
"
        );
    }
}
