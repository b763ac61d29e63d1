//! How many images a second the engine and the golden interpreter compute:
//!
//!     cargo run --release -p bitesize-integer --example engine_speed -- NETWORK.onnx [--serve | --profile BATCH]
//!
//! Weights and activations get 8 bits with ranges that are not calibrated: speed does not depend on them. Alone it
//! prints a table, all runners in turn, medians of several rounds, by the time that the processor spent on all threads. With `--serve` it reads lines `RUNNER BATCH SECONDS`
//! from standard input and answers each with images a second, by the clock and by the processor's time, for `benches/onnxruntime/compare.py`. `RUNNER` is
//! `interpreter` or an instruction set. `RAYON_NUM_THREADS` sets the number of threads.

use bitesize_integer::engine::{Engine, InstructionSet, PackCache};
use bitesize_integer::{IntNetwork, Interpreter, lower};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::rewrite::rewrite;
use bitesize_ir::{ActivationQuant, BitWidth, Network, Op, Policy, PolicySpace, QuantizedModel, WeightQuant};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Every weight tensor at 8 bits by its channels' largest magnitudes, every activation in -1 to 6.
fn quantized(network: Network) -> QuantizedModel {
    let bits = BitWidth::B8;
    let policy = Policy::uniform(&PolicySpace::of(&network), bits, bits);
    let activations = vec![ActivationQuant::from_range(-1.0, 6.0, bits); network.tensors.len()];
    let weights = network.nodes.iter().map(|node| weights_of(&node.op, bits)).collect();
    QuantizedModel {
        network: network.into(),
        policy,
        activations,
        output_channels: None,
        weights,
        equalized: Vec::new(),
    }
}

fn weights_of(op: &Op, bits: BitWidth) -> Option<WeightQuant> {
    let (layout, parameters, grid) = (WeightLayout::of(op)?, op.parameters()?, WeightGrid::of(bits));
    let mut scales = vec![1e-6f64; layout.out_channels()];
    for (i, weight) in parameters.weights.iter().enumerate() {
        let scale = &mut scales[layout.out_channel(i)];
        *scale = scale.max(f64::from(weight.abs()) / f64::from(grid.highest()));
    }
    let level = |(i, weight): (usize, &f32)| {
        let level = f64::from(*weight) / scales[layout.out_channel(i)];
        level.round().clamp(f64::from(grid.lowest()), f64::from(grid.highest())) as i8
    };
    let levels = parameters.weights.iter().enumerate().map(level).collect();
    let bias = parameters.bias.iter().map(|&b| f64::from(b)).collect();
    Some(WeightQuant { bits, levels, scales, bias })
}

fn read(path: &Path) -> Result<IntNetwork, Box<dyn Error>> {
    let name = path.file_stem().ok_or("a network's file has a name")?.to_string_lossy().into_owned();
    let beside = |_: &str, _: u64, _: usize| Err(std::io::Error::other("weights lie in the file here"));
    let imported = bitesize_import::import_onnx(&std::fs::read(path)?, &beside, &name)?;
    Ok(lower(&quantized(rewrite(imported.network)?.0))?)
}

/// Images a second.
#[derive(Clone, Copy, Debug)]
struct Speed {
    clock: f64,
    /// By the seconds that all threads together ran, which other work on the machine does not lengthen; `None` where
    /// the system does not tell.
    processor: Option<f64>,
}

impl Speed {
    /// The fairer of the two for one thread.
    fn fair(self) -> f64 {
        self.processor.unwrap_or(self.clock)
    }
}

/// Seconds that the threads of this program ran so far, as Linux counts them.
fn processor_seconds() -> Option<f64> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(nanoseconds as f64 / 1e9)
}

struct Bench {
    network: &'static IntNetwork,
    interpreter: Interpreter<'static>,
    engines: Vec<Engine>,
    images: Vec<u8>,
    size: usize,
}

/// The largest batch.
const IMAGES: usize = 256;

impl Bench {
    fn new(network: &'static IntNetwork) -> Self {
        let size = network.tensor(network.input).shape.elements();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        Self {
            network,
            interpreter: Interpreter::new(network),
            engines: InstructionSet::available().iter().map(|&set| Engine::with(network, set, None)).collect(),
            images: (0..IMAGES * size).map(|_| rng.random()).collect(),
            size,
        }
    }

    /// Every engine gives the interpreter's bytes on some of the images.
    fn check(&self) {
        let images = &self.images[..32 * self.size];
        let expected = self.interpreter.run_batch(images);
        for engine in &self.engines {
            assert!(engine.run_batch(images) == expected, "{} gives other bytes", engine.instruction_set());
        }
    }

    /// Images a second of `runner` at `batch` images at once, over about `time`: by the clock, and by what the
    /// processor spent.
    fn speed(&self, runner: &str, batch: usize, time: Duration) -> Result<Speed, Box<dyn Error>> {
        let engine = self.engines.iter().find(|engine| engine.instruction_set().to_string() == runner);
        if engine.is_none() && runner != "interpreter" {
            return Err(format!("there is no runner `{runner}` on this machine").into());
        }
        let images = &self.images[..batch.clamp(1, IMAGES) * self.size];
        let run = || engine.map_or_else(|| self.interpreter.run_batch(images), |engine| engine.run_batch(images));
        let expected = run();
        let (start, spent, mut runs) = (Instant::now(), processor_seconds(), 0);
        while start.elapsed() < time {
            assert!(run() == expected, "the same images gave other outputs");
            runs += 1;
        }
        let done = f64::from(runs) * (images.len() / self.size) as f64;
        let clock = done / start.elapsed().as_secs_f64();
        Ok(Speed { clock, processor: processor_seconds().zip(spent).map(|(end, begin)| done / (end - begin)) })
    }

    fn table(&self) -> Result<(), Box<dyn Error>> {
        let cache = PackCache::new();
        for (what, cache) in [("all weights packed", None), ("weights from the cache", Some(&cache))] {
            let build = |_| {
                let start = Instant::now();
                let engine = Engine::with(self.network, InstructionSet::best(), cache);
                (start.elapsed(), engine).0
            };
            let fastest = (0..20).map(build).min().unwrap_or_default();
            println!("an engine is built in {:.2} ms with {what}", 1e3 * fastest.as_secs_f64());
        }
        let mut runners = vec!["interpreter".to_owned()];
        runners.extend(self.engines.iter().map(|engine| engine.instruction_set().to_string()));
        for batch in [1, 32, IMAGES] {
            let mut speeds = vec![Vec::new(); runners.len()];
            for _ in 0..7 {
                for (runner, speeds) in runners.iter().zip(&mut speeds) {
                    speeds.push(self.speed(runner, batch, Duration::from_millis(150))?);
                }
            }
            let median = |speeds: &mut Vec<Speed>| {
                speeds.sort_by(|a, b| a.fair().total_cmp(&b.fair()));
                speeds[speeds.len() / 2].fair()
            };
            let medians: Vec<f64> = speeds.iter_mut().map(median).collect();
            for (runner, speed) in runners.iter().zip(&medians) {
                println!("batch {batch:3}  {runner:12} {speed:9.0} images/s  {:5.2} times", speed / medians[0]);
            }
        }
        Ok(())
    }

    fn serve(&self) -> Result<(), Box<dyn Error>> {
        for line in std::io::stdin().lines() {
            let line = line?;
            let [runner, batch, seconds] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(format!("`{line}` is not RUNNER BATCH SECONDS").into());
            };
            let speed = self.speed(runner, batch.parse()?, Duration::try_from_secs_f64(seconds.parse()?)?)?;
            println!("{} {}", speed.clock, speed.fair());
            std::io::stdout().flush()?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("say which network: an ONNX file")?;
    // The interpreter borrows its network, which lives as long as the program.
    let bench = Bench::new(Box::leak(Box::new(read(Path::new(path))?)));
    bench.check();
    match arguments.get(1).map(String::as_str) {
        None => bench.table(),
        Some("--serve") => bench.serve(),
        Some("--profile") => {
            let batch = arguments.get(2).ok_or("say how many images at once")?.parse()?;
            let speed = bench.speed(&InstructionSet::best().to_string(), batch, Duration::from_secs(3))?;
            println!("{:.0} images/s by the clock, {:.0} by the processor's time", speed.clock, speed.fair());
            Ok(())
        }
        Some(other) => Err(format!("`{other}` is neither --serve nor --profile").into()),
    }
}
