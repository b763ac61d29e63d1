//! Five packages: four networks of the shared folder and a small one with random weights, at widths drawn at random.

use bitesize::deliver::delivered::{Taken, taken_on};
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::deliver::{Delivered, Tuned};
use bitesize::observe::Monitor;
use bitesize::run::{RunConfig, RunFolder};
use bitesize_ir::target::CoreCosts;
use bitesize_verify::{Cases, Prediction};
use ndarray::{Array1, Array4};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of networks, in `models` of the shared folder or `conformance/onnx`, with the shape of their images.
const NETWORKS: [(&str, [usize; 3]); 5] = [
    ("cifar10_mobilenet_v1", [32, 32, 3]),
    ("cifar10_mobilenet_v2", [32, 32, 3]),
    ("cifar10_mnasnet", [32, 32, 3]),
    ("mlperf_resnet8", [32, 32, 3]),
    ("residual_resnet", [12, 10, 3]),
];

const IMAGES: usize = 16;

/// A package on disk, in the run folder that made it.
pub(crate) struct Package {
    pub(crate) name: String,
    /// As `weights 2: 7, 4: 9, 8: 11`.
    pub(crate) widths: String,
    /// The run folder.
    pub(crate) folder: PathBuf,
    pub(crate) cases: Cases,
    delivered: Delivered,
    /// The core that it was made for.
    made_for: CoreCosts,
}

impl Package {
    /// What the memory model says of it on `core`.
    pub(crate) fn prediction(&self, core: &CoreCosts) -> Prediction {
        let Taken { flash, ram, instructions } = taken_on(&self.delivered, &self.made_for, core);
        Prediction::new(&flash, &ram, instructions, core)
    }
}

/// Makes what `work` does not hold yet.
pub(crate) fn all(root: &Path, target: &Path, work: &Path) -> Result<Vec<Package>, String> {
    let shared = std::env::var_os("BITESIZE_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    run(Command::new("cargo").args(["build", "--release", "--locked", "-p", "bitesize"]).current_dir(root))?;
    fs::create_dir_all(work).map_err(|e| format!("{}: {e}", work.display()))?;
    let mut packages = Vec::new();
    for (seed, (name, shape)) in NETWORKS.into_iter().enumerate() {
        let places = [shared.join("models"), root.join("conformance/onnx")];
        let models = places.map(|folder| folder.join(name).with_extension("onnx"));
        let Some(model) = models.iter().find(|path| path.is_file()) else {
            println!("SKIPPED: {name} is not there; BITESIZE_SHARED names the folder that holds it");
            continue;
        };
        let folder = work.join(name);
        if !folder.join("package").is_dir() {
            make(&target.join("release/bitesize"), model, shape, &folder, seed as u64)?;
        }
        packages.push(open(name, &folder).map_err(|e| format!("{name}: {e:#}"))?);
    }
    Ok(packages)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}\n{text}", output.status)) }
}

/// Quantizes `model` at widths drawn with `seed`, on noise: what is built here need not be accurate.
fn make(bitesize: &Path, model: &Path, [h, w, c]: [usize; 3], folder: &Path, seed: u64) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let data = folder.with_extension("npz");
    let images = Array4::from_shape_fn((IMAGES, h, w, c), |_| rng.random::<u8>());
    let labels = Array1::from_shape_fn(IMAGES, |i| (i % 2) as i64);
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        let mut archive = ndarray_npy::NpzWriter::new(fs::File::create(&data)?);
        archive.add_array("x", &images)?;
        archive.add_array("y", &labels)?;
        archive.finish().map(drop).map_err(Into::into)
    };
    write().map_err(|e| format!("cannot write {}: {e}", data.display()))?;
    // Nothing is verified yet.
    let command = || {
        let mut command = Command::new(bitesize);
        command.env("PATH", "");
        command
    };
    let samples = (IMAGES / 2).to_string();
    let mut fit = command();
    fit.arg("fit").arg(model).arg("--train").arg(&data).arg("-o").arg(folder);
    fit.args(["--scale", "0.00392156862745098", "--flash", "64MiB", "--ram", "64MiB", "--policy", "8/8"]);
    run(fit.args(["--calibration-samples", &samples, "--eval-samples", &samples]))?;
    let policy = folder.join("policy.toml");
    let text = fs::read_to_string(&policy).map_err(|e| format!("{}: {e}", policy.display()))?;
    // Every width that the policy names, in its order.
    let mut parts = text.split(" = 8");
    let mut drawn = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        drawn += &format!(" = {}{part}", [2, 4, 8][rng.random_range(0..3)]);
    }
    fs::write(&policy, drawn).map_err(|e| format!("{}: {e}", policy.display()))?;
    run(command().arg("emit").arg(folder))
}

fn open(name: &str, path: &Path) -> anyhow::Result<Package> {
    let monitor = Monitor::unobserved();
    let folder = RunFolder::open(path)?;
    let text = fs::read_to_string(folder.join("config.toml"))?;
    let config = RunConfig::from_toml(&text).map_err(anyhow::Error::msg)?;
    let inputs = inputs_of(&config, Some(&config.data.train), None, &monitor)?;
    let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor: &monitor };
    let platform = opened.platform()?;
    let delivered = Delivered::kept(&opened, &Tuned::made_from_settings(&opened, &platform), &platform.core)?;
    let mut counts = BTreeMap::<u8, usize>::new();
    for weights in delivered.candidate.integers.nodes.iter().filter_map(|node| node.op.weights()) {
        *counts.entry(weights.bits.bits()).or_default() += 1;
    }
    let widths: Vec<String> = counts.iter().map(|(bits, layers)| format!("{layers} of {bits} bits")).collect();
    let network = &delivered.candidate.integers;
    let sample = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..network.tensor(network.input).shape.elements()).map(|_| rng.random()).collect()
    };
    let cases = Cases::new(network, &[sample(1)], 0)?;
    let widths = format!("weights of {}", widths.join(", "));
    Ok(Package { name: name.into(), widths, folder: path.into(), cases, delivered, made_for: platform.core })
}
