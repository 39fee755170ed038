//! What a page fault costs, and memory that costs the same for everybody.
//!
//! In a virtual machine, a page that the host has not backed yet costs several
//! times what it costs the second time. The first allocator measured would pay
//! for that. So more memory than any run needs is touched and freed, until a
//! fault costs what it did the time before.

use std::io;
use std::ptr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::machine;

/// Memory touched by one probe between rounds.
const PROBE: usize = 64 << 20;

/// Passes over the memory at most: a machine that is busy may never be steady.
const PASSES: usize = 8;

/// Two passes that differ by less are the same.
const STEADY: f64 = 0.10;

/// What a fault cost before the measuring, pass by pass, and in each round.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct FaultCosts {
    pub(crate) warm_up_mib: u64,
    pub(crate) warm_up_ns: Vec<f64>,
    pub(crate) steady: bool,
    pub(crate) rounds_ns: Vec<f64>,
}

impl FaultCosts {
    /// Touches and frees `bytes`, or half of what is available, until the cost of
    /// a fault is steady.
    pub(crate) fn warm_up(bytes: usize) -> io::Result<Self> {
        let available = machine::memory_kib("MemAvailable") as usize * 1024;
        let bytes = bytes.min(available / 2).max(PROBE);
        let mut costs = Self { warm_up_mib: bytes as u64 >> 20, ..Self::default() };
        while !costs.steady && costs.warm_up_ns.len() < PASSES {
            let now = touch_and_free(bytes)?;
            if let Some(before) = costs.warm_up_ns.last() {
                costs.steady = (now - before).abs() / now < STEADY;
            }
            costs.warm_up_ns.push(now);
        }
        Ok(costs)
    }

    /// Records what a fault costs now.
    pub(crate) fn probe(&mut self) -> io::Result<()> {
        self.rounds_ns.push(touch_and_free(PROBE)?);
        Ok(())
    }
}

/// Nanoseconds that the first touch of a page takes, averaged over `bytes`.
fn touch_and_free(bytes: usize) -> io::Result<f64> {
    let page = machine::page_bytes() as usize;
    // SAFETY: a new private mapping touches nothing that exists.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Huge pages would hide the cost that is asked for. Refused only by kernels
    // without them.
    // SAFETY: the range is the mapping made above.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    let clock = Instant::now();
    for offset in (0..bytes).step_by(page) {
        // SAFETY: the byte lies within the mapping. Volatile, as nobody reads it.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    let ns = clock.elapsed().as_nanos() as f64 / (bytes / page) as f64;
    // SAFETY: the mapping is ours, and nothing refers to it any more.
    unsafe { libc::munmap(start, bytes) };
    Ok(ns)
}
