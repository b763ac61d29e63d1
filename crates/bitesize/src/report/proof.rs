//! What verification came to: how a run ends by it, whose answer is still owed, and both in words.

use super::schema::{InstructionsReport, Report, TargetReport, VerificationReport};
use crate::ending::Ending;
use bitesize_verify::{Runner, RunnerResult, Status};

/// A runner whose tools were missing or failed has said nothing of the package.
fn is_open(row: &VerificationReport) -> bool {
    !is_refuted(row) && row.status != Status::PASSED
}

/// Bytes differ, or a bound was passed with the compiler that it is named for.
fn is_refuted(row: &VerificationReport) -> bool {
    row.status == Status::MISMATCH || row.status == Status::OVER_BOUND
}

impl Report {
    /// How the run ended that made it.
    pub fn ending(&self) -> Ending {
        if !self.fits {
            Ending::DoesNotFit
        } else if self.rows().any(is_refuted) {
            Ending::Mismatch
        } else if self.rows().any(|row| row.status == Status::FAILED) {
            Ending::Unproven
        } else {
            Ending::Done
        }
    }

    /// Whether `runner` was to verify the package and has not answered: its tools were missing, or it failed.
    pub fn is_open(&self, runner: &str) -> bool {
        self.rows().any(|row| row.runner == runner && is_open(row))
    }

    /// Whether any runner has not answered.
    pub fn has_open_runners(&self) -> bool {
        self.rows().any(is_open)
    }

    /// Replaces what is told of runners by what they have found now.
    pub fn update_verification(&mut self, results: &[RunnerResult]) {
        let mut rows = self.verification.take().unwrap_or_default();
        for result in results {
            self.add_counts(result);
            let new = VerificationReport::from(result);
            match rows.iter_mut().find(|row| row.runner == new.runner) {
                Some(row) => *row = new,
                None => rows.push(new),
            }
        }
        self.verification = Some(rows);
    }

    /// Adds the instructions that `result` counted, where it is of the target's core.
    fn add_counts(&mut self, result: &RunnerResult) {
        if Runner::named(result.runner).and_then(|runner| runner.core()) != Some(self.target.core.as_str()) {
            return;
        }
        if let Some(instructions) = &mut self.instructions {
            *instructions = InstructionsReport::of(instructions.predicted, result.instructions, &self.target);
        }
        let layers = self.layers.iter_mut().flatten();
        for (layer, counted) in layers.zip(result.layers.iter().flatten()) {
            layer.counted_instructions = Some(*counted);
        }
    }

    /// What is to be said aloud of verification: what refutes the package, what failed, what was not run. `None` where
    /// every runner passed, and where nothing was to be verified.
    pub fn shortcoming(&self) -> Option<String> {
        let names = |of: &dyn Fn(&VerificationReport) -> bool| {
            self.rows().filter(|row| of(row)).map(|row| row.runner.as_str()).collect::<Vec<_>>().join(", ")
        };
        let details = |of: &dyn Fn(&VerificationReport) -> bool| {
            let lines = self.rows().filter(|row| of(row)).map(|row| format!("{}: {}", row.runner, row.detail));
            lines.collect::<Vec<_>>().join("\n  ")
        };
        let has = |status: &str| self.rows().any(|row| row.status == status);
        if self.rows().any(is_refuted) {
            let what = "the package does not keep what bitesize promises of it; do not use it";
            return Some(format!("{what}\n  {}", details(&is_refuted)));
        }
        if has(Status::FAILED) {
            return Some(format!(
                "verification failed on {}, which says nothing of what the package computes; mend what is named here, then \
                 run `bitesize fit --resume` or `bitesize verify`\n  {}",
                names(&|row| row.status == Status::FAILED),
                details(&|row| row.status == Status::FAILED)
            ));
        }
        if !has(Status::NOT_RUN) {
            return None;
        }
        let what = if has(Status::PASSED) {
            format!("the package is not proven on {}", names(&is_open))
        } else {
            "NOTHING IS PROVEN about the package: no runner could be started".into()
        };
        Some(format!(
            "{what}; mend what is named here, then `bitesize fit --resume` runs it\n  {}",
            details(&|row| row.status == Status::NOT_RUN)
        ))
    }

    fn rows(&self) -> impl Iterator<Item = &VerificationReport> {
        self.verification.iter().flatten()
    }
}

impl InstructionsReport {
    /// Of `predicted` instructions on `target`, and `counted` ones where they were.
    pub fn of(predicted: u64, counted: Option<u64>, target: &TargetReport) -> Self {
        let milliseconds = |mhz: u32| counted.unwrap_or(predicted) as f64 / (1e3 * f64::from(mhz));
        Self { predicted, counted, milliseconds: target.clock_mhz.map(milliseconds) }
    }
}

impl From<&RunnerResult> for VerificationReport {
    fn from(r: &RunnerResult) -> Self {
        Self {
            runner: r.runner.into(),
            status: r.status.word().into(),
            detail: std::iter::once(r.status.to_string()).chain(r.notes.iter().cloned()).collect::<Vec<_>>().join("; "),
            samples: r.samples,
            mismatches: r.mismatches,
            instructions: r.instructions,
            predicted_instructions: r.predicted_instructions,
            stack_bytes: r.stack_bytes,
            flash_bytes: r.flash_bytes,
            ram_bytes: r.ram_bytes,
            compiler: r.compiler.clone(),
        }
    }
}
