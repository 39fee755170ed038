//! Freestone: a general-purpose memory allocator in pure Rust for Linux.
//!
//! ```
//! #[global_allocator]
//! static ALLOC: freestone::Freestone = freestone::Freestone::new();
//! # fn main() { assert_eq!(vec![1; 3].len(), 3); }
//! ```
//!
//! The floors, from the top down. A floor uses those below it, as a rule:
//!
//! | floor | what it is |
//! | --- | --- |
//! | [`map`] | memory mapping for everyone: files, shared and private memory; beside the allocator, on `sys` |
//! | `stats` | where memory is, counted |
//! | `describe`, `heap_map` | what an address is; a picture of all that is mapped |
//! | `counted` | exact counts of a thread's calls, around any allocator |
//! | [`heaps`](mod@heaps) | first-class heaps: private, shared with children, in a file; on `slab`, `chunk` and `map` |
//! | `freestone`, `options` | the type, its builder methods; the options in force, from there and the environment |
//! | `profile` | whose memory it is: a sampling heap profiler (feature `profile`) |
//! | `global` | the Rust door: `GlobalAlloc`, where no memory is a null pointer |
//! | `untyped` | the door for callers without a layout: C's; null at its edge, too |
//! | `free` | frees by either door: to the own slab, to another thread, to the kernel |
//! | `thread`, `slot` | a thread's heap: its slot, its making, its end; fork |
//! | `heap` | one thread's bins and slabs, its remote frees, and the shared heap |
//! | `background` | a thread that purges, with the `background-purge` feature |
//! | `depot` | what threads share: chunks, their free units, purging |
//! | `chunk`, `by_run`, `chunk_map` | an aligned mapping cut into units; those with room; which addresses are ours |
//! | `slab` | a run of units cut into blocks of one class |
//! | `large` | allocations that are mappings of their own |
//! | `remote_list`, `free_list` | blocks on their way back, and those that are back |
//! | `hardening` | what the `secure` feature adds to a block's life; nothing without it; beside `free_list` |
//! | `size_class` | sizes, and the one function that says where a layout lives |
//! | `huge` | whether huge pages are worth asking for, by what the last one took |
//! | `demand` | how much of what lies free is soon needed again |
//! | `meta` | memory for the allocator's own records |
//! | `stray` | ranges that the kernel would not take back |
//! | `sys` | calls to the kernel, each a function |
//! | `limit`, `cgroup` | a count of committed bytes that must not pass a limit; the control group's |
//! | `poison` | what tools that watch memory are told |
//! | `sync`, `address`, `fatal`, `stderr`, `config` | locks, arithmetic, the last line, the numbers |

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

mod address;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "background-purge"))]
mod background;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod by_run;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod cgroup;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod chunk;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod chunk_map;
mod config;
mod counted;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod demand;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod depot;
mod describe;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod fatal;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod free;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod free_list;
mod freestone;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod global;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod growth;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod hardening;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod heap;
mod heap_map;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod heaps;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod huge;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod large;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod limit;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod map;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod meta;
mod options;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod poison;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "profile"))]
pub mod profile;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod remote_list;
mod size_class;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod slab;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod slot;
mod stats;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod stderr;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod stray;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod sync;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod sys;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod thread;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod untyped;

pub use counted::{Counted, Counts, Region};
pub use describe::{BlockState, Description, What};
pub use freestone::Freestone;
pub use heap_map::{ChunkPicture, Piece, SlabPicture, UnitPicture};
pub use options::{HugePages, OnMisuse};
pub use stats::{CallStats, Change, ClassStats, HeapStats, HeapUser, Stats};
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "fault-injection"))]
pub use os::fault::control as fault_injection;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use {
    describe::describe,
    global::{purge, thread_idle},
    heap_map::heap_map,
    stats::{heap_stats, stats},
};

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod elsewhere;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub use elsewhere::{describe, heap_map, heap_stats, purge, stats, thread_idle, untyped};
