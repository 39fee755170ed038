//! What glibc adds to C: trimming, statistics, options.
//!
//! Numbers are the kernel's. What the allocator does not count is left out of texts, and zero
//! in structures that have no way to leave it out.

use core::ffi::{c_int, c_void};

use crate::errno;
use crate::process::Process;
use crate::text::Text;

/// malloc_trim(3): gives back to the kernel at once what is only kept for reuse. Says 1 if the
/// process has less resident memory than before. The padding is not used: nothing is kept.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn malloc_trim(_padding: usize) -> c_int {
    let errno = errno::get();
    let before = Process::look();
    freestone::purge();
    let after = Process::look();
    errno::set(errno);
    match (before, after) {
        (Some(before), Some(after)) => c_int::from(after.resident_bytes < before.resident_bytes),
        // Where /proc is missing nobody can tell.
        _ => 1,
    }
}

/// What mallinfo2(3) answers.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Mallinfo2 {
    arena: usize,
    ordblks: usize,
    smblks: usize,
    hblks: usize,
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    uordblks: usize,
    fordblks: usize,
    keepcost: usize,
}

/// What mallinfo(3) answers.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Mallinfo([c_int; 10]);

/// mallinfo2(3). All zero: the allocator counts none of this yet.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn mallinfo2() -> Mallinfo2 {
    Mallinfo2::default()
}

/// mallinfo(3). As [`mallinfo2`].
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn mallinfo() -> Mallinfo {
    Mallinfo::default()
}

/// malloc_stats(3): on standard error.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn malloc_stats() {
    let errno = errno::get();
    let mut text = Text::new();
    text.add("freestone ").add(env!("CARGO_PKG_VERSION")).add("\n");
    if let Some(process) = Process::look() {
        text.add("process bytes mapped   = ").number(process.mapped_bytes).add("\n");
        text.add("process bytes resident = ").number(process.resident_bytes).add("\n");
    }
    text.send(libc::STDERR_FILENO);
    errno::set(errno);
}

/// malloc_info(3): XML, to `stream`.
///
/// # Safety
/// `stream` is an open stream.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn malloc_info(options: c_int, stream: *mut c_void) -> c_int {
    if options != 0 {
        errno::set(libc::EINVAL);
        return -1;
    }
    let mut text = Text::new();
    text.add("<malloc version=\"freestone-").add(env!("CARGO_PKG_VERSION")).add("\">\n");
    if let Some(process) = Process::look() {
        text.add("<process mapped=\"").number(process.mapped_bytes);
        text.add("\" resident=\"").number(process.resident_bytes).add("\"/>\n");
    }
    text.add("</malloc>\n");
    let bytes = text.bytes();
    // SAFETY: the slice is readable, and the stream is the caller's.
    let written = unsafe { libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), stream.cast()) };
    if written == bytes.len() { 0 } else { -1 }
}

/// glibc's options, from `M_ARENA_MAX` to `M_TRIM_THRESHOLD`, and `M_MXFAST`.
const OPTIONS: core::ops::RangeInclusive<c_int> = -8..=-1;
const MXFAST: c_int = 1;

/// mallopt(3). glibc's options are accepted and have no effect: there are no bins, arenas or
/// thresholds to which they could apply. 0 for any other.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn mallopt(option: c_int, _value: c_int) -> c_int {
    c_int::from(OPTIONS.contains(&option) || option == MXFAST)
}
