//! Seconds that the agent alone takes on MobileNetV1 (28 layers with weights), evaluations costing nothing.
//!
//!     cargo run --release -p bitesize-search --example agent_time [EPISODES]

#[path = "../tests/common/mod.rs"]
mod common;

use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::{
    DdpgSettings, Effort, Fitting, Memo, Outcome, Problem, RewardKind, Score, Scores, SearchSettings, Strategy, search,
};
use std::ops::ControlFlow;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let episodes = std::env::args().nth(1).map_or(Ok(100), |text| text.parse())?;
    let (network, core) = (common::mobilenet_v1(4, 96, 10), common::costs());
    let space = common::space(&network);
    let budget = Budget::of(500_000, 60_000);
    let problem = Problem::new(&network, &space, &core, budget);
    let narrow = |bits: Option<BitWidth>| bits.map_or(0.0, |bits| 1.0 / f64::from(bits.bits()));
    let mut judge = |policy: &Policy| {
        let loss: f64 = policy.rows.iter().map(|row| narrow(row.weights) + narrow(row.activations)).sum();
        Ok(Score { accuracy: Some((0.9 - 0.02 * loss).max(0.0)), loss })
    };
    let mut scores = Scores::default();
    let mut rewards = Memo::new(&mut judge, &mut scores);
    let settings = SearchSettings {
        episodes,
        patience: None,
        seed: 1,
        reward: RewardKind::Accuracy,
        reference_reward: 0.85,
        loss_of_knowing_nothing: f64::INFINITY,
        ddpg: DdpgSettings::default(),
    };
    let start = Instant::now();
    let fitting = Fitting::of(&problem, &Effort::unwatched())?.ok_or("nothing fits")?;
    let outcome =
        search(&problem, &fitting, Strategy::Ddpg, &settings, &mut rewards, &mut |_| ControlFlow::Continue(()))?;
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Outcome::Found(found) => println!(
            "{} episodes, {} policies, {} free widths: {seconds:.1} s; best reward {:.4} in episode {}",
            found.episodes,
            found.evaluations,
            space.choices(),
            found.reward,
            found.episode
        ),
        other => println!("{other:?}"),
    }
    Ok(())
}
