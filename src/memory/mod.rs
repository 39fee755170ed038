//! Address space cut into blocks, and its way back to the kernel.
//!
//! State: the depot's chunks, the registry and the retained ranges of large blocks, the shelves, the record memory, and
//! what the kernel would not take back. Each stands under a lock of its own.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

pub(crate) mod chunk;
pub(crate) mod chunk_index;
mod demand;
pub(crate) mod depot;
pub(crate) mod large;
pub(crate) mod records;
pub(crate) mod slab;
pub(crate) mod stray;
#[cfg(feature = "background-purge")]
pub(crate) mod waiting;
