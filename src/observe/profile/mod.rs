//! A sampling heap profiler: which functions' allocations are alive, and which were made.
//!
//! ```no_run
//! #[global_allocator]
//! static ALLOC: freestone::Freestone = freestone::Freestone::new();
//!
//! # fn main() -> std::io::Result<()> {
//! freestone::profile::start(freestone::profile::DEFAULT_INTERVAL_BYTES);
//! let kept = vec![0_u8; 100 << 20];
//! freestone::profile::dump(std::fs::File::create("heap.pb.gz")?)?; // pprof -http=: heap.pb.gz
//! # drop(kept);
//! # Ok(())
//! # }
//! ```
//!
//! Or without a line of code: a program built with the feature that is run with
//! `FREESTONE_PROFILE=heap.pb.gz` profiles from its start and writes `heap.PID.pb.gz` when it
//! exits, where PID is its process's number, so that children write files of their own; with a name
//! that ends in `.svg`, a flame graph. Programs with raised privileges ignore the variable.
//!
//! **How.** Bytes are sampled by a Poisson process: each allocated byte is a sample with the same
//! small chance, whatever it is a part of; so each sample stands for a known number of bytes and
//! blocks, and their sums are right on average. A thread counts down the bytes to its next sample,
//! two or three instructions an allocation. A sampled block is taken from a heap of the profiler's
//! own, so that its free, by any thread, is not an ordinary one and comes by here; all other frees
//! have nothing to look at. What the profiler itself allocates is not sampled: its records are
//! mappings.

use std::io::{self, Write};

use crate::heap::sampling::{self, Quiet, records};

mod at_exit;
mod flame;
mod pprof;
mod symbols;

pub(crate) use at_exit::read_environment;

/// Mean distance of samples, in allocated bytes, that suits most programs. Of the instructions of
/// an indexer that allocates all the time, sampling at this distance is 0.4%, and the countdown to
/// the next sample, which every program built with the feature has, started or not, 1.9%.
pub const DEFAULT_INTERVAL_BYTES: usize = 512 << 10;

/// Begins to sample, one in `interval_bytes` allocated bytes on average; one byte at least. Each
/// thread notices within its next mebibyte of allocations.
pub fn start(interval_bytes: usize) {
    sampling::prepare();
    sampling::set_interval(interval_bytes.max(1));
}

/// Ends sampling. What was sampled stays, and is followed until it is freed.
pub fn stop() {
    sampling::set_interval(0);
}

/// Writes the profile so far in pprof's format, compressed: count and bytes of live blocks and of
/// all that were allocated, by stack.
///
/// # Errors
/// Those of `to`.
pub fn dump(to: impl Write) -> io::Result<()> {
    let _quiet = Quiet::new();
    pprof::write(&records::snapshot(DEFAULT_INTERVAL_BYTES), to)
}

/// Writes the live bytes so far as a flame graph, an SVG.
///
/// # Errors
/// Those of `to`; and where nothing is alive, since there is nothing to draw.
pub fn flame_graph(to: impl Write) -> io::Result<()> {
    let _quiet = Quiet::new();
    flame::write(&records::snapshot(DEFAULT_INTERVAL_BYTES), to)
}
