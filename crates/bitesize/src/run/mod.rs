//! The run folder and what lies in it: `config.toml`, `calibration.json`, `policy.toml`, `weights.safetensors`,
//! `search.jsonl`, `probes.jsonl`, `pareto.jsonl`, `pareto.csv`, `pareto.svg`, `pareto/`, `report.md`, `report.json`,
//! `package/`, `example/`.

pub mod config;
pub mod folder;
pub mod weights;

pub use config::RunConfig;
pub use folder::RunFolder;

/// Everything that reproduces the run.
pub const CONFIG: &str = "config.toml";
/// Ranges and encodings of every tensor.
pub const CALIBRATION: &str = "calibration.json";
/// The widths chosen.
pub const POLICY: &str = "policy.toml";
/// Weight levels, scales, biases and activation encodings.
pub const WEIGHTS: &str = "weights.safetensors";
/// One record an episode.
pub const DIARY: &str = "search.jsonl";
/// What single widths cost, as the search measured it.
pub const PROBES: &str = "probes.jsonl";
/// What a sweep of budgets delivers, one line a budget, while it runs.
pub const PARETO_POINTS: &str = "pareto.jsonl";
/// The same as a table, at the end.
pub const PARETO_CSV: &str = "pareto.csv";
/// The same as a chart.
pub const PARETO_SVG: &str = "pareto.svg";
/// The policies of its front.
pub const PARETO: &str = "pareto";
/// All that a sweep leaves.
pub const SWEEP: [&str; 4] = [PARETO_POINTS, PARETO_CSV, PARETO_SVG, PARETO];
/// The report for people.
pub const REPORT_MD: &str = "report.md";
/// The report for programs.
pub const REPORT_JSON: &str = "report.json";
/// The C package.
pub const PACKAGE: &str = "package";
/// The known-answer test beside it.
pub const EXAMPLE: &str = "example";
