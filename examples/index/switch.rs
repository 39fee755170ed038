//! The example's global allocator: Freestone or the system's, chosen once for the whole process.
//!
//! Imitates what a program does that wants to compare two allocators without being built twice.
//! Both sides go through the same branch, so neither pays for the comparison.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

use freestone::Freestone;
use serde::{Deserialize, Serialize};

/// The variable that tells a child process which side it is. Its absence makes a process the
/// parent.
pub(crate) const SIDE_VARIABLE: &str = "INDEX_SIDE";

/// [`SIDE_VARIABLE`] as the C library wants it: it is read before anything may allocate.
const SIDE_VARIABLE_C: &CStr = c"INDEX_SIDE";

/// One of the two allocators compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Freestone,
    System,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Freestone, Self::System];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Freestone => "freestone",
            Self::System => "system",
        }
    }

    /// The side this process was started as; none in the parent.
    pub(crate) fn of_this_process() -> Option<Self> {
        let name = std::env::var_os(SIDE_VARIABLE)?;
        Self::BOTH.into_iter().find(|side| name == side.name())
    }
}

/// Not looked at yet: no block has been handed out.
const UNDECIDED: u8 = 0;
const FREESTONE: u8 = 1;
const SYSTEM: u8 = 2;

/// A global allocator that is one of two.
///
/// Invariant: `choice` leaves [`UNDECIDED`] before the first block is handed out and never changes
/// again, so a block goes back to the allocator it came from.
pub(crate) struct Switch {
    freestone: Freestone,
    choice: AtomicU8,
}

impl Switch {
    pub(crate) const fn new() -> Self {
        Self { freestone: Freestone::new(), choice: AtomicU8::new(UNDECIDED) }
    }

    /// Whether this process runs on Freestone, for a request that may be the first one.
    ///
    /// The runtime allocates before `main`, which is why `main` can't choose.
    #[inline]
    fn decide_freestone(&self) -> bool {
        match self.choice.load(Ordering::Relaxed) {
            UNDECIDED => self.decide_slow(),
            choice => choice == FREESTONE,
        }
    }

    /// Whether this process runs on Freestone, for a block that is already there: its allocation
    /// decided.
    #[inline]
    fn is_freestone(&self) -> bool {
        self.choice.load(Ordering::Relaxed) == FREESTONE
    }

    #[cold]
    #[inline(never)]
    fn decide_slow(&self) -> bool {
        // SAFETY: the name ends in NUL; the environment is in place before any constructor runs,
        // and no thread that could change it exists before the first allocation, since making one
        // allocates.
        let value = unsafe { libc::getenv(SIDE_VARIABLE_C.as_ptr()) };
        let is_system = !value.is_null() && {
            // SAFETY: not null, so it is a NUL-terminated string, and nobody changes it (above).
            let value = unsafe { CStr::from_ptr(value) };
            value.to_bytes() == Side::System.name().as_bytes()
        };
        let choice = if is_system { SYSTEM } else { FREESTONE };
        // Relaxed: one byte that publishes nothing else; whoever still sees `UNDECIDED` comes to
        // the same answer.
        self.choice.store(choice, Ordering::Relaxed);
        choice == FREESTONE
    }
}

// SAFETY: each method passes the caller's contract on to an allocator that keeps it, and by the
// invariant of `Switch` to the same one for every block of the process.
unsafe impl GlobalAlloc for Switch {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.decide_freestone() {
            // SAFETY: the caller's contract, unchanged.
            unsafe { self.freestone.alloc(layout) }
        } else {
            // SAFETY: the caller's contract, unchanged.
            unsafe { System.alloc(layout) }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.decide_freestone() {
            // SAFETY: the caller's contract, unchanged.
            unsafe { self.freestone.alloc_zeroed(layout) }
        } else {
            // SAFETY: the caller's contract, unchanged.
            unsafe { System.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_freestone() {
            // SAFETY: the caller's contract, and the block came from Freestone (invariant).
            unsafe { self.freestone.dealloc(block, layout) }
        } else {
            // SAFETY: the caller's contract, and the block came from `System` (invariant).
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.is_freestone() {
            // SAFETY: the caller's contract, and the block came from Freestone (invariant).
            unsafe { self.freestone.realloc(block, layout, new_size) }
        } else {
            // SAFETY: the caller's contract, and the block came from `System` (invariant).
            unsafe { System.realloc(block, layout, new_size) }
        }
    }
}
