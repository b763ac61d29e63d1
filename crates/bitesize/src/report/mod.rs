//! What a run tells at its end: `report.json` for programs, `report.md` for people; the same facts.
//!
//! In reading order: [`schema`], `schema_1` (its predecessor), [`assemble`], `proof` (what verification came to),
//! `markdown`, `rows` (schedule and memory timeline in it), `reconstruction`, `training`, [`by_output`] (figures of several
//! values), [`files`] (in the run folder), [`pareto`] (a sweep's table and chart), [`chart`].

pub mod assemble;
pub mod by_output;
pub mod chart;
pub mod files;
mod markdown;
pub mod pareto;
mod proof;
mod reconstruction;
mod rows;
pub mod schema;
mod schema_1;
mod training;

pub use schema::Report;
