//! Rolling chains: layers that take turns, row by row.
//!
//! A chain is asked for the next row of what leaves it; a layer that lacks rows asks those that make them. So every row is
//! computed once, as late as can be, and a tensor between two layers of the chain needs room for the rows only that are still to
//! be read. Which these are follows from shapes alone: [`Chain::of`] runs it once without values. `runtime/rolling.h` does the
//! same on a chip.

use super::node::RowNode;
use crate::network::TensorId;
use crate::shape::Shape;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of the state of each tensor of a chain: its first row that is still there, and the row behind its last, 16 bits each.
pub const STATE_BYTES: usize = 4;

/// A tensor that layers of a chain read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Which.
    pub tensor: TensorId,
    /// Its rows.
    pub height: usize,
    /// Rows that there is room for: its height where it is there before the chain or stays behind it.
    pub rows: usize,
    /// The member that writes it; `None` where it is there before the chain, or pushed.
    pub writer: Option<usize>,
    /// Whether its rows are pushed into the chain, one by one.
    pub is_pushed: bool,
    /// Whether something behind the chain reads it.
    pub stays: bool,
}

/// A layer of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's number.
    pub node: usize,
    /// Its rows.
    pub rows: RowNode,
    /// Numbers of the bands that it reads.
    pub inputs: Vec<usize>,
    /// Number of the band that it writes.
    pub output: usize,
    /// Whether the chain is asked for its rows.
    pub is_wanted: bool,
}

/// Layers computed in turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// In the order of the nodes.
    pub members: Vec<Member>,
    /// The pushed one, then the others in the order in which the members name them.
    pub bands: Vec<Band>,
    /// Rows that were moved to make room for others, by band.
    pub moved_rows: Vec<usize>,
    /// How many steps it takes.
    pub steps: usize,
}

/// What happens next in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainStep {
    /// A row of the pushed band comes in.
    Push {
        /// Number of the band.
        band: usize,
    },
    /// A member computes some rows of its output.
    Compute {
        /// Number of the member.
        member: usize,
        /// The rows.
        rows: Range<usize>,
    },
}

/// A chain on its way: which rows of each band are there.
#[derive(Clone, Debug)]
pub struct ChainRun<'c> {
    members: &'c [Member],
    bands: &'c [Band],
    /// The first row of each band that is still there, and the row behind its last.
    there: Vec<Range<usize>>,
}

impl Chain {
    /// The chain of `nodes`, numbered from `first` on. `stays` says which tensors something behind the chain reads; `pushed`
    /// is the tensor whose rows are pushed, where there is one. Without nodes it has room for all of its rows.
    ///
    /// # Panics
    /// One of the nodes does not compute by rows ([`RowNode::has_rows`]).
    pub fn of(
        nodes: &[RowNode],
        first: usize,
        stays: impl Fn(TensorId) -> bool,
        pushed: Option<(TensorId, Shape)>,
    ) -> Self {
        let mut bands: Vec<Band> = Vec::new();
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        let mut number = |tensor: TensorId, height: usize, bands: &mut Vec<Band>| {
            *numbers.entry(tensor.0).or_insert_with(|| {
                let is_pushed = pushed.is_some_and(|(pushed, _)| pushed == tensor);
                bands.push(Band { tensor, height, rows: 0, writer: None, is_pushed, stays: stays(tensor) });
                bands.len() - 1
            })
        };
        if let Some((tensor, shape)) = pushed {
            number(tensor, shape.h, &mut bands);
        }
        let mut members = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            assert!(node.has_rows(), "node {} has no rows", first + index);
            let heights = node.inputs.iter().zip(&node.layer.inputs);
            let inputs = heights.map(|(input, shape)| number(*input, shape.h, &mut bands)).collect();
            let output = number(node.output, node.height(), &mut bands);
            bands[output].writer = Some(index);
            let is_wanted = stays(node.output) || index + 1 == nodes.len();
            members.push(Member { node: first + index, rows: node.clone(), inputs, output, is_wanted });
        }
        for band in &mut bands {
            let is_wanted = band.writer.is_some_and(|writer| members[writer].is_wanted);
            if is_wanted || band.stays || (band.writer.is_none() && !band.is_pushed) {
                band.rows = band.height;
            }
        }
        let mut chain = Self { members, bands, moved_rows: Vec::new(), steps: 0 };
        chain.measure();
        chain
    }

    /// Bytes of its state.
    pub fn state_bytes(&self) -> usize {
        STATE_BYTES * self.bands.len()
    }

    /// The chain at its beginning.
    pub fn run(&self) -> ChainRun<'_> {
        ChainRun::of(&self.members, &self.bands)
    }

    /// Finds out how many rows each band needs room for, and how many are moved.
    fn measure(&mut self) {
        let mut rows: Vec<usize> = self.bands.iter().map(|band| band.rows).collect();
        // Nothing is moved where there is room for all rows.
        let roomy: Vec<Band> = self.bands.iter().map(|band| Band { rows: band.height, ..band.clone() }).collect();
        let mut run = ChainRun::of(&self.members, &roomy);
        while let Some(step) = run.next_step() {
            let (band, end) = run.written(&step);
            let first = run.first_needed(band).min(run.there(band).end);
            rows[band] = rows[band].max(end - first);
            run.take(&step);
        }
        for (band, rows) in self.bands.iter_mut().zip(rows) {
            band.rows = rows;
        }
        let (mut moved, mut steps) = (vec![0; self.bands.len()], 0);
        let mut run = self.run();
        while let Some(step) = run.next_step() {
            let (band, _) = run.written(&step);
            moved[band] += run.moved_by(&step).len();
            run.take(&step);
            steps += 1;
        }
        self.moved_rows = moved;
        self.steps = steps;
    }
}

impl<'c> ChainRun<'c> {
    fn of(members: &'c [Member], bands: &'c [Band]) -> Self {
        let at_start = |band: &Band| if band.writer.is_none() && !band.is_pushed { 0..band.height } else { 0..0 };
        Self { members, bands, there: bands.iter().map(at_start).collect() }
    }

    /// The rows of `band` that are there: they lie one behind the other from the band's place on.
    pub fn there(&self, band: usize) -> Range<usize> {
        self.there[band].clone()
    }

    /// What happens next; `None` at the end.
    pub fn next_step(&self) -> Option<ChainStep> {
        let is_unfinished = |member: &&Member| member.is_wanted && self.next_row(member) < member.rows.height();
        let Some(mut member) = self.members.iter().rev().find(is_unfinished) else {
            // All rows are pushed, also those that no layer reads.
            let is_short = |(band, rows): (&Band, &Range<usize>)| band.is_pushed && rows.end < band.height;
            let band = self.bands.iter().zip(&self.there).position(is_short);
            return band.map(|band| ChainStep::Push { band });
        };
        loop {
            let first = self.next_row(member);
            let rows = first..member.rows.end_of(first);
            let needed = member.rows.needed(rows.end - 1);
            let Some(lacking) = member.inputs.iter().copied().find(|band| self.there[*band].end < needed) else {
                let number = self.bands[member.output].writer.expect("a member writes its output");
                return Some(ChainStep::Compute { member: number, rows });
            };
            match self.bands[lacking].writer {
                Some(writer) => member = &self.members[writer],
                None => return Some(ChainStep::Push { band: lacking }),
            }
        }
    }

    /// The band that `step` writes, and the row behind the last that is there afterwards.
    pub fn written(&self, step: &ChainStep) -> (usize, usize) {
        match step {
            ChainStep::Push { band } => (*band, self.there[*band].end + 1),
            ChainStep::Compute { member, rows } => (self.members[*member].output, rows.end),
        }
    }

    /// The rows that move to the start of the band that `step` writes, so that what it writes has room; none where it has.
    pub fn moved_by(&self, step: &ChainStep) -> Range<usize> {
        let (band, end) = self.written(step);
        let there = self.there(band);
        let first = end.saturating_sub(self.bands[band].rows).max(there.start);
        if first == there.start { there.end..there.end } else { first.min(there.end)..there.end }
    }

    /// Takes `step`, which is the next.
    pub fn take(&mut self, step: &ChainStep) {
        let (band, end) = self.written(step);
        let first = end.saturating_sub(self.bands[band].rows).max(self.there[band].start);
        self.there[band] = first..end;
    }

    /// The first row of `band` that something still reads; its height where nothing does.
    pub fn first_needed(&self, band: usize) -> usize {
        let is_wanted = self.bands[band].writer.is_some_and(|writer| self.members[writer].is_wanted);
        if self.bands[band].stays || is_wanted {
            return 0;
        }
        let readers = self.members.iter().filter(|member| member.inputs.contains(&band));
        let first = readers.map(|member| member.rows.first_read(self.next_row(member)));
        first.min().unwrap_or(self.bands[band].height)
    }

    /// The next row that `member` computes.
    fn next_row(&self, member: &Member) -> usize {
        self.there[member.output].end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Implementation;
    use crate::memory::layer_shape::LayerShape;
    use crate::op::KernelKind;
    use crate::shape::{Shape, Window};

    /// A convolution of `kernel` rows at `stride`, from tensor `at` of `height` rows to the next tensor.
    fn conv(at: usize, height: usize, kernel: usize, stride: usize) -> RowNode {
        let window = Window { stride: [stride, 1], ..Window::of([kernel, 1]) };
        let input = Shape::new(height, 2, 4);
        let [h, w] = window.output(input).unwrap();
        let (inputs, output) = (vec![input], Shape::new(h, w, 4));
        RowNode {
            layer: LayerShape { kind: KernelKind::Conv2d, window, groups: 1, inputs, output },
            implementation: Implementation::Whole,
            inputs: vec![TensorId(at)],
            output: TensorId(at + 1),
        }
    }

    #[test]
    fn all_rows_are_pushed() {
        for (stays, pushed) in [(false, 4), (true, 4)] {
            let input = Some((TensorId(0), Shape::new(4, 2, 4)));
            let chain = Chain::of(&[conv(0, 4, 1, 2)], 0, |id| id.0 > 0 || stays, input);
            let (mut run, mut steps) = (chain.run(), Vec::new());
            while let Some(step) = run.next_step() {
                run.take(&step);
                steps.push(step);
            }
            let pushes = steps.iter().filter(|step| matches!(step, ChainStep::Push { .. })).count();
            assert_eq!((pushes, steps.len()), (pushed, pushed + 2));
            assert_eq!(chain.bands[0].rows, if stays { 4 } else { 1 });
        }
    }
}
