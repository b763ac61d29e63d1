//! One limit over all the numbers that an import makes: constants that are read and folded, and weights of the network.
//!
//! A few bytes of a file can ask for gigabytes: shapes are numbers, and a constant can be used by any number of nodes. So
//! everything is paid for before it is made, from an allowance that grows with what the file holds.

use crate::error::Reason;
use std::cell::Cell;

/// What any model may make, in bytes: seven times the weights of MobileNetV2.
const ALLOWANCE: usize = 256 << 20;

/// How many times the model's bytes are added: its weights are read, may be computed from others, and go into the network.
const TIMES: usize = 3;

/// Bytes that may still be made.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    all: Cell<usize>,
    spent: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Budget {
    /// That of a model of `bytes`.
    pub(crate) fn of(bytes: usize) -> Self {
        let all = bytes.saturating_mul(TIMES).saturating_add(ALLOWANCE);
        Self { all: Cell::new(all), spent: Cell::new(0), exceeded: Cell::new(false) }
    }

    /// Adds what belongs to `bytes` more of the model.
    pub(crate) fn extend(&self, bytes: usize) {
        self.all.set(self.all.get().saturating_add(bytes.saturating_mul(TIMES)));
    }

    /// Whether more was asked for than there was. Whoever reads on would refuse all that is left for the same reason.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// Pays for `count` numbers of `width` bytes.
    ///
    /// # Errors
    /// There is not as much left. Nothing is taken then.
    pub(crate) fn spend(&self, count: usize, width: usize) -> Result<(), Reason> {
        let spent = count.checked_mul(width).and_then(|bytes| bytes.checked_add(self.spent.get()));
        match spent.filter(|spent| *spent <= self.all.get()) {
            Some(spent) => {
                self.spent.set(spent);
                Ok(())
            }
            None => {
                self.exceeded.set(true);
                Err(Reason::new(format!(
                    "it takes {count} numbers more, and with them all constants and weights together more than {} MiB, \
                     which is too much for a model of this size; nothing behind it was read",
                    self.all.get() >> 20
                ))
                .hint("store weights in the file instead of computing them, and only as large as they have to be"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_for_all_together() {
        let budget = Budget::of(1 << 20);
        let all = ALLOWANCE + (3 << 20);
        assert!(budget.spend(all / 8, 8).is_ok() && !budget.is_exceeded());
        assert!(budget.spend(1, 4).is_err() && budget.is_exceeded());
        budget.extend(2);
        assert!(budget.spend(1, 4).is_ok() && budget.spend(1, 4).is_err() && budget.spend(2, 1).is_ok());
        assert!(Budget::of(usize::MAX).spend(usize::MAX, 2).is_err());
    }
}
