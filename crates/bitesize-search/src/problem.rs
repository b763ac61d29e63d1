//! What is searched: a network's free widths, and the bytes that a choice of them takes against a budget.

use crate::constraints::{ConstraintError, Constraints, WidthSet};
use bitesize_ir::memory::{MemoryModel, Widths, packed_weight_bytes};
use bitesize_ir::policy::{PolicyRow, SpaceRow};
use bitesize_ir::target::{Budget, CoreCosts};
use bitesize_ir::{BitWidth, Network, Policy, PolicySpace, TensorId};
use serde::{Deserialize, Serialize};

/// Bytes of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes of FLASH.
    pub flash_bytes: u64,
    /// Bytes of RAM, arena and stack.
    pub ram_bytes: u64,
    /// Bytes of packed weights, part of `flash_bytes`.
    pub weight_bytes: u64,
}

/// What a policy has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// FLASH and RAM; [`u64::MAX`] for no limit.
    pub budget: Budget,
    /// Packed weights; [`u64::MAX`] for no limit.
    pub weight_bytes: u64,
}

impl Limits {
    /// Whether nothing of `memory` passes them.
    pub fn hold(self, memory: Memory) -> bool {
        memory.flash_bytes <= self.budget.flash_bytes
            && memory.ram_bytes <= self.budget.ram_bytes
            && memory.weight_bytes <= self.weight_bytes
    }

    /// How far `memory` is over, each in shares of its limit; 0 where all hold.
    pub fn excess(self, memory: Memory) -> f64 {
        let over = |bytes: u64, limit: u64| bytes.saturating_sub(limit) as f64 / limit.max(1) as f64;
        over(memory.flash_bytes, self.budget.flash_bytes)
            + over(memory.ram_bytes, self.budget.ram_bytes)
            + over(memory.weight_bytes, self.weight_bytes)
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
        let packed =
            |row: &SpaceRow| BitWidth::ALL.map(|bits| packed_weight_bytes(&network.node(row.node).op, bits) as u64);
        Self {
            network,
            space,
            limits: Limits { budget, weight_bytes: u64::MAX },
            model: MemoryModel::of(network, core),
            allowed: vec![[WidthSet::ALL; 2]; space.rows.len()],
            weight_bytes: space.rows.iter().map(packed).collect(),
            rows_of_tensors,
        }
    }

    /// The same network and core under another budget; the constraints stay.
    pub fn with_budget(&self, budget: Budget) -> Self {
        Self { limits: Limits { budget, ..self.limits }, ..self.clone() }
    }

    /// The same network and constraints on another core under another budget.
    pub fn on(&self, core: &CoreCosts, budget: Budget) -> Self {
        Self { model: MemoryModel::of(self.network, core), ..self.with_budget(budget) }
    }

    /// The same under `constraints` instead of those that it has.
    ///
    /// # Errors
    /// Pins that do not suit the network; all of them.
    pub fn constrained(&self, constraints: &Constraints) -> Result<Self, ConstraintError> {
        let weight_bytes = constraints.weight_bytes.unwrap_or(u64::MAX);
        let limits = Limits { weight_bytes, ..self.limits };
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

    /// Bytes of FLASH and RAM at `policy`.
    pub fn memory(&self, policy: &Policy) -> Memory {
        let widths = self.widths(policy);
        Memory {
            flash_bytes: self.model.flash_bytes(&widths),
            ram_bytes: self.model.ram_bytes(&widths),
            weight_bytes: self.weight_bytes(policy),
        }
    }

    /// Whether `policy` keeps all limits and has allowed widths only.
    pub fn fits(&self, policy: &Policy) -> bool {
        self.allows(policy) && self.flash_fits(policy) && self.ram_fits(policy)
    }

    /// Whether `policy` keeps the FLASH budget and the limit of packed weights.
    pub fn flash_fits(&self, policy: &Policy) -> bool {
        self.weight_bytes(policy) <= self.limits.weight_bytes
            && self.model.flash_bytes(&self.widths(policy)) <= self.limits.budget.flash_bytes
    }

    /// Whether `policy` keeps the RAM budget.
    pub fn ram_fits(&self, policy: &Policy) -> bool {
        self.model.ram_bytes(&self.widths(policy)) <= self.limits.budget.ram_bytes
    }

    /// The row whose activation width `tensor` has; `None` where the width is fixed at 8 bits.
    pub fn row_of(&self, tensor: TensorId) -> Option<usize> {
        self.rows_of_tensors[tensor.0]
    }

    /// Tensors that are alive during the node numbered `step`, by id.
    pub fn alive_at(&self, step: usize) -> impl Iterator<Item = TensorId> + '_ {
        (0..self.network.tensors.len()).map(TensorId).filter(move |tensor| {
            let (first, last) = self.model.lifetime(*tensor);
            (first..=last).contains(&step)
        })
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

/// Which of a row's two widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Of its weights.
    Weights,
    /// Of its output.
    Activations,
}

/// The width that `row` of `policy` has on `side`; `None` where there is none to choose.
pub fn width(policy: &Policy, row: usize, side: Side) -> Option<BitWidth> {
    match side {
        Side::Weights => policy.rows[row].weights,
        Side::Activations => policy.rows[row].activations,
    }
}

/// Gives `row` of `policy` the width `bits` on `side`, which must be free.
pub fn set_width(policy: &mut Policy, row: usize, side: Side, bits: BitWidth) {
    let slot = match side {
        Side::Weights => &mut policy.rows[row].weights,
        Side::Activations => &mut policy.rows[row].activations,
    };
    debug_assert!(slot.is_some(), "row {row} has no free width on that side");
    *slot = Some(bits);
}

/// `W8A4 W4A8 W2A-`: one word a row, `-` where a row has no such width. Read back by [`from_compact`].
pub fn to_compact(policy: &Policy) -> String {
    let text = |bits: Option<BitWidth>| bits.map_or('-', |bits| char::from(b'0' + bits.bits()));
    let words: Vec<String> =
        policy.rows.iter().map(|row| format!("W{}A{}", text(row.weights), text(row.activations))).collect();
    words.join(" ")
}

/// Reads what [`to_compact`] writes, for the rows of `space`.
///
/// # Errors
/// A sentence naming the row that is missing, left over or does not match.
pub fn from_compact(text: &str, space: &PolicySpace) -> Result<Policy, String> {
    let bits = |c: Option<char>| match c {
        Some('-') => Some(None),
        Some('2') => Some(Some(BitWidth::B2)),
        Some('4') => Some(Some(BitWidth::B4)),
        Some('8') => Some(Some(BitWidth::B8)),
        _ => None,
    };
    let parse = |word: &str| {
        let mut chars = word.chars();
        let weights = bits(chars.next().filter(|c| *c == 'W').and_then(|_| chars.next()))?;
        let activations = bits(chars.next().filter(|c| *c == 'A').and_then(|_| chars.next()))?;
        chars.next().is_none().then_some((weights, activations))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != space.rows.len() {
        return Err(format!("the policy has {} rows, the network {}", words.len(), space.rows.len()));
    }
    let mut policy = Policy::uniform(space, BitWidth::B8, BitWidth::B8);
    for ((row, free), word) in policy.rows.iter_mut().zip(&space.rows).zip(words) {
        match parse(word) {
            Some((weights, activations))
                if weights.is_some() == free.weights && activations.is_some() == free.activations =>
            {
                (row.weights, row.activations) = (weights, activations);
            }
            _ => return Err(format!("`{word}` does not give `{}` the widths that it needs", row.name)),
        }
    }
    Ok(policy)
}
