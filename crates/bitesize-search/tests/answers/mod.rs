//! Answers to questions that nobody stops.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use bitesize_search::{Diagnosis, Effort, Feasibility, Fitting, Problem};

pub fn diagnosis_of(problem: &Problem) -> Diagnosis {
    Diagnosis::of(problem, &Effort::unwatched()).expect("nobody stops it")
}

pub fn feasibility_of(problem: &Problem) -> Feasibility {
    Feasibility::of(problem, &Effort::unwatched()).expect("nobody stops it")
}

pub fn fitting_of(problem: &Problem) -> Option<Fitting> {
    Fitting::of(problem, &Effort::unwatched()).expect("nobody stops it")
}
