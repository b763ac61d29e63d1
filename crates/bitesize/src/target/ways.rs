//! The ways in which a network may be computed on a core: by which kernels, in which schedule.

use super::platform::Kernels;
use bitesize_ir::memory::{InputRows, MemoryModel, Scheduling, Widths};
use bitesize_ir::size::format_size;
use bitesize_ir::target::{Budget, CoreCosts, Target};
use bitesize_ir::{Network, Policy};
use bitesize_search::problem::Problem;
use bitesize_verify::boards;
use std::collections::HashMap;
use std::fmt;

/// `core` with each choice of kernels that it leaves, the fast ones first.
fn kernels(core: &CoreCosts) -> impl Iterator<Item = CoreCosts> {
    let small = core.has_rows().then(|| core.with_rows(false));
    std::iter::once(core.clone()).chain(small)
}

/// `core` with each schedule that there is where chains take too much FLASH, the one that asks for the least RAM first.
pub(crate) fn schedules(core: &CoreCosts) -> Vec<CoreCosts> {
    let ways = match core.scheduling {
        Scheduling::Auto => &[Scheduling::Auto, Scheduling::InPlace][..],
        Scheduling::InPlace => &[Scheduling::InPlace],
        Scheduling::Layers => &[Scheduling::Layers],
    };
    ways.iter().map(|way| core.with_schedule(*way, core.input)).collect()
}

/// `problem` on each of `cores`; in place is left out where it is the same as with chains, since there are none.
pub(crate) fn problems<'p>(
    problem: &Problem<'p>,
    cores: Vec<CoreCosts>,
    budget: Budget,
) -> Vec<(CoreCosts, Problem<'p>)> {
    let mut found: Vec<(CoreCosts, Problem)> = Vec::new();
    for core in cores {
        let is_same = |(other, on): &(CoreCosts, Problem)| {
            other.has_rows() == core.has_rows() && other.scheduling == Scheduling::Auto && !on.model().has_chains()
        };
        if core.scheduling != Scheduling::InPlace || !found.iter().any(is_same) {
            let on = problem.on(&core, budget);
            found.push((core, on));
        }
    }
    found
}

/// Of the ways those that were asked for; what was left open (`None`) is a choice, whatever was settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The kernels.
    pub kernels: Option<Kernels>,
    /// What may be done with rows.
    pub schedule: Option<Scheduling>,
}

impl fmt::Display for Asked {
    /// As ` (small kernels, schedule in-place)`; nothing where nothing was asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernels = self.kernels.map(|kernels| format!("{} kernels", kernels.name()));
        let schedule = self.schedule.map(|schedule| format!("schedule {schedule}"));
        let told: Vec<String> = kernels.into_iter().chain(schedule).collect();
        if told.is_empty() { Ok(()) } else { write!(f, " ({})", told.join(", ")) }
    }
}

/// A core for each choice of kernels and schedule on `core` that `asked` leaves. On a core without fast kernels there are the small
/// ones, whatever was asked for. Where `core` has `layers`, that was asked for: no other choice is compared with it.
pub(super) fn all_on(core: &CoreCosts, asked: Asked) -> Vec<CoreCosts> {
    let schedule = match (asked.schedule, core.scheduling) {
        (Some(schedule), _) => schedule,
        (None, Scheduling::Layers) => Scheduling::Layers,
        (None, Scheduling::Auto | Scheduling::InPlace) => Scheduling::Auto,
    };
    let has_rows = core.has_rows();
    let is_asked = |of: &CoreCosts| match asked.kernels {
        Some(kernels) if has_rows => (kernels == Kernels::Fast) == of.has_rows(),
        Some(_) | None => true,
    };
    let core = core.with_schedule(schedule, core.input);
    kernels(&core).filter(is_asked).flat_map(|core| schedules(&core)).collect()
}

/// A problem on boards, with each choice that there is; what does not depend on the board is worked out once for each core.
pub(super) struct OnBoards<'a, 'p> {
    problem: &'a Problem<'p>,
    asked: Asked,
    of_core: HashMap<String, Vec<Problem<'p>>>,
}

impl<'a, 'p> OnBoards<'a, 'p> {
    pub(super) fn of(problem: &'a Problem<'p>, asked: Asked) -> Self {
        Self { problem, asked, of_core: HashMap::new() }
    }

    /// On `target`: none where the core is not known, or where instructions are limited and none were measured on it.
    pub(super) fn on(&mut self, target: &Target) -> Vec<Problem<'p>> {
        let (problem, asked) = (self.problem, self.asked);
        let of_core = self.of_core.entry(target.core.clone()).or_insert_with(|| {
            let Some(core) = boards::core(&target.core) else { return Vec::new() };
            let last = problem.model().schedule_of(problem.model().timelines() - 1);
            let core = core.with_schedule(last.scheduling(), last.input);
            let on = problems(problem, all_on(&core, asked), target.budget()).into_iter().map(|(_, on)| on);
            on.filter(|on| problem.limits().instructions.is_none() || on.counts_instructions()).collect()
        });
        of_core.iter().map(|on| on.with_budget(target.budget())).collect()
    }
}

/// Bytes of RAM at the same widths in other ways, all else being as on the core that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamByWay {
    /// Layer by layer, no tensors overlapping that are alive at the same layer.
    pub layers: u64,
    /// With the image whole in the arena.
    pub image: u64,
    /// With rows pushed.
    pub rows: u64,
}

/// What [`RamByWay`] is counted by.
pub struct RamWays<'n> {
    layers: MemoryModel<'n>,
    image: MemoryModel<'n>,
    rows: MemoryModel<'n>,
}

impl<'n> RamWays<'n> {
    /// Of `network` (rewritten) on `core`.
    pub fn of(network: &'n Network, core: &CoreCosts) -> Self {
        let model = |scheduling, input| MemoryModel::of(network, &core.with_schedule(scheduling, input));
        Self {
            layers: model(Scheduling::Layers, core.input),
            image: model(core.scheduling, InputRows::Image),
            rows: model(core.scheduling, InputRows::Pushed),
        }
    }

    /// At `widths`.
    pub fn ram(&self, widths: &Widths) -> RamByWay {
        let Self { layers, image, rows } = self;
        let [layers, image, rows] = [layers, image, rows].map(|model| model.ram_bytes(widths));
        RamByWay { layers, image, rows }
    }
}

/// A line on rolling chains that are left out, in which at most `bytes` would be alive at uniform 8 bits.
pub fn left_out(bytes: usize) -> String {
    format!(
        "rolling chains with a peak of {} at 8 bits are left out: they take more than 3 % more instructions than layers computed at once",
        format_size(bytes as u64)
    )
}

/// What a plan makes use of, as people read it: `schedule` is the name of a [`Scheduling`], or something else, which stays.
pub fn taken(schedule: &str) -> &str {
    match schedule.parse() {
        Ok(Scheduling::Auto) => "rolling chains",
        Ok(Scheduling::InPlace) => "in place",
        Ok(Scheduling::Layers) => "layer by layer",
        Err(_) => schedule,
    }
}

/// What lies where at the widths of `policy`, step by step, as text.
pub fn timeline(problem: &Problem, policy: &Policy) -> String {
    let widths = problem.widths(policy);
    problem.model().picture(&problem.model().ram(&widths).plan, &widths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Model;
    use crate::observe::Monitor;
    use bitesize_ir::BitWidth;
    use std::path::Path;

    /// Kernels by row or not, and schedule, of each way in which `name` can be computed on `core`.
    fn ways_of(name: &str, core: &CoreCosts, asked: Asked) -> Vec<(bool, Scheduling)> {
        let model = Model::load(Path::new(name), &Monitor::unobserved()).unwrap();
        let problem = Problem::new(&model.network, &model.space, core, Budget::UNLIMITED);
        let on = problems(&problem, all_on(core, asked), Budget::UNLIMITED);
        for (core, problem) in &on {
            assert_eq!(problem.model().has_chains(), core.scheduling == Scheduling::Auto && core.rolling.is_some());
        }
        on.into_iter().map(|(core, _)| (core.has_rows(), core.scheduling)).collect()
    }

    #[test]
    fn each_choice_once() {
        use Scheduling::{Auto, InPlace, Layers};
        let name = "zoo:mobilenet-v1?width=0.25&resolution=96";
        let core = boards::core("cortex-m4").unwrap();
        let all = [(true, Auto), (true, InPlace), (false, Auto), (false, InPlace)];
        let open = Asked::default();
        assert_eq!(ways_of(name, &core, open), all);
        // Whether it was settled or not.
        assert_eq!(ways_of(name, &core.with_schedule(InPlace, InputRows::Image), open), all);
        let layers = core.with_schedule(Layers, InputRows::Image);
        assert_eq!(ways_of(name, &layers, open), [(true, Layers), (false, Layers)]);
        let m0plus = boards::core("cortex-m0plus").unwrap();
        assert_eq!(ways_of(name, &m0plus, open), [(false, Auto), (false, InPlace)]);
        // What was asked for is no choice.
        let in_place = Asked { schedule: Some(InPlace), ..open };
        assert_eq!(ways_of(name, &core, in_place), [(true, InPlace), (false, InPlace)]);
        let small = Asked { kernels: Some(Kernels::Small), ..open };
        assert_eq!(ways_of(name, &core, small), [(false, Auto), (false, InPlace)]);
        let both = Asked { kernels: Some(Kernels::Fast), ..in_place };
        assert_eq!(ways_of(name, &core, both), [(true, InPlace)]);
        assert_eq!(ways_of(name, &m0plus, both), [(false, InPlace)]);
        // Where nothing rolls, in place is the same.
        let without = CoreCosts { rolling: None, ..core };
        assert_eq!(ways_of(name, &without, open), [(true, Auto), (false, Auto)]);
    }

    fn zoo(name: &str) -> Model {
        Model::load(Path::new(name), &Monitor::unobserved()).unwrap()
    }

    /// `core` on which it takes `times` as many instructions that layers take turns.
    fn slower(core: &CoreCosts, times: f64) -> CoreCosts {
        let mut core = core.clone();
        let rolling = core.instructions.as_mut().and_then(|costs| costs.rolling.as_mut()).unwrap();
        rolling.step *= times;
        core
    }

    /// On another core a package has the orders and places that it was made with, whatever would have been chosen for that core.
    #[test]
    fn what_was_made_for_a_core_stays_on_another() {
        let model = zoo("zoo:mobilenet-v1?width=0.25&resolution=96");
        let core = boards::core("cortex-m4").unwrap();
        let other = slower(&boards::core("cortex-m7").unwrap(), 100.0);
        let problem = Problem::new(&model.network, &model.space, &core, Budget::UNLIMITED);
        let widths = problem.widths(&problem.uniform(BitWidth::B8));
        let plan = problem.model().ram(&widths).plan;
        assert_eq!(plan.scheduling, Scheduling::Auto);
        assert!(!MemoryModel::of(&model.network, &other).has_chains());
        let on = problem.model().on(&other);
        assert_eq!(on.ram(&widths).plan, plan);
        assert_eq!(on.stack_of_plan(&plan, &widths), on.ram(&widths).stack);
        // Its costs are the other's.
        let rolling = other.rolling.unwrap();
        let least = other.base_stack_bytes + rolling.stack_bytes + rolling.driver_stack_bytes;
        assert!(on.stack_of_plan(&plan, &widths) >= least);
        let without = MemoryModel::of(&model.network, &other.with_schedule(Scheduling::InPlace, InputRows::Image));
        assert!(on.flash_bytes(&widths) > without.flash_bytes(&widths) + rolling.code_bytes);
        let taken = |model: &MemoryModel| model.instructions_of_plan(&plan, &widths).unwrap().0;
        assert!(taken(&on) > taken(problem.model()));
    }

    /// Who pushes rows never needs more than with the whole image, but for the state that says how many came, and the stack of pushing.
    #[test]
    fn pushed_rows_take_no_more_than_the_image() {
        let names = [
            "zoo:mobilenet-v2?width=0.25&resolution=96&classes=10",
            "zoo:mobilenet-v2?width=0.25&resolution=32&classes=10",
            "zoo:mnasnet?width=0.35&resolution=64&classes=10",
            "zoo:mobilenet-v1?width=0.25&resolution=96&classes=2",
        ];
        for (name, core) in names.iter().flat_map(|name| ["cortex-m4", "cortex-m7"].map(|core| (zoo(name), core))) {
            let core = boards::core(core).unwrap();
            let rolling = core.rolling.unwrap();
            for (way, core) in Scheduling::ALL.iter().flat_map(|way| [(way, core.clone()), (way, slower(&core, 4.0))]) {
                let [image, rows] = InputRows::ALL.map(|input| {
                    Problem::new(&name.network, &name.space, &core.with_schedule(*way, input), Budget::UNLIMITED)
                });
                for bits in BitWidth::ALL {
                    let widths = image.widths(&image.uniform(bits));
                    let [image, rows] = [&image, &rows].map(|problem| problem.model().ram(&widths));
                    let of_pushing = rows.stack - image.stack.min(rows.stack);
                    assert!(rows.total <= image.total + 4 + of_pushing, "{way} {bits}: {} {}", rows.total, image.total);
                    assert!(of_pushing <= rolling.stack_bytes + rolling.driver_stack_bytes);
                }
            }
        }
    }

    #[test]
    fn a_timeline_has_the_state_of_pushed_rows_to_its_end() {
        let model = zoo("zoo:mobilenet-v1?width=0.25&resolution=96");
        for scheduling in Scheduling::ALL {
            let core = boards::core("cortex-m4").unwrap().with_schedule(scheduling, InputRows::Pushed);
            let problem = Problem::new(&model.network, &model.space, &core, Budget::UNLIMITED);
            let text = timeline(&problem, &problem.uniform(BitWidth::B8));
            let drawn: Vec<&str> = text.lines().skip(1).filter(|line| line.contains(" B ")).collect();
            assert!(drawn.len() > 5 && drawn.iter().all(|line| line.contains(':')), "{scheduling}: {text}");
        }
    }

    /// Where the best chains take too many instructions there are others, and where these need more RAM that is told.
    #[test]
    fn chains_keep_the_limit_of_instructions() {
        let model = zoo("zoo:mobilenet-v2?width=0.25&resolution=96&classes=10");
        let core = boards::core("cortex-m4").unwrap();
        let mut before = 0;
        for times in [0.0, 1.0, 3.0, 10.0, 1000.0] {
            let core = slower(&core, times);
            let problem = Problem::new(&model.network, &model.space, &core, Budget::UNLIMITED);
            let widths = problem.widths(&problem.uniform(BitWidth::B8));
            let layers = MemoryModel::of(&model.network, &core.with_schedule(Scheduling::Layers, InputRows::Image));
            let [taken, at_once] = [problem.model(), &layers]
                .map(|model| model.instructions_of_plan(&model.ram(&widths).plan, &widths).unwrap().0);
            assert!(taken as f64 <= 1.03 * at_once as f64, "{times}: {taken} and {at_once}");
            let bytes = problem.model().ram_bytes(&widths);
            assert!(bytes >= before, "{times}: {bytes} and {before}");
            assert!(times < 10.0 || problem.model().unlimited_peak_bytes().is_some_and(|peak| (peak as u64) < bytes));
            before = bytes;
        }
    }

    #[test]
    fn boards_have_the_schedules_of_the_problem() {
        let model =
            Model::load(Path::new("zoo:mobilenet-v1?width=0.25&resolution=96"), &Monitor::unobserved()).unwrap();
        let core = boards::core("cortex-m4").unwrap();
        let target = boards::board("rp2040").unwrap();
        for input in InputRows::ALL {
            for (scheduling, ways) in [(Scheduling::Auto, 2), (Scheduling::InPlace, 2), (Scheduling::Layers, 1)] {
                let core = core.with_schedule(scheduling, input);
                let problem = Problem::new(&model.network, &model.space, &core, Budget::UNLIMITED);
                let on = OnBoards::of(&problem, Asked::default()).on(&target);
                assert_eq!(on.len(), ways, "{scheduling}");
                assert!(on.iter().all(|on| on.model().schedule_of(0).input == input && on.budget() == target.budget()));
            }
        }
    }
}
