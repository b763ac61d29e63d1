//! "Does not fit" as an answer: why nothing does, or the policy given does not, and what would do.

use crate::observe::{Interrupted, Monitor};
use crate::target::{boards_that_would_do, ways};
use bitesize_ir::Policy;
use bitesize_ir::memory::InputRows;
use bitesize_ir::size::{format_millions, format_size};
use bitesize_ir::target::CoreCosts;
use bitesize_search::problem::{Footprint, Problem};
use bitesize_search::{Diagnosis, Feasibility, Fitting, least_ram};
use std::fmt;

/// Why there is nothing to deliver.
pub struct Misfit {
    /// What the network needs at least, and what pins it there.
    pub diagnosis: Box<Diagnosis>,
    /// The policy that was given, with its bytes; `None` where any could have been chosen.
    pub given: Option<(Policy, Footprint)>,
    /// The least RAM found with pushed rows, where the whole image is alive at the peak and it is less.
    pub rows_least_ram: Option<u64>,
    /// Where rows are pushed: what the given policy, or one that was found, takes with the whole image, where that fits.
    pub image_fits: Option<Footprint>,
    /// The boards on which some policy fits.
    pub boards: Vec<String>,
}

impl Misfit {
    /// Why no policy fits on `core`, which is the problem's.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn of_all(
        problem: &Problem,
        core: &CoreCosts,
        diagnosis: Box<Diagnosis>,
        monitor: &Monitor,
    ) -> Result<Self, Interrupted> {
        let rows_least_ram = rows_least_ram(problem, core, &diagnosis, monitor)?;
        let image_fits = image_fits(problem, core, None, monitor)?;
        Ok(Self { diagnosis, given: None, rows_least_ram, image_fits, boards: boards_that_would_do(problem, monitor)? })
    }

    /// Why `policy` does not fit on `core`, which is the problem's; `None` where it does.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn of_given(
        problem: &Problem,
        core: &CoreCosts,
        policy: &Policy,
        monitor: &Monitor,
    ) -> Result<Option<Self>, Interrupted> {
        Ok(match monitor.ask(|effort| Feasibility::of_policy(problem, policy, effort))? {
            Feasibility::Fits(_) => None,
            Feasibility::DoesNotFit(diagnosis) => {
                let given = Some((policy.clone(), problem.footprint(policy)));
                let image_fits = image_fits(problem, core, Some(policy), monitor)?;
                let rows_least_ram = rows_least_ram(problem, core, &diagnosis, monitor)?;
                let boards = boards_that_would_do(problem, monitor)?;
                Some(Self { diagnosis, given, rows_least_ram, image_fits, boards })
            }
        })
    }
}

/// The least RAM found on `core` with pushed rows, where the whole image is among what is alive at the peak of the least RAM and it is
/// less than that.
fn rows_least_ram(
    problem: &Problem,
    core: &CoreCosts,
    diagnosis: &Diagnosis,
    monitor: &Monitor,
) -> Result<Option<u64>, Interrupted> {
    let network = problem.network();
    let input = &network.tensor(network.input).name;
    let pins = core.input == InputRows::Image && diagnosis.peak.tensors.iter().any(|tensor| tensor.name == *input);
    if !pins {
        return Ok(None);
    }
    let pushed = problem.on(&core.with_schedule(core.scheduling, InputRows::Pushed), problem.budget());
    let least = monitor.ask(|effort| least_ram(&pushed, effort))?;
    Ok(Some(least.bytes).filter(|bytes| *bytes < diagnosis.least_ram.bytes))
}

/// Where rows are pushed on `core`: what `policy` takes with the input as a whole image, in a schedule in which it fits; where there is
/// no such policy, what one takes that is found to fit.
fn image_fits(
    problem: &Problem,
    core: &CoreCosts,
    policy: Option<&Policy>,
    monitor: &Monitor,
) -> Result<Option<Footprint>, Interrupted> {
    if core.input == InputRows::Image {
        return Ok(None);
    }
    let image = core.with_schedule(core.scheduling, InputRows::Image);
    for (_, on) in ways::problems(problem, ways::schedules(&image), problem.budget()) {
        let fitting = match policy {
            Some(policy) => Some(policy.clone()).filter(|policy| on.fits(policy)),
            None => monitor.ask(|effort| Fitting::of(&on, effort))?.map(|fitting| fitting.policy().clone()),
        };
        if let Some(policy) = fitting {
            return Ok(Some(on.footprint(&policy)));
        }
    }
    Ok(None)
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.given.is_some() { "the given policy does not fit" } else { "no policy was found that fits" };
        writeln!(f, "does not fit: {what} the budget.\n{}", self.diagnosis)?;
        if let Some((_, footprint)) = &self.given {
            let [flash, ram] = [footprint.flash_bytes, footprint.ram_bytes].map(format_size);
            write!(f, "the given policy takes FLASH {flash}, RAM {ram}")?;
            match footprint.instructions {
                0 => writeln!(f)?,
                count => writeln!(f, ", {} instructions", format_millions(count))?,
            }
        }
        if let Some(bytes) = self.rows_least_ram {
            writeln!(f, "with the input pushed in rows (--input rows) the least RAM is {}", format_size(bytes))?;
        }
        if let Some(Footprint { flash_bytes, ram_bytes, .. }) = self.image_fits {
            let what = if self.given.is_some() { "it" } else { "a policy" };
            let [flash, ram] = [flash_bytes, ram_bytes].map(format_size);
            writeln!(f, "with the input as a whole image (--input image) {what} fits: FLASH {flash}, RAM {ram}")?;
        }
        let boards = if self.boards.is_empty() { "none of those known".to_owned() } else { self.boards.join(", ") };
        write!(f, "boards that would do: {boards}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Model;
    use bitesize_ir::target::Budget;
    use bitesize_search::Effort;
    use bitesize_verify::boards;
    use std::path::Path;

    /// The image takes 147 KiB: where it is to be there as a whole no widths are narrow enough, and pushing rows is what helps.
    #[test]
    fn pushed_rows_are_told_of_where_the_image_is_too_large() {
        let monitor = Monitor::unobserved();
        let model = Model::load(Path::new("zoo:mobilenet-v1?width=0.25&resolution=224&classes=10"), &monitor).unwrap();
        let core = boards::core("cortex-m4").unwrap();
        let misfit_of = |core: &CoreCosts, ram_bytes: u64| {
            let problem = Problem::new(&model.network, &model.space, core, Budget::of(8 << 20, ram_bytes));
            let diagnosis = Diagnosis::of(&problem, &Effort::unwatched()).unwrap();
            Misfit::of_all(&problem, core, Box::new(diagnosis), &monitor).unwrap()
        };
        let image = misfit_of(&core, 96 << 10);
        let bytes = image.rows_least_ram.expect("the image is at the peak");
        assert!(bytes < 96 << 10 && image.diagnosis.least_ram.bytes > 147 << 10);
        let line = format!("with the input pushed in rows (--input rows) the least RAM is {}", format_size(bytes));
        assert!(image.to_string().contains(&line), "{image}");
        let rows = misfit_of(&core.with_schedule(core.scheduling, InputRows::Pushed), 1000);
        assert_eq!((rows.rows_least_ram, rows.diagnosis.least_ram.bytes), (None, bytes));
        assert!(!rows.to_string().contains("--input rows"));
    }
}
