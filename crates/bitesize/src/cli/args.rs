//! Groups of arguments that several subcommands share.

use anyhow::Context as _;
use bitesize::input::zoo::{UNTRAINED, is_zoo};
use bitesize::input::{Channels, DataLayout, Model, PerChannel, PreprocessFile};
use bitesize::run::config::{CalibrationConfig, PERCENTILES, STEPS};
use bitesize::run::learning::{MINUTES, ReconstructConfig};
use bitesize::task::{Objective, Task};
use bitesize::usage;
use bitesize_import::InputShape;
use bitesize_ir::BitWidth;
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::packed_weight_bytes;
use bitesize_ir::policy::SpaceRow;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::size::{parse_millions, parse_size};
use bitesize_search::{Constraints, Pin, WidthSet};
use bitesize_train::{CalibrationSettings, RangeMethod, Reconstruction};
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// A path of a trained network, or of what was made from one.
pub(crate) fn trained() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| if is_zoo(&path) { Err(UNTRAINED) } else { Ok(path) })
}

/// What the file of the network leaves open.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    /// Sizes of the input in the order of the file, batch 1 first, as 1x3x96x96: for files that leave some open
    #[arg(long, value_name = "SHAPE")]
    input_shape: Option<InputShape>,
}

impl ModelArgs {
    /// The shape of the input, where it is given.
    pub(crate) fn input_shape(&self) -> Option<&InputShape> {
        self.input_shape.as_ref()
    }
}

/// How stored values become the network's: a file, and flags that go before it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Preprocessing: value = (pixel * scale - mean) / std")]
pub(crate) struct PreprocessArgs {
    /// TOML file with the settings below (docs/formats.md)
    #[arg(long, value_name = "FILE")]
    preprocess: Option<PathBuf>,
    /// Factor on the 0..255 pixel
    #[arg(long, allow_hyphen_values = true, value_parser = positive)]
    scale: Option<f64>,
    /// One number, or one for each channel
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_parser = finite)]
    mean: Option<Vec<f64>>,
    /// One number, or one for each channel
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_parser = positive)]
    std: Option<Vec<f64>>,
    /// Resize images to this height and width, antialiased bilinear
    #[arg(long, value_name = "HxW", value_parser = parse_pair)]
    size: Option<[usize; 2]>,
    /// Centre crop before resizing: the share of each side that is kept
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true, value_parser = share)]
    crop_fraction: Option<f64>,
    /// Cut a centre square first
    #[arg(long)]
    keep_aspect: bool,
    /// The network's channels: rgb, bgr or gray
    #[arg(long, value_parser = parse_channels)]
    channels: Option<Channels>,
    /// Added to every label, as for networks with a background class (1) or without one (-1)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    label_offset: Option<i64>,
}

fn parse_pair(text: &str) -> Result<[usize; 2], String> {
    let pair = text.split_once('x').and_then(|(h, w)| Some([h.trim().parse().ok()?, w.trim().parse().ok()?]));
    let pair = pair.filter(|[h, w]| *h > 0 && *w > 0);
    pair.ok_or_else(|| format!("`{text}` is not HEIGHTxWIDTH in pixels, as in 224x224"))
}

fn finite(text: &str) -> Result<f64, String> {
    text.trim().parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| "it is not a number to compute with".into())
}

fn positive(text: &str) -> Result<f64, String> {
    finite(text).and_then(|v| if v > 0.0 { Ok(v) } else { Err("it must be above 0".into()) })
}

fn share(text: &str) -> Result<f64, String> {
    finite(text).and_then(|v| if v > 0.0 && v <= 1.0 { Ok(v) } else { Err("it must lie in (0, 1]".into()) })
}

fn parse_channels(text: &str) -> Result<Channels, String> {
    match text {
        "rgb" => Ok(Channels::Rgb),
        "bgr" => Ok(Channels::Bgr),
        "gray" => Ok(Channels::Gray),
        _ => Err(format!("`{text}` is none of rgb, bgr, gray")),
    }
}

fn per_channel(values: &[f64]) -> PerChannel {
    match values {
        [one] => PerChannel::All(*one),
        many => PerChannel::Each(many.to_vec()),
    }
}

impl PreprocessArgs {
    /// The file's settings with those of the flags in their place.
    pub(crate) fn read(&self) -> anyhow::Result<PreprocessFile> {
        let file = match &self.preprocess {
            Some(path) => {
                let text = bitesize::files::read_text(path)
                    .with_context(|| format!("cannot read the preprocessing file `{}`", path.shown()))?;
                PreprocessFile::from_toml(&text).with_context(|| format!("`{}`", path.shown()))?
            }
            None => PreprocessFile::default(),
        };
        Ok(file.overridden_by(PreprocessFile {
            scale: self.scale,
            mean: self.mean.as_deref().map(per_channel),
            std: self.std.as_deref().map(per_channel),
            size: self.size,
            crop_fraction: self.crop_fraction,
            keep_aspect: self.keep_aspect.then_some(true),
            channels: self.channels,
            label_offset: self.label_offset,
        }))
    }
}

/// What the network is for.
#[derive(Args, Clone, Debug)]
pub(crate) struct TaskArgs {
    /// What the output means: auto (by the network's end and the labels), classify, binary, multilabel, regress (values; an
    /// autoencoder without labels is judged by its input), map (a class for each pixel), or fidelity (nearness to the float
    /// network; no label is looked at)
    #[arg(long, value_name = "TASK", default_value = "auto", value_parser = parse_task)]
    task: TaskChoice,
}

/// A task, or none: what network and labels say.
#[derive(Clone, Copy, Debug)]
struct TaskChoice(Option<Task>);

fn parse_task(text: &str) -> Result<TaskChoice, String> {
    if text == "auto" { Ok(TaskChoice(None)) } else { text.parse().map(|task| TaskChoice(Some(task))) }
}

impl TaskArgs {
    /// The task asked for.
    pub(crate) fn asked(&self) -> Option<Task> {
        self.task.0
    }
}

/// How data are stored.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DataArgs {
    /// Where the channels of .npz samples are, nhwc or nchw, if their shape does not tell
    #[arg(long, value_name = "LAYOUT")]
    pub(crate) data_layout: Option<DataLayout>,
}

/// What widths may be chosen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Constraints")]
pub(crate) struct ConstraintArgs {
    /// Limit of the packed weights alone: a size, or per cent of their bytes at 8 bits; --flash and --ram may then be
    /// left out
    #[arg(long, value_name = "PERCENT%|SIZE", value_parser = parse_weight_limit)]
    weight_bytes: Option<WeightLimit>,
    #[command(flatten)]
    instructions: InstructionArgs,
    /// Widths that weights may have, as 4,8 [default: 2,4,8]
    #[arg(long, value_name = "WIDTHS", conflicts_with = "policy")]
    weights: Option<WidthSet>,
    /// Widths that activations may have, as 8 [default: 2,4,8]
    #[arg(long, value_name = "WIDTHS", conflicts_with = "policy")]
    activations: Option<WidthSet>,
    /// Give one layer its widths, * for one that stays free; can be repeated; goes before --weights and --activations
    #[arg(long = "pin", value_name = "NAME=W/A", conflicts_with = "policy")]
    pins: Vec<Pin>,
}

/// How many instructions an inference may take.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Constraints")]
pub(crate) struct InstructionArgs {
    /// Limit of the instructions of an inference in millions, as 12.5; --flash and --ram may then be left out
    #[arg(long = "max-minstr", value_name = "MILLIONS", allow_hyphen_values = true, value_parser = parse_millions)]
    limit: Option<u64>,
}

impl InstructionArgs {
    /// The limit, in instructions.
    pub(crate) fn limit(self) -> Option<u64> {
        self.limit
    }
}

#[derive(Clone, Copy, Debug)]
enum WeightLimit {
    Bytes(u64),
    /// Of what the weights take at 8 bits.
    Share(f64),
}

fn parse_weight_limit(text: &str) -> Result<WeightLimit, String> {
    let Some(percent) = text.strip_suffix('%') else { return parse_size(text).map(WeightLimit::Bytes) };
    match percent.trim().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(WeightLimit::Share(percent / 100.0)),
        _ => Err(format!("`{text}` is not a number of per cent above 0 and up to 100")),
    }
}

impl ConstraintArgs {
    /// Whether packed weights or instructions are limited.
    pub(crate) fn has_limit(&self) -> bool {
        self.weight_bytes.is_some() || self.instructions.limit().is_some()
    }

    /// The constraints on `model`, whose pins are checked.
    pub(crate) fn read(&self, model: &Model) -> anyhow::Result<Constraints> {
        // Kernels that work row by row pad some layers' weights: a share of 1 is to leave room for them.
        let packed = |bits| {
            let bytes = |row: &SpaceRow| {
                let of = |implementation| packed_weight_bytes(&model.network.node(row.node).op, bits, implementation);
                of(Implementation::Whole).max(of(Implementation::Rows)) as u64
            };
            model.space.rows.iter().map(bytes).sum::<u64>()
        };
        let constraints = Constraints {
            weight_bytes: self.weight_bytes.map(|limit| match limit {
                WeightLimit::Bytes(bytes) => bytes,
                WeightLimit::Share(share) => (packed(BitWidth::B8) as f64 * share) as u64,
            }),
            instructions: self.instructions.limit(),
            weights: self.weights.unwrap_or_default(),
            activations: self.activations.unwrap_or_default(),
            pins: self.pins.clone(),
        };
        constraints.allowed(&model.space).map_err(|error| usage(error.to_string()))?;
        Ok(constraints)
    }
}

/// What is learned once widths are chosen.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Reconstruction")]
pub(crate) struct ReconstructArgs {
    /// Learn rounding, scales and ranges of the network that is delivered from training images without their labels,
    /// for as much work as two idle cores do in so many minutes; kept only where held-out samples say that it helps
    /// [MINUTES where left out: 10]
    #[arg(
        long,
        value_name = "MINUTES",
        num_args = 0..=1,
        default_missing_value = "10",
        allow_negative_numbers = true,
        value_parser = minutes
    )]
    reconstruct: Option<f64>,
    /// Training samples to learn from, at most [default: 32768]
    #[arg(long, value_name = "N", value_parser = learned_samples)]
    reconstruct_samples: Option<usize>,
}

impl ReconstructArgs {
    /// The settings; what is not given is as in `earlier`.
    ///
    /// # Errors
    /// Samples for a reconstruction that nobody asked for.
    pub(crate) fn config(self, earlier: Option<ReconstructConfig>) -> anyhow::Result<Option<ReconstructConfig>> {
        if self.reconstruct.is_none() && earlier.is_none() {
            return match self.reconstruct_samples {
                Some(_) => Err(usage("--reconstruct-samples says what --reconstruct learns from: give that too")),
                None => Ok(None),
            };
        }
        let ReconstructConfig { minutes, samples } = earlier.unwrap_or_default();
        Ok(Some(ReconstructConfig {
            minutes: self.reconstruct.unwrap_or(minutes),
            samples: self.reconstruct_samples.unwrap_or(samples),
        }))
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let (least, most) = (MINUTES.start(), MINUTES.end());
    text.trim().parse().ok().filter(|minutes| MINUTES.contains(minutes)).ok_or_else(|| {
        format!(
            "`{text}` is not a number of minutes from {least} to {most}; what follows --reconstruct is taken for one"
        )
    })
}

fn learned_samples(text: &str) -> Result<usize, String> {
    let least = Reconstruction::LEAST_SAMPLES;
    at_least_one(text).and_then(|n| if n >= least { Ok(n) } else { Err(format!("at least {least} are needed")) })
}

/// How ranges are found.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Calibration")]
pub(crate) struct CalibrationArgs {
    /// Where all chance comes from
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: u64,
    /// Training samples for ranges, rounding and bias correction
    #[arg(long, value_name = "N", default_value = "512", value_parser = at_least_one)]
    calibration_samples: usize,
    /// How activation ranges are chosen: min-error, min-max, or percentile:P with P from 50 to 100
    #[arg(long, value_name = "METHOD", default_value = "min-error", value_parser = parse_ranges)]
    ranges: RangeMethod,
    /// Leave the channels of tensors as they are, instead of bringing them to one size where that helps
    #[arg(long)]
    no_equalize: bool,
}

impl CalibrationArgs {
    /// As `config.toml` keeps them, for networks that are judged by `objective`.
    pub(crate) fn config(&self, objective: &Objective) -> CalibrationConfig {
        // Quantities are read each for itself; codes of classes are compared.
        let output_per_channel = objective.task == Task::Regress && objective.shape.c > 1;
        let default = CalibrationSettings::default();
        CalibrationConfig {
            samples: self.calibration_samples,
            ranges: CalibrationSettings { method: self.ranges, output_per_channel, ..default },
            equalize: !self.no_equalize,
        }
    }
}

/// A number of at least 1.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(n) => Ok(n),
        Err(_) => Err(format!("`{text}` is not a number")),
    }
}

/// Levels of each budget of a sweep.
pub(crate) fn sweep_steps(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a number from {} to {}", STEPS.start(), STEPS.end());
    text.parse().ok().filter(|steps| STEPS.contains(steps)).ok_or_else(wrong)
}

/// A name that a package can have.
pub(crate) fn package_name(text: &str) -> Result<String, String> {
    bitesize_codegen::check_name(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

fn parse_ranges(text: &str) -> Result<RangeMethod, String> {
    let percentile = |p: &str| p.parse::<f64>().ok().map(|p| p / 100.0).filter(|p| PERCENTILES.contains(p));
    match text.split_once(':') {
        None if text == "min-error" => Ok(RangeMethod::MinError),
        None if text == "min-max" => Ok(RangeMethod::MinMax),
        Some(("percentile", p)) if percentile(p).is_some() => Ok(RangeMethod::Percentile(percentile(p).unwrap_or(1.0))),
        _ => Err(format!("`{text}` is none of min-error, min-max, percentile:P (as percentile:99.99)")),
    }
}

/// An absolute path, so that a run folder can be used from anywhere; it must be UTF-8, as the settings are.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("cannot use the path `{}`", path.shown()))?;
    if path.to_str().is_none() {
        return Err(usage(format!(
            "the path `{}` is not UTF-8, so config.toml cannot keep it: rename it, or use a link",
            path.shown()
        )));
    }
    Ok(path)
}
