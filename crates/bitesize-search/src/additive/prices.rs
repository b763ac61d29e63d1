//! What activations and their weights cost at least, where instructions and bytes have prices: a bound of the whole sum for
//! each choice of activations, by which the enumeration takes them in a good order and knows when to end.
//!
//! With a price for each instruction and for each byte of weights, a layer's best width depends on its activations alone, and
//! what is not taken of the limits is worth its price. No policy that keeps the limits costs less than what the cheapest costs
//! with these prices, less the worth of the limits, whatever the prices; those are chosen that bound the most.

use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::memory::Widths;
use bitesize_ir::{BitWidth, NodeId};

/// Prices tried in each of the searches for one.
const TRIALS: usize = 20;

/// Rounds of searches, each for both prices.
const ROUNDS: usize = 2;

/// How many bounds [`Prices::chosen`] asks for at most.
pub(super) const QUESTIONS: usize = ROUNDS * 2 * (TRIALS + 1);

/// By how many powers of ten a price may be above or below what all costs are for each unit of a limit.
const DECADES: f64 = 4.0;

/// Limits of instructions and bytes, and the prices of both.
#[derive(Clone)]
pub(super) struct Prices<'p> {
    problem: &'p Problem<'p>,
    /// For each row with weights width, packed bytes and cost.
    weights: Vec<Vec<(BitWidth, f64, f64)>>,
    /// Instructions that layers may take.
    instructions: f64,
    /// Bytes that weights may take at most, `None` for any number.
    packed: Option<f64>,
    of_instruction: f64,
    of_byte: f64,
}

impl<'p> Prices<'p> {
    /// All free.
    pub(super) fn of(problem: &'p Problem<'p>, costs: &Costs, instructions: u64, packed: Option<u64>) -> Self {
        let options = |row: usize| {
            let options = costs.options(row, Side::Weights).into_iter();
            options.map(|(bits, cost)| (bits, problem.packed_bytes(row, bits) as f64, cost)).collect()
        };
        let weights = (0..problem.space().rows.len()).map(options).collect();
        let (instructions, packed) = (instructions as f64, packed.map(|bytes| bytes as f64));
        Self { problem, weights, instructions, packed, of_instruction: 0.0, of_byte: 0.0 }
    }

    /// What node `id` costs at least at the tensors of `widths`, with the prices of its instructions and bytes.
    pub(super) fn of_node(&self, id: NodeId, widths: &mut Widths) -> f64 {
        let count = |widths: &Widths| {
            self.of_instruction * self.problem.model().fewest_instructions_of(id, widths).unwrap_or(0) as f64
        };
        let Some(row) = self.problem.row_of_weights(id) else { return count(widths) };
        let mut least = f64::INFINITY;
        for (bits, packed, cost) in &self.weights[row] {
            widths.weights[id.0] = Some(*bits);
            least = least.min(cost + self.of_byte * packed + count(widths));
        }
        least
    }

    /// What the limits are worth.
    pub(super) fn worth(&self) -> f64 {
        self.of_instruction * self.instructions + self.packed.map_or(0.0, |packed| self.of_byte * packed)
    }

    /// Of the prices tried those of which `bound` says the most.
    pub(super) fn chosen(self, mut bound: impl FnMut(&Self) -> f64) -> Self {
        let worst = |options: &Vec<(BitWidth, f64, f64)>| options.iter().map(|option| option.2).fold(0.0, f64::max);
        let total: f64 = self.weights.iter().map(worst).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut best = self;
        for _ in 0..ROUNDS {
            let scale = total / best.instructions.max(1.0);
            let of_instruction = best_price(scale, |price| bound(&Self { of_instruction: price, ..best.clone() }));
            best = Self { of_instruction, ..best };
            if let Some(packed) = best.packed {
                let scale = total / packed.max(1.0);
                let of_byte = best_price(scale, |price| bound(&Self { of_byte: price, ..best.clone() }));
                best = Self { of_byte, ..best };
            }
        }
        best
    }
}

/// The price, near `scale` or 0, at which `bound`, which rises and then falls with it, is the highest: a search by the golden
/// section, on its logarithm.
fn best_price(scale: f64, mut bound: impl FnMut(f64) -> f64) -> f64 {
    let section = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-DECADES, DECADES);
    let mut best = (bound(0.0), 0.0);
    let mut at = |x: f64| {
        let price = scale * 10f64.powf(x);
        let value = bound(price);
        if value > best.0 {
            best = (value, price);
        }
        value
    };
    let (mut left, mut right) = (high - section * (high - low), low + section * (high - low));
    let (mut of_left, mut of_right) = (at(left), at(right));
    for _ in 2..TRIALS {
        if of_left < of_right {
            (low, left, of_left) = (left, right, of_right);
            right = low + section * (high - low);
            of_right = at(right);
        } else {
            (high, right, of_right) = (right, left, of_left);
            left = high - section * (high - low);
            of_left = at(left);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::best_price;

    #[test]
    fn the_best_price_is_found() {
        let at_most = |peak: f64| move |price: f64| -(price - peak).abs();
        for peak in [0.02, 1.0, 7.5, 300.0] {
            let found = best_price(1.0, at_most(peak));
            assert!((found / peak - 1.0).abs() < 0.01, "{found} is not {peak}");
        }
        assert_eq!(best_price(1.0, |price| -price), 0.0);
    }
}
