//! Groups that some blocks under test belong to, and the shadow's count of each.

use std::sync::atomic::{AtomicUsize, Ordering};

use freestone::groups::{Group, GroupStats};

use crate::options::Options;

/// How many groups there are.
pub(crate) const COUNT: usize = 3;

static GROUPS: [Group; COUNT] = [Group::new("stress 1"), Group::new("stress 2"), Group::new("stress 3")];
/// Live blocks of each group, and the bytes asked for.
static LIVE: [Live; COUNT] =
    [const { Live { blocks: AtomicUsize::new(0), bytes: AtomicUsize::new(0) } }; COUNT];

struct Live {
    blocks: AtomicUsize,
    bytes: AtomicUsize,
}

/// Whose a block is: a group's, or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose(Option<usize>);

impl Whose {
    /// Whose a block is to be: its id decides. Half of all are nobody's.
    pub(crate) fn of(id: u64) -> Self {
        // Other bits than those that decide on the door.
        let mixed = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 6;
        Self(usize::try_from(mixed).ok().filter(|group| *group < COUNT))
    }

    /// Calls `ask` in the group. The answer, and whose it is: nobody's where the thread could not
    /// enter, without memory for a heap or at its end.
    pub(crate) fn ask<T>(self, ask: impl FnOnce() -> T) -> (T, Self) {
        let Some(group) = self.0 else { return (ask(), self) };
        let _entered = GROUPS[group].entered();
        let whose = Self(Group::current().map(|_| group));
        (ask(), whose)
    }

    /// As [`ask`](Self::ask) of a block that is there; None, and nothing is asked, where the thread
    /// could not enter.
    pub(crate) fn ask_again<T>(self, ask: impl FnOnce() -> T) -> Option<T> {
        let Some(group) = self.0 else { return Some(ask()) };
        let _entered = GROUPS[group].entered();
        Group::current().map(|_| ask())
    }

    /// Counts a block of `size` bytes.
    pub(crate) fn count(self, size: usize) {
        if let Some(live) = self.0.map(|group| &LIVE[group]) {
            live.blocks.fetch_add(1, Ordering::Relaxed);
            live.bytes.fetch_add(size, Ordering::Relaxed);
        }
    }

    /// Ends the count of a block.
    pub(crate) fn uncount(self, size: usize) {
        if let Some(live) = self.0.map(|group| &LIVE[group]) {
            live.blocks.fetch_sub(1, Ordering::Relaxed);
            live.bytes.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

/// What the allocator and the shadow count of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) stats: GroupStats,
    pub(crate) live_blocks: usize,
    /// None where not all bytes come with layouts: the allocator does not count them then.
    pub(crate) live_bytes: Option<usize>,
}

/// Of every group.
pub(crate) fn counts(options: &Options) -> [Counts; COUNT] {
    std::array::from_fn(|group| {
        let live = &LIVE[group];
        Counts {
            stats: GROUPS[group].stats(),
            live_blocks: live.blocks.load(Ordering::Relaxed),
            live_bytes: options.doors.have_layouts().then(|| live.bytes.load(Ordering::Relaxed)),
        }
    })
}
