//! What calls, entry points and chains cost, measured on emitted packages of many small layers.

use crate::objects::Core;
use crate::repeated::{layer_by_layer, repeated, row_nodes};
use bitesize_codegen::{EmitOptions, PackageNames, emit};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor};
use bitesize_ir::memory::{Chain, InputRows, MemoryPlan, PlannedSegment, Scheduling};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::target::RollingCosts;
use bitesize_ir::{BitWidth, NodeId, Shape, TensorId};
use rayon::prelude::*;

/// Layers of the longest package on which calls are measured. Literal pools make cost per call uneven.
const MOST_CALLS: usize = 160;

/// What calls and entry points cost.
pub(crate) struct Calls {
    pub(crate) base: u64,
    pub(crate) each: u64,
    pub(crate) stack: u64,
}

/// Measures entry points with 0, 1, 2, ... calls: `each` is the largest average from some length on, `base` what is
/// left at the worst length.
pub(crate) fn calls(core: &Core) -> Result<Calls, String> {
    let lengths: Vec<usize> = call_lengths().collect();
    let measured: Result<Vec<(u64, Measured)>, String> = lengths
        .into_par_iter()
        .map(|layers| Ok((layers as u64, measured(core, layers, &clamp_plan(layers), &format!("calls_{layers}.c"))?)))
        .collect();
    let measured = measured?;
    let each = steepest(measured.iter().map(|(layers, object)| (*layers, object.bytes)));
    let base = measured.iter().map(|(layers, object)| object.bytes.saturating_sub(layers * each)).max().unwrap_or(0);
    let stack = measured.iter().map(|(_, object)| object.entry_stack).max().unwrap_or(0);
    Ok(Calls { base, each, stack })
}

/// Numbers of layers of the packages on which calls and entry points are measured.
fn call_lengths() -> impl Iterator<Item = usize> {
    (0..=12).chain((20..=MOST_CALLS).step_by(20))
}

/// The largest average growth of what `sizes` gives by length, among lengths of 20 or more.
fn steepest(sizes: impl Iterator<Item = (u64, u64)>) -> u64 {
    let long: Vec<(u64, u64)> = sizes.filter(|(length, _)| *length >= 20).collect();
    let slopes = long.windows(2).map(|pair| (pair[1].1.saturating_sub(pair[0].1)).div_ceil(pair[1].0 - pair[0].0));
    slopes.max().unwrap_or(0)
}

/// What rolling chains cost beside layers that are computed alone. As in [`calls`], a layer costs what it does in the steepest case,
/// and what all chains share is what is left in the worst.
pub(crate) fn rolling(core: &Core, calls: &Calls) -> Result<RollingCosts, String> {
    // Chains of so many layers each, how many layers alone come behind them, and whether rows are pushed into the first.
    let lengths = || (1..=12).chain((20..=80).step_by(20));
    let ways = || [0, 3, 9].into_iter().flat_map(|alone| [(alone, false), (alone, true)]);
    let with = |chains: Vec<usize>| ways().map(move |(alone, is_pushed)| (chains.clone(), alone, is_pushed));
    let chains = lengths().map(|length| vec![length]).chain((2..=4).map(|chains| vec![4; chains]));
    let packages: Vec<(Vec<usize>, usize, bool)> = chains.flat_map(with).collect();
    let measured: Result<Vec<Package>, String> = packages
        .into_par_iter()
        .enumerate()
        .map(|(number, (chains, alone, is_pushed))| {
            let layers = chains.iter().sum::<usize>() + alone;
            let plan = chain_plan(&chains, alone, is_pushed);
            let object = measured(core, layers, &plan, &format!("chains_{number}.c"))?;
            Ok(Package { chains, alone, is_pushed, object })
        })
        .collect();
    let measured = measured?;
    let band_bytes = BAND_BYTES;
    let plain = |package: &&Package| package.chains.len() == 1 && package.alone == 0 && !package.is_pushed;
    let of_layer =
        steepest(measured.iter().filter(plain).map(|package| (package.chains[0] as u64, package.object.bytes)));
    let member_bytes = of_layer.saturating_sub(calls.each + band_bytes);
    // What is left beside layers and bands, of which a chain has one more than layers.
    let left = |package: &Package| {
        let [members, chains, alone] =
            [package.chains.iter().sum(), package.chains.len(), package.alone].map(|count: usize| count as u64);
        package.object.bytes.saturating_sub(members * of_layer + chains * band_bytes + alone * calls.each)
    };
    let fours = |count: usize| {
        let is = |package: &&Package| {
            package.chains.len() == count && package.chains[0] == 4 && package.alone == 0 && !package.is_pushed
        };
        measured.iter().find(is).map(left)
    };
    let several: Vec<u64> = (1..=4).filter_map(fours).collect();
    let chain_bytes = several.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0);
    let shared = |pushed: bool| {
        let of = measured.iter().filter(move |package| package.is_pushed == pushed);
        of.map(|package| left(package).saturating_sub(package.chains.len() as u64 * chain_bytes)).max().unwrap_or(0)
    };
    let code_bytes = shared(false).saturating_sub(calls.base);
    let push_bytes = shared(true).saturating_sub(calls.base + code_bytes);
    let stack =
        |pick: &dyn Fn(&Measured) -> u64| measured.iter().map(|package| pick(&package.object)).max().unwrap_or(0);
    Ok(RollingCosts {
        part_bytes: part_bytes(core, calls)?,
        code_bytes,
        stack_bytes: stack(&|object| object.entry_stack).saturating_sub(calls.stack),
        driver_stack_bytes: stack(&|object| object.driver_stack),
        chain_bytes,
        band_bytes,
        member_bytes,
        push_bytes,
        push_alone_bytes: push_alone_bytes(core, calls)?,
    })
}

/// Entry points for pushed rows where all layers are computed alone, the table of the input included: as `base` of [`calls`], less that.
fn push_alone_bytes(core: &Core, calls: &Calls) -> Result<u64, String> {
    let lengths: Vec<usize> = call_lengths().collect();
    let measured: Result<Vec<u64>, String> = lengths
        .into_par_iter()
        .map(|layers| {
            let object = measured(core, layers, &chain_plan(&[0], layers, true), &format!("pushed_{layers}.c"))?;
            Ok(object.bytes.saturating_sub(layers as u64 * calls.each))
        })
        .collect();
    Ok(measured?.into_iter().max().unwrap_or(0).saturating_sub(calls.base))
}

/// Concatenations of each package on which their parts are measured.
const CONCATENATIONS: [usize; 4] = [1, 2, 4, 8];

/// Parts of each of them.
const PARTS: [usize; 6] = [1, 2, 3, 5, 9, 17];

/// Of each part of a concatenation in a chain but its first, beside what it costs alone: the steepest growth between packages whose
/// concatenations have different numbers of parts.
fn part_bytes(core: &Core, calls: &Calls) -> Result<u64, String> {
    let packages = CONCATENATIONS.into_iter().flat_map(|count| PARTS.map(|parts| (count, parts)));
    let packages: Vec<(usize, usize)> = packages.collect();
    let measured: Result<Vec<u64>, String> = packages
        .par_iter()
        .map(|(count, parts)| {
            let (network, plan) = joined(*count, *parts);
            let file = format!("parts_{count}_{parts}.c");
            Ok(measured_package(core, &network, &plan, &file)?.bytes)
        })
        .collect();
    let each = |(measured, count): (&[u64], usize)| {
        let slopes = measured.windows(2).zip(PARTS.windows(2)).map(move |(bytes, parts)| {
            bytes[1].saturating_sub(bytes[0]).div_ceil((count * (parts[1] - parts[0])) as u64)
        });
        slopes.max().unwrap_or(0)
    };
    let most = measured?.chunks(PARTS.len()).zip(CONCATENATIONS).map(each).max().unwrap_or(0);
    Ok(most.saturating_sub(calls.each))
}

/// Clamps one after the other, and `count` concatenations of `parts` of what these write, in one chain.
fn joined(count: usize, parts: usize) -> (IntNetwork, MemoryPlan) {
    // Rows have an odd number of bytes, by which no shift multiplies.
    let shape = Shape::new(4, 13, 3);
    let clamps = *PARTS.last().expect("there is one");
    let mut network = repeated(&IntOp::Clamp { lo: 0, hi: 255 }, shape, clamps);
    for number in 0..count {
        let of = Shape { c: shape.c * parts, ..shape };
        let output = TensorId(network.tensors.len());
        network.tensors.push(IntTensor { name: format!("joined{number}"), shape: of, bits: BitWidth::B8, zero: 0 });
        network.nodes.push(IntNode {
            name: format!("join{number}"),
            op: IntOp::Concat { multipliers: vec![Multiplier::ZERO; parts] },
            // Others each time: compilers share what is the same.
            inputs: (0..parts).map(|part| TensorId(1 + (number * 5 + part) % clamps)).collect(),
            output,
        });
        network.output = output;
    }
    let offsets = (0..network.tensors.len()).map(|tensor| 0x0012_3454 + 0x1004 * tensor).collect();
    let stays = |tensor: TensorId| tensor.0 > clamps;
    let chain = Chain::of(&row_nodes(&network), 0, stays, None);
    let segments = vec![PlannedSegment::Chain { chain, state: 0x0011_0004 }];
    let plan = layer_by_layer(&network, offsets, 0x0020_0000);
    (network, MemoryPlan { segments, scheduling: Scheduling::Auto, ..plan })
}

/// Chains of so many layers each, layers alone behind them, and what they are compiled to.
struct Package {
    chains: Vec<usize>,
    alone: usize,
    is_pushed: bool,
    object: Measured,
}

/// A row of a chain's table of tensors: two words, two numbers of 16 bits.
const BAND_BYTES: u64 = 12;

/// What the compiler makes of a package's `model.c`.
struct Measured {
    /// Code and constants, but for the descriptors of layers.
    bytes: u64,
    /// Stack of the entry point and what stands between it and a kernel.
    entry_stack: u64,
    /// Stack of what chooses the next step, below that.
    driver_stack: u64,
}

fn measured(core: &Core, layers: usize, plan: &MemoryPlan, file: &str) -> Result<Measured, String> {
    measured_package(core, &clamps(layers), plan, file)
}

fn measured_package(core: &Core, network: &IntNetwork, plan: &MemoryPlan, file: &str) -> Result<Measured, String> {
    let options = EmitOptions::default();
    let source = PackageNames::new(&options.prefix, None).map_err(|e| e.to_string())?.source();
    let package = emit(network, plan, &options).map_err(|e| e.to_string())?;
    let mut files: Vec<(&str, &str)> = Vec::new();
    files.extend(package.files.iter().filter(|(name, _)| name.ends_with(".h")).map(|(n, t)| (&**n, &**t)));
    files.push((file, package.file(&source).ok_or_else(|| format!("the package lacks {source}"))?));
    let object = core.compile(&files, file)?;
    let is_descriptor = |name: &str| name.starts_with(".rodata") && name.contains("layer");
    let is_constant = |name: &str| name.starts_with(".text") || name.starts_with(".rodata");
    let sections = object.section_bytes.iter().filter(|(name, _)| is_constant(name) && !is_descriptor(name));
    let is_entry = |name: &str| ["run", "push_row", "begin", "input", "output"].iter().any(|of| name.ends_with(of));
    let is_roll = |name: &str| name.contains("roll");
    let most = |is: &dyn Fn(&str) -> bool| {
        object.frames.iter().filter(|(name, _)| is(name)).map(|(_, b)| *b).max().unwrap_or(0)
    };
    Ok(Measured {
        bytes: sections.map(|(_, bytes)| bytes).sum(),
        entry_stack: most(&|name| is_entry(name)) + most(&|name| is_roll(name) && !is_entry(name)),
        driver_stack: object.frames.iter().filter(|(n, _)| !is_entry(n) && !is_roll(n)).map(|(_, bytes)| bytes).sum(),
    })
}

/// A network of `layers` clamps.
fn clamps(layers: usize) -> IntNetwork {
    repeated(&IntOp::Clamp { lo: 0, hi: 255 }, Shape::vector(4), layers)
}

/// [`clamps`] in chains of so many layers each, and so many `alone` behind them; rows pushed into the first of them (which may be one of none) or not; offsets as in
/// [`clamp_plan`].
fn chain_plan(chains: &[usize], alone: usize, is_pushed: bool) -> MemoryPlan {
    let layers = chains.iter().sum::<usize>() + alone;
    let network = clamps(layers);
    let nodes = row_nodes(&network);
    let mut first = 0;
    let segment = |(number, length): (usize, &usize)| {
        let end = first + length;
        let pushed = (is_pushed && number == 0).then(|| (network.input, network.tensor(network.input).shape));
        let chain = Chain::of(&nodes[first..end], first, |tensor| tensor == TensorId(end), pushed);
        first = end;
        PlannedSegment::Chain { chain, state: 0x0011_0004 + 0x1000 * number }
    };
    let mut segments: Vec<PlannedSegment> = chains.iter().enumerate().map(segment).collect();
    segments.extend((layers - alone..layers).map(|node| PlannedSegment::Layer(NodeId(node))));
    let input = if is_pushed { InputRows::Pushed } else { InputRows::Image };
    MemoryPlan { segments, input, scheduling: Scheduling::Auto, ..clamp_plan(layers) }
}

/// Input and output at offsets that take the longest instructions.
fn clamp_plan(layers: usize) -> MemoryPlan {
    layer_by_layer(&clamps(layers), vec![0x0012_3454; layers + 1], 0x0012_3460)
}
