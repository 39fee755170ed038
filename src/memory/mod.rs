//! Address space cut into blocks, and its way back to the kernel.
//!
//! | file | what |
//! | --- | --- |
//! | `chunk` | one aligned mapping of 64 units, its header, and the index of all chunks |
//! | `slab` | a run of units cut into equal blocks |
//! | `depot` | the chunks that threads share, and purging their free units |
//! | `large` | blocks that are mappings of their own |
//! | `demand` | how much free memory is likely to be needed again |
//! | `pending` | ranges that the kernel refused to unmap |
//! | `records` | memory for the allocator's own records |
//! | `aligned`, `advice` | mapping aligned memory; advising it to have huge pages or none |
//! | `waiting` | the two words that slow paths share with the background purger |
//!
//! State, each under a lock of its own: the depot, the registry and the retained ranges of large
//! blocks, the shelves, the pending ranges, and the piece that records are cut from. No lock of
//! this room is taken while another is held, except those of `pending` and `records`, which take
//! none.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

pub(crate) mod advice;
pub(crate) mod aligned;
pub(crate) mod chunk;
mod demand;
pub(crate) mod depot;
pub(crate) mod large;
pub(crate) mod pending;
pub(crate) mod records;
pub(crate) mod slab;
#[cfg(feature = "background-purge")]
pub(crate) mod waiting;
