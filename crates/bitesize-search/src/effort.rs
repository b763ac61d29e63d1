//! How much a question about what fits may cost, and who stops it.

use bitesize_ir::BitWidth;
use bitesize_ir::memory::Account;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

/// Steps that one search may take: each buffer that the planner holds against another is one, a policy tried is
/// [`POLICY_STEPS`], and each node whose kernels it changes is [`NODE_STEPS`]. A step takes 3 to 20 ns, so that a
/// search ends within a second on any network. The searches of MobileNets and ResNets take less than a fifth of it;
/// where arenas are above the bound, as in DenseNet's blocks, a policy may cost 100,000 and more.
const STEPS: u64 = 60_000_000;

/// Steps of all searches of one [`Effort`] together.
const STEPS_TOGETHER: u64 = 3 * STEPS;

/// Steps of trying a policy.
const POLICY_STEPS: u64 = 32;

/// Steps of each node whose kernels it changes.
const NODE_STEPS: u64 = 8;

/// Whoever asked wanted no answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// What the searches for widths may cost that a question asks for, each and all together, and whom they ask whether to go on.
pub struct Effort<'a> {
    steps: u64,
    /// Left of the steps of all searches together.
    together: Cell<u64>,
    go_on: &'a dyn Fn() -> ControlFlow<()>,
}

impl<'a> Effort<'a> {
    /// The usual limits, and `go_on` is asked at every policy tried whether an answer is still wanted.
    pub fn watched(go_on: &'a dyn Fn() -> ControlFlow<()>) -> Self {
        Self { steps: STEPS, together: Cell::new(STEPS_TOGETHER), go_on }
    }

    /// The usual limits, and nobody stops it.
    pub fn unwatched() -> Effort<'static> {
        Effort { steps: STEPS, together: Cell::new(STEPS_TOGETHER), go_on: &|| ControlFlow::Continue(()) }
    }

    /// With other limits: `steps` for each search, three times as many for all together.
    #[must_use]
    pub fn with_steps(self, steps: u64) -> Self {
        Self { steps, together: Cell::new(3 * steps), ..self }
    }

    /// Begins a search.
    pub(crate) fn begin(&self) -> Spending<'_> {
        Spending {
            go_on: self.go_on,
            left: Cell::new(self.steps.min(self.together.get())),
            together: &self.together,
            tried: Cell::new(0),
            is_limited: Cell::new(false),
            rams: RefCell::default(),
        }
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
    together: &'a Cell<u64>,
    tried: Cell<u64>,
    /// Whether some part of it met a limit before all steps were spent.
    is_limited: Cell<bool>,
    /// By what chains take of the stack and the widths of all tensors, what RAM was planned to be so far beside the
    /// deepest kernel: descents from several starts meet the same ones. A plan takes at least a step for each tensor,
    /// so they are at most as many bytes as there are steps.
    rams: RefCell<HashMap<(u64, Vec<BitWidth>), u64>>,
}

impl Spending<'_> {
    /// Whether another policy may be tried; counts it, which changes the kernels of `nodes` nodes.
    pub(crate) fn try_policy(&self, nodes: usize) -> Result<bool, Stopped> {
        if (self.go_on)().is_break() {
            return Err(Stopped);
        }
        if self.left.get() == 0 {
            return Ok(false);
        }
        self.tried.set(self.tried.get() + 1);
        self.spend(POLICY_STEPS + NODE_STEPS * nodes as u64);
        Ok(true)
    }

    /// RAM at the widths of `account`, where entry point and kernels have `deepest` bytes of stack.
    pub(crate) fn ram_bytes(&self, account: &Account, deepest: u64) -> u64 {
        // Which order takes the least depends on what chains take more, and not on how much all take.
        let key = (account.rolling_stack_bytes(deepest), account.widths().tensors.clone());
        if let Some(beside) = self.rams.borrow().get(&key) {
            return *beside + deepest;
        }
        let (bytes, plan) = account.plan(deepest);
        self.spend(plan.visits as u64);
        if plan.cut_short {
            self.meet_limit();
        }
        self.rams.borrow_mut().insert(key, bytes - deepest);
        bytes
    }

    /// Steps left.
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Counts `steps`.
    pub(crate) fn spend(&self, steps: u64) {
        for left in [&self.left, self.together] {
            left.set(left.get().saturating_sub(steps));
        }
    }

    /// A part of the search met a limit of its own.
    pub(crate) fn meet_limit(&self) {
        self.is_limited.set(true);
    }

    /// After how many policies a limit ended the search or a part of it; `None` where none did.
    pub(crate) fn ended_after(&self) -> Option<u64> {
        (self.left.get() == 0 || self.is_limited.get()).then(|| self.tried.get())
    }
}
