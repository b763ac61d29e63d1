//! Where a package can be run: the host, and the machines of QEMU that stand for Cortex-M cores.

/// Bytes of stack that the harness gives to a package.
pub(crate) const STACK_BYTES: u64 = 64 * 1024;

const STARTUP: &str = include_str!("harness/cortex_m.c");
const HOST_MAIN: &str = include_str!("harness/host.c");
const LINKER_SCRIPT: &str = include_str!("harness/cortex_m.ld");

/// A place to run a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// The host's compiler and the host itself: `host-c`.
    Host,
    /// An emulated Cortex-M: `qemu-m4` and its like.
    Emulated(&'static Machine),
}

impl Runner {
    /// Every runner: the host, then [`MACHINES`].
    pub fn all() -> Vec<Self> {
        std::iter::once(Self::Host).chain(MACHINES.iter().map(Self::Emulated)).collect()
    }

    /// The host and the Cortex-M4 and Cortex-M7: what a package is verified on where nothing else is asked for, and
    /// the machine of `core` (as `cortex-m33`) where it is another one and there is one.
    pub fn usual(core: &str) -> Vec<Self> {
        Self::all()
            .into_iter()
            .filter(|r| matches!(r.name(), "host-c" | "qemu-m4" | "qemu-m7") || r.core() == Some(core))
            .collect()
    }

    /// The runner called `name`, as `qemu-m7`.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|runner| runner.name() == name)
    }

    /// As reports say: `host-c`, `qemu-m4`, ....
    pub fn name(&self) -> &'static str {
        match self {
            Self::Host => "host-c",
            Self::Emulated(machine) => machine.runner,
        }
    }

    /// The core that it stands for, as `cortex-m4`; `None` for the host.
    pub fn core(&self) -> Option<&'static str> {
        match self {
            Self::Host => None,
            Self::Emulated(machine) => Some(machine.core),
        }
    }

    /// The C file that feeds a package and stores what it answers.
    pub(crate) fn main_source(&self) -> &'static str {
        match self {
            Self::Host => HOST_MAIN,
            Self::Emulated(_) => STARTUP,
        }
    }
}

/// A machine of QEMU with a Cortex-M core.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// The runner's name in reports.
    pub runner: &'static str,
    /// The core that a package is compiled for.
    pub core: &'static str,
    /// What `qemu-system-arm -machine` calls it.
    pub machine: &'static str,
    /// Virtual nanoseconds, and so instructions under `-icount shift=0`, of one tick of SysTick.
    pub instructions_per_tick: u64,
    /// Whether the harness makes unaligned accesses fault, as the core does but the emulated one would not.
    pub traps_unaligned: bool,
    /// Where code runs.
    pub code: MemoryRegion,
    /// Where stack and arena lie.
    pub ram: MemoryRegion,
    /// Where constants lie that do not fit beside the code.
    pub psram: MemoryRegion,
}

/// One memory of a machine, as its linker script names it.
#[derive(Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// Start address.
    pub origin: u64,
    /// Bytes.
    pub length: u64,
}

const MIB: u64 = 1024 * 1024;

const fn memory(origin: u64, length: u64) -> MemoryRegion {
    MemoryRegion { origin, length }
}

/// The machines, from the smallest core to the largest.
///
/// Memories are those of Arm's application notes AN385, AN386, AN500 and AN505 as QEMU has them; code memory ends at
/// 4 MiB because what follows is an alias of it. QEMU has no Cortex-M0+ with room enough: a Cortex-M3 runs its
/// instructions, and has to be told to refuse unaligned accesses as a Cortex-M0+ does.
pub static MACHINES: [Machine; 4] = [
    Machine {
        runner: "qemu-m0plus",
        core: "cortex-m0plus",
        machine: "mps2-an385",
        instructions_per_tick: 40,
        traps_unaligned: true,
        code: memory(0, 4 * MIB),
        ram: memory(0x2000_0000, 4 * MIB),
        psram: memory(0x2100_0000, 16 * MIB),
    },
    Machine {
        runner: "qemu-m4",
        core: "cortex-m4",
        machine: "mps2-an386",
        instructions_per_tick: 40,
        traps_unaligned: false,
        code: memory(0, 4 * MIB),
        ram: memory(0x2000_0000, 4 * MIB),
        psram: memory(0x2100_0000, 16 * MIB),
    },
    Machine {
        runner: "qemu-m7",
        core: "cortex-m7",
        machine: "mps2-an500",
        instructions_per_tick: 40,
        traps_unaligned: false,
        code: memory(0, 4 * MIB),
        ram: memory(0x2000_0000, 4 * MIB),
        psram: memory(0x6000_0000, 16 * MIB),
    },
    Machine {
        runner: "qemu-m33",
        core: "cortex-m33",
        machine: "mps2-an505",
        instructions_per_tick: 50,
        traps_unaligned: false,
        code: memory(0x1000_0000, 4 * MIB),
        ram: memory(0x3800_0000, 4 * MIB),
        psram: memory(0x8000_0000, 16 * MIB),
    },
];

/// Bytes of code memory and of RAM that are kept for the harness, libc and the compiler's own functions.
const HARNESS_BYTES: u64 = 64 * 1024;

impl Machine {
    /// The linker script for a package with so many bytes of code and constants, and of variables.
    pub(crate) fn linker_script(&self, flash_bytes: u64, ram_bytes: u64) -> String {
        let region = |fits: bool, near: &str| if fits { near.to_string() } else { "PSRAM".into() };
        let constants = region(flash_bytes + HARNESS_BYTES <= self.code.length, "CODE");
        let arena = region(ram_bytes + HARNESS_BYTES + STACK_BYTES <= self.ram.length, "RAM");
        let mut script = LINKER_SCRIPT.replace("@CONSTANTS@", &constants).replace("@ARENA@", &arena);
        for (name, memory) in [("CODE", &self.code), ("RAM", &self.ram), ("PSRAM", &self.psram)] {
            script = script
                .replace(&format!("@{name}_ORIGIN@"), &format!("{:#x}", memory.origin))
                .replace(&format!("@{name}_LENGTH@"), &format!("{:#x}", memory.length));
        }
        script.replace("@STACK_BYTES@", &STACK_BYTES.to_string())
    }

    /// Arguments of `qemu-system-arm` that run `image`.
    pub(crate) fn emulator_arguments(&self, image: &str) -> Vec<String> {
        let fixed =
            "-display none -monitor none -serial none -icount shift=0 -semihosting-config enable=on,target=native";
        ["-machine", self.machine, "-kernel", image].into_iter().chain(fixed.split(' ')).map(String::from).collect()
    }
}
