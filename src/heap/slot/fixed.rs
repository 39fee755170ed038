//! The slot as a symbol of our own in the static TLS block: the `initial-exec` model of the ELF TLS
//! ABI.

use core::arch::{asm, global_asm};

use super::NEW;
use crate::heap::Heap;

/// The symbol. It names the version, since a program may have two versions of this library.
macro_rules! slot {
    () => {
        concat!(
            "freestone_heap_slot_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH"),
        )
    };
}

global_asm!(
    ".pushsection .tdata,\"awT\",@progbits",
    concat!(".globl ", slot!()),
    concat!(".hidden ", slot!()),
    concat!(".type ", slot!(), ",@object"),
    concat!(".size ", slot!(), ",8"),
    ".p2align 3",
    concat!(slot!(), ":"),
    ".quad {new}",
    ".popsection",
    new = sym NEW,
);

/// Distance of the slot from a thread's pointer, which is negative on x86-64. The linker makes it a
/// number in a program; in a shared object the loader puts it into the global offset table.
#[inline(always)]
fn offset() -> isize {
    let offset;
    // SAFETY: reads a constant. `pure` and `nomem`: it is the same for all threads as long as the
    // process lives.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            concat!("mov {offset}, qword ptr [rip + ", slot!(), "@GOTTPOFF]"),
            offset = out(reg) offset,
            options(pure, nomem, nostack, preserves_flags),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            concat!("adrp {offset}, :gottprel:", slot!()),
            concat!("ldr {offset}, [{offset}, :gottprel_lo12:", slot!(), "]"),
            offset = out(reg) offset,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    offset
}

/// The slot's value; never null.
#[inline(always)]
pub(crate) fn get() -> *const Heap {
    let heap;
    // SAFETY: reads the calling thread's slot. Not `pure`: two reads may happen in different
    // threads, if the caller switches stacks between them.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov {heap}, qword ptr fs:[{offset}]",
            heap = lateout(reg) heap,
            offset = in(reg) offset(),
            options(readonly, nostack, preserves_flags),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mrs {heap}, tpidr_el0",
            "ldr {heap}, [{heap}, {offset}]",
            heap = out(reg) heap,
            offset = in(reg) offset(),
            options(readonly, nostack, preserves_flags),
        );
    }
    heap
}

/// Changes the slot.
pub(crate) fn set(heap: *const Heap) {
    // SAFETY: writes the calling thread's slot.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov qword ptr fs:[{offset}], {heap}",
            heap = in(reg) heap,
            offset = in(reg) offset(),
            options(nostack, preserves_flags),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mrs {thread}, tpidr_el0",
            "str {heap}, [{thread}, {offset}]",
            thread = out(reg) _,
            heap = in(reg) heap,
            offset = in(reg) offset(),
            options(nostack, preserves_flags),
        );
    }
}
