//! HAQ's agent (Wang et al., "HAQ: Hardware-aware automated quantization", arXiv 1811.08886, and its published code)
//! for the widths 2, 4 and 8.
//!
//! Deep deterministic policy gradient: an *actor* maps the state of a step to an action in 0..=1, a *critic* the state
//! and action to the reward still to come. An episode visits every free width once, the budgets are then enforced
//! ([`crate::enforce`]), the policy is evaluated, and every transition of the episode gets that one reward.
//!
//! Where this departs from HAQ's code: transitions are explicit `(state, action, reward, next state, done)` tuples, so
//! the filler that its replay appends after each episode is not needed; no fine-tuning between episodes.

mod environment;
mod nn;

use crate::enforce::enforce_or;
use crate::outcome::StopReason;
use crate::session::{Halt, Session};
use crate::settings::DdpgSettings;
use crate::widths::set_width;
use bitesize_ir::{BitWidth, Policy};
use environment::{Environment, STATE, width_of};
use ndarray::{Array2, Axis, Slice, concatenate};
use nn::{Adam, DenseLayer, Mlp, Pass, sigmoid};
use rand::{Rng, RngExt, SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Runs the agent's episodes. `fallback` keeps both budgets.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let (problem, settings) = (session.problem, &session.settings.ddpg);
    let (episodes, reference) = (session.settings.episodes, session.settings.reference_reward);
    let environment = Environment::of(problem);
    let mut rng = ChaCha8Rng::seed_from_u64(session.settings.seed);
    let mut agent = Agent::new(settings, problem.space().rows.len(), &mut rng);
    for episode in 0..episodes {
        let exploration = Exploration::of(settings, episode, episodes);
        let (policy, transitions) = act(&environment, &agent, &problem.uniform(BitWidth::B8), exploration, &mut rng);
        // The replay keeps what the agent did, not what enforcement made of it.
        let policy = enforce_or(problem, policy, fallback);
        let reached = session.episode(&policy)?;
        let reward = (settings.reward_scale * 100.0 * (reached - reference)) as f32;
        for transition in transitions {
            agent.replay.push(Transition { reward, ..transition });
            if episode >= settings.warm_up {
                agent.update(&mut rng);
            }
        }
        if session.out_of_patience(settings.warm_up) {
            return Ok(StopReason::Patience);
        }
    }
    Ok(StopReason::Episodes)
}

/// How actions are chosen in an episode.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Exploration {
    /// Uniformly at random.
    WarmUp,
    /// Around the actor's output.
    Sigma(f64),
}

impl Exploration {
    fn of(settings: &DdpgSettings, episode: usize, episodes: usize) -> Self {
        let Some(learning) = episode.checked_sub(settings.warm_up) else { return Self::WarmUp };
        let stretch = settings.sigma_episodes as f64 / (episodes - settings.warm_up) as f64;
        Self::Sigma(settings.sigma * settings.sigma_decay.powf(learning as f64 * stretch))
    }
}

/// One step as the replay keeps it.
#[derive(Clone, Debug, PartialEq)]
struct Transition {
    state: [f32; STATE],
    /// The agent's own, in 0..=1.
    action: f32,
    reward: f32,
    next: [f32; STATE],
    done: bool,
}

/// One episode's actions: the policy that they give, and the transitions, rewards still 0.
fn act(
    environment: &Environment,
    agent: &Agent,
    start: &Policy,
    exploration: Exploration,
    rng: &mut impl Rng,
) -> (Policy, Vec<Transition>) {
    let mut policy = start.clone();
    let mut transitions: Vec<Transition> = Vec::with_capacity(environment.steps().len());
    let mut previous = BitWidth::B8;
    for (index, step) in environment.steps().iter().enumerate() {
        let state = environment.state(index, previous);
        if let Some(last) = transitions.last_mut() {
            last.next = state;
        }
        let action = match exploration {
            Exploration::WarmUp => rng.random_range(0.0..1.0),
            Exploration::Sigma(sigma) => truncated_normal(f64::from(agent.action(state)), sigma, rng) as f32,
        };
        previous = width_of(action, step.allowed);
        set_width(&mut policy, step.row, step.side, previous);
        let done = index + 1 == environment.steps().len();
        transitions.push(Transition { state, action, reward: 0.0, next: [0.0; STATE], done });
    }
    (policy, transitions)
}

/// A sample of the normal distribution round `mean` (in 0..=1), cut off at 0 and 1; of the uniform one where `mean` is
/// not a number, so that an actor that has diverged (with other rates, say) explores again.
fn truncated_normal(mean: f64, sigma: f64, rng: &mut impl Rng) -> f64 {
    if mean.is_nan() {
        return rng.random_range(0.0..1.0);
    }
    // With the mean inside, one of three samples or more is too when sigma is at most 1, so this ends soon.
    loop {
        let deviation: f64 = StandardNormal.sample(rng);
        let sample = mean + sigma * deviation;
        if (0.0..=1.0).contains(&sample) {
            return sample;
        }
    }
}

/// The latest transitions, the oldest overwritten first.
struct ReplayBuffer {
    capacity: usize,
    transitions: Vec<Transition>,
    oldest: usize,
}

impl ReplayBuffer {
    fn push(&mut self, transition: Transition) {
        if self.transitions.len() < self.capacity {
            self.transitions.push(transition);
        } else {
            self.transitions[self.oldest] = transition;
            self.oldest = (self.oldest + 1) % self.capacity;
        }
    }
}

/// A batch, a transition a row.
struct Minibatch {
    states: Array2<f32>,
    actions: Array2<f32>,
    rewards: Array2<f32>,
    next: Array2<f32>,
    /// 0 at an episode's end, else 1.
    goes_on: Array2<f32>,
}

impl Minibatch {
    fn of(transitions: &[&Transition]) -> Self {
        let rows = transitions.len();
        let matrix = |state: fn(&Transition) -> &[f32; STATE]| {
            Array2::from_shape_fn((rows, STATE), |(row, column)| state(transitions[row])[column])
        };
        let column =
            |value: fn(&Transition) -> f32| Array2::from_shape_fn((rows, 1), |(row, _)| value(transitions[row]));
        Self {
            states: matrix(|t| &t.state),
            actions: column(|t| t.action),
            rewards: column(|t| t.reward),
            next: matrix(|t| &t.next),
            goes_on: column(|t| if t.done { 0.0 } else { 1.0 }),
        }
    }
}

/// A network, the slow copy that targets are computed with, its optimiser, and room for its gradients.
struct Learner {
    network: Mlp,
    target: Mlp,
    adam: Adam,
    gradients: Mlp,
}

impl Learner {
    fn new(network: Mlp, rate: f32) -> Self {
        Self { target: network.clone(), adam: Adam::new(rate, &network), gradients: network.zeros_like(), network }
    }

    /// One step down the gradients that follow from that of the output.
    fn learn(&mut self, pass: &Pass, of_output: Array2<f32>, tau: f32) {
        self.network.backward(pass, of_output, &mut self.gradients);
        self.adam.step(&mut self.network, &self.gradients);
        self.target.approach(&self.network, tau);
    }
}

struct Agent<'a> {
    settings: &'a DdpgSettings,
    actor: Learner,
    critic: Learner,
    replay: ReplayBuffer,
    /// Moving average of the batches' mean reward.
    baseline: Option<f32>,
}

impl<'a> Agent<'a> {
    fn new(settings: &'a DdpgSettings, rows: usize, rng: &mut impl Rng) -> Self {
        let actor = Mlp::random(STATE, settings.hidden, rng);
        let mut critic = Mlp::random(STATE, settings.hidden, rng);
        // HAQ's critic adds a layer of the state and a layer of the action; one matrix over both is the same function.
        let of_action = DenseLayer::random(1, settings.hidden, rng);
        let first = &mut critic.layers[0];
        first.weights = concatenate![Axis(0), first.weights, of_action.weights];
        first.bias += &of_action.bias;
        Self {
            settings,
            actor: Learner::new(actor, settings.actor_rate),
            critic: Learner::new(critic, settings.critic_rate),
            replay: ReplayBuffer {
                capacity: (settings.replay_per_row * rows).max(settings.batch),
                transitions: Vec::new(),
                oldest: 0,
            },
            baseline: None,
        }
    }

    /// The actor's choice.
    fn action(&self, state: [f32; STATE]) -> f32 {
        let state = Array2::from_shape_fn((1, STATE), |(_, column)| state[column]);
        sigmoid(self.actor.network.forward(state).output[[0, 0]])
    }

    /// One update of critic and actor from a random batch; none while the replay holds less than a batch.
    fn update(&mut self, rng: &mut impl Rng) {
        let (held, size) = (self.replay.transitions.len(), self.settings.batch);
        if held < size {
            return;
        }
        let chosen: Vec<&Transition> =
            index::sample(rng, held, size).into_iter().map(|i| &self.replay.transitions[i]).collect();
        let batch = Minibatch::of(&chosen);
        self.update_critic(&batch);
        self.update_actor(batch.states);
    }

    /// Down the mean square of what the critic says of the batch less what it should have said.
    fn update_critic(&mut self, batch: &Minibatch) {
        let mean = batch.rewards.mean().unwrap_or(0.0);
        let rate = self.settings.baseline_rate;
        let baseline = self.baseline.map_or(mean, |average| average + rate * (mean - average));
        self.baseline = Some(baseline);
        let next_actions = self.actor.target.forward(batch.next.clone()).output.mapv(sigmoid);
        let next_values = self.critic.target.forward(concatenate![Axis(1), batch.next, next_actions]).output;
        let wanted = &batch.rewards - baseline + self.settings.discount * (&batch.goes_on * &next_values);
        let pass = self.critic.network.forward(concatenate![Axis(1), batch.states, batch.actions]);
        let of_output = (&pass.output - &wanted) * (2.0 / wanted.len() as f32);
        self.critic.learn(&pass, of_output, self.settings.tau);
    }

    /// Up the mean of what the critic says of the actor's own actions.
    fn update_actor(&mut self, states: Array2<f32>) {
        let pass = self.actor.network.forward(states.clone());
        let actions = pass.output.mapv(sigmoid);
        let judged = self.critic.network.forward(concatenate![Axis(1), states, actions]);
        let rows = actions.nrows();
        let up = Array2::from_elem((rows, 1), -1.0 / rows as f32);
        let of_input = self.critic.network.backward_to_input(&judged, up);
        let of_actions = of_input.slice_axis(Axis(1), Slice::from(STATE..));
        let of_output = &of_actions * &actions.mapv(|a| a * (1.0 - a));
        self.actor.learn(&pass, of_output, self.settings.tau);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exploration_ends_the_same_in_short_and_long_runs() {
        let settings = DdpgSettings::default();
        let sigma = |episode, episodes| match Exploration::of(&settings, episode, episodes) {
            Exploration::WarmUp => None,
            Exploration::Sigma(sigma) => Some(sigma),
        };
        assert_eq!(sigma(19, 600), None);
        assert_eq!(sigma(20, 600), Some(0.5));
        assert_eq!(sigma(19, 20), None);
        let haq = 0.5 * 0.99f64.powi(300);
        assert!((sigma(320, 600).expect("after warm-up") - haq).abs() < 1e-12, "HAQ's own run is not stretched");
        let [short, long] = [sigma(60, 100), sigma(310, 600)].map(|sigma| sigma.expect("after warm-up"));
        assert!((short - long).abs() < 1e-12, "half way: {short} and {long}");
    }

    /// A normal distribution round 0.5 that is cut off at one standard deviation has 0.5396 of that left as its own.
    #[test]
    fn actions_stay_inside_and_spread_as_they_should() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let samples: Vec<f64> = (0..20_000).map(|_| truncated_normal(0.5, 0.5, &mut rng)).collect();
        assert!(samples.iter().all(|sample| (0.0..=1.0).contains(sample)));
        let mean = samples.iter().sum::<f64>() / 20_000.0;
        let deviation = (samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        // Four standard errors of 20,000 samples.
        assert!((mean - 0.5).abs() < 0.008, "{mean}");
        assert!((deviation - 0.5 * 0.5396).abs() < 0.006, "{deviation}");
        assert!((0.0..=1.0).contains(&truncated_normal(f64::NAN, 0.5, &mut rng)));
    }

    #[test]
    fn the_replay_forgets_the_oldest() {
        let transition =
            |reward| Transition { state: [0.0; STATE], action: 0.0, reward, next: [0.0; STATE], done: true };
        let mut replay = ReplayBuffer { capacity: 3, transitions: Vec::new(), oldest: 0 };
        for reward in 0..5u8 {
            replay.push(transition(f32::from(reward)));
        }
        let mut rewards: Vec<f32> = replay.transitions.iter().map(|t| t.reward).collect();
        rewards.sort_by(f32::total_cmp);
        assert_eq!(rewards, [2.0, 3.0, 4.0]);
    }

    /// Two actions that end the episode at once: the critic learns that 1 is worth more than 0, and the actor goes there.
    #[test]
    fn the_agent_finds_the_better_action() {
        let settings = DdpgSettings { hidden: 32, ..DdpgSettings::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut agent = Agent::new(&settings, 4, &mut rng);
        let before = agent.action([0.5; STATE]);
        for _ in 0..256 {
            let action = rng.random_range(0.0..1.0);
            let state = [0.5; STATE];
            agent.replay.push(Transition { state, action, reward: action, next: [0.0; STATE], done: true });
        }
        for _ in 0..1000 {
            agent.update(&mut rng);
        }
        let after = agent.action([0.5; STATE]);
        assert!(after > before.max(0.75), "{before} became {after}");
    }
}
