//! `huge_pages`: what the kernel is advised, as smaps shows it.

mod common;

use std::ptr;
use std::time::Duration;

use common::block::{Block, layout};
use common::child::Child;
use common::memory::has_huge_pages;
use common::smaps::Mapping;
use common::{KIB, MIB, skip};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The mappings of a first slab, of one after 100 MiB of slabs, of a large block, and of one that
/// has grown to 16 MiB.
fn mappings() -> [Mapping; 4] {
    let first = Block::new(layout(100, 1), 0);
    let many: Vec<_> = (0..100 * MIB / (60 * KIB)).map(|tag| Block::new(layout(60 * KIB, 1), tag)).collect();
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

/// How long a touch takes with `slow_down`: more than any huge page that is not dear.
const DEAR: Duration = Duration::from_millis(3);

extern "C" fn sleep(_: libc::c_int) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: DEAR.as_nanos() as libc::c_long };
    // SAFETY: the time is readable, and the call is allowed in a handler.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}

/// Interrupts this process every few microseconds, for some milliseconds each time: clearing a huge page
/// takes long enough for one to come.
fn slow_down(microseconds: libc::suseconds_t) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the handler only sleeps; the timer is readable for the call.
    unsafe {
        libc::signal(libc::SIGALRM, sleep as extern "C" fn(libc::c_int) as libc::sighandler_t);
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()), 0);
    }
}

#[test]
fn after_a_dear_one_small_pages() {
    with("adaptive", || {
        let dear = || freestone::stats().dear_huge_pages_total;
        let grown = |tag, slowed| {
            let mut grown = Block::new(layout(4 * MIB, 1), tag);
            slow_down(slowed);
            grown.resize(32 * MIB);
            slow_down(0);
            let mapping = Mapping::of(grown.address() as *const u8);
            (grown, mapping)
        };
        let before = dear();
        let (_block, mapping) = grown(0, 20);
        assert_eq!(dear(), before + 1, "it was slow to touch: {mapping:?}");
        assert!(mapping.has("nh"), "huge pages were not taken back: {mapping:?}");
        // The next ones are not asked for, however quick they would be.
        for tag in 1..4 {
            let (_block, mapping) = grown(tag, 0);
            assert!(!mapping.has("hg"), "asked on: {mapping:?}");
        }
        assert_eq!(dear(), before + 1);
    });
}
