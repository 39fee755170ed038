//! How callers come in: `GlobalAlloc`, and the interface without layouts that C needs.
//!
//! State: none; what a door keeps is the thread's heap's. Open `freestone` for the options, `rust`
//! for `GlobalAlloc`, `untyped` for C's calls, `free` for what both do with a freed block,
//! `request` for a layout on its way to slow paths, `resize` for `realloc`, `start` for what
//! happens before the first block, `allocator` for collections, `elsewhere` for other targets than
//! Linux with 64 bits.

#[cfg(feature = "allocator-api2")]
mod allocator;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(crate) mod elsewhere;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod free;
pub(crate) mod freestone;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod request;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod resize;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod rust;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod start;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod untyped;

/// The functions that the crate exports, whichever target they are for.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod entry {
    pub use super::rust::{purge, thread_idle};
    pub use super::untyped;
    pub use crate::observe::{
        describe::describe,
        heap_map::heap_map,
        stats::{heap_stats, stats},
    };
}
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(crate) use elsewhere as entry;
