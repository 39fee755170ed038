//! Seeded bugs, for tools that must find them: `tools/sanitizers.sh` runs this.
//!
//! The argument says which: `clean`, `small`, `large`, or `untyped` (through the door without
//! layouts).

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::process::ExitCode;

use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Writes a block's fifth word and reads it again: after the free, if the free is `early`.
fn touch(start: *mut u64, free: impl FnOnce(*mut u64), early: bool) -> u64 {
    // SAFETY: with `early` none: that is the bug. Otherwise the block is live.
    unsafe {
        let word = black_box(start).add(4);
        word.write(7);
        if early {
            free(start);
            return black_box(word).read();
        }
        let read = black_box(word).read();
        free(start);
        read
    }
}

fn rust(size: usize, early: bool) -> u64 {
    let layout = Layout::from_size_align(size, 8).expect("a valid layout");
    // SAFETY: the size is not zero; the block is freed once.
    touch(unsafe { alloc(layout) }.cast(), |start| unsafe { dealloc(start.cast(), layout) }, early)
}

fn c(size: usize, early: bool) -> u64 {
    // SAFETY: the block is freed once.
    touch(untyped::allocate(size).cast(), |start| unsafe { untyped::free(start.cast()) }, early)
}

/// Everything that moves memory from one use to another.
fn everything() -> u64 {
    let mut sum = 0;
    for round in 0..3 {
        for size in (5..21).map(|log2| (1_usize << log2) + round * 8).chain([2 << 20, 9 << 20]) {
            sum += rust(size, false) + c(size, false);
            let mut grown = vec![1_u8; size];
            grown.extend(vec![2; size]);
            let mut text = vec![0_u8; size / 2];
            text.shrink_to(size / 3);
            sum += u64::from(grown[size]) + u64::from(text[0]);
        }
        let made = std::thread::spawn(|| (0..500).map(|n| vec![n; 9]).collect::<Vec<_>>());
        sum += made.join().expect("a thread ends well").iter().map(|v| v[8]).sum::<u64>();
        freestone::purge();
    }
    sum
}

fn main() -> ExitCode {
    let sum = match std::env::args().nth(1).as_deref() {
        Some("clean") => everything(),
        Some("small") => rust(64, true),
        Some("large") => rust(3 << 20, true),
        Some("untyped") => c(64, true),
        _ => return ExitCode::FAILURE,
    };
    println!("{sum}");
    ExitCode::SUCCESS
}
