//! Freestone as the malloc of any program: preloaded, or linked.
//!
//! | room | what it is |
//! | --- | --- |
//! | `c` | `malloc`, `free` and their relatives |
//! | `aligned` | the C functions that take an alignment |
//! | `glibc` | other names by which C libraries and old programs call them |
//! | `cplusplus` | operators `new` and `delete`, and how they throw |
//! | `report` | what glibc adds: trim, statistics, options |
//! | `start` | the constructor: first allocation, environment |
//! | `errno`, `process`, `text` | where it is set; what the kernel says; texts without allocation |
//!
//! Nothing here unwinds by itself, prints through `std`, or allocates from anything else. The
//! functions are `extern "C-unwind"` all the same: plain `extern "C"` would come with code for
//! an unwinding that never is, and with all of `std`'s reporting of it, in every process.
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
