//! Keeps a thread on one processor.
//!
//! Two threads that hand memory over are five to twenty times as fast, whatever the allocator, when
//! the scheduler happens to put both on one processor, where they never meet. That is not what is
//! to be measured.

use std::io;
use std::mem::{MaybeUninit, size_of};

use libc::cpu_set_t;

/// While it lives, the thread that made it stays on one processor.
pub(crate) struct Pinned {
    before: cpu_set_t,
}

impl Pinned {
    /// Pins this thread to the `number`th processor, counted from 0, of those that it may run on.
    ///
    /// None if there are not so many, or the kernel refuses: then the thread runs wherever it did.
    pub(crate) fn to(number: usize) -> Option<Self> {
        let before = affinity().ok()?;
        let cpu = (0..libc::CPU_SETSIZE as usize)
            // SAFETY: reads a bit of the set, and the range is that of its bits.
            .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &before) })
            .nth(number)?;
        let mut only = empty_set();
        // SAFETY: sets a bit of the set, and `cpu` is one of its bits.
        unsafe { libc::CPU_SET(cpu, &mut only) };
        set_affinity(&only).ok()?;
        Some(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Was allowed before; should it be no longer, staying pinned slows down but breaks nothing.
        let _ = set_affinity(&self.before);
    }
}

fn empty_set() -> cpu_set_t {
    // SAFETY: a set is an array of integers, for which zero is a value: no processor.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Where the calling thread may run.
fn affinity() -> io::Result<cpu_set_t> {
    let mut set = empty_set();
    // SAFETY: the kernel writes no more than the given size, which is that of `set`.
    match unsafe { libc::sched_getaffinity(0, size_of::<cpu_set_t>(), &mut set) } {
        0 => Ok(set),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_affinity(set: &cpu_set_t) -> io::Result<()> {
    // SAFETY: the kernel reads no more than the given size, which is that of `set`.
    match unsafe { libc::sched_setaffinity(0, size_of::<cpu_set_t>(), set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
