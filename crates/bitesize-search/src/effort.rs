//! How much a question about what fits may cost, and who stops it.

use bitesize_ir::BitWidth;
use bitesize_ir::memory::Account;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

/// Steps that one search may take: a policy tried is one, each eight nodes whose kernels it changes are one, and each buffer
/// that the planner holds against another is one. A step takes 10 to 500 ns, so that a search ends within a few seconds on any network. The searches of MobileNets and
/// ResNets take less than a hundredth of it; where arenas are above the bound, as in DenseNet's blocks, a policy may cost
/// 100,000 and more.
const STEPS: u64 = 60_000_000;

/// Whoever asked wanted no answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// What each search for widths may cost that a question asks for, and whom it asks whether to go on.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    steps: u64,
    go_on: &'a dyn Fn() -> ControlFlow<()>,
}

impl<'a> Effort<'a> {
    /// The usual limit, and `go_on` is asked at every policy tried whether an answer is still wanted.
    pub fn watched(go_on: &'a dyn Fn() -> ControlFlow<()>) -> Self {
        Self { steps: STEPS, go_on }
    }

    /// The usual limit, and nobody stops it.
    pub fn unwatched() -> Effort<'static> {
        Effort { steps: STEPS, go_on: &|| ControlFlow::Continue(()) }
    }

    /// With another limit: `steps` policies tried and buffers held against each other.
    #[must_use]
    pub fn with_steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// Begins a search.
    pub(crate) fn begin(&self) -> Spending<'a> {
        let (left, tried) = (Cell::new(self.steps), Cell::new(0));
        Spending { go_on: self.go_on, left, tried, arenas: RefCell::default() }
    }
}

impl fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effort").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// What one search has spent.
pub(crate) struct Spending<'a> {
    go_on: &'a dyn Fn() -> ControlFlow<()>,
    left: Cell<u64>,
    tried: Cell<u64>,
    /// By the widths of all tensors, the arenas planned so far: descents from several starts meet the same ones. A plan takes
    /// at least a step for each tensor, so they are at most as many bytes as there are steps.
    arenas: RefCell<HashMap<Vec<BitWidth>, usize>>,
}

impl Spending<'_> {
    /// Whether another policy may be tried; counts it as `steps`.
    pub(crate) fn try_policy(&self, steps: usize) -> Result<bool, Stopped> {
        if (self.go_on)().is_break() {
            return Err(Stopped);
        }
        if self.left.get() == 0 {
            return Ok(false);
        }
        self.tried.set(self.tried.get() + 1);
        self.spend(steps);
        Ok(true)
    }

    /// Bytes of the arena at the widths of `account`.
    pub(crate) fn arena_bytes(&self, account: &Account) -> usize {
        let widths = &account.widths().tensors;
        if let Some(bytes) = self.arenas.borrow().get(widths) {
            return *bytes;
        }
        let (bytes, visits) = account.arena_bytes();
        self.spend(visits);
        self.arenas.borrow_mut().insert(widths.clone(), bytes);
        bytes
    }

    fn spend(&self, steps: usize) {
        self.left.set(self.left.get().saturating_sub(steps as u64));
    }

    /// After how many policies the limit ended the search; `None` where it did not.
    pub(crate) fn ended_after(&self) -> Option<u64> {
        (self.left.get() == 0).then(|| self.tried.get())
    }
}
