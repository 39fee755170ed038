//! Freestone: a general-purpose memory allocator in pure Rust for Linux.
//!
//! ```
//! #[global_allocator]
//! static ALLOC: freestone::Freestone = freestone::Freestone::new();
//! # fn main() { assert_eq!(vec![1; 3].len(), 3); }
//! ```
//!
//! The rooms, each using only those above it in this table:
//!
//! | room | what is in it |
//! | --- | --- |
//! | `base` | numbers, address arithmetic, atomics, texts on the stack |
//! | `os` | the only room that calls the kernel and the C library; locks |
//! | [`map`] | memory mapping for everyone: files, shared and private memory |
//! | `policy` | options, the memory limit, huge pages |
//! | `block` | one block: size classes, lists of free blocks, what `secure` adds |
//! | `memory` | chunks, slabs, large ranges, the depot: address space cut into blocks, and its way back |
//! | [`heaps`](mod@heaps) | first-class heaps: private, shared with children, in a file |
//! | `heap` | one thread's heap, the shared heap, remote frees, fork, sampling |
//! | [`groups`](mod@groups) | whose memory it is: a thread allocates for a group for a while |
//! | `observe` | statistics, `describe`, the heap map, the profiler, counted calls |
//! | `doors` | `GlobalAlloc`, the door without layouts (C's), the builder of options |
//!
//! Off Linux, and where pointers have 32 bits, [`Freestone`] forwards to the system's allocator,
//! and [`map`], `heaps` and `profile` do not exist.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]
// Where every call is forwarded, numbers, size classes and options are there for the types that
// name them.
#![cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), allow(dead_code, unused_imports))]

mod base;
mod block;
mod doors;
pub mod groups;
mod heap;
pub mod heaps;
pub mod map;
mod memory;
mod observe;
mod os;
mod policy;

/// Statistics: what the allocator counts of itself, as a whole, by size class and by thread.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: freestone::Freestone = freestone::Freestone::new();
/// # fn main() {
/// let before = freestone::stats();
/// let kept = vec![0_u8; 1 << 20];
/// let change = freestone::stats().since(&before);
/// # if cfg!(all(target_os = "linux", target_pointer_width = "64")) {
/// assert!(change.allocated >= 1 << 20, "{change}");
/// # }
/// # drop(kept);
/// # }
/// ```
pub mod stats {
    pub use crate::doors::entry::{heap_stats, stats};
    pub use crate::observe::stats::{CallStats, Change, ClassStats, HeapUser, Stats, ThreadStats};
}

/// What lies at an address, and a picture of all that the allocator has mapped.
///
/// ```
/// use freestone::inspect::{What, describe};
///
/// # #[global_allocator]
/// # static ALLOC: freestone::Freestone = freestone::Freestone::new();
/// # fn main() {
/// let boxed = Box::new([1_u8; 100]);
/// let description = describe(&raw const boxed[50]);
/// # if cfg!(all(target_os = "linux", target_pointer_width = "64")) {
/// assert!(matches!(description.what, What::Block { .. }), "{description}");
/// # }
/// assert_eq!(describe(std::ptr::null::<u8>()).what, What::Foreign);
/// # }
/// ```
pub mod inspect {
    pub use crate::doors::entry::{describe, heap_map};
    pub use crate::observe::describe::{BlockState, Description, What};
    pub use crate::observe::heap_map::{ChunkPicture, Piece, SlabPicture, UnitPicture};
}

/// Exact counts of a thread's calls, for tests: [`Counted`](counting::Counted) wraps any allocator.
pub mod counting {
    pub use crate::observe::counted::{Counted, Counts, Region};
}

pub use doors::entry::{purge, thread_idle, untyped};
pub use doors::freestone::Freestone;
pub use inspect::describe;
pub use policy::options::{HugePagePolicy, OnMisuse};
pub use stats::stats;

#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "profile"))]
pub use observe::profile;
#[cfg(all(target_os = "linux", target_pointer_width = "64", freestone_fault_injection))]
pub use os::fault::control as fault_injection;
