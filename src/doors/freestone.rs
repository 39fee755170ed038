//! The allocator's type: what a program writes down, and the options that it writes down with it.
#![forbid(unsafe_code)]

use crate::policy::options::{HugePages, OnMisuse, Options};

/// The allocator. One static of this type with `#[global_allocator]` makes it the program's.
///
/// Every value of the type is the same allocator: blocks may be freed through any of them. Options
/// are builder methods; those of the value through which the first block is allocated hold for
/// the process, but for what its environment says otherwise (`FREESTONE_…`, see each method).
/// They are read once, before the first block is handed out.
///
/// ```
/// use freestone::Freestone;
///
/// #[global_allocator]
/// static ALLOC: Freestone = Freestone::new().purge_delay_ms(10).memory_limit(1 << 30);
/// # fn main() { assert_eq!(vec![1; 3].len(), 3); }
/// ```
///
/// Off Linux, and where pointers have 32 bits, the crate forwards to [`System`](std::alloc::System), and
/// options have no effect.
#[derive(Debug)]
pub struct Freestone {
    pub(crate) options: Options,
}

impl Default for Freestone {
    fn default() -> Self {
        Self::new()
    }
}

impl Freestone {
    /// A purge delay that never ends.
    pub const NEVER: u64 = u64::MAX;

    /// The allocator with its default options.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: Options::DEFAULT }
    }

    /// Freed pages wait this many milliseconds, and at most twice as many, before they go back to
    /// the kernel; freed large mappings as long. 0: they go back at once. [`NEVER`](Self::NEVER):
    /// only by [`purge`](crate::purge). Default 100. `FREESTONE_PURGE_DELAY_MS`.
    #[must_use]
    pub const fn purge_delay_ms(mut self, milliseconds: u64) -> Self {
        self.options.purge_delay_ms = milliseconds;
        self
    }

    /// At most this many bytes of freed large mappings wait for reuse. Default no limit but what is seen to be
    /// needed again: 128 MiB, and more where a program has asked for more of what it had freed a little before.
    /// `FREESTONE_RETAINED_BYTES`.
    #[must_use]
    pub const fn retained_bytes(mut self, bytes: usize) -> Self {
        self.options.retained_bytes = bytes;
        self
    }

    /// What is backed by huge pages. Default [`HugePages::Adaptive`]. `FREESTONE_HUGE_PAGES`.
    #[must_use]
    pub const fn huge_pages(mut self, which: HugePages) -> Self {
        self.options.huge_pages = which;
        self
    }

    /// Faults the pages of a new slab in with one call instead of one fault each: fewer faults for
    /// more resident memory. Needs Linux 5.14, and has no effect before. `FREESTONE_POPULATE=1`.
    #[must_use]
    pub const fn populate(mut self) -> Self {
        self.options.populate = true;
        self
    }

    /// At most this many bytes are committed: slabs, freed pages not yet purged, large and retained
    /// mappings. Beyond it, what is only kept is given back, if that may be enough; then allocations fail. The allocator's
    /// own tables are not counted. Default none. `FREESTONE_MEMORY_LIMIT`.
    #[must_use]
    pub const fn memory_limit(mut self, bytes: usize) -> Self {
        self.options.memory_limit = bytes;
        self
    }

    /// As [`memory_limit`](Self::memory_limit), in percent of the memory limit of the control group
    /// that the process is started in (version 1 or 2, the least of its ancestors'). Without such
    /// a limit it has no effect. With both, the lower holds. `FREESTONE_MEMORY_LIMIT=50%`.
    #[must_use]
    pub const fn memory_limit_from_cgroup(mut self, percent: u8) -> Self {
        self.options.cgroup_percent = percent;
        self
    }

    /// When more than this many bytes become committed, everything that is only kept is given back,
    /// and the callback of [`on_soft_limit`](Self::on_soft_limit) is called. Again when they fall a
    /// thirty-second below it and rise above it. Default none. `FREESTONE_SOFT_MEMORY_LIMIT`.
    #[must_use]
    pub const fn soft_memory_limit(mut self, bytes: usize) -> Self {
        self.options.soft_memory_limit = bytes;
        self
    }

    /// What to call when the soft limit was passed, with the bytes committed: by the thread whose
    /// allocation passed it, before that is answered, no lock held. It may allocate and free, and
    /// is not called again before it has returned.
    #[must_use]
    pub const fn on_soft_limit(mut self, callback: extern "C" fn(usize)) -> Self {
        self.options.on_soft_limit = Some(callback);
        self
    }

    /// Maps everything with `MAP_LOCKED` (mmap(2)): it is never swapped out. What exceeds
    /// `RLIMIT_MEMLOCK` is out of memory. `FREESTONE_LOCK_IN_MEMORY=1`.
    #[must_use]
    pub const fn lock_in_memory(mut self) -> Self {
        self.options.lock_in_memory = true;
        self
    }

    /// Maps everything with `MAP_NORESERVE` (mmap(2)): untouched memory does not count for the
    /// kernel's overcommit limit. `FREESTONE_NO_RESERVE=1`.
    #[must_use]
    pub const fn no_reserve(mut self) -> Self {
        self.options.no_reserve = true;
        self
    }

    /// Puts an inaccessible page before and after each large allocation; freed ones cannot be touched
    /// while they wait for reuse. Before Linux 6.13 each costs two mappings, is not kept for reuse, and its
    /// `realloc` copies; beyond a quarter of `vm.max_map_count` they go without. `FREESTONE_GUARD_PAGES=1`.
    #[must_use]
    pub const fn guard_pages(mut self) -> Self {
        self.options.guard_pages = true;
        self
    }

    /// What detected misuse leads to. Default [`OnMisuse::Abort`]. `FREESTONE_ON_MISUSE`.
    #[must_use]
    pub const fn on_misuse(mut self, what: OnMisuse) -> Self {
        self.options.on_misuse = what;
        self
    }

    /// Prints the table of [`stats`](crate::stats) on standard error when the program exits
    /// (atexit(3)). `FREESTONE_SHOW_STATS=1`.
    #[must_use]
    pub const fn show_stats(mut self) -> Self {
        self.options.show_stats = true;
        self
    }

    /// Prints on standard error which options are in force, once. `FREESTONE_VERBOSE=1`.
    #[must_use]
    pub const fn verbose(mut self) -> Self {
        self.options.verbose = true;
        self
    }
}
