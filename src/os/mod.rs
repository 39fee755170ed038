//! The only room that calls the kernel and the C library: one function a call, its errno as a
//! value.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `memory` | the allocator's mapping calls, counted; the page size |
//! | `advice` | madvise(2) beyond `MADV_DONTNEED` and `MADV_HUGEPAGE`, guards |
//! | `calls` | every mapping call as the kernel has it, uncounted; files behind mappings |
//! | `count`, `fault` | how often the kernel was called; refusals on demand, for tests |
//! | `time` | clocks, yielding, sleeping |
//! | `threads` | thread keys, handlers of fork and exit, the purger's thread |
//! | `lock`, `mutex` | the lock of this process's threads; the lock in memory that processes share |
//! | `process`, `status` | environment, privileges, limits; thread number, resident bytes |
//! | `cgroup` | the memory limit of the control group |
//! | `file` | files of first-class heaps |
//! | `object` | the object file that this code is linked into |
//! | `random` | random bytes |
//! | `errno`, `stderr`, `fatal` | error numbers; standard error; reports of misuse |
//! | `watch` | what AddressSanitizer and valgrind are told |
//!
//! State: the flags of [`map`], the counters, the plans of `fault`, the mark by which `lock` knows
//! a forked child, and what was asked once (page size, `vm.max_map_count`). All are atomics. Locks
//! belong to who declares them.
//!
//! Callers treat every errno as an ordinary answer. The minimum kernel is Linux 4.4. A newer call
//! is tried, and has a fallback where it is used. `std` opens and writes the files that have a path
//! of the program's: those of first-class heaps and of profiles. `std` also finds out which huge
//! pages there are.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod advice;
pub(crate) mod calls;
pub(crate) mod cgroup;
pub(crate) mod count;
mod errno;
pub(crate) mod fatal;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod lock;
mod memory;
pub(crate) mod mutex;
pub(crate) mod object;
mod process;
mod random;
mod status;
pub(crate) mod stderr;
pub(crate) mod threads;
mod time;
pub(crate) mod watch;

pub(crate) use advice::{
    advise_huge, advise_not_huge, forbid, install_guard, permit, populate, remove_guard, split_huge,
};
pub(crate) use errno::{Errno, KeepErrno, Result};
pub(crate) use memory::{
    discard, map, map_locked, map_unlocked, map_unreserved, map_without_reserve, page_bytes, remap,
    remap_in_place, remap_to, unmap,
};
#[cfg(feature = "profile")]
pub(crate) use process::variable;
pub(crate) use process::{environment, is_privileged, most_mappings, read_file, wiped_word};
pub(crate) use random::{random, start_words};
pub(crate) use status::{resident_bytes, thread_id};
pub(crate) use threads::{at_exit, at_fork, key_create, key_set};
pub(crate) use time::{now_ms, now_ns, sleep_ns, yield_now};
