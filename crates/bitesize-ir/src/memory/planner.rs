//! Places buffers with lifetimes into one arena.

/// A buffer that must not overlap any other alive at the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its size; the planner keeps offsets multiples of 4 when all sizes are.
    pub bytes: usize,
    /// First step at which it is alive.
    pub first: usize,
    /// Last step at which it is alive, inclusive.
    pub last: usize,
}

impl Buffer {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where one buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Bytes from the start of the arena.
    pub offset: usize,
}

/// A placement of every buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Largest sum of buffers alive together.
    pub lower_bound: usize,
    /// One for each buffer, in their order.
    pub placements: Vec<Placement>,
}

/// Places `buffers` so that none that are alive together overlap.
pub fn plan(buffers: &[Buffer]) -> Plan {
    let steps = buffers.iter().map(|b| b.last + 1).max().unwrap_or(0);
    let lower_bound = alive_bytes(buffers, steps).into_iter().max().unwrap_or(0);
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].bytes), i));
    let (arena_bytes, placements) = first_fit(buffers, &order);
    Plan { arena_bytes, lower_bound, placements }
}

/// Bytes alive at each of `steps` steps; every buffer's last step is among them.
pub(super) fn alive_bytes(buffers: &[Buffer], steps: usize) -> Vec<usize> {
    let (mut born, mut dead) = (vec![0; steps], vec![0; steps + 1]);
    for buffer in buffers {
        born[buffer.first] += buffer.bytes;
        dead[buffer.last + 1] += buffer.bytes;
    }
    let mut alive = 0;
    born.iter()
        .zip(dead)
        .map(|(born, dead)| {
            alive = alive + born - dead;
            alive
        })
        .collect()
}

/// Places buffers in `order`, each at the lowest offset that no buffer placed before and alive with it covers.
fn first_fit(buffers: &[Buffer], order: &[usize]) -> (usize, Vec<Placement>) {
    let mut placements = vec![Placement { offset: 0 }; buffers.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    let mut arena = 0;
    for &i in order {
        let mut offset = 0;
        // `placed` is kept by offset, so one walk finds the lowest gap.
        for &other in &placed {
            if !buffers[i].meets(&buffers[other]) {
                continue;
            }
            let start = placements[other].offset;
            if offset + buffers[i].bytes <= start {
                break;
            }
            offset = offset.max(start + buffers[other].bytes);
        }
        placements[i].offset = offset;
        let at = placed.partition_point(|&p| placements[p].offset <= offset);
        placed.insert(at, i);
        arena = arena.max(offset + buffers[i].bytes);
    }
    (arena, placements)
}
