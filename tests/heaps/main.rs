//! First-class heaps: a file of properties each. Their blocks are memory of their own, so that the
//! program's allocator is the system's.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "allocator-api2")]
mod collections;
mod file;
mod file_crash;
mod out_of_core;
#[cfg(feature = "allocator-api2")]
mod persistent_index;
mod private;
mod release;
mod shared;
