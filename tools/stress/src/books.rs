//! The allocator's books against the shadow's: at the end everything was freed and purged, so
//! what the process has must be what it had before, but for a bound.
//!
//! The allocator tells no figures of its own yet, so the kernel's stand in for them. Once it
//! does, this is the place to compare them with the shadow's to the byte.

use crate::process::Memory;

/// Resident anonymous bytes that may remain after the last purge: the allocator's records,
/// the headers of chunks that long-lived blocks of the harness keep, stacks that libc caches,
/// and the harness's own figures.
const RESIDENT_BOUND: usize = 24 << 20;
/// Address space that may remain: as above, with chunks whole, and stacks as long as they are
/// mapped (glibc keeps up to 40 MiB of them).
const MAPPED_BOUND: usize = 160 << 20;

/// Three readings and what the shadow says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    /// Before the lanes.
    pub(crate) before: Memory,
    /// After the lanes, with their last blocks alive.
    pub(crate) full: Memory,
    /// The shadow's live bytes then.
    pub(crate) live_bytes: usize,
    /// Everything freed and purged.
    pub(crate) after: Memory,
    /// The shadow's live bytes then.
    pub(crate) left_bytes: usize,
}

/// An entry that does not balance.
#[derive(Clone, Debug)]
pub(crate) struct Imbalance {
    pub(crate) what: &'static str,
    pub(crate) have: usize,
    pub(crate) most: usize,
}

impl Books {
    /// Every entry that does not balance.
    pub(crate) fn imbalances(&self) -> Vec<Imbalance> {
        let resident = self.before.anonymous + RESIDENT_BOUND;
        let mapped = self.before.mapped + MAPPED_BOUND;
        [
            ("live bytes by the shadow's count, everything freed", self.left_bytes, 0),
            ("resident anonymous bytes, everything freed and purged", self.after.anonymous, resident),
            ("mapped bytes, everything freed and purged", self.after.mapped, mapped),
        ]
        .into_iter()
        .filter(|(_, have, most)| have > most)
        .map(|(what, have, most)| Imbalance { what, have, most })
        .collect()
    }
}
