//! The allocator's books against the shadow's and the kernel's, once every lane has ended: with
//! the last blocks alive, after they were freed, and after everything of the lanes is gone.

use freestone::stats::Stats;

use crate::process::Memory;
use crate::run::Run;
use crate::whose::{self, COUNT, Counts};

/// Resident anonymous bytes that may remain after the last purge: the allocator's records,
/// the headers of chunks that long-lived blocks of the harness keep, stacks that libc caches,
/// and the harness's own figures.
const RESIDENT_BOUND: usize = 24 << 20;
/// Address space that may remain: as above, with chunks whole, and stacks as long as they are
/// mapped (glibc keeps up to 40 MiB of them).
const MAPPED_BOUND: usize = 160 << 20;
/// Bytes by which the harness's own blocks may differ between two entries.
const HARNESS_BOUND: usize = 1 << 20;

/// One entry: what each party says at the same time, after a purge.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) stats: Stats,
    pub(crate) memory: Memory,
    /// Bytes asked for in the blocks under test.
    pub(crate) live_bytes: usize,
    /// Of each group. In place: what an entry allocates would be in the next one.
    pub(crate) groups: [Counts; COUNT],
}

impl Entry {
    /// Settles what is settled by a purge, and asks everybody.
    pub(crate) fn now(run: &Run) -> Self {
        freestone::purge();
        Self {
            stats: freestone::stats(),
            memory: Memory::now(),
            live_bytes: run.live_bytes(),
            groups: whose::counts(&run.options),
        }
    }

    /// What the allocator counts of each group, with what the shadow does.
    fn of_groups(&self) -> impl Iterator<Item = (&'static str, usize, usize, usize)> {
        self.groups.iter().flat_map(|group| {
            let (blocks, bytes) = (group.live_blocks, group.live_bytes);
            let bytes = bytes.map(|bytes| ("groups: requested", group.stats.requested, bytes, bytes));
            [("groups: blocks", group.stats.blocks, blocks, blocks)].into_iter().chain(bytes)
        })
    }

    /// Blocks that the shadow counts of groups.
    fn blocks_of_groups(&self) -> usize {
        self.groups.iter().map(|group| group.live_blocks).sum()
    }
}

/// The entries of a run.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    /// Before the lanes.
    pub(crate) before: Entry,
    /// After the lanes, with their last blocks alive.
    pub(crate) full: Entry,
    /// What those blocks may take at most, each rounded as its layout lets it be.
    pub(crate) full_most: usize,
    /// The blocks freed, and nothing else.
    pub(crate) freed: Entry,
    /// Everything of the lanes gone.
    pub(crate) after: Entry,
}

/// A figure outside its bounds.
#[derive(Clone, Debug)]
pub(crate) struct Imbalance {
    pub(crate) what: &'static str,
    pub(crate) have: usize,
    pub(crate) least: usize,
    pub(crate) most: usize,
}

impl Books {
    /// Every figure that is out of bounds.
    pub(crate) fn imbalances(&self) -> Vec<Imbalance> {
        let Self { before, full, full_most, freed, after } = self;
        let taken = full.stats.allocated.saturating_sub(freed.stats.allocated);
        let kernel = full.memory.mapped;
        let stranded = usize::try_from(after.stats.lost_total).unwrap_or(usize::MAX);
        let allocated = before.stats.allocated + HARNESS_BOUND;
        let resident = before.memory.anonymous + RESIDENT_BOUND;
        let mapped = before.memory.mapped + MAPPED_BOUND;
        [
            ("shadow: live bytes when everything is freed", freed.live_bytes, 0, 0),
            ("shadow: blocks of groups when everything is freed", freed.blocks_of_groups(), 0, 0),
            ("stats: allocated in the last blocks", taken, full.live_bytes, full_most + HARNESS_BOUND),
            ("stats: mapped with the last blocks, against the kernel's figure", full.stats.mapped, 0, kernel),
            ("stats: allocated at the end", after.stats.allocated, 0, allocated),
            ("stats: retained at the end", after.stats.retained, 0, 0),
            ("stats: dirty at the end", after.stats.dirty, 0, 0),
            ("stats: address space stranded", stranded, 0, 0),
            ("kernel: resident anonymous bytes at the end", after.memory.anonymous, 0, resident),
            ("kernel: mapped bytes at the end", after.memory.mapped, 0, mapped),
        ]
        .into_iter()
        .chain([before, full, freed, after].into_iter().flat_map(Entry::of_groups))
        .filter(|(_, have, least, most)| !(least..=most).contains(&have))
        .map(|(what, have, least, most)| Imbalance { what, have, least, most })
        .collect()
    }
}
