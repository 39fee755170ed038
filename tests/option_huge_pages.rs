//! `huge_pages`: what the kernel is advised, as smaps shows it.

mod common;

use std::alloc::{alloc, realloc};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::block::{Block, layout};
use common::child::Child;
use common::memory::has_huge_pages;
use common::smaps::Mapping;
use common::{KIB, MIB, skip};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The mappings of a first slab, of one after 64 MiB of filled slabs of short blocks, of a large
/// block, and of one that was filled and has grown to 16 MiB.
fn mappings() -> [Mapping; 4] {
    let first = Block::new(layout(100, 1), 0);
    let many: Vec<_> = (0..64 * MIB / KIB).map(|tag| Block::new(layout(KIB, 1), tag)).collect();
    let large = Block::new(layout(3 * MIB, 1), 1);
    let mut grown = Block::new(layout(3 * MIB, 1), 2);
    grown.resize(16 * MIB);
    let last = many.last().expect("many");
    [&first, last, &large, &grown].map(|block| Mapping::of(block.address() as *const u8))
}

/// Looks at a process with that choice.
fn with(choice: &str, check: impl FnOnce()) {
    let Some(child) = Child::new(choice, check) else { return };
    if !has_huge_pages() {
        skip!("the kernel has no transparent huge pages");
    }
    child.env("FREESTONE_HUGE_PAGES", choice).succeeds();
}

#[test]
fn never() {
    with("never", || {
        let all = mappings();
        assert!(all.iter().all(|mapping| !mapping.has("hg") && mapping.has("nh")), "{all:?}");
    });
}

#[test]
fn adaptive() {
    with("adaptive", || {
        let [first, last, large, grown] = mappings();
        assert!(!first.has("hg") && !first.has("nh") && !large.has("hg"), "{first:?} {large:?}");
        // Where one was asked for and was dear, no more are.
        let one_was_dear = freestone::stats().dear_huge_pages_total > 0;
        assert!(one_was_dear || last.has("hg") && grown.has("hg"), "{last:?} {grown:?}");
    });
}

#[test]
fn always() {
    with("always", || {
        let all = mappings();
        assert!(all.iter().all(|mapping| mapping.has("hg")), "{all:?}");
    });
}

/// How long an interruption takes: longer than any huge page that is not dear.
static INTERRUPTION: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 3_000_000 };
/// From one interruption to the next. Clearing a huge page takes several times as long.
const NANOSECONDS_BETWEEN: libc::c_long = 20_000;
/// The timer whose signals go to the thread that made it: the harness's own threads wait for
/// nothing.
static TIMER: AtomicUsize = AtomicUsize::new(0);

static IS_SLOW: AtomicBool = AtomicBool::new(false);

/// Sleeps, and comes again.
extern "C" fn interrupt(_: libc::c_int) {
    if IS_SLOW.load(Ordering::Relaxed) {
        // SAFETY: the time is readable, and the call is allowed in a handler.
        unsafe { libc::nanosleep(&raw const INTERRUPTION, ptr::null_mut()) };
        interrupt_soon();
    }
}

fn interrupt_soon() {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let soon = libc::timespec { tv_sec: 0, tv_nsec: NANOSECONDS_BETWEEN };
    let once = libc::itimerspec { it_interval: never, it_value: soon };
    let timer = ptr::with_exposed_provenance_mut(TIMER.load(Ordering::Relaxed));
    // SAFETY: the timer was made, the structure is readable for the call, and that is allowed in a
    // handler.
    unsafe { libc::timer_settime(timer, 0, &raw const once, ptr::null_mut()) };
}

/// Does `job` slowly: whatever takes long, like the touch of a huge page, takes three milliseconds
/// more.
fn slowly<T>(job: impl FnOnce() -> T) -> T {
    // SAFETY: the handler makes two calls that are allowed in one.
    unsafe { libc::signal(libc::SIGALRM, interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    // SAFETY: all zero is an event.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = libc::SIGALRM;
    // SAFETY: no preconditions.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: both are there for the call.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    assert_eq!(made, 0, "a timer");
    TIMER.store(timer.expose_provenance(), Ordering::Relaxed);
    IS_SLOW.store(true, Ordering::Relaxed);
    interrupt_soon();
    let answer = job();
    IS_SLOW.store(false, Ordering::Relaxed);
    answer
}

/// A block that was filled and has grown to 32 MiB: of what is new only the allocator's own touch
/// is there.
fn grown() -> (*mut u8, Mapping) {
    let small = layout(4 * MIB, 1);
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(small) };
    assert!(!start.is_null());
    // SAFETY: the block is that long, and is resized with its layout.
    let start = unsafe {
        start.write_bytes(1, small.size());
        realloc(start, small, 32 * MIB)
    };
    assert!(!start.is_null());
    (start, Mapping::of(start))
}

#[test]
fn after_a_dear_one_small_pages() {
    with("adaptive", || {
        let dear = || freestone::stats().dear_huge_pages_total;
        let before = dear();
        let (_, mapping) = slowly(grown);
        assert_eq!(dear(), before + 1, "it was slow to touch: {mapping:?}");
        assert!(mapping.has("nh"), "huge pages were not taken back: {mapping:?}");
        // The next ones are not asked for, however quick they would be.
        for _ in 0..4 {
            let (_, mapping) = grown();
            assert!(!mapping.has("hg"), "asked on: {mapping:?}");
        }
        assert_eq!(dear(), before + 1);
    });
}
