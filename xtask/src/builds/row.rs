//! A row of the table: what became of the packages, built in one way.

/// What emitted C has to be free of.
#[rustfmt::skip]
pub(super) const WARNINGS: [&str; 13] = [
    "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wundef",
    "-Wcast-qual", "-Wcast-align", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wdouble-promotion",
];

/// What became of one package built in one way.
pub(super) struct Built {
    /// Lines that the compiler printed.
    pub(super) warnings: usize,
    /// `None` where it passed or was not run; else what went wrong.
    pub(super) problem: Option<String>,
    /// Whether it ran and gave the interpreter's answers.
    pub(super) ran: bool,
    /// Bytes of stack measured, or by the compiler's count where it did not run, and the bound.
    pub(super) stack: Option<(u64, Option<u64>)>,
}

/// One row of the table.
pub(super) struct Row {
    pub(super) compiler: String,
    pub(super) target: String,
    pub(super) flags: String,
    pub(super) built: Vec<Built>,
}
