//! What is searched: a network's free widths, and the bytes that a choice of them takes against a budget.

use bitesize_ir::memory::{MemoryModel, Widths};
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
}

impl Memory {
    /// Whether neither passes the budget.
    pub fn fits(self, budget: Budget) -> bool {
        self.flash_bytes <= budget.flash_bytes && self.ram_bytes <= budget.ram_bytes
    }

    /// How far both are over, each in shares of its budget; 0 where it fits.
    pub fn excess(self, budget: Budget) -> f64 {
        let over = |bytes: u64, limit: u64| bytes.saturating_sub(limit) as f64 / limit.max(1) as f64;
        over(self.flash_bytes, budget.flash_bytes) + over(self.ram_bytes, budget.ram_bytes)
    }
}

/// A network whose widths are to be chosen, and the budget that they have to keep.
pub struct Problem<'a> {
    network: &'a Network,
    space: &'a PolicySpace,
    budget: Budget,
    model: MemoryModel<'a>,
    /// For each tensor the row whose activation width it has; `None` where the width is fixed at 8 bits.
    rows_of_tensors: Vec<Option<usize>>,
}

impl<'a> Problem<'a> {
    /// The problem of giving `network` (rewritten, with `space` its policy space) widths that keep `budget` on `core`.
    pub fn new(network: &'a Network, space: &'a PolicySpace, core: &'a CoreCosts, budget: Budget) -> Self {
        let mut rows_of_tensors = vec![None; network.tensors.len()];
        for (row, choice) in space.rows.iter().enumerate().filter(|(_, row)| row.activations) {
            rows_of_tensors[network.node(choice.node).output.0] = Some(row);
        }
        for node in network.nodes.iter().filter(|node| node.op.passes_encoding_on()) {
            rows_of_tensors[node.output.0] = rows_of_tensors[node.inputs[0].0];
        }
        Self { network, space, budget, model: MemoryModel::of(network, core), rows_of_tensors }
    }

    /// The same network and core under another budget.
    pub fn with_budget(&self, budget: Budget) -> Self {
        Self { budget, model: self.model.clone(), rows_of_tensors: self.rows_of_tensors.clone(), ..*self }
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// Its free widths.
    pub fn space(&self) -> &'a PolicySpace {
        self.space
    }

    /// What has to be kept.
    pub fn budget(&self) -> Budget {
        self.budget
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
        Memory { flash_bytes: self.model.flash_bytes(&widths), ram_bytes: self.model.ram_bytes(&widths) }
    }

    /// Whether `policy` keeps both budgets.
    pub fn fits(&self, policy: &Policy) -> bool {
        self.flash_fits(policy) && self.ram_fits(policy)
    }

    /// Whether `policy` keeps the FLASH budget.
    pub fn flash_fits(&self, policy: &Policy) -> bool {
        self.model.flash_bytes(&self.widths(policy)) <= self.budget.flash_bytes
    }

    /// Whether `policy` keeps the RAM budget.
    pub fn ram_fits(&self, policy: &Policy) -> bool {
        self.model.ram_bytes(&self.widths(policy)) <= self.budget.ram_bytes
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

    /// The same widths everywhere: `bits` for weights and free activations.
    pub fn uniform(&self, bits: BitWidth) -> Policy {
        Policy::uniform(self.space, bits, bits)
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

/// Cuts one level (8 to 4, 4 to 2); whether there was one to cut.
pub fn cut(policy: &mut Policy, row: usize, side: Side) -> bool {
    let narrower = width(policy, row, side).and_then(BitWidth::narrower);
    if let Some(bits) = narrower {
        set_width(policy, row, side, bits);
    }
    narrower.is_some()
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
