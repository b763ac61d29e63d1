//! `cargo xtask search-study`: single searches, to try things out.

use super::job::{Bench, Delivered, Done, Finals, Job, Reading};
use super::subject::{Failure, Subject, problem_of};
use super::{Prepared, shared_folder};
use bitesize::deliver::finalists::FinalJudge;
use bitesize::input::Shares;
use bitesize_search::Footprint;
use std::path::Path;

/// Runs the searches that the environment names on each of the networks `arguments`:
///
/// - `CASES` (`w70,w50,w35,w30`), as [`problem_of`] reads them;
/// - `STRATEGIES` (`auto,exact,greedy,rules`), `EVALUATIONS` (200; where it is a list, one search is read at each of them),
///   `SEEDS` (0), `IMAGES` (512, for calibration), `EVAL_IMAGES` (512), `REWARD` (`loss`),
///   `EQUALIZE` (1; 0 leaves channels as they are).
///
/// A line for each search and number of evaluations: rewards, accuracy on the whole test set, shares of the bytes of
/// uniform 8 bits, seconds.
///
/// # Errors
/// As [`super::run`].
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.is_empty() {
        return Err("name one or more networks of CIFAR-10 in the models folder".into());
    }
    let shared = shared_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    arguments.iter().try_for_each(|network| study(&shared, network)).map_err(|error| error.to_string())
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn study(shared: &Path, network: &str) -> Result<(), Failure> {
    let count = |name| setting(name, "512").parse();
    let shares = Shares { calibration: count("IMAGES")?, reward: count("EVAL_IMAGES")? };
    let subject = Subject::read(shared, network, shares)?;
    Prepared::of(&subject, setting("EQUALIZE", "1") == "1")?.with(|judge, free| {
        let finals = Finals::default();
        let reward = setting("REWARD", "loss").parse()?;
        let bench = Bench { subject: &subject, judge: FinalJudge { reward, ..judge }, finals: &finals };
        let full = free.footprint(&free.uniform(bitesize_ir::BitWidth::B8));
        let readings: Vec<usize> =
            setting("EVALUATIONS", "200").split(',').map(str::parse).collect::<Result<_, _>>()?;
        let evaluations = readings.iter().copied().max().ok_or("EVALUATIONS is empty")?;
        for case in setting("CASES", "w70,w50,w35,w30").split(',') {
            for strategy in setting("STRATEGIES", "auto,exact,greedy,rules").split(',') {
                for seed in setting("SEEDS", "0").split(',') {
                    let (network, case) = (network.to_owned(), case.to_owned());
                    let job = Job { network, case, strategy: strategy.parse()?, seed: seed.parse()?, evaluations };
                    let done = bench.run(&job, &problem_of(free, &job.case)?, &readings)?;
                    done.readings.iter().for_each(|reading| println!("{}", line(&done, reading, full)));
                }
            }
        }
        Ok(())
    })
}

/// What one search had after so many evaluations; `full` is uniform 8 bits. At its end also what the whole search took.
fn line(done: &Done, reading: &Reading, full: Footprint) -> String {
    let Job { network, case, strategy, seed, evaluations } = &done.job;
    let share = |used: u64, of: u64| 100.0 * used as f64 / of as f64;
    let Delivered { reward, accuracy, flash_bytes, ram_bytes, .. } = reading.delivered;
    let took = match reading.evaluations == *evaluations {
        true => format!(
            "; {} evaluations, {} probes, {:.1} s (evaluations {:.1})",
            done.different, done.probes, done.seconds, done.evaluation_seconds
        ),
        false => String::new(),
    };
    format!(
        "{network} {case} {strategy:<9} seed {seed} at {}: reward {:.5}, delivered {reward:.5}; test {:.2}; FLASH {:.1} % RAM \
         {:.1} %{took}",
        reading.evaluations,
        reading.reward,
        100.0 * accuracy,
        share(flash_bytes, full.flash_bytes),
        share(ram_bytes, full.ram_bytes),
    )
}
