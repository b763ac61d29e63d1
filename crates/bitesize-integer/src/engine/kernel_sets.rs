//! From an instruction set to its kernels.
#![allow(unsafe_code, reason = "calls of functions that need instructions, whose presence `KernelSet::new` checked")]

use super::conv::Conv;
use super::depthwise::Depthwise;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::plain::Plain;
use super::portable;
use super::set::InstructionSet;
#[cfg(target_arch = "x86_64")]
use super::{avx2, vnni};

/// The kernels of an instruction set that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelSet(InstructionSet);

impl KernelSet {
    /// # Panics
    /// Where the machine has not the instructions.
    pub(crate) fn new(set: InstructionSet) -> Self {
        assert!(set.is_available(), "this machine has no {set}");
        Self(set)
    }

    pub(crate) fn set(self) -> InstructionSet {
        self.0
    }

    /// Values of 16 bits that a layer needs room for, for `images` at once.
    pub(crate) fn words(self, layer: &Conv, images: usize) -> usize {
        match self.0 {
            InstructionSet::Avx2 => layer.reach(images),
            InstructionSet::Portable | InstructionSet::Avx512Vnni | InstructionSet::NeonDot => 0,
        }
    }

    /// Computes `images` images of a layer. The (padded) images begin at the beginning of `input`, which holds
    /// [`Conv::reach`] codes; `words` is room for [`Self::words`] values.
    pub(crate) fn conv(self, layer: &Conv, input: &[u8], images: usize, output: &mut [u8], words: &mut [i16]) {
        // Only AVX2 widens its input.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = words;
        match self.0 {
            InstructionSet::Portable => portable::conv(layer, input, images, output),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` has checked that the machine has the instructions.
            InstructionSet::Avx2 => unsafe { avx2::conv(layer, input, images, output, words) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            InstructionSet::Avx512Vnni => unsafe { vnni::conv(layer, input, images, output) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            InstructionSet::NeonDot => unsafe { neon::conv(layer, input, images, output) },
            other => unreachable!("`new` refuses {other} here"),
        }
    }

    /// Computes one image of a layer; the padded image begins at the beginning of `input`, which holds
    /// [`Depthwise::reach`] codes.
    pub(crate) fn depthwise(self, layer: &Depthwise, input: &[u8], output: &mut [u8]) {
        match self.0 {
            InstructionSet::Portable => portable::depthwise(layer, input, output),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` has checked that the machine has the instructions.
            InstructionSet::Avx2 => unsafe { avx2::depthwise(layer, input, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            InstructionSet::Avx512Vnni => unsafe { vnni::depthwise(layer, input, output) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            InstructionSet::NeonDot => unsafe { neon::depthwise(layer, input, output) },
            other => unreachable!("`new` refuses {other} here"),
        }
    }

    /// Computes one image of an operator without weights, as [`Plain::run`] does.
    pub(crate) fn plain<'a>(self, op: &Plain, input: impl Fn(usize) -> &'a [u8], output: &mut [u8], sums: &mut [i32]) {
        match self.0 {
            InstructionSet::Portable => op.run(input, output, sums),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` has checked that the machine has the instructions.
            InstructionSet::Avx2 => unsafe { avx2::plain(op, input, output, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            InstructionSet::Avx512Vnni => unsafe { vnni::plain(op, input, output, sums) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            InstructionSet::NeonDot => unsafe { neon::plain(op, input, output, sums) },
            other => unreachable!("`new` refuses {other} here"),
        }
    }
}
