//! Emitted packages compiled for Cortex-M: what the memory model counts is what the object files hold.

mod common;

use bitesize_ir::memory::{flash, ram};
use bitesize_ir::target::CoreCosts;
use common::compiler::{Folder, WARNINGS, installed, run, write_package};
use common::networks::{Drawn, drawn};
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

fn compile(folder: &Folder, core: &CoreCosts, source: &str) -> Bytes {
    let mut arguments: Vec<&str> = WARNINGS.to_vec();
    arguments.extend(core.flags.iter().map(String::as_str));
    let output = format!("{source}.o");
    let source = format!("package/{source}");
    arguments.extend(["-ffunction-sections", "-fdata-sections", "-c", &source, "-o", &output]);
    run(&folder.0, COMPILER, &arguments);
    bytes(&folder.0.join(&output))
}

/// FLASH is never under-stated and over-stated by at most 3 %; weights, quantization constants and descriptors are
/// exact; the arena is the only variable and exactly as large as planned.
fn check(name: &str, drawn: &Drawn, core: &CoreCosts) {
    let flash = flash(&drawn.network, &drawn.widths, core);
    let plan = ram(&drawn.network, &drawn.widths, core).plan;
    let folder = write_package(&format!("{name}-{}", core.name), &drawn.integer, &plan, 1);
    let [model, weights, kernels] =
        ["model.c", "weights.c", "bitesize_kernels.c"].map(|source| compile(&folder, core, source));
    let context = format!("{name} on {}", core.name);
    assert_eq!(weights.constants, flash.weights + flash.quantization, "{context}: weights.c");
    let keys = drawn.network.nodes.iter().enumerate();
    let keys = keys.flat_map(|(i, node)| bitesize_ir::memory::kernel_keys(node, i, &drawn.widths));
    let descriptors: u64 = keys.map(|key| core.layer(key.kind).descriptor_bytes).sum();
    assert_eq!(model.constants, descriptors, "{context}: descriptors");
    assert_eq!((weights.code, kernels.constants), (0, 0), "{context}: code and constants are where they belong");
    assert_eq!(model.variables, BTreeMap::from([(".bss.model_arena".into(), plan.arena_bytes as u64)]), "{context}");
    assert!(weights.variables.is_empty() && kernels.variables.is_empty(), "{context}: a hidden variable");
    let total = model.code + model.constants + weights.constants + kernels.code;
    let predicted = flash.total;
    assert!(predicted >= total, "{context}: {total} bytes where {predicted} were predicted");
    assert!(predicted * 100 <= total * 103, "{context}: {total} bytes where {predicted} were predicted");
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
            check(&format!("drawn-{seed}"), &drawn(seed, 2 + 3 * (seed as usize - 100)), &core);
        }
    }
}
