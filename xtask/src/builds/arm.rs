//! Builds for Cortex-M: warnings and stack by the compiler, answers and stack on an emulated machine where there is one.

use super::packages::Package;
use super::row::{Built, Row, WARNINGS};
use crate::objects::compile;
use bitesize_ir::target::CoreCosts;
use bitesize_verify::{
    Job, MACHINES, Machine, MemoryRegion, PackageFolder, Runner, Status, VerifySettings, boards, verify,
};
use rayon::prelude::*;
use std::num::NonZero;

const COMPILER: &str = "arm-none-eabi-gcc";

/// What the cores' files say besides core and optimization.
const COMMON: [&str; 4] = ["-mthumb", "-std=c99", "-ffunction-sections", "-fdata-sections"];

const CORES: [&str; 8] =
    ["cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m23", "cortex-m33", "cortex-m55"];

const OPTIMIZATIONS: [&str; 3] = ["-O2", "-Os", "-O3"];

const MIB: u64 = 1024 * 1024;

/// The machine of the Cortex-M0+ is a Cortex-M3.
static CORTEX_M3: Machine = Machine {
    runner: "qemu-m3",
    core: "cortex-m3",
    machine: "mps2-an385",
    instructions_per_tick: 40,
    traps_unaligned: false,
    code: MemoryRegion { origin: 0, length: 4 * MIB },
    ram: MemoryRegion { origin: 0x2000_0000, length: 4 * MIB },
    psram: MemoryRegion { origin: 0x2100_0000, length: 16 * MIB },
};

/// Memories of Arm's application note AN547: ITCM, DTCM and DDR4.
static CORTEX_M55: Machine = Machine {
    runner: "qemu-m55",
    core: "cortex-m55",
    machine: "mps3-an547",
    instructions_per_tick: 40,
    traps_unaligned: false,
    code: MemoryRegion { origin: 0, length: MIB / 2 },
    ram: MemoryRegion { origin: 0x2000_0000, length: MIB / 2 },
    psram: MemoryRegion { origin: 0x6000_0000, length: 16 * MIB },
};

fn machine(core: &str) -> Option<&'static Machine> {
    [&CORTEX_M3, &CORTEX_M55].into_iter().chain(&MACHINES).find(|machine| machine.core == core)
}

pub(super) fn rows(packages: &[Package]) -> Result<Vec<Row>, String> {
    let version = super::host::version(COMPILER);
    if version == COMPILER {
        println!("SKIPPED: `{COMPILER}` is not installed; install gcc-arm-none-eabi libnewlib-arm-none-eabi");
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for core in CORES {
        for optimization in OPTIMIZATIONS {
            let mut flags = vec![format!("-mcpu={core}"), optimization.into()];
            flags.extend(COMMON.map(String::from));
            let built: Result<Vec<Built>, String> =
                packages.par_iter().map(|package| build(package, core, optimization, &flags)).collect();
            let told = flags[1..].join(" ");
            rows.push(Row { compiler: version.clone(), target: core.into(), flags: told, built: built? });
        }
    }
    Ok(rows)
}

/// The costs of `core` where they are of these flags, whatever their order.
fn costs(core: &str, flags: &[String]) -> Option<CoreCosts> {
    let costs = boards::core(core)?;
    let sorted = |flags: &[String]| {
        let mut flags = flags.to_vec();
        flags.sort();
        flags
    };
    (sorted(&costs.flags) == sorted(flags)).then_some(costs)
}

fn build(package: &Package, core: &str, optimization: &str, flags: &[String]) -> Result<Built, String> {
    let path = std::path::absolute(package.folder.join("package")).map_err(|e| e.to_string())?;
    let costs = costs(core, flags);
    let prediction = costs.as_ref().map(|costs| package.prediction(costs));
    let bound = prediction.as_ref().map(|prediction| prediction.stack_bytes);
    let counted = match counted_stack(&path, flags) {
        Ok(stack) => stack,
        Err(problem) => return Ok(Built { warnings: 1, problem: Some(problem), ran: false, stack: None }),
    };
    let Some(machine) = machine(core) else {
        return Ok(Built { warnings: 0, problem: None, ran: false, stack: Some((counted, bound)) });
    };
    let emitted = PackageFolder { folder: path, prefix: "model".into() };
    let job = Job { runner: Runner::Emulated(machine), samples: 1, flags: flags.to_vec(), prediction, layers: 0 };
    let settings = VerifySettings { workers: NonZero::<usize>::MIN, ..VerifySettings::default() };
    let result = verify(&emitted, &package.cases, &[job], &settings).map_err(|e| e.to_string())?.remove(0);
    eprintln!("{} {core} {optimization}: {} ({:.1} s)", package.name, result.status, result.elapsed.as_secs_f64());
    let ran = result.status == Status::Passed;
    let problem = (!ran).then(|| result.status.to_string());
    // Where no bound is known for the flags, what the compiler counted is one.
    Ok(Built {
        warnings: 0,
        problem,
        ran,
        stack: Some((result.stack_bytes.unwrap_or(counted), bound.or(Some(counted)))),
    })
}

/// The stack of the deepest call as the compiler counts it; fails at a warning.
fn counted_stack(package: &std::path::Path, flags: &[String]) -> Result<u64, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let entries = std::fs::read_dir(package).map_err(|e| format!("{}: {e}", package.display()))?;
    let mut files = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".c") || name.ends_with(".h") {
            files.push((name, std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?));
        }
    }
    let texts: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let flags: Vec<&str> =
        WARNINGS.iter().copied().chain(["-Werror"]).chain(flags.iter().map(String::as_str)).collect();
    let mut stack = 0;
    // The entry point calls one kernel after another, and a kernel calls nothing.
    for (source, _) in texts.iter().filter(|(name, _)| name.ends_with(".c")) {
        let object = compile(COMPILER, &flags, &texts, source, folder.path())?;
        stack += object.frames.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    }
    Ok(stack)
}
