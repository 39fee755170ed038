//! Code without an operating system and without state.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `config` | the numbers that shape the allocator, each with its reason |
//! | `address` | rounding of addresses and lengths |
//! | `atomic` | the standard atomics, and a value with one writer |
//! | `bits` | reading words that may be uninitialised |
//! | `text` | text built on the stack |
//! | `collection` | allocators of collections, with the feature `allocator-api2` |
//! | `random` | mixing and pseudo-random numbers |

pub(crate) mod address;
pub(crate) mod atomic;
pub(crate) mod bits;
#[cfg(feature = "allocator-api2")]
pub(crate) mod collection;
pub(crate) mod config;
pub(crate) mod random;
pub(crate) mod text;
