//! Which instructions the kernels are made of.

use std::fmt;

/// A set of vector instructions with kernels of its own. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstructionSet {
    /// What the compiler makes of plain loops, on any processor.
    Portable,
    /// AVX2 of x86-64: products of pairs of 16-bit values, 8 sums in a register.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL) with VNNI of x86-64: products of four bytes, 16 sums in a register.
    Avx512Vnni,
    /// NEON with the dot product of AArch64: products of four bytes, 4 sums in a register.
    NeonDot,
}

impl InstructionSet {
    /// Every set, the plainest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512Vnni, Self::NeonDot];

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            // What belongs to other processors.
            _ => false,
        }
    }

    /// The sets that this machine has, the plainest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|set| set.is_available()).collect()
    }

    /// The fastest set that this machine has.
    pub fn best() -> Self {
        *Self::available().last().expect("the portable set is everywhere")
    }

    /// How the kernels of this set want their weights.
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Portable => Layout { sums: 16, products: 1, panel: 1, interleaved: false, less: 0 },
            Self::Avx2 => Layout { sums: 8, products: 2, panel: 2, interleaved: true, less: 0 },
            Self::NeonDot => Layout { sums: 4, products: 4, panel: 4, interleaved: false, less: 128 },
            Self::Avx512Vnni => Layout { sums: 16, products: 4, panel: 4, interleaved: true, less: 0 },
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
            Self::NeonDot => "neon-dot",
        })
    }
}

/// How the kernels of an instruction set want weights packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    /// 32-bit sums in one register, each of another output channel.
    pub(crate) sums: usize,
    /// Products that one instruction adds up into a sum.
    pub(crate) products: usize,
    /// Registers of sums that a full panel of output channels takes.
    pub(crate) panel: usize,
    /// Whether the channels of several registers are interleaved the way that the narrowing instructions of x86,
    /// which work within 128 bits, put them in order.
    pub(crate) interleaved: bool,
    /// What is subtracted from codes before they are multiplied.
    pub(crate) less: i32,
}

impl Layout {
    /// The channel, within a block of `registers`, of each sum in turn.
    pub(crate) fn channels(self, registers: usize) -> Vec<usize> {
        let at = |register: usize, sum: usize| {
            if self.interleaved { 4 * (registers * (sum / 4) + register) + sum % 4 } else { register * self.sums + sum }
        };
        (0..registers).flat_map(|register| (0..self.sums).map(move |sum| at(register, sum))).collect()
    }

    /// The registers of sums of each panel for `channels` output channels: full panels, then halves.
    pub(crate) fn panels(self, channels: usize) -> Vec<usize> {
        let mut left = channels.div_ceil(self.sums);
        let mut panels = Vec::new();
        let mut registers = self.panel;
        while left > 0 {
            while registers > left {
                registers /= 2;
            }
            panels.push(registers);
            left -= registers;
        }
        panels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_of_a_block_has_its_place() {
        for set in InstructionSet::ALL {
            let layout = set.layout();
            for registers in [1, 2, 4] {
                let mut channels = layout.channels(registers);
                channels.sort_unstable();
                assert_eq!(channels, (0..registers * layout.sums).collect::<Vec<_>>(), "{set}");
            }
        }
    }

    #[test]
    fn panels_cover_the_channels() {
        let layout = InstructionSet::Avx512Vnni.layout();
        for (channels, expected) in [(10, &[1][..]), (32, &[2]), (48, &[2, 1]), (64, &[4]), (240, &[4, 4, 4, 2, 1])] {
            assert_eq!(layout.panels(channels), expected, "{channels}");
        }
    }
}
