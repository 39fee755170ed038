//! Where a thread keeps its lane.
//!
//! In a shared object a `thread_local!` is read by a call of the loader, which may allocate: a
//! recorder of allocations would call itself. So the slot is a symbol of our own in the static TLS
//! block, as `src/heap/slot.rs` of Freestone has it, on the processors that are known here.

use super::lane::Lane;

#[cfg(target_arch = "x86_64")]
mod fixed {
    use core::arch::{asm, global_asm};

    use super::Lane;

    global_asm!(
        ".pushsection .tbss,\"awT\",@nobits",
        ".globl freestone_trace_lane",
        ".hidden freestone_trace_lane",
        ".type freestone_trace_lane,@object",
        ".size freestone_trace_lane,8",
        ".p2align 3",
        "freestone_trace_lane:",
        ".zero 8",
        ".popsection",
    );

    #[inline(always)]
    fn offset() -> isize {
        let offset;
        // SAFETY: reads a constant of the process.
        unsafe {
            asm!(
                "mov {offset}, qword ptr [rip + freestone_trace_lane@GOTTPOFF]",
                offset = out(reg) offset,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        offset
    }

    #[inline(always)]
    pub(in super::super) fn get() -> *mut Lane {
        let lane;
        // SAFETY: reads the calling thread's slot.
        unsafe {
            asm!(
                "mov {lane}, qword ptr fs:[{offset}]",
                lane = lateout(reg) lane,
                offset = in(reg) offset(),
                options(readonly, nostack, preserves_flags),
            );
        }
        lane
    }

    pub(in super::super) fn set(lane: *mut Lane) {
        // SAFETY: writes the calling thread's slot.
        unsafe {
            asm!(
                "mov qword ptr fs:[{offset}], {lane}",
                lane = in(reg) lane,
                offset = in(reg) offset(),
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use fixed::{get, set};

#[cfg(not(target_arch = "x86_64"))]
mod called {
    use core::cell::Cell;
    use core::ptr;

    use super::Lane;

    thread_local! {
        static LANE: Cell<*mut Lane> = const { Cell::new(ptr::null_mut()) };
    }

    #[inline(never)]
    pub(in super::super) fn get() -> *mut Lane {
        LANE.try_with(Cell::get).unwrap_or(ptr::null_mut())
    }

    #[inline(never)]
    pub(in super::super) fn set(lane: *mut Lane) {
        let _ = LANE.try_with(|slot| slot.set(lane));
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use called::{get, set};
