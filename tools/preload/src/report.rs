//! What glibc adds to C: trimming, statistics, options.
//!
//! Figures come from `freestone::stats` and the kernel. A field of glibc's that has no counterpart
//! here, such as its fast bins, is zero.

use core::ffi::{c_int, c_void};

use freestone::stats::Stats;

use crate::errno;
use crate::process::Process;
use crate::text::Text;

/// malloc_trim(3): gives back to the kernel at once all memory that is only kept for reuse. Returns
/// 1 if the kernel got any. The padding is ignored: nothing is kept.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn malloc_trim(_padding: usize) -> c_int {
    let errno = errno::get();
    let given_back = freestone::purge();
    errno::set(errno);
    c_int::from(given_back)
}

/// The structure of mallinfo2(3).
#[repr(C)]
#[derive(Default)]
pub(crate) struct Mallinfo2 {
    /// Mapped, without large allocations.
    arena: usize,
    /// Free blocks in slabs, carved or not.
    ordblks: usize,
    smblks: usize,
    /// Large allocations.
    hblks: usize,
    /// Their bytes.
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    /// Bytes in use, without large allocations.
    uordblks: usize,
    /// Bytes not in use.
    fordblks: usize,
    /// Bytes that [`malloc_trim`] would give back at least.
    keepcost: usize,
}

impl From<Stats> for Mallinfo2 {
    fn from(stats: Stats) -> Self {
        let arena = stats.mapped.saturating_sub(stats.large);
        let uordblks = stats.allocated.saturating_sub(stats.large);
        Self {
            arena,
            ordblks: stats.classes().map(|class| class.capacity.saturating_sub(class.used)).sum(),
            hblks: stats.large_count,
            hblkhd: stats.large,
            uordblks,
            fordblks: arena.saturating_sub(uordblks),
            keepcost: stats.dirty.saturating_add(stats.retained),
            ..Self::default()
        }
    }
}

/// mallinfo2(3).
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn mallinfo2() -> Mallinfo2 {
    Mallinfo2::from(freestone::stats())
}

/// The structure of mallinfo(3): the same fields as `int`.
#[repr(C)]
pub(crate) struct Mallinfo([c_int; 10]);

/// mallinfo(3). A figure beyond `INT_MAX` is `INT_MAX`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn mallinfo() -> Mallinfo {
    let Mallinfo2 { arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost } =
        mallinfo2();
    let all = [arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost];
    Mallinfo(all.map(|number| c_int::try_from(number).unwrap_or(c_int::MAX)))
}

/// The figures of both reports, by name.
fn figures(stats: &Stats) -> [(&'static str, usize); 10] {
    [
        ("allocated", stats.allocated),
        ("in_flight", stats.in_flight),
        ("binned", stats.binned),
        ("large", stats.large),
        ("slabs", stats.slabs),
        ("dirty", stats.dirty),
        ("clean", stats.clean),
        ("retained", stats.retained),
        ("metadata", stats.metadata),
        ("mapped", stats.mapped),
    ]
}

/// malloc_stats(3): on standard error, bytes.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn malloc_stats() {
    let errno = errno::get();
    let mut text = Text::new();
    text.add("freestone ").add(env!("CARGO_PKG_VERSION")).add(", bytes\n");
    for (name, bytes) in figures(&freestone::stats()) {
        text.add(name).add(" = ").number(bytes).add("\n");
    }
    if let Some(process) = Process::look() {
        text.add("process mapped = ").number(process.mapped_bytes).add("\n");
        text.add("process resident = ").number(process.resident_bytes).add("\n");
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
    let mut complete = true;
    let mut write = |text: &Text| {
        let bytes = text.bytes();
        // SAFETY: the slice is readable, and the stream is the caller's.
        let written = unsafe { libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), stream.cast()) };
        complete &= written == bytes.len();
    };
    let stats = freestone::stats();
    let mut text = Text::new();
    text.add("<malloc version=\"freestone-").add(env!("CARGO_PKG_VERSION")).add("\">\n<total");
    for (name, bytes) in figures(&stats) {
        text.add(" ").add(name).add("=\"").number(bytes).add("\"");
    }
    text.add("/>\n");
    if let Some(process) = Process::look() {
        text.add("<process mapped=\"").number(process.mapped_bytes);
        text.add("\" resident=\"").number(process.resident_bytes).add("\"/>\n");
    }
    write(&text);
    for class in stats.classes() {
        let mut text = Text::new();
        text.add("<class block=\"").number(class.block).add("\" used=\"").number(class.used);
        text.add("\" capacity=\"")
            .number(class.capacity)
            .add("\" slabs=\"")
            .number(class.slabs)
            .add("\"/>\n");
        write(&text);
    }
    let mut text = Text::new();
    write(text.add("</malloc>\n"));
    if complete { 0 } else { -1 }
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
