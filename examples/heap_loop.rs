//! Blocks of one size allocated and freed in a loop, sixteen live at a time: from the global
//! allocator, or from a heap, to count what each costs.
//!
//! ```text
//! cargo build --release --example heap_loop
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/heap_loop private 24 1000000
//! ```
//!
//! Counted for two numbers of iterations, the difference leaves the program's start out.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::process::ExitCode;
use std::ptr::NonNull;

use freestone::Freestone;
use freestone::heaps::{Heap, Kind};

#[global_allocator]
static ALLOC: Freestone = Freestone::new();

/// Blocks live at a time.
const LIVE: usize = 16;

/// `iterations` allocations and frees of blocks of one layout, first in, first out.
#[inline(always)]
fn run(
    layout: Layout,
    iterations: usize,
    allocate: impl Fn(Layout) -> Option<NonNull<u8>>,
    free: impl Fn(NonNull<u8>, Layout),
) {
    let mut live = [None; LIVE];
    for slot in (0..LIVE).cycle().take(iterations) {
        if let Some(slot) = live.get_mut(slot)
            && let Some(old) = std::mem::replace(slot, allocate(layout))
        {
            free(black_box(old), layout);
        }
    }
    for block in live.into_iter().flatten() {
        free(block, layout);
    }
}

#[inline(never)]
fn global(layout: Layout, iterations: usize) {
    run(
        layout,
        iterations,
        // SAFETY: the layout has a size.
        |layout| NonNull::new(unsafe { ALLOC.alloc(layout) }),
        // SAFETY: each block is freed once.
        |block, layout| unsafe { ALLOC.dealloc(block.as_ptr(), layout) },
    );
}

#[inline(never)]
fn heap<K: Kind>(heap: &Heap<K>, layout: Layout, iterations: usize) {
    // SAFETY: each block is freed once.
    run(
        layout,
        iterations,
        |layout| heap.allocate(layout),
        |block, layout| unsafe {
            heap.deallocate(block, layout);
        },
    );
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next();
    let size = arguments.next().and_then(|size| size.parse().ok()).filter(|size| *size != 0);
    let layout = size.and_then(|size| Layout::from_size_align(black_box(size), 8).ok());
    let iterations = arguments.next().and_then(|count| count.parse().ok());
    let (Some(layout), Some(iterations)) = (layout, iterations) else {
        eprintln!("usage: heap_loop global|private|shared SIZE ITERATIONS");
        return ExitCode::from(2);
    };
    match which.as_deref() {
        Some("global") => global(layout, iterations),
        Some("private") => heap(&Heap::private().expect("a heap"), layout, iterations),
        Some("shared") => heap(&Heap::shared().expect("a heap"), layout, iterations),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
