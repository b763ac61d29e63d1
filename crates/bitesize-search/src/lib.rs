//! Choosing widths: policies from a network's structure, the cost of its kernels, two budgets and an evaluator.
//!
//! A [`Problem`] is a network whose weights and activations each need 2, 4 or 8 bits, and the FLASH and RAM that the
//! result has to keep. An [`Evaluator`] says how good a policy is (loss and accuracy of the integer network over held-out
//! training images). A [`Strategy`] finds a policy that keeps both budgets and is as good as it can make it:
//!
//! ```
//! use bitesize_search::{Memo, Outcome, Problem, Score, Settings, Strategy, search};
//! use std::ops::ControlFlow;
//!
//! fn best(problem: &Problem, settings: &Settings) -> Option<String> {
//!     let mut judge = |_: &bitesize_ir::Policy| Ok(Score { accuracy: 0.5, loss: 0.1 });
//!     let mut rewards = Memo::new(&mut judge);
//!     let mut diary = String::new();
//!     let outcome = search(problem, Strategy::Ddpg, settings, &mut rewards, &mut |record| {
//!         diary += &bitesize_search::record::diary_line(record);
//!         ControlFlow::Continue(())
//!     });
//!     match outcome.ok()? {
//!         Outcome::Found(found) => Some(found.policy.to_toml()),
//!         Outcome::DoesNotFit(diagnosis) => Some(diagnosis.to_string()),
//!         Outcome::Nothing(_) => None,
//!     }
//! }
//! ```
//!
//! The crate sees neither weights nor images nor files, and reads no clock. Everything is a function of the problem,
//! the settings (with the seed) and the rewards, so a search resumes by running again with the scores that its diary
//! knows, from [`Memo::resuming`] or an evaluator that remembers them, and chance is the same for any number of threads.
//!
//! In reading order: [`problem`], [`constraints`], [`evaluate`], [`record`], [`mod@search`]; the strategies:
//! `sensitivity`, [`additive`] and `exact`, `evolution` (which `auto` is too) with [`surrogate`], `greedy`, `random`,
//! [`rules`] and [`ddpg`], with [`enforce`], which brings any policy under the budgets; [`mod@baselines`], which every search
//! is compared with; and [`feasibility`], which says what no policy can go below.
#![forbid(unsafe_code)]

pub mod additive;
pub mod baselines;
pub mod constraints;
pub mod ddpg;
pub mod enforce;
pub mod evaluate;
mod evolution;
mod exact;
pub mod feasibility;
mod greedy;
pub mod problem;
mod random;
pub mod record;
pub mod rules;
pub mod search;
mod sensitivity;
pub mod surrogate;

pub use baselines::{Baseline, baselines};
pub use constraints::{ConstraintError, Constraints, Pin, WidthSet};
pub use ddpg::DdpgSettings;
pub use evaluate::{EvaluationError, Evaluator, Memo, RewardKind, Score};
pub use feasibility::{Diagnosis, Least, Peak, Verdict};
pub use problem::{Limits, Memory, Problem};
pub use record::{Record, Replay, parse_diary};
pub use search::{Found, Outcome, Settings, StopReason, Strategy, search};
