//! The bytes of an arena, and what each of them holds.

/// What a byte holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A pixel of a tensor, numbered row by row.
    Pixel { tensor: usize, pixel: usize },
    /// Scratch of a node.
    Scratch(usize),
    /// State of a chain.
    State,
}

/// Why bytes cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There are no such bytes.
    Outside,
    /// Something else is at this byte, which is to be written.
    Held { byte: usize, by: Holder },
    /// What is to be read is not at this byte.
    Missing { byte: usize, by: Option<Holder> },
}

/// An arena. What nothing holds is garbage, at every step another.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    holders: Vec<Option<Holder>>,
    /// Steps until now.
    pub(super) step: usize,
}

impl Memory {
    /// An arena of `bytes` bytes that hold nothing.
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes: (0..bytes).map(|byte| garbage(0, byte)).collect(), holders: vec![None; bytes], step: 0 }
    }

    /// Writes `values` from `at` on, where nothing may be.
    pub(super) fn write(&mut self, at: usize, values: &[u8], holder: Holder) -> Result<(), Fault> {
        let end = self.end(at, values.len())?;
        let held = (at..end).find_map(|byte| Some(Fault::Held { byte, by: self.holders[byte]? }));
        held.map_or(Ok(()), Err)?;
        self.bytes[at..end].copy_from_slice(values);
        self.holders[at..end].fill(Some(holder));
        Ok(())
    }

    /// Makes `count` bytes from `at` on, where nothing may be, `holder`'s, filled with garbage.
    pub(super) fn claim(&mut self, at: usize, count: usize, holder: Holder) -> Result<(), Fault> {
        self.end(at, count)?;
        let values: Vec<u8> = (at..at + count).map(|byte| garbage(self.step, byte)).collect();
        self.write(at, &values, holder)
    }

    /// The `count` bytes from `at` on, which `holder` has to hold.
    pub(super) fn read(&self, at: usize, count: usize, holder: Holder) -> Result<&[u8], Fault> {
        let end = self.end(at, count)?;
        match (at..end).find(|byte| self.holders[*byte] != Some(holder)) {
            Some(byte) => Err(Fault::Missing { byte, by: self.holders[byte] }),
            None => Ok(&self.bytes[at..end]),
        }
    }

    /// Makes those of `count` bytes from `at` on that `holder` holds garbage.
    pub(super) fn release(&mut self, at: usize, count: usize, holder: Holder) {
        for byte in at..at.saturating_add(count).min(self.bytes.len()) {
            if self.holders[byte] == Some(holder) {
                self.holders[byte] = None;
                self.bytes[byte] = garbage(self.step, byte);
            }
        }
    }

    /// Whether `holder` holds all of `count` bytes from `at` on.
    pub(super) fn holds(&self, at: usize, count: usize, holder: Holder) -> bool {
        self.read(at, count, holder).is_ok()
    }

    fn end(&self, at: usize, count: usize) -> Result<usize, Fault> {
        at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or(Fault::Outside)
    }
}

/// A value that differs from step to step and from byte to byte (the finalizer of SplitMix64).
pub(super) fn garbage(step: usize, byte: usize) -> u8 {
    let mut bits = (step as u64) << 32 ^ byte as u64 ^ 0x9e37_79b9_7f4a_7c15;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_by_one_at_a_time() {
        let (a, b) = (Holder::Pixel { tensor: 0, pixel: 3 }, Holder::Scratch(1));
        let mut memory = Memory::new(8);
        assert_eq!(memory.write(2, &[7, 8, 9], a), Ok(()));
        assert_eq!(memory.read(2, 3, a), Ok(&[7, 8, 9][..]));
        assert_eq!(memory.read(2, 3, b), Err(Fault::Missing { byte: 2, by: Some(a) }));
        assert_eq!(memory.read(4, 2, a), Err(Fault::Missing { byte: 5, by: None }));
        assert_eq!(memory.claim(0, 3, b), Err(Fault::Held { byte: 2, by: a }));
        assert_eq!(memory.claim(6, 3, b), Err(Fault::Outside));
        assert_eq!(memory.claim(usize::MAX, 3, b), Err(Fault::Outside));
        assert_eq!(memory.claim(5, 3, b), Ok(()));
        memory.release(0, usize::MAX, a);
        assert!(!memory.holds(2, 3, a) && memory.holds(5, 3, b));
        assert_ne!(memory.bytes[2..5], [7, 8, 9]);
        assert_eq!(memory.claim(2, 3, b), Ok(()));
    }

    #[test]
    fn garbage_differs() {
        let values = |step| (0..64).map(|byte| garbage(step, byte)).collect::<Vec<u8>>();
        assert_ne!(values(1), values(2));
        assert!(values(1).windows(2).any(|pair| pair[0] != pair[1]));
    }
}
