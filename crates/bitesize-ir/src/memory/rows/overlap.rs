//! Which rows are alive while a layer or a chain is computed: how far a tensor that is born there and one that dies there may
//! overlap.

use super::chain::{Chain, ChainStep};
use super::node::RowNode;
use crate::code::Implementation;
use crate::grid::BitWidth;
use crate::network::TensorId;
use crate::op::KernelKind;
use crate::shape::Shape;

/// Moments are looked for at all combinations of the widths of as many tensors.
const COMBINED: usize = 4;

/// A tensor that is born or dies, a part at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) struct Alive {
    pub(in crate::memory) tensor: TensorId,
    pub(in crate::memory) shape: Shape,
}

/// What is born and what dies while some layers are computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::memory) struct Overlap {
    /// Tensors of which at some moments only a part is alive.
    pub(in crate::memory) changing: Vec<Alive>,
    /// Pixels alive of each, at the moments at which the most bytes may be alive, in order; one moment at least.
    pub(in crate::memory) moments: Vec<Vec<usize>>,
    /// Pairs that may overlap.
    pub(in crate::memory) pairs: Vec<Pair>,
}

/// A tensor that is born and one that dies meanwhile, both from their first row to their last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::memory) struct Pair {
    pub(in crate::memory) born: Alive,
    pub(in crate::memory) dying: Alive,
    /// Pixels of the first that are written while those of the second before the other number are dead; the largest of both.
    written: Vec<(usize, usize)>,
    /// Whether a code that is read and one that is written have the same place in both, one after the other.
    is_elementwise: bool,
}

impl Pair {
    /// How many bytes the one that is born has to begin before the one that dies, at these widths: nothing that is written then
    /// lies where something is still to be read. At most its own bytes.
    pub(in crate::memory) fn gap(&self, born: BitWidth, dying: BitWidth) -> usize {
        let (of_born, of_dying) = (born.row_bytes(self.born.shape.c), dying.row_bytes(self.dying.shape.c));
        let gap = |(written, dead): (usize, usize)| (written * of_born).saturating_sub(dead * of_dying);
        if self.is_elementwise && of_born <= of_dying {
            return 0;
        }
        self.written.iter().map(|point| gap(*point)).max().unwrap_or(0)
    }
}

/// While `node` is computed at once, and the tensors `dies` says are read for the last time.
pub(in crate::memory) fn of_layer(node: &RowNode, dies: impl Fn(TensorId) -> bool) -> Overlap {
    let mut dying: Vec<Alive> = Vec::new();
    for (input, shape) in node.inputs.iter().zip(&node.layer.inputs) {
        if dies(*input) && !dying.iter().any(|other| other.tensor == *input) {
            dying.push(Alive { tensor: *input, shape: *shape });
        }
    }
    let Some((written, is_elementwise)) = progress(node).filter(|_| !dying.is_empty()) else { return Overlap::none() };
    let born = Alive { tensor: node.output, shape: node.layer.output };
    let pair = |dying: &Alive| Pair { born, dying: *dying, written: written.clone(), is_elementwise };
    let pairs = dying.iter().map(pair).collect();
    // What is alive while pixels are written, and at the end.
    let alive = |(written, dead): &(usize, usize)| {
        let left = dying.iter().map(|dying| dying.shape.pixels() - dead);
        left.chain([*written]).collect::<Vec<usize>>()
    };
    let (before, end) = ((0, 0), (born.shape.pixels(), node.layer.inputs[0].pixels()));
    let during = if is_elementwise { &[][..] } else { &written };
    let moments: Vec<Vec<usize>> = std::iter::once(&before).chain(during).chain([&end]).map(alive).collect();
    let changing: Vec<Alive> = dying.iter().copied().chain([born]).collect();
    Overlap { moments: largest(&changing, moments), changing, pairs }
}

/// Pixels of the output that are written while pixels of the inputs before the other number are dead, step by step, and whether
/// the layer is elementwise; `None` where all of the input is read until the end.
fn progress(node: &RowNode) -> Option<(Vec<(usize, usize)>, bool)> {
    let (layer, pixels) = (&node.layer, node.layer.output.pixels());
    let by_rows = node.implementation == Implementation::Rows;
    // The first and the last pixel: what lies between them grows from the one to the other.
    let while_reading = |at_once: usize| vec![(at_once.min(pixels), 0), (pixels, pixels.saturating_sub(at_once))];
    match layer.kind {
        KernelKind::FullyConnected | KernelKind::Flatten | KernelKind::Concat => None,
        KernelKind::Add | KernelKind::Clamp => Some((while_reading(1), true)),
        // Two pixels become lanes before anything of them is written, but group by group.
        KernelKind::Conv2d if layer.window.is_pointwise() && by_rows && layer.groups == 1 => {
            Some((vec![(0, 0), (pixels, pixels)], false))
        }
        KernelKind::Conv2d if layer.window.is_pointwise() => Some((while_reading(if by_rows { 2 } else { 1 }), false)),
        KernelKind::Conv2d
        | KernelKind::DepthwiseConv2d
        | KernelKind::MaxPool
        | KernelKind::AveragePool
        | KernelKind::Pad => {
            let mut steps = Vec::new();
            let mut y = 0;
            while y < node.height() {
                let end = node.end_of(y);
                steps.push((end * layer.output.w, node.first_read(y) * layer.inputs[0].w));
                y = end;
            }
            Some((steps, false))
        }
    }
}

/// While `chain` rolls, and the tensors that `dies` names are read for the last time.
pub(in crate::memory) fn of_chain(chain: &Chain, dies: impl Fn(TensorId) -> bool) -> Overlap {
    let shape = |band: usize| {
        let of = |member: &super::chain::Member| {
            let read = member.inputs.iter().position(|input| *input == band).map(|i| member.rows.layer.inputs[i]);
            read.or((member.output == band).then_some(member.rows.layer.output))
        };
        chain.members.iter().find_map(of).expect("some member reads or writes a band")
    };
    let bands = |is: &dyn Fn(usize) -> bool| -> Vec<(usize, Alive)> {
        let alive = |band: usize| (band, Alive { tensor: chain.bands[band].tensor, shape: shape(band) });
        (0..chain.bands.len()).filter(|band| is(*band)).map(alive).collect()
    };
    let dying = bands(&|band| {
        let band = &chain.bands[band];
        band.writer.is_none() && !band.is_pushed && dies(band.tensor)
    });
    let born = bands(&|band| chain.bands[band].writer.is_some_and(|writer| chain.members[writer].is_wanted));
    let mut steps: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let mut run = chain.run();
    while let Some(step) = run.next_step() {
        let dead = dying.iter().map(|(band, alive)| run.first_needed(*band) * alive.shape.w).collect();
        run.take(&step);
        if let ChainStep::Compute { .. } = step {
            steps.push((dead, born.iter().map(|(band, alive)| run.there(*band).end * alive.shape.w).collect()));
        }
    }
    let mut pairs = Vec::new();
    for (b, (_, born)) in born.iter().enumerate() {
        for (d, (_, dying)) in dying.iter().enumerate() {
            let mut written: Vec<(usize, usize)> = steps.iter().map(|(dead, end)| (end[b], dead[d])).collect();
            written.dedup();
            pairs.push(Pair { born: *born, dying: *dying, written, is_elementwise: false });
        }
    }
    let alive = |(dead, end): &(Vec<usize>, Vec<usize>)| {
        let left = dying.iter().zip(dead).map(|((_, alive), dead)| alive.shape.pixels() - dead);
        left.chain(end.iter().copied()).collect::<Vec<usize>>()
    };
    let moments: Vec<Vec<usize>> = steps.iter().map(alive).collect();
    let changing: Vec<Alive> = dying.iter().chain(&born).map(|(_, alive)| *alive).collect();
    Overlap { moments: largest(&changing, moments), changing, pairs }
}

impl Overlap {
    /// Nothing changes: one moment.
    pub(in crate::memory) fn none() -> Self {
        Self { changing: Vec::new(), moments: vec![Vec::new()], pairs: Vec::new() }
    }
}

/// Those of `moments` at which the most bytes are alive at some widths of the tensors that change: at all of them where these are
/// few, else where all have the same.
fn largest(changing: &[Alive], moments: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let widths = BitWidth::ALL.len();
    let combinations = if changing.len() <= COMBINED { widths.pow(changing.len() as u32) } else { widths };
    let mut kept: Vec<usize> = Vec::new();
    for combination in 0..combinations {
        let bits = |i: usize| {
            let digit = if changing.len() <= COMBINED { combination / widths.pow(i as u32) } else { combination };
            BitWidth::ALL[digit % widths]
        };
        let bytes: Vec<usize> =
            changing.iter().enumerate().map(|(i, alive)| bits(i).row_bytes(alive.shape.c)).collect();
        let load = |pixels: &[usize]| pixels.iter().zip(&bytes).map(|(pixels, bytes)| pixels * bytes).sum::<usize>();
        let mut most = 0;
        for (i, moment) in moments.iter().enumerate() {
            if load(moment) > load(&moments[most]) {
                most = i;
            }
        }
        kept.push(most);
    }
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|i| moments[i].clone()).collect()
}
