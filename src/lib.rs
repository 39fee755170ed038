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
//! | `observe` | statistics, `describe`, the heap map, the profiler, counted calls |
//! | `doors` | `GlobalAlloc`, the door without layouts (C's), the builder of options |

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
// Where every call is forwarded, numbers, size classes and options are there for the types that name them.
#![cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), allow(dead_code))]

mod base;
mod block;
mod doors;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod heap;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod heaps;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod map;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod memory;
mod observe;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod os;
mod policy;

pub use doors::freestone::Freestone;
pub use observe::counted::{Counted, Counts, Region};
pub use observe::describe::{BlockState, Description, What};
pub use observe::heap_map::{ChunkPicture, Piece, SlabPicture, UnitPicture};
pub use observe::stats::{CallStats, Change, ClassStats, HeapStats, HeapUser, Stats};
pub use policy::options::{HugePages, OnMisuse};

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub use doors::elsewhere::{describe, heap_map, heap_stats, purge, stats, thread_idle, untyped};
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "profile"))]
pub use observe::profile;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "fault-injection"))]
pub use os::fault::control as fault_injection;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use {
    doors::rust::{purge, thread_idle},
    doors::untyped,
    observe::describe::describe,
    observe::heap_map::heap_map,
    observe::stats::{heap_stats, stats},
};
