//! Choosing widths: policies from a network's structure, the cost of its kernels, two budgets and an evaluator.
//!
//! A [`Problem`] is a network whose weights and activations each need 2, 4 or 8 bits, and the FLASH and RAM that the
//! result has to keep. An [`Evaluator`] says how good a policy is (loss and accuracy of the integer network over held-out
//! training images). A [`Strategy`] finds a policy that keeps both budgets and is as good as it can make it:
//!
//! ```
//! use bitesize_search::{Effort, Feasibility, Memo, Outcome, Problem, Score, Scores, SearchSettings, Strategy, search};
//! use std::ops::ControlFlow;
//!
//! fn best(problem: &Problem, settings: &SearchSettings) -> Option<String> {
//!     let fitting = match Feasibility::of(problem, &Effort::unwatched()).ok()? {
//!         Feasibility::Fits(fitting) => fitting,
//!         Feasibility::DoesNotFit(diagnosis) => return Some(diagnosis.to_string()),
//!     };
//!     let mut judge = |_: &bitesize_ir::Policy| Ok(Score { accuracy: Some(0.5), loss: 0.1 });
//!     let mut scores = Scores::default();
//!     let mut rewards = Memo::new(&mut judge, &mut scores);
//!     let mut diary = String::new();
//!     let outcome = search(problem, &fitting, Strategy::Ddpg, settings, &mut rewards, &mut |record| {
//!         diary += &bitesize_search::record::diary_line(record);
//!         ControlFlow::Continue(())
//!     });
//!     match outcome.ok()? {
//!         Outcome::Found(found) => Some(found.policy.to_toml()),
//!         Outcome::Nothing(_) => None,
//!     }
//! }
//! ```
//!
//! The crate sees neither weights nor images nor files, and reads no clock. Everything is a function of the problem,
//! the settings (with the seed) and the rewards, so a search resumes by running again with the [`Scores`] of its diary, and
//! chance is the same for any number of threads.
//!
//! In reading order: what is searched ([`widths`], [`compact`], [`constraints`], [`problem`]); how good policies are
//! ([`score`], [`evaluate`], [`record`], [`memo`]); the way to a policy that fits (`draft`, `births`, `instructions`, [`rules`],
//! [`enforce`], `bounds`, [`effort`], `groups`, `descent`, `approach`, `least`),
//! [`diagnosis`], and [`feasibility`], which puts them together; [`mod@baselines`], which every search is compared with;
//! losses that are taken to add up ([`costs`], `sensitivity`, [`additive`], [`surrogate`]); and the search itself
//! ([`strategy`], [`settings`], [`outcome`], `session`, `strategies` with one file each, [`mod@search`]).
#![forbid(unsafe_code)]

pub mod additive;
mod approach;
pub mod baselines;
mod births;
mod bounds;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
pub mod compact;
pub mod constraints;
pub mod costs;
mod cuttable;
mod descent;
pub mod diagnosis;
mod draft;
pub mod effort;
pub mod enforce;
pub mod evaluate;
pub mod feasibility;
mod groups;
mod instructions;
mod least;
pub mod memo;
pub mod outcome;
pub mod problem;
pub mod record;
pub mod rules;
pub mod score;
pub mod search;
mod sensitivity;
mod session;
pub mod settings;
mod strategies;
pub mod strategy;
pub mod surrogate;
pub mod widths;

pub use baselines::{Baseline, baselines};
pub use compact::{from_compact, to_compact};
pub use constraints::{ConstraintError, Constraints, Pin};
pub use diagnosis::{Diagnosis, Peak, Verdict};
pub use effort::{Effort, Stopped};
pub use evaluate::{EvaluationError, Evaluator};
pub use feasibility::{Existence, Feasibility, Fitting, fitting_policy_of_little_flash, some_policy_fits};
pub use instructions::LeastInstructions;
pub use least::{Least, least_flash, least_ram, with_weights_of_least_flash};
pub use memo::{Memo, Scores};
pub use outcome::{Found, Outcome, StopReason, finalists};
pub use problem::{Footprint, Limits, Problem};
pub use record::{Record, Replay, parse_diary};
pub use score::{RewardKind, Score};
pub use search::search;
pub use session::OnRecord;
pub use settings::{DdpgSettings, SearchSettings};
pub use strategy::Strategy;
pub use widths::{Side, WidthSet};
