//! What is searched: a network's free widths, and what a choice of them takes against what it may.

use crate::constraints::{ConstraintError, Constraints};
use crate::widths::{Side, WidthSet, set_width, width};
use bitesize_ir::memory::{MemoryModel, Moment, Widths};
use bitesize_ir::policy::{PolicyRow, SpaceRow};
use bitesize_ir::target::{Budget, CoreCosts, holds};
use bitesize_ir::{BitWidth, Network, NodeId, Policy, PolicySpace, TensorId};

/// What a policy's package takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of FLASH.
    pub flash_bytes: u64,
    /// Bytes of RAM, arena and stack.
    pub ram_bytes: u64,
    /// Bytes of packed weights, part of `flash_bytes`.
    pub weight_bytes: u64,
    /// Instructions of an inference in the order of rows that takes these bytes of RAM; 0 where the core's file says nothing of them.
    pub instructions: u64,
}

/// What a policy has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// FLASH and RAM.
    pub budget: Budget,
    /// Packed weights; `None` where they are not limited.
    pub weight_bytes: Option<u64>,
    /// Instructions of an inference; `None` where they are not limited.
    pub instructions: Option<u64>,
}

impl Limits {
    /// Whether nothing of `footprint` passes them.
    pub fn hold(self, footprint: Footprint) -> bool {
        self.budget.holds_flash(footprint.flash_bytes)
            && self.budget.holds_ram(footprint.ram_bytes)
            && holds(self.weight_bytes, footprint.weight_bytes)
            && holds(self.instructions, footprint.instructions)
    }

    /// How far `footprint` is over, each in shares of its limit; 0 where all hold.
    pub fn excess(self, footprint: Footprint) -> f64 {
        let over = |taken: u64, limit: Option<u64>| {
            limit.map_or(0.0, |limit| taken.saturating_sub(limit) as f64 / limit.max(1) as f64)
        };
        over(footprint.flash_bytes, self.budget.flash_bytes)
            + over(footprint.ram_bytes, self.budget.ram_bytes)
            + over(footprint.weight_bytes, self.weight_bytes)
            + over(footprint.instructions, self.instructions)
    }
}

/// A network whose widths are to be chosen, and what they have to keep.
#[derive(Clone)]
pub struct Problem<'a> {
    network: &'a Network,
    space: &'a PolicySpace,
    limits: Limits,
    model: MemoryModel<'a>,
    /// Widths that weights and activations of each row may have.
    allowed: Vec<[WidthSet; 2]>,
    /// Packed weights of each row by [`BitWidth`].
    weight_bytes: Vec<[u64; 3]>,
    /// For each tensor the row whose activation width it has; `None` where the width is fixed at 8 bits.
    rows_of_tensors: Vec<Option<usize>>,
    /// For each row the tensors that have its activation width.
    tensors_of_rows: Vec<Vec<TensorId>>,
    /// For each tensor the rows with weights that read it first or write it, each once.
    weighted_beside: Vec<Vec<usize>>,
    /// For each row the nodes that read or write a tensor of its activation width, each once.
    nodes_beside: Vec<Vec<NodeId>>,
    /// For each node the row of its weights, where their width is chosen.
    rows_of_weights: Vec<Option<usize>>,
}

/// Packed weights of each row of `space` by [`BitWidth`].
fn packed(space: &PolicySpace, model: &MemoryModel) -> Vec<[u64; 3]> {
    let of_row = |row: &SpaceRow| BitWidth::ALL.map(|bits| model.packed_weight_bytes(row.node, bits));
    space.rows.iter().map(of_row).collect()
}

impl<'a> Problem<'a> {
    /// The problem of giving `network` (rewritten, with `space` its policy space) widths that keep `budget` on `core`.
    pub fn new(network: &'a Network, space: &'a PolicySpace, core: &CoreCosts, budget: Budget) -> Self {
        let mut rows_of_tensors = vec![None; network.tensors.len()];
        for (row, choice) in space.rows.iter().enumerate().filter(|(_, row)| row.activations) {
            rows_of_tensors[network.node(choice.node).output.0] = Some(row);
        }
        for node in network.nodes.iter().filter(|node| node.op.passes_encoding_on()) {
            rows_of_tensors[node.output.0] = rows_of_tensors[node.inputs[0].0];
        }
        let mut tensors_of_rows = vec![Vec::new(); space.rows.len()];
        for (tensor, row) in rows_of_tensors.iter().enumerate() {
            if let Some(row) = row {
                tensors_of_rows[*row].push(TensorId(tensor));
            }
        }
        let mut weighted_beside = vec![Vec::new(); network.tensors.len()];
        let mut rows_of_weights = vec![None; network.nodes.len()];
        for (row, of_row) in space.rows.iter().enumerate().filter(|(_, row)| row.weights) {
            let node = network.node(of_row.node);
            rows_of_weights[of_row.node.0] = Some(row);
            weighted_beside[node.inputs[0].0].push(row);
            weighted_beside[node.output.0].push(row);
        }
        let mut nodes_beside = vec![Vec::new(); space.rows.len()];
        for (id, node) in network.iter() {
            for row in node.inputs.iter().chain([&node.output]).filter_map(|tensor| rows_of_tensors[tensor.0]) {
                let nodes: &mut Vec<NodeId> = &mut nodes_beside[row];
                if nodes.last() != Some(&id) {
                    nodes.push(id);
                }
            }
        }
        let model = MemoryModel::of(network, core);
        Self {
            network,
            space,
            limits: Limits { budget, weight_bytes: None, instructions: None },
            weight_bytes: packed(space, &model),
            model,
            allowed: vec![[WidthSet::ALL; 2]; space.rows.len()],
            rows_of_tensors,
            tensors_of_rows,
            weighted_beside,
            nodes_beside,
            rows_of_weights,
        }
    }

    /// The same network and core under another budget; the constraints stay.
    pub fn with_budget(&self, budget: Budget) -> Self {
        Self { limits: Limits { budget, ..self.limits }, ..self.clone() }
    }

    /// The same network and constraints on another core under another budget.
    pub fn on(&self, core: &CoreCosts, budget: Budget) -> Self {
        let model = MemoryModel::of(self.network, core);
        Self { weight_bytes: packed(self.space, &model), model, ..self.with_budget(budget) }
    }

    /// The same under `constraints` instead of those that it has.
    ///
    /// # Errors
    /// Pins that do not suit the network, all of them; a limit of instructions on a core of which none were measured.
    pub fn constrained(&self, constraints: &Constraints) -> Result<Self, ConstraintError> {
        let Constraints { weight_bytes, instructions, .. } = *constraints;
        if instructions.is_some() && !self.counts_instructions() {
            return Err(ConstraintError::NoInstructions);
        }
        let limits = Limits { weight_bytes, instructions, ..self.limits };
        Ok(Self { allowed: constraints.allowed(self.space)?, limits, ..self.clone() })
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// Its free widths.
    pub fn space(&self) -> &'a PolicySpace {
        self.space
    }

    /// FLASH and RAM that have to be kept.
    pub fn budget(&self) -> Budget {
        self.limits.budget
    }

    /// All that has to be kept.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The widths that `row` may have on `side`.
    pub fn allowed(&self, row: usize, side: Side) -> WidthSet {
        self.allowed[row][side as usize]
    }

    /// Bytes of the packed weights of `row` at `bits`; 0 where it has none.
    pub fn packed_bytes(&self, row: usize, bits: BitWidth) -> u64 {
        self.weight_bytes[row][bits as usize]
    }

    /// Bytes of all weights packed at `policy`.
    pub fn weight_bytes(&self, policy: &Policy) -> u64 {
        let bytes = |(row, choice): (usize, &PolicyRow)| choice.weights.map_or(0, |bits| self.packed_bytes(row, bits));
        policy.rows.iter().enumerate().map(bytes).sum()
    }

    /// Whether every width of `policy` is an allowed one.
    pub fn allows(&self, policy: &Policy) -> bool {
        self.slots()
            .all(|(row, side)| width(policy, row, side).is_some_and(|bits| self.allowed(row, side).contains(bits)))
    }

    /// Everything that has a width to choose, allowed or not: rows in order, of each weights, then activations.
    pub fn slots(&self) -> impl Iterator<Item = (usize, Side)> + '_ {
        self.space.rows.iter().enumerate().flat_map(|(row, free)| {
            let sides = [(Side::Weights, free.weights), (Side::Activations, free.activations)];
            sides.into_iter().filter(|(_, free)| *free).map(move |(side, _)| (row, side))
        })
    }

    /// The memory model.
    pub fn model(&self) -> &MemoryModel<'a> {
        &self.model
    }

    /// The widths that `policy` gives to every tensor and weight.
    pub fn widths(&self, policy: &Policy) -> Widths {
        Widths::of(self.network, self.space, policy)
    }

    /// What `policy` takes.
    pub fn footprint(&self, policy: &Policy) -> Footprint {
        let widths = self.widths(policy);
        let (ram_bytes, instructions) = self.model.ram_and_instructions(&widths);
        Footprint {
            flash_bytes: self.model.flash_bytes(&widths),
            ram_bytes,
            weight_bytes: self.weight_bytes(policy),
            instructions: instructions.unwrap_or(0),
        }
    }

    /// Whether `policy` keeps all limits and has allowed widths only.
    pub fn fits(&self, policy: &Policy) -> bool {
        self.allows(policy) && self.flash_fits(policy) && self.instructions_fit(policy) && self.ram_fits(policy)
    }

    /// Whether `policy` keeps the FLASH budget and the limit of packed weights.
    pub fn flash_fits(&self, policy: &Policy) -> bool {
        holds(self.limits.weight_bytes, self.weight_bytes(policy))
            && self.limits.budget.holds_flash(self.model.flash_bytes(&self.widths(policy)))
    }

    /// Whether `policy` keeps the RAM budget.
    pub fn ram_fits(&self, policy: &Policy) -> bool {
        self.model.ram_fits(&self.widths(policy), self.limits.budget.ram_bytes)
    }

    /// The row whose activation width `tensor` has; `None` where the width is fixed at 8 bits.
    pub fn row_of(&self, tensor: TensorId) -> Option<usize> {
        self.rows_of_tensors[tensor.0]
    }

    /// The widths that `tensor` may have.
    pub fn allowed_of_tensor(&self, tensor: TensorId) -> WidthSet {
        self.row_of(tensor).map_or(WidthSet::only(BitWidth::B8), |row| self.allowed(row, Side::Activations))
    }

    /// The tensors that have the activation width of `row`: its output, and what passes that on.
    pub(crate) fn tensors_of(&self, row: usize) -> &[TensorId] {
        &self.tensors_of_rows[row]
    }

    /// The rows with weights whose kernels depend on the width of `tensor`, each once.
    pub(crate) fn weighted_beside(&self, tensor: TensorId) -> &[usize] {
        &self.weighted_beside[tensor.0]
    }

    /// The row of the weights of node `id`; `None` where it has none whose width is chosen.
    pub(crate) fn row_of_weights(&self, id: NodeId) -> Option<usize> {
        self.rows_of_weights[id.0]
    }

    /// The nodes that read or write a tensor of the activation width of `row`, each once.
    pub(crate) fn nodes_beside(&self, row: usize) -> &[NodeId] {
        &self.nodes_beside[row]
    }

    /// Whether rows of a tensor that has the activation width of `row` are alive at `moment`.
    pub(crate) fn is_alive_at(&self, row: usize, moment: Moment) -> bool {
        let is_alive = |tensor: &TensorId| self.model.tensor_bytes_at(moment, *tensor, BitWidth::B8) > 0;
        self.tensors_of(row).iter().any(is_alive)
    }

    /// The rows whose activation widths tensors have that are alive at `moment`, or at another of the same layer or chain; one may
    /// come twice.
    pub fn rows_alive_at(&self, moment: Moment) -> impl Iterator<Item = usize> + '_ {
        self.model.alive_at(moment).filter_map(|tensor| self.row_of(tensor))
    }

    /// As [`MemoryModel::peak`] at `policy`; `None` where there is no node.
    pub fn peak(&self, policy: &Policy) -> Option<Moment> {
        self.model.peak(&self.widths(policy)).map(|(moment, _)| moment)
    }

    /// The same widths everywhere: `bits` for weights and free activations; where that is not allowed, the widest
    /// below it, or else the narrowest.
    pub fn uniform(&self, bits: BitWidth) -> Policy {
        self.allowed_of(Policy::uniform(self.space, bits, bits))
    }

    /// `policy` with allowed widths: the widest below where one is not allowed, or else the narrowest.
    pub fn allowed_of(&self, mut policy: Policy) -> Policy {
        for (row, side) in self.slots() {
            if let Some(bits) = width(&policy, row, side) {
                set_width(&mut policy, row, side, self.allowed(row, side).at_most(bits));
            }
        }
        policy
    }

    /// The next narrower width that `row` of `policy` may have on `side`.
    pub fn narrower(&self, policy: &Policy, row: usize, side: Side) -> Option<BitWidth> {
        width(policy, row, side).and_then(|bits| self.allowed(row, side).below(bits))
    }

    /// Cuts one level (8 to 4, 4 to 2, over what is not allowed); whether there was one to cut.
    pub fn cut(&self, policy: &mut Policy, row: usize, side: Side) -> bool {
        let narrower = self.narrower(policy, row, side);
        if let Some(bits) = narrower {
            set_width(policy, row, side, bits);
        }
        narrower.is_some()
    }
}
