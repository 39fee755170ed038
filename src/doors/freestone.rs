//! The allocator's type: what a program writes down, and the options that it writes down with it.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::policy::options::{HugePagePolicy, OnMisuse, Options};

/// The allocator. One static of this type with `#[global_allocator]` makes it the program's.
///
/// Every value of the type is the same allocator: blocks may be freed through any of them. Options
/// are builder methods; those of the value through which the first block is allocated hold for
/// the process, but for what its environment says otherwise (`FREESTONE_…`, see each method).
/// They are read once, before the first block is handed out.
///
/// ```
/// use std::time::Duration;
///
/// use freestone::Freestone;
///
/// #[global_allocator]
/// static ALLOC: Freestone = Freestone::new().purge_delay(Duration::from_millis(10)).memory_limit(1 << 30);
/// # fn main() { assert_eq!(vec![1; 3].len(), 3); }
/// ```
///
/// Off Linux, and where pointers have 32 bits, the crate forwards to
/// [`System`](std::alloc::System), and options have no effect.
///
/// With the feature `allocator-api2` it is an `allocator_api2::alloc::Allocator` as well.
#[derive(Clone, Copy, Debug)]
pub struct Freestone {
    pub(crate) options: Options,
}

impl Default for Freestone {
    fn default() -> Self {
        Self::new()
    }
}

impl Freestone {
    /// The allocator with its default options.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: Options::DEFAULT }
    }

    /// Freed pages wait this long, and at most twice as long, before they go back to the kernel;
    /// freed large mappings as long. Counted in milliseconds, parts of one as a whole one.
    /// [`Duration::ZERO`]: they go back at once. [`Duration::MAX`]: only by
    /// [`purge`](crate::purge). Default 100 ms. `FREESTONE_PURGE_DELAY_MS`, in milliseconds, or
    /// `never`.
    #[must_use]
    pub const fn purge_delay(mut self, delay: Duration) -> Self {
        self.options.purge_delay_ms = whole_ms(delay);
        self
    }

    /// At most this many bytes of freed large mappings wait for reuse. Default no limit but what is
    /// seen to be needed again: 128 MiB, and more where a program has asked for more of what it had
    /// freed a little before. `FREESTONE_RETAINED_BYTES`.
    #[must_use]
    pub const fn retained_bytes(mut self, bytes: usize) -> Self {
        self.options.retained_bytes = bytes;
        self
    }

    /// What is backed by huge pages. Default [`HugePagePolicy::Adaptive`]. `FREESTONE_HUGE_PAGES`.
    #[must_use]
    pub const fn huge_pages(mut self, which: HugePagePolicy) -> Self {
        self.options.huge_pages = which;
        self
    }

    /// Whether the pages of a new slab are faulted in with one call instead of one fault each:
    /// fewer faults for more resident memory. Needs Linux 5.14, and has no effect before. Default
    /// false. `FREESTONE_POPULATE=1`.
    #[must_use]
    pub const fn populate(mut self, on: bool) -> Self {
        self.options.populate = on;
        self
    }

    /// At most this many bytes are committed: slabs, freed pages not yet purged, large and retained
    /// mappings. Beyond it, what is only kept is given back, if that may be enough; then
    /// allocations fail. The allocator's own tables are not counted. Default none.
    /// `FREESTONE_MEMORY_LIMIT`.
    #[must_use]
    pub const fn memory_limit(mut self, bytes: usize) -> Self {
        self.options.memory_limit = bytes;
        self
    }

    /// As [`memory_limit`](Self::memory_limit), in percent of the memory limit of the control group
    /// that the process is started in (version 1 or 2, the least of its ancestors'). Without such
    /// a limit it has no effect. With both, the lower holds. `FREESTONE_MEMORY_LIMIT=50%`.
    ///
    /// From 1 to 100, which the compiler checks:
    ///
    /// ```
    /// static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit_from_cgroup::<80>();
    /// ```
    /// ```compile_fail,E0080
    /// static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit_from_cgroup::<0>();
    /// ```
    /// ```compile_fail,E0080
    /// static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit_from_cgroup::<101>();
    /// ```
    #[must_use]
    pub const fn memory_limit_from_cgroup<const PERCENT: u8>(mut self) -> Self {
        const { assert!(PERCENT >= 1 && PERCENT <= 100, "percent are from 1 to 100") };
        self.options.cgroup_percent = PERCENT;
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

    /// Whether everything is mapped with `MAP_LOCKED` (mmap(2)): it is never swapped out. What
    /// exceeds `RLIMIT_MEMLOCK` is out of memory. Default false. `FREESTONE_LOCK_IN_MEMORY=1`.
    #[must_use]
    pub const fn lock_in_memory(mut self, on: bool) -> Self {
        self.options.lock_in_memory = on;
        self
    }

    /// Whether everything is mapped with `MAP_NORESERVE` (mmap(2)): untouched memory does not count
    /// for the kernel's overcommit limit. Default false. `FREESTONE_NO_RESERVE=1`.
    #[must_use]
    pub const fn no_reserve(mut self, on: bool) -> Self {
        self.options.no_reserve = on;
        self
    }

    /// Whether an inaccessible page lies before and after each large allocation; freed ones cannot
    /// be touched while they wait for reuse. Default false; true with the feature `secure`. Before
    /// Linux 6.13 each costs two mappings, is not kept for reuse, and its `realloc` copies; beyond
    /// a quarter of `vm.max_map_count` they go without. `FREESTONE_GUARD_PAGES=1`.
    #[must_use]
    pub const fn guard_pages(mut self, on: bool) -> Self {
        self.options.guard_pages = on;
        self
    }

    /// Whether every double free through `GlobalAlloc` is found before the second call returns.
    /// Then no thread keeps freed blocks in bins. Default false: one of a block in a bin is found
    /// at once if the block was the last one of its size class to be freed, else when the bin's
    /// blocks go to their slabs, unless it was handed out in between. Debug builds find every one
    /// by the same thread at once, as [`untyped::free`](crate::untyped::free) does, and the
    /// `secure` build has no bins. `FREESTONE_CHECK_FREES=1`.
    #[must_use]
    pub const fn check_frees(mut self, on: bool) -> Self {
        self.options.check_frees = on;
        self
    }

    /// What detected misuse leads to. Default [`OnMisuse::Abort`]. `FREESTONE_ON_MISUSE`.
    #[must_use]
    pub const fn on_misuse(mut self, what: OnMisuse) -> Self {
        self.options.on_misuse = what;
        self
    }

    /// Whether the table of [`stats`](crate::stats::stats) is printed on standard error when the
    /// program exits (atexit(3)). Default false. `FREESTONE_SHOW_STATS=1`.
    #[must_use]
    pub const fn show_stats(mut self, on: bool) -> Self {
        self.options.show_stats = on;
        self
    }

    /// Whether the options in force are printed on standard error, once. Default false.
    /// `FREESTONE_VERBOSE=1`.
    #[must_use]
    pub const fn verbose(mut self, on: bool) -> Self {
        self.options.verbose = on;
        self
    }
}

/// As many milliseconds, at least as long as `delay`; the longest that there is for what exceeds
/// it.
const fn whole_ms(delay: Duration) -> u64 {
    let ms = delay.as_nanos().div_ceil(1_000_000);
    if ms < u64::MAX as u128 { ms as u64 } else { u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_milliseconds_and_the_longest_never_ends() {
        assert_eq!(whole_ms(Duration::ZERO), 0);
        assert_eq!(whole_ms(Duration::from_nanos(1)), 1);
        assert_eq!(whole_ms(Duration::from_millis(70)), 70);
        assert_eq!(whole_ms(Duration::from_micros(70_001)), 71);
        assert_eq!(whole_ms(Duration::from_millis(u64::MAX - 1)), u64::MAX - 1);
        assert_eq!(whole_ms(Duration::MAX), u64::MAX);
    }

    #[test]
    fn switches_are_switched_on_and_off() {
        let on = Freestone::new()
            .populate(true)
            .lock_in_memory(true)
            .no_reserve(true)
            .guard_pages(true)
            .check_frees(true)
            .show_stats(true)
            .verbose(true);
        let switches = |of: &Freestone| {
            let Options {
                populate,
                lock_in_memory,
                no_reserve,
                guard_pages,
                check_frees,
                show_stats,
                verbose,
                ..
            } = of.options;
            [populate, lock_in_memory, no_reserve, guard_pages, check_frees, show_stats, verbose]
        };
        assert_eq!(switches(&on), [true; 7]);
        let off = on
            .populate(false)
            .lock_in_memory(false)
            .no_reserve(false)
            .guard_pages(false)
            .check_frees(false)
            .show_stats(false)
            .verbose(false);
        assert_eq!(switches(&off), [false; 7]);
    }
}
