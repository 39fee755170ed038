//! Tens of thousands of large blocks, whatever was done to them, leave the process its mappings.

mod common;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::thread;

use common::block::layout;
use common::{KIB, MIB, maps};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// More than a quarter of the mappings that a process may have where nobody has changed that.
const MANY: usize = 36_000;

const LENGTH: usize = MIB + 64 * KIB;

/// A block with a history of its own, and what frees it.
fn make(number: usize) -> (*mut u8, Layout) {
    let plain = layout(LENGTH, 1);
    // SAFETY: sizes are not zero, and blocks have the layouts they are resized with.
    let (start, layout) = unsafe {
        match number % 6 {
            0 => (alloc(plain), plain),
            1 => (alloc_zeroed(plain), plain),
            2 => (
                touched(realloc(touched(alloc(plain)), plain, LENGTH + 128 * KIB)),
                layout(LENGTH + 128 * KIB, 1),
            ),
            3 => (realloc(touched(alloc(plain)), plain, LENGTH - 8 * KIB), layout(LENGTH - 8 * KIB, 1)),
            4 => (alloc(layout(LENGTH, 32 * KIB)), layout(LENGTH, 32 * KIB)),
            _ => {
                let aligned = layout(LENGTH, 256 * KIB);
                (
                    realloc(touched(alloc(aligned)), aligned, LENGTH + 128 * KIB),
                    layout(LENGTH + 128 * KIB, 256 * KIB),
                )
            }
        }
    };
    (touched(start), layout)
}

fn touched(start: *mut u8) -> *mut u8 {
    assert!(!start.is_null());
    // SAFETY: a block has a byte.
    unsafe { start.write(1) };
    start
}

#[test]
fn a_quarter_of_them_at_most() {
    let mut blocks = Vec::with_capacity(MANY);
    let before = maps::count();
    let most = before + maps::most() / 4;
    blocks.extend((0..MANY).map(make));
    assert!(maps::count() < most, "{} of {}, {before} before", maps::count(), maps::most());
    let (gone, kept): (Vec<_>, Vec<_>) = blocks.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    for half in [gone, kept] {
        for (start, layout) in half {
            // SAFETY: the block is live and has this layout.
            unsafe { dealloc(start, layout) };
        }
        let now = maps::count();
        assert!(now < most, "{now} of {}, {before} before", maps::most());
        thread::Builder::new().spawn(|| ()).expect("a thread can start").join().expect("it ends");
    }
    freestone::purge();
    assert!(maps::count() < before + 100, "{} are left, {before} before", maps::count());
}
