//! Freestone: a general-purpose memory allocator in pure Rust for Linux.
//!
//! ```
//! #[global_allocator]
//! static ALLOC: freestone::Freestone = freestone::Freestone::new();
//! # fn main() { assert_eq!(vec![1; 3].len(), 3); }
//! ```
//!
//! The floors, each using only those below it:
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
//! | `global` | the Rust door: `GlobalAlloc`; a null pointer exists only here |
//! | `untyped` | the door for callers without a layout: C's |
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
//! | `meta` | memory for the allocator's own records |
//! | `stray` | ranges that the kernel would not take back |
//! | `sys` | the only floor that calls the kernel |
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

#[cfg(target_os = "linux")]
mod address;
#[cfg(all(target_os = "linux", feature = "background-purge"))]
mod background;
#[cfg(target_os = "linux")]
mod by_run;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod chunk;
#[cfg(target_os = "linux")]
mod chunk_map;
#[cfg(target_os = "linux")]
mod config;
mod counted;
#[cfg(target_os = "linux")]
mod depot;
#[cfg(target_os = "linux")]
mod describe;
#[cfg(target_os = "linux")]
mod fatal;
#[cfg(target_os = "linux")]
mod free;
#[cfg(target_os = "linux")]
mod free_list;
mod freestone;
#[cfg(target_os = "linux")]
mod global;
#[cfg(target_os = "linux")]
mod growth;
#[cfg(target_os = "linux")]
mod hardening;
#[cfg(target_os = "linux")]
mod heap;
#[cfg(target_os = "linux")]
mod heap_map;
#[cfg(target_os = "linux")]
pub mod heaps;
#[cfg(target_os = "linux")]
mod huge;
#[cfg(target_os = "linux")]
mod large;
#[cfg(target_os = "linux")]
mod limit;
#[cfg(target_os = "linux")]
pub mod map;
#[cfg(target_os = "linux")]
mod meta;
mod options;
#[cfg(target_os = "linux")]
mod poison;
#[cfg(all(target_os = "linux", feature = "profile"))]
pub mod profile;
#[cfg(target_os = "linux")]
mod remote_list;
#[cfg(target_os = "linux")]
mod size_class;
#[cfg(target_os = "linux")]
mod slab;
#[cfg(target_os = "linux")]
mod slot;
#[cfg(target_os = "linux")]
mod stats;
#[cfg(target_os = "linux")]
mod stderr;
#[cfg(target_os = "linux")]
mod stray;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod thread;
#[cfg(target_os = "linux")]
pub mod untyped;

pub use counted::{Counted, Counts, Region};
#[cfg(target_os = "linux")]
pub use describe::{BlockState, Description, What, describe};
pub use freestone::Freestone;
#[cfg(target_os = "linux")]
pub use global::{purge, thread_idle};
#[cfg(target_os = "linux")]
pub use heap_map::{ChunkPicture, Piece, SlabPicture, UnitPicture, heap_map};
pub use options::{HugePages, OnMisuse};
#[cfg(target_os = "linux")]
pub use stats::{CallStats, Change, ClassStats, HeapStats, HeapUser, Stats, heap_stats, stats};
#[cfg(all(target_os = "linux", feature = "fault-injection"))]
pub use sys::fault::control as fault_injection;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{purge, thread_idle};
