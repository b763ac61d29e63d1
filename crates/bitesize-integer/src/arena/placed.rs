//! A network's run in its arena.

use super::check::{check, scratch_bytes};
use super::memory::{Fault, Holder, Memory, garbage};
use super::order::{reads, reads_first, units};
use super::violation::{Piece, Problem, Violation};
use crate::interpreter::Interpreter;
use crate::network::IntNetwork;
use crate::packing::{pack_rows, unpack_rows};
use bitesize_ir::memory::{Chain, ChainRun, ChainStep, InputRows, MemoryPlan, PlannedSegment, STATE_BYTES, lifetimes};
use bitesize_ir::{NodeId, TensorId};
use std::ops::Range;

/// A network with a place for everything.
#[derive(Clone, Debug)]
pub struct Placed<'a> {
    network: &'a IntNetwork,
    plan: &'a MemoryPlan,
    interpreter: Interpreter<'a>,
    /// The last node that each tensor is needed for; that of the output is behind all.
    last: Vec<usize>,
}

impl<'a> Placed<'a> {
    /// `network`, which must be legal ([`IntNetwork::validate`]), where `plan` says. Its chains must be such as
    /// [`Chain::of`] makes them; how much room their bands have is not taken on trust.
    ///
    /// # Errors
    /// [`Problem::Disagrees`]: `plan` is not one of `network`.
    pub fn new(network: &'a IntNetwork, plan: &'a MemoryPlan) -> Result<Self, Violation> {
        let disagrees =
            |reason| Violation { step: 0, place: network.name.clone(), problem: Box::new(Problem::Disagrees(reason)) };
        check(network, plan).map_err(disagrees)?;
        let edges = network.nodes.iter().map(|node| (node.inputs.as_slice(), node.output));
        let lifetimes = lifetimes(network.tensors.len(), edges, network.output);
        let mut last: Vec<usize> = lifetimes.into_iter().map(|(_, last)| last).collect();
        last[network.output.0] = network.nodes.len();
        Ok(Self { network, plan, interpreter: Interpreter::new(network), last })
    }

    /// The output codes for one image of input codes, both in NHWC order, one code a byte: the interpreter's.
    ///
    /// # Errors
    /// The first thing that the plan does wrong.
    ///
    /// # Panics
    /// Where `image` has not as many codes as the input has elements.
    pub fn run(&self, image: &[u8]) -> Result<Vec<u8>, Violation> {
        let input = self.network.tensor(self.network.input);
        assert_eq!(image.len(), input.shape.elements(), "codes of an image of {}", input.shape);
        let arena = self.plan.arena_bytes;
        let first_row = vec![0; self.network.tensors.len()];
        let elements = self.network.tensors.iter().map(|tensor| tensor.shape.elements());
        let codes = elements.map(|elements| vec![0; elements]).collect();
        let mut run = Run { placed: self, memory: Memory::new(arena), first_row, codes, image, place: "the input" };
        run.all()
    }
}

/// A run on its way.
struct Run<'a> {
    placed: &'a Placed<'a>,
    memory: Memory,
    /// The row of each tensor that lies at its offset.
    first_row: Vec<usize>,
    /// Codes of the tensors, which hold something while a step is computed from it, and only that.
    codes: Vec<Vec<u8>>,
    image: &'a [u8],
    /// What is computed, for messages.
    place: &'a str,
}

/// An input that a node is the last to read.
struct Dying {
    tensor: TensorId,
    /// The pixels that each unit is the last to read, and behind these those that none reads.
    pixels: Vec<Vec<usize>>,
    /// Whether a unit has read them before it writes.
    reads_first: bool,
}

impl<'a> Run<'a> {
    fn all(&mut self) -> Result<Vec<u8>, Violation> {
        let Placed { network, plan, last, .. } = self.placed;
        if plan.input == InputRows::Image {
            self.take_rows(0..network.tensor(network.input).shape.h)?;
        }
        let mut done = 0;
        for segment in &plan.segments {
            let before = done;
            done = match segment {
                PlannedSegment::Layer(id) => {
                    self.layer(*id)?;
                    id.0 + 1
                }
                PlannedSegment::Chain { chain, state } => {
                    self.chain(chain, *state)?;
                    done + chain.members.len()
                }
            };
            for tensor in (0..last.len()).filter(|tensor| (before..done).contains(&last[*tensor])).map(TensorId) {
                self.release(tensor, 0..network.tensor(tensor).shape.pixels());
            }
        }
        self.place = "the output";
        let pixels = 0..network.tensor(network.output).shape.pixels();
        let codes: Result<Vec<Vec<u8>>, Violation> = pixels.map(|pixel| self.read(network.output, pixel)).collect();
        Ok(codes?.concat())
    }

    /// The rows `rows` of the image come in.
    fn take_rows(&mut self, rows: Range<usize>) -> Result<(), Violation> {
        let input = self.placed.network.input;
        let shape = self.placed.network.tensor(input).shape;
        let row = shape.w * shape.c;
        let codes = &self.image[rows.start * row..rows.end * row];
        self.write(input, rows.start * shape.w..rows.end * shape.w, codes)
    }

    /// Computes node `id` alone.
    fn layer(&mut self, id: NodeId) -> Result<(), Violation> {
        let Placed { network, plan, last, .. } = self.placed;
        let node = network.node(id);
        self.place = &node.name;
        let implementation = plan.implementations[id.0];
        let [input_pixel, output_pixel] = [node.inputs[0], node.output].map(|tensor| self.pixel_bytes(tensor));
        let rows = network.row_node(node, implementation);
        let apart = plan.tensors[node.inputs[0].0].abs_diff(plan.tensors[node.output.0]);
        // Strips that lie over one another are computed one by one, each from its first row to its last.
        let aligned = rows.strips_align([input_pixel, output_pixel], apart);
        let at_once = if aligned { rows.at_once() } else { plan.at_once[id.0] };
        let layer = rows.layer;
        let units = units(&layer, implementation, at_once);
        let mut dying: Vec<Dying> = Vec::new();
        for (number, input) in node.inputs.iter().enumerate().filter(|(_, input)| last[input.0] == id.0) {
            if dying.iter().any(|other| other.tensor == *input) {
                continue;
            }
            let mut last_unit = vec![units.len(); network.tensor(*input).shape.pixels()];
            for (unit, pixels) in units.iter().enumerate() {
                reads(&layer, number, pixels.clone()).into_iter().for_each(|pixel| last_unit[pixel] = unit);
            }
            let mut pixels = vec![Vec::new(); units.len() + 1];
            last_unit.into_iter().enumerate().for_each(|(pixel, unit)| pixels[unit].push(pixel));
            let [from, to] = [*input, node.output].map(|tensor| self.pixel_bytes(tensor));
            let reads_first = reads_first(&layer, implementation, from, to);
            dying.push(Dying { tensor: *input, pixels, reads_first });
        }
        dying.iter().for_each(|dying| self.release_read(dying, units.len()));
        self.claim_scratch(id)?;
        for (unit, pixels) in units.into_iter().enumerate() {
            let codes = self.compute(id, pixels.clone())?;
            dying.iter().filter(|dying| dying.reads_first).for_each(|dying| self.release_read(dying, unit));
            self.write(node.output, pixels, &codes)?;
            dying.iter().filter(|dying| !dying.reads_first).for_each(|dying| self.release_read(dying, unit));
            self.memory.step += 1;
        }
        self.release_scratch(id);
        Ok(())
    }

    /// Makes garbage of what `unit` was the last to read of `dying`.
    fn release_read(&mut self, dying: &Dying, unit: usize) {
        dying.pixels[unit].iter().for_each(|pixel| self.release(dying.tensor, *pixel..pixel + 1));
    }

    /// Computes the members of `chain` in turns.
    fn chain(&mut self, chain: &'a Chain, state: usize) -> Result<(), Violation> {
        let network = self.placed.network;
        let mut run = chain.run();
        self.write_state(&run, chain, state, false)?;
        while let Some(step) = run.next_step() {
            let (band, end) = run.written(&step);
            let (tensor, before, moved) = (chain.bands[band].tensor, run.there(band), run.moved_by(&step));
            if let ChainStep::Compute { member, .. } = &step {
                self.place = &network.nodes[chain.members[*member].node].name;
            }
            run.take(&step);
            self.make_room(tensor, before.clone(), run.there(band), moved)?;
            match &step {
                ChainStep::Push { .. } => self.take_rows(before.end..end)?,
                ChainStep::Compute { member, rows } => {
                    let (id, width) = (NodeId(chain.members[*member].node), network.tensor(tensor).shape.w);
                    let pixels = rows.start * width..rows.end * width;
                    self.claim_scratch(id)?;
                    let codes = self.compute(id, pixels.clone())?;
                    self.write(tensor, pixels, &codes)?;
                    self.release_scratch(id);
                }
            }
            for (number, band) in chain.bands.iter().enumerate() {
                let width = network.tensor(band.tensor).shape.w;
                let there = run.there(number);
                self.release(band.tensor, there.start * width..run.first_needed(number).min(there.end) * width);
            }
            self.write_state(&run, chain, state, true)?;
            self.memory.step += 1;
        }
        self.memory.release(state, STATE_BYTES * chain.bands.len(), Holder::State);
        // What stays lies where the plan says; what does not is not read again, rows among it that a layer would have read for
        // rows of its own that nobody asked for.
        for (number, band) in chain.bands.iter().enumerate() {
            let (there, width) = (run.there(number), network.tensor(band.tensor).shape.w);
            if !band.stays {
                self.release(band.tensor, there.start * width..there.end * width);
            }
            self.first_row[band.tensor.0] = 0;
        }
        Ok(())
    }

    /// Moves the rows `moved` of `tensor`, of which the rows `before` are there, to where they lie where `after` are.
    fn make_room(
        &mut self,
        tensor: TensorId,
        before: Range<usize>,
        after: Range<usize>,
        moved: Range<usize>,
    ) -> Result<(), Violation> {
        let width = self.placed.network.tensor(tensor).shape.w;
        for pixel in before.start * width..after.start.min(before.end) * width {
            if self.is_there(tensor, pixel) {
                let piece = self.piece(Holder::Pixel { tensor: tensor.0, pixel });
                return Err(self.violation(Problem::Dropped { piece }));
            }
        }
        if after.start > before.end {
            let piece = self.piece(Holder::Pixel { tensor: tensor.0, pixel: before.end * width });
            return Err(self.violation(Problem::Dropped { piece }));
        }
        // All are lifted before one is put down, as their places may overlap. The dead among them move too.
        let mut lifted = Vec::new();
        for pixel in moved.start * width..moved.end * width {
            let is_there = self.is_there(tensor, pixel);
            lifted.push((pixel, if is_there { Some(self.read(tensor, pixel)?) } else { None }));
            self.release(tensor, pixel..pixel + 1);
        }
        self.first_row[tensor.0] = after.start;
        for (pixel, codes) in lifted {
            match codes {
                Some(codes) => self.write(tensor, pixel..pixel + 1, &codes)?,
                None => {
                    let (at, holder) = self.holder(tensor, pixel);
                    let claimed = self.memory.claim(at, self.pixel_bytes(tensor), holder);
                    claimed.map_err(|fault| self.at(fault, at, holder))?;
                    self.release(tensor, pixel..pixel + 1);
                }
            }
        }
        Ok(())
    }

    /// The codes of node `id` at `pixels`, from what these are computed from: all else is garbage.
    fn compute(&mut self, id: NodeId, pixels: Range<usize>) -> Result<Vec<u8>, Violation> {
        let Placed { network, interpreter, .. } = self.placed;
        let node = network.node(id);
        let layer = network.layer_shape(node);
        let mut read = Vec::new();
        for (number, input) in node.inputs.iter().enumerate() {
            let c = network.tensor(*input).shape.c;
            for pixel in reads(&layer, number, pixels.clone()) {
                let place = pixel * c..(pixel + 1) * c;
                let codes = self.read(*input, pixel)?;
                self.codes[input.0][place.clone()].copy_from_slice(&codes);
                read.push((*input, place));
            }
        }
        let codes = interpreter.run_pixels(id, &self.codes, pixels);
        for (tensor, place) in read {
            let most = network.tensor(tensor).bits.max_code();
            for at in place {
                self.codes[tensor.0][at] = garbage(self.memory.step, at) & most;
            }
        }
        Ok(codes)
    }

    fn claim_scratch(&mut self, id: NodeId) -> Result<(), Violation> {
        let (bytes, holder) = (scratch_bytes(self.placed.network, self.placed.plan, id), Holder::Scratch(id.0));
        let at = self.placed.plan.scratch[id.0].unwrap_or(0);
        self.memory.claim(at, bytes, holder).map_err(|fault| self.at(fault, at, holder))
    }

    fn release_scratch(&mut self, id: NodeId) {
        let bytes = scratch_bytes(self.placed.network, self.placed.plan, id);
        self.memory.release(self.placed.plan.scratch[id.0].unwrap_or(0), bytes, Holder::Scratch(id.0));
    }

    /// Writes the state of `chain`, over the one that is there where `again` says so.
    fn write_state(&mut self, run: &ChainRun, chain: &Chain, at: usize, again: bool) -> Result<(), Violation> {
        let there = (0..chain.bands.len()).map(|band| run.there(band));
        let numbers = there.flat_map(|rows| [rows.start as u16, rows.end as u16]);
        let bytes: Vec<u8> = numbers.flat_map(u16::to_le_bytes).collect();
        if again {
            self.memory.read(at, bytes.len(), Holder::State).map_err(|fault| self.at(fault, at, Holder::State))?;
            self.memory.release(at, bytes.len(), Holder::State);
        }
        self.memory.write(at, &bytes, Holder::State).map_err(|fault| self.at(fault, at, Holder::State))
    }

    /// Writes `codes` at `pixels` of `tensor`.
    fn write(&mut self, tensor: TensorId, pixels: Range<usize>, codes: &[u8]) -> Result<(), Violation> {
        let written = self.placed.network.tensor(tensor);
        for (pixel, codes) in pixels.zip(codes.chunks_exact(written.shape.c)) {
            let (at, holder) = self.holder(tensor, pixel);
            let bytes = pack_rows(codes, written.shape.c, written.bits);
            self.memory.write(at, &bytes, holder).map_err(|fault| self.at(fault, at, holder))?;
        }
        Ok(())
    }

    /// The codes of a pixel.
    fn read(&self, tensor: TensorId, pixel: usize) -> Result<Vec<u8>, Violation> {
        let read = self.placed.network.tensor(tensor);
        let (at, holder) = self.holder(tensor, pixel);
        let gave_way = self.first_row[tensor.0] * read.shape.w > pixel;
        let missing = Fault::Missing { byte: self.placed.plan.tensors[tensor.0], by: None };
        let bytes = if gave_way { Err(missing) } else { self.memory.read(at, self.pixel_bytes(tensor), holder) };
        let bytes = bytes.map_err(|fault| self.at(fault, at, holder))?;
        Ok(unpack_rows(bytes, read.shape.c, read.shape.c, read.bits))
    }

    /// Makes `pixels` of `tensor` garbage where they are there.
    fn release(&mut self, tensor: TensorId, pixels: Range<usize>) {
        let bytes = self.pixel_bytes(tensor);
        for pixel in pixels {
            let (at, holder) = self.holder(tensor, pixel);
            self.memory.release(at, bytes, holder);
        }
    }

    fn is_there(&self, tensor: TensorId, pixel: usize) -> bool {
        let (at, holder) = self.holder(tensor, pixel);
        self.memory.holds(at, self.pixel_bytes(tensor), holder)
    }

    fn pixel_bytes(&self, tensor: TensorId) -> usize {
        let tensor = self.placed.network.tensor(tensor);
        tensor.bits.row_bytes(tensor.shape.c)
    }

    /// Where a pixel lies, and what its bytes are held by. One that had to give way is nowhere: behind every arena.
    fn holder(&self, tensor: TensorId, pixel: usize) -> (usize, Holder) {
        let first = self.first_row[tensor.0] * self.placed.network.tensor(tensor).shape.w;
        let behind =
            |pixels: usize| self.placed.plan.tensors[tensor.0].saturating_add(pixels * self.pixel_bytes(tensor));
        (pixel.checked_sub(first).map_or(usize::MAX, behind), Holder::Pixel { tensor: tensor.0, pixel })
    }

    /// What went wrong with `holder`, which begins at byte `byte`.
    fn at(&self, fault: Fault, byte: usize, holder: Holder) -> Violation {
        let piece = self.piece(holder);
        self.violation(match fault {
            Fault::Outside => Problem::Outside { piece, byte, arena_bytes: self.placed.plan.arena_bytes },
            Fault::Held { byte, by } => Problem::Overwrites { byte, writes: piece, holds: self.piece(by) },
            Fault::Missing { byte, by } => {
                Problem::Missing { byte, reads: piece, holds: by.map(|holder| self.piece(holder)) }
            }
        })
    }

    fn violation(&self, problem: Problem) -> Violation {
        Violation { step: self.memory.step, place: self.place.to_owned(), problem: Box::new(problem) }
    }

    fn piece(&self, holder: Holder) -> Piece {
        let network = self.placed.network;
        match holder {
            Holder::Pixel { tensor, pixel } => {
                let tensor = &network.tensors[tensor];
                let (row, column) = (pixel / tensor.shape.w, pixel % tensor.shape.w);
                Piece::Pixel { tensor: tensor.name.clone(), row, column }
            }
            Holder::Scratch(node) => Piece::Scratch { node: network.nodes[node].name.clone() },
            Holder::State => Piece::State,
        }
    }
}
