//! What lies in a run folder.

/// Everything that reproduces the run.
pub const CONFIG: &str = "config.toml";
/// What each stage was made from, and the hashes of its files.
pub const LEDGER: &str = "stages.json";
/// Ranges and encodings of every tensor.
pub const CALIBRATION: &str = "calibration.json";
/// Layers quantized under float inputs, by layer and width.
pub const PREPARED: &str = "prepared.safetensors";
/// The widths chosen.
pub const POLICY: &str = "policy.toml";
/// Weight levels, scales, biases and activation encodings.
pub const WEIGHTS: &str = "weights.safetensors";
/// How far a reconstruction is: weights as above, and what came of each unit.
pub const RECONSTRUCTION: &str = "reconstruction.safetensors";
/// How far a training is: its numbers, and what came of each epoch.
pub const TUNING: &str = "tuning.safetensors";
/// What came of each epoch, as a table.
pub const LOSSES: &str = "losses.csv";
/// The same for TensorBoard.
pub const EVENTS: &str = "events.out.tfevents.tuning";
/// One record an episode.
pub const DIARY: &str = "search.jsonl";
/// What single widths cost, as the search measured it.
pub const PROBES: &str = "probes.jsonl";
/// What an epoch of training makes of the finalists of a search.
pub const TRIALS: &str = "trials.jsonl";
/// What a sweep of budgets delivers, one line a budget, while it runs.
pub const PARETO_POINTS: &str = "pareto.jsonl";
/// The same as a table, at the end.
pub const PARETO_CSV: &str = "pareto.csv";
/// The same as a chart.
pub const PARETO_SVG: &str = "pareto.svg";
/// The policies of its front.
pub const PARETO: &str = "pareto";
/// The report for people.
pub const REPORT_MD: &str = "report.md";
/// The report for programs.
pub const REPORT_JSON: &str = "report.json";
/// The C package.
pub const PACKAGE: &str = "package";
/// The known-answer test beside it.
pub const EXAMPLE: &str = "example";
