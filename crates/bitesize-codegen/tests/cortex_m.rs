//! Emitted packages compiled for Cortex-M: what the memory model counts is what the object files hold.

mod common;

use bitesize_codegen::{EmitOptions, Figures, emit, instances};
use bitesize_ir::code::{Code, Implementation, Stage};
use bitesize_ir::memory::{InputRows, PlannedSegment, Scheduling, flash, ram};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{Node, Op, Shape, TensorId};
use common::compiler::{Folder, WARNINGS, installed, run};
use common::networks::{Draw, Drawn, drawn};
use object::{Object, ObjectSection, SectionFlags, elf};
use std::collections::BTreeMap;
use std::path::Path;

const COMPILER: &str = "arm-none-eabi-gcc";

const CORES: [&str; 4] = [
    include_str!("../../../targets/cores/cortex-m0plus.toml"),
    include_str!("../../../targets/cores/cortex-m4.toml"),
    include_str!("../../../targets/cores/cortex-m7.toml"),
    include_str!("../../../targets/cores/cortex-m33.toml"),
];

/// Bytes of one object file.
#[derive(Default)]
struct Bytes {
    code: u64,
    constants: u64,
    variables: BTreeMap<String, u64>,
    /// The largest stack frame.
    frame: u64,
}

fn bytes(path: &Path) -> Bytes {
    let data = std::fs::read(path).expect("the compiler wrote it");
    let file = object::File::parse(&*data).expect("it is an object file");
    let mut bytes = Bytes::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        if !sh_flags.contains(elf::SHF_ALLOC) || section.size() == 0 {
            continue;
        }
        if sh_flags.contains(elf::SHF_WRITE) {
            bytes.variables.insert(section.name().expect("it has a name").into(), section.size());
        } else if sh_flags.contains(elf::SHF_EXECINSTR) {
            bytes.code += section.size();
        } else {
            bytes.constants += section.size();
        }
    }
    bytes
}

/// The compiler and the flags with which `model.h` says that its figures hold.
/// Bytes of the step that stands for all rows of a layer.
const STEP_BYTES: u64 = 20;

fn told_by_header(folder: &Folder) -> (String, Vec<String>) {
    let header = std::fs::read_to_string(folder.0.join("package/model.h")).expect("a header was written");
    let words = header.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
    let (_, told) = words.split_once("is compiled by ").expect("it names the compiler");
    let (compiler, told) = told.split_once(" with -").expect("it names flags");
    let (flags, _) = told.split_once(", and may not").expect("the flags end");
    (compiler.into(), format!("-{flags}").split(' ').map(String::from).collect())
}

/// Compiles with `flags` and what changes no code.
fn compile(folder: &Folder, flags: &[String], source: &str) -> Bytes {
    let warnings = WARNINGS.iter().filter(|flag| !flag.starts_with("-std"));
    let mut arguments: Vec<&str> = warnings.copied().chain(["-fstack-usage"]).collect();
    arguments.extend(flags.iter().map(String::as_str));
    let output = format!("{source}.o");
    let source = format!("package/{source}");
    arguments.extend(["-c", &source, "-o", &output]);
    run(&folder.0, COMPILER, &arguments);
    let usage = std::fs::read_to_string(folder.0.join(&output).with_extension("su")).expect("the compiler wrote it");
    let frames = usage.lines().map(|line| line.split('\t').nth(1).and_then(|n| n.parse().ok()).expect("bytes"));
    Bytes { frame: frames.max().unwrap_or(0), ..bytes(&folder.0.join(&output)) }
}

/// FLASH is never under-stated and, layer by layer, over-stated by at most 3 %; weights, quantization constants and descriptors are
/// exact; the arena is the only variable and exactly as large as planned; stack is at
/// most the bound. All of it with what the header says of the compiler, and nothing more.
fn check(name: &str, drawn: &Drawn, core: &CoreCosts) {
    let (flash, ram) = (flash(&drawn.network, &drawn.widths, core), ram(&drawn.network, &drawn.widths, core));
    let plan = &ram.plan;
    let figures = Figures::of(core, &flash, &ram);
    let options = EmitOptions { figures: Some(figures), ..EmitOptions::default() };
    let folder = Folder::new(&format!("{name}-{}", core.name));
    folder.write("package", &emit(&drawn.integer, plan, &options).expect("a drawn network can be emitted"));
    let context = format!("{name} on {}", core.name);
    let (compiler, flags) = told_by_header(&folder);
    assert_eq!(compiler, core.compiler, "{context}");
    let [model, weights, kernels] =
        ["model.c", "weights.c", "bitesize_kernels.c"].map(|source| compile(&folder, &flags, source));
    // What chooses a chain's steps calls no kernel, so frames of chains do not add up like this; verification paints the stack.
    let rolls = plan.segments.iter().any(|segment| matches!(segment, PlannedSegment::Chain { .. }));
    let stack = model.frame + kernels.frame;
    assert!(rolls || stack <= ram.stack, "{context}: {stack} bytes of stack where {} is the bound", ram.stack);
    assert_eq!(weights.constants, flash.weights + flash.quantization, "{context}: weights.c");
    let layer = |(node, implementation): (&Node, &Implementation)| {
        let calls = if matches!(node.op, Op::Concat) { node.inputs.len() as u64 } else { 1 };
        let kind = node.op.kernel_kind().expect("a drawn network is rewritten");
        calls * core.layer(kind, *implementation).descriptor_bytes
    };
    let descriptors: u64 = drawn.network.nodes.iter().zip(&plan.implementations).map(layer).sum();
    // Beside descriptors there are one step that all layers share, and the tables of chains.
    let least = descriptors..=descriptors + STEP_BYTES;
    assert!(rolls || least.contains(&model.constants), "{context}: {} and {descriptors} descriptors", model.constants);
    assert_eq!((weights.code, kernels.constants), (0, 0), "{context}: code and constants are where they belong");
    assert_eq!(model.variables, BTreeMap::from([(".bss.model_arena".into(), plan.arena_bytes as u64)]), "{context}");
    assert!(weights.variables.is_empty() && kernels.variables.is_empty(), "{context}: a hidden variable");
    let total = model.code + model.constants + weights.constants + kernels.code;
    let predicted = flash.total;
    assert!(predicted >= total, "{context}: {total} bytes where {predicted} were predicted");
    // Where layers may take turns, FLASH has room for the chains of any order, whichever is taken.
    let is_exact = core.scheduling == Scheduling::Layers;
    assert!(!is_exact || predicted * 100 <= total * 103, "{context}: {total} bytes where {predicted} were predicted");
    println!("{context}: {total} bytes, {predicted} predicted");
}

#[test]
fn the_memory_model_counts_the_bytes_of_emitted_packages() {
    if !installed(COMPILER) {
        return;
    }
    for text in CORES {
        let core = CoreCosts::from_toml(text).expect("the core file is whole");
        for seed in 100..106 {
            for scheduling in [Scheduling::Layers, Scheduling::Auto] {
                let core = core.with_schedule(scheduling, InputRows::Image);
                check(&format!("drawn-{seed}"), &drawn(seed, 2 + 3 * (seed as usize - 100)), &core);
            }
        }
    }
}

/// As many convolutions, each of all that there was before.
fn dense(convolutions: usize) -> Drawn {
    let window = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
    let mut draw = Draw::new(convolutions as u64, Shape::new(24, 24, 3), false);
    let mut all = vec![draw.conv(TensorId(0), 8, 1, window)];
    for _ in 0..convolutions {
        let joined = if all.len() == 1 { all[0] } else { draw.push(Op::Concat, &all) };
        all.push(draw.conv(joined, 3, 1, window));
    }
    draw.push(Op::Concat, &all);
    draw.finish()
}

/// Each part of a concatenation is a call, and from the second on says what it reads.
#[test]
fn parts_of_concatenations_in_chains_are_counted() {
    if !installed(COMPILER) {
        return;
    }
    for text in CORES {
        let core = CoreCosts::from_toml(text).expect("the core file is whole");
        for (convolutions, by_rows) in [(2, true), (5, false), (12, true), (12, false)] {
            // However many instructions chains take.
            let core = CoreCosts { instructions: None, ..core.with_rows(by_rows) };
            let core = core.with_schedule(Scheduling::Auto, InputRows::Image);
            let drawn = dense(convolutions);
            let plan = ram(&drawn.network, &drawn.widths, &core).plan;
            let is_joined = |segment: &PlannedSegment| match segment {
                PlannedSegment::Chain { chain, .. } => chain.members.iter().any(|member| member.inputs.len() > 2),
                PlannedSegment::Layer(_) => false,
            };
            assert!(convolutions == 2 || plan.segments.iter().any(is_joined), "{convolutions} on {}", core.name);
            check(&format!("dense-{convolutions}-{by_rows}"), &drawn, &core);
        }
    }
}

/// Firmware with an FPU, from builds for a debugger to the fastest: compilers then have a register less for assembly.
#[test]
fn stages_compile_with_the_flags_of_firmware() {
    if !installed(COMPILER) {
        return;
    }
    let folder = Folder::new("firmware");
    let files = instances(&Stage::all().into_iter().map(Code::Stage).collect(), "stages");
    let [_, (source, _)] = &files;
    for (name, text) in &files {
        std::fs::write(folder.0.join(name), text).expect("the folder can be written to");
    }
    let optimizations = ["-O0", "-Og", "-Os", "-O2", "-O3"];
    for (core, optimization) in
        ["cortex-m4", "cortex-m7", "cortex-m33"].iter().flat_map(|c| optimizations.map(|o| (c, o)))
    {
        for pointer in ["-fomit-frame-pointer", "-fno-omit-frame-pointer"] {
            let core = format!("-mcpu={core}");
            let flags = [&core, "-mthumb", "-mfloat-abi=hard", optimization, pointer, "-c", source, "-o", "stages.o"];
            run(&folder.0, COMPILER, &[&WARNINGS[..], &flags[..]].concat());
        }
    }
}
