//! A memory plan as text.

use super::model::MemoryModel;
use super::ram::{MemoryPlan, tensor_bytes};
use super::widths::Widths;
use crate::network::{Network, NodeId};
use std::fmt::Write as _;

/// Characters that the arena is drawn with.
const COLUMNS: usize = 64;

impl MemoryModel<'_> {
    /// A picture of `plan`, which must be that of `widths`: a line a node, the arena from its first byte to its last
    /// from left to right. Each tensor has a letter, scratch is `#`, what is free `.`; a small buffer hides a larger
    /// one within the same column. At the end of a line, the bytes alive, `<` at the peak, and what is written.
    pub fn picture(&self, plan: &MemoryPlan, widths: &Widths) -> String {
        let network = self.network;
        let mut text = format!(
            "arena {} B (lower bound {} B), {COLUMNS} columns of {} B\n",
            plan.arena_bytes,
            plan.lower_bound,
            plan.arena_bytes.div_ceil(COLUMNS)
        );
        let longest = network.nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or(0).min(32);
        for (step, node) in network.nodes.iter().enumerate() {
            let line = draw(plan, &self.alive(network, plan, widths, step));
            let name: String = node.name.chars().take(longest).collect();
            let mark = if step == plan.peak.0 { '<' } else { ' ' };
            let _ = writeln!(
                text,
                "{step:>3} {name:<longest$} {line} {:>8} B {mark} {} {}",
                plan.alive[step],
                letter(node.output.0),
                network.tensor(node.output).name
            );
        }
        text
    }

    /// Letter, offset and bytes of each buffer alive at `step`.
    fn alive(&self, network: &Network, plan: &MemoryPlan, widths: &Widths, step: usize) -> Vec<(char, usize, usize)> {
        let tensors = self.alive_at(NodeId(step)).map(|id| {
            let bytes = tensor_bytes(network.shape(id), widths.tensors[id.0]);
            (letter(id.0), plan.tensors[id.0], bytes)
        });
        let scratch = plan.scratch[step];
        let first = widths.tensors[network.nodes[step].inputs[0].0];
        let scratch = scratch.map(|offset| ('#', offset, self.scratch_bytes(NodeId(step), first)));
        tensors.chain(scratch).collect()
    }
}

/// Letters in turn: two tensors share one only where they are 52 tensors apart.
fn letter(tensor: usize) -> char {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char::from(LETTERS[tensor % LETTERS.len()])
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
    use crate::op::{Clamp, Conv2d, KernelKind, Op};
    use crate::policy::{Policy, PolicySpace};
    use crate::shape::{Pads, Shape, Window};
    use crate::target::{CoreCosts, KernelCost, LayerCost};
    use crate::{InputEncoding, Node, Tensor, TensorId};

    fn convolution(channels: [usize; 2]) -> Op {
        Op::Conv2d(Conv2d {
            window: Window { pads: Pads::all(1), ..Window::of([3, 3]) },
            groups: 1,
            weights: vec![0.0; 9 * channels[0] * channels[1]],
            bias: vec![0.0; channels[1]],
            clamp: Clamp::RELU,
        })
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
            instructions: None,
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
