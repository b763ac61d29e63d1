//! The buffers of one thread, and the run of a chunk of images through them.

use super::aligned::Aligned;
use super::kernel_sets::KernelSet;
use super::step::Step;
use super::workspace_layout::{Room, Span, WorkspaceLayout};
use crate::network::IntNode;
use bitesize_ir::TensorId;

/// A network made ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) kernels: KernelSet,
    pub(crate) layout: WorkspaceLayout,
    /// By node.
    pub(crate) steps: Vec<Step>,
    /// What each node reads and writes.
    pub(crate) edges: Vec<(Vec<TensorId>, TensorId)>,
    pub(crate) input: TensorId,
    pub(crate) output: TensorId,
}

/// Buffers for one chunk of images. Nothing is allocated while it runs.
#[derive(Debug)]
pub(crate) struct Workspace {
    slots: Vec<Aligned<u8>>,
    scratch: Aligned<u8>,
    words: Aligned<i16>,
    sums: Vec<i32>,
}

/// How large a [`Workspace`] is, each part in its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkspaceSizes {
    slots: usize,
    scratch: usize,
    words: usize,
    sums: usize,
}

impl WorkspaceSizes {
    pub(crate) fn bytes(self) -> usize {
        self.slots + self.scratch + size_of::<i16>() * self.words + size_of::<i32>() * self.sums
    }
}

/// Some images of a chunk.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: usize,
    images: usize,
}

impl Program {
    pub(crate) fn edges_of(nodes: &[IntNode]) -> Vec<(Vec<TensorId>, TensorId)> {
        nodes.iter().map(|node| (node.inputs.clone(), node.output)).collect()
    }

    fn room(&self, tensor: TensorId) -> Room {
        self.layout.rooms[tensor.0]
    }

    pub(crate) fn workspace(&self) -> Workspace {
        let WorkspaceSizes { slots: _, scratch, words, sums } = self.workspace_sizes();
        Workspace {
            slots: self.layout.slots.iter().map(|&bytes| Aligned::zeros(bytes)).collect(),
            scratch: Aligned::zeros(scratch),
            words: Aligned::zeros(words),
            sums: vec![0; sums],
        }
    }

    /// What [`Self::workspace`] makes.
    pub(crate) fn workspace_sizes(&self) -> WorkspaceSizes {
        let group = |node: usize| self.layout.spans.iter().find(|s| s.nodes.contains(&node)).map_or(1, |s| s.group);
        let most = |room: &dyn Fn(usize, &Step) -> usize| {
            self.steps.iter().enumerate().map(|(node, step)| room(group(node), step)).max().unwrap_or(0)
        };
        WorkspaceSizes {
            slots: self.layout.slot_bytes(),
            scratch: most(&|images, step| step.scratch(images)),
            words: most(&|images, step| step.words(images, self.kernels)),
            sums: most(&|_, step| step.sums()),
        }
    }

    /// Runs at most a chunk of images.
    pub(crate) fn run(&self, images: &[u8], outputs: &mut [u8], workspace: &mut Workspace) {
        let count = images.len() / self.room(self.input).size;
        for (index, span) in self.layout.spans.iter().enumerate() {
            for first in (0..count).step_by(span.group) {
                let group = Group { first, images: span.group.min(count - first) };
                if index == 0 {
                    let room = self.room(self.input);
                    let from = &images[first * room.size..(first + group.images) * room.size];
                    workspace.slots[room.slot][room.range(group)].copy_from_slice(from);
                }
                self.run_group(span, group, workspace);
                if span.writes(self, self.output) {
                    let room = self.room(self.output);
                    let to = &mut outputs[first * room.size..(first + group.images) * room.size];
                    to.copy_from_slice(&workspace.slots[room.slot][room.range(group)]);
                }
            }
        }
    }

    fn run_group(&self, span: &Span, group: Group, workspace: &mut Workspace) {
        for node in span.nodes.clone() {
            let (inputs, output) = &self.edges[node];
            let output = self.room(*output);
            // Taken out, so that inputs can be read while it is written: the layout gives them other slots.
            let mut slot = std::mem::take(&mut workspace.slots[output.slot]);
            self.run_step(&self.steps[node], inputs, (group, &mut slot[output.range(group)]), workspace);
            workspace.slots[output.slot] = slot;
        }
    }

    fn run_step(
        &self,
        step: &Step,
        inputs: &[TensorId],
        (group, to): (Group, &mut [u8]),
        Workspace { slots, scratch, words, sums }: &mut Workspace,
    ) {
        let size = to.len() / group.images;
        // The codes of an input from image `i` of the group on, with what follows.
        let from = |input: usize, i: usize| {
            let room = self.room(inputs[input]);
            &slots[room.slot][room.range(group).start + i * room.size..]
        };
        let of_image = |input: usize, i: usize| &from(input, i)[..self.room(inputs[input]).size];
        match step {
            Step::Conv(layer) if layer.padded.is_plain() => {
                self.kernels.conv(layer, from(0, 0), group.images, to, words)
            }
            Step::Conv(layer) => {
                for i in 0..group.images {
                    layer.padded.copy(of_image(0, i), &mut scratch[i * layer.image..]);
                }
                self.kernels.conv(layer, scratch, group.images, to, words);
            }
            Step::Depthwise(layer) => {
                for (i, to) in to.chunks_exact_mut(size).enumerate() {
                    layer.padded.copy(of_image(0, i), scratch);
                    self.kernels.depthwise(layer, scratch, to);
                }
            }
            Step::Pad(padded) => {
                to.chunks_exact_mut(size).enumerate().for_each(|(i, to)| padded.copy(of_image(0, i), to));
            }
            Step::Plain(op) => {
                for (i, to) in to.chunks_exact_mut(size).enumerate() {
                    self.kernels.plain(op, |input| of_image(input, i), to, sums);
                }
            }
        }
    }
}

impl Span {
    /// Whether the tensor is complete after this span: one of its nodes writes it, or it is the input and this the
    /// first span.
    fn writes(&self, program: &Program, tensor: TensorId) -> bool {
        let by_node = self.nodes.clone().any(|node| program.edges[node].1 == tensor);
        by_node || (self.nodes.start == 0 && tensor == program.input)
    }
}

impl Room {
    /// Where the codes of a group lie in the slot.
    fn range(&self, group: Group) -> std::ops::Range<usize> {
        let start = if self.whole_chunk { group.first * self.size } else { 0 };
        start..start + group.images * self.size
    }
}
