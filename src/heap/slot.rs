//! The thread-local slot that holds a thread's heap.
//!
//! In a program, a `const` thread-local without destructor is one instruction away. In a shared
//! library the compiler would call `__tls_get_addr` for it, which may itself allocate; there,
//! with the `initial-exec` feature, the slot is a symbol of our own in the static TLS block.

use crate::heap::Heap;

/// What the slot of a thread points to that has never asked for memory: an empty heap.
pub(crate) static NEW: Heap = Heap::new();

#[cfg(not(all(feature = "initial-exec", target_arch = "x86_64")))]
mod variable {
    use super::{Heap, NEW};
    use core::cell::Cell;

    thread_local! {
        static HEAP: Cell<*const Heap> = const { Cell::new(&raw const NEW) };
    }

    /// The slot's value; never null.
    #[inline(always)]
    pub(crate) fn get() -> *const Heap {
        // Without a destructor the slot is there as long as the thread; the error never happens.
        HEAP.try_with(Cell::get).unwrap_or(&raw const NEW)
    }

    /// Changes the slot.
    pub(crate) fn set(heap: *const Heap) {
        let _ = HEAP.try_with(|slot| slot.set(heap));
    }
}

#[cfg(all(feature = "initial-exec", target_arch = "x86_64"))]
mod variable {
    use super::{Heap, NEW};

    core::arch::global_asm!(
        ".pushsection .tdata,\"awT\",@progbits",
        ".globl freestone_heap_slot",
        ".hidden freestone_heap_slot",
        ".type freestone_heap_slot,@object",
        ".size freestone_heap_slot,8",
        ".p2align 3",
        "freestone_heap_slot:",
        ".quad {new}",
        ".popsection",
        new = sym NEW,
    );

    /// The slot's value; never null.
    #[inline(always)]
    pub(crate) fn get() -> *const Heap {
        let heap;
        // SAFETY: reads the calling thread's slot, whose offset the loader has put in the GOT.
        unsafe {
            core::arch::asm!(
                "mov {heap}, qword ptr [rip + freestone_heap_slot@GOTTPOFF]",
                "mov {heap}, qword ptr fs:[{heap}]",
                heap = out(reg) heap,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        heap
    }

    /// Changes the slot.
    pub(crate) fn set(heap: *const Heap) {
        // SAFETY: writes the calling thread's slot.
        unsafe {
            core::arch::asm!(
                "mov {offset}, qword ptr [rip + freestone_heap_slot@GOTTPOFF]",
                "mov qword ptr fs:[{offset}], {heap}",
                offset = out(reg) _,
                heap = in(reg) heap,
                options(nostack, preserves_flags),
            );
        }
    }
}

pub(crate) use variable::{get, set};
