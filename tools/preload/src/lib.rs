//! Freestone as the malloc of any program: preloaded, or linked.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `c` | `malloc`, `free` and their relatives |
//! | `aligned` | the C functions that take an alignment |
//! | `glibc` | glibc's own names for the same functions |
//! | `cplusplus` | operators `new` and `delete`, and how they throw |
//! | `report` | what glibc adds: trim, statistics, options |
//! | `start` | the constructor: first allocation, environment |
//! | `errno`, `process`, `text` | setting and keeping errno; the process's memory; text built on the stack |
//!
//! Only a failed `new` unwinds. Nothing prints through `std` or allocates from another allocator.
//! All functions are `extern "C-unwind"`: plain `extern "C"` would add code that aborts on an
//! unwinding, and with it all of `std`'s reporting.
#![no_std]
#![cfg(target_os = "linux")]

mod aligned;
mod c;
mod cplusplus;
mod errno;
mod glibc;
mod process;
mod report;
mod start;
mod text;
