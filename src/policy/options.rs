//! What can be chosen: the values, their defaults, and where they are read from.
//!
//! The values that a program writes down live in its `Freestone`; [`frozen`](super::frozen) joins
//! them with the environment ([`variables`](super::variables) has the one table) when the first
//! block is asked for.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) use super::frozen::{are_in_force, get, mend, propose, propose_defaults, propose_with};

/// What is backed by huge pages, where the kernel has them on request (`madvise`) at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePagePolicy {
    /// Nothing, even where the kernel backs everything with them (`always`).
    Never,
    /// Large blocks that grow, from 8 MiB on, and slabs' chunks once there are many; none for a
    /// while after one that took longer to fault in than its small pages would have. Chunks not
    /// under a memory limit, which counts what slabs use.
    Adaptive,
    /// All chunks and every mapping of 2 MiB and more.
    Always,
}

/// What detected misuse of the allocator leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnMisuse {
    /// A line on standard error, and `SIGABRT`.
    Abort,
    /// The line alone, where the call can be ignored.
    Report,
}

/// No limit.
pub(crate) const UNLIMITED: usize = usize::MAX;

/// One choice of everything. See the builder methods of [`Freestone`](crate::Freestone).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) purge_delay_ms: u64,
    pub(crate) retained_bytes: usize,
    pub(crate) huge_pages: HugePagePolicy,
    pub(crate) populate: bool,
    pub(crate) memory_limit: usize,
    pub(crate) cgroup_percent: u8,
    pub(crate) soft_memory_limit: usize,
    pub(crate) on_soft_limit: Option<extern "C" fn(usize)>,
    pub(crate) lock_in_memory: bool,
    pub(crate) no_reserve: bool,
    pub(crate) guard_pages: bool,
    pub(crate) check_frees: bool,
    pub(crate) on_misuse: OnMisuse,
    pub(crate) show_stats: bool,
    pub(crate) verbose: bool,
}

impl Options {
    pub(crate) const DEFAULT: Self = Self {
        // Long enough for a loop to find its memory again, short enough to be forgotten soon.
        purge_delay_ms: 100,
        retained_bytes: UNLIMITED,
        huge_pages: HugePagePolicy::Adaptive,
        populate: false,
        memory_limit: UNLIMITED,
        cgroup_percent: 0,
        soft_memory_limit: UNLIMITED,
        on_soft_limit: None,
        lock_in_memory: false,
        no_reserve: false,
        guard_pages: cfg!(feature = "secure"),
        check_frees: false,
        on_misuse: OnMisuse::Abort,
        show_stats: false,
        verbose: false,
    };
}
