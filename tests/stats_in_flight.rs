//! What one thread has made and another has freed is not in use, wherever on its way back it is:
//! the statistics are exact meanwhile, and each heap's are within what a thread may hold back.

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;

use freestone::inspect::{Piece, UnitPicture};
use freestone::stats::{Stats, ThreadStats};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// A class whose slabs hold many blocks, one whose batches are bounded by bytes, and one of several
/// units.
const SIZES: [usize; 3] = [24, 3_000, 40_000];
const BYTES: usize = 8 << 20;

/// What a thread may hold back: of sixteen slabs 64 blocks, or 8 KiB and the block that passes it.
const fn most_held_back(size: usize) -> usize {
    let by_bytes = 8 << 10;
    16 * if 64 * size < by_bytes { 64 * size } else { by_bytes + size }
}

/// Blocks of heaps in use, all together.
fn by_heap() -> usize {
    let mut heaps = [ThreadStats::default(); 16];
    let count = freestone::stats::heap_stats(&mut heaps);
    assert!(count <= heaps.len());
    heaps.iter().map(|heap| heap.allocated).sum()
}

/// The same by the picture of the chunks.
fn by_picture() -> usize {
    let mut bytes = 0;
    freestone::inspect::heap_map(|piece| {
        let Piece::Chunk(chunk) = piece else { return };
        for unit in chunk.units() {
            if let UnitPicture::Slab(slab) = unit {
                bytes += slab.used * slab.block;
            }
        }
    });
    bytes
}

fn small(stats: &Stats) -> usize {
    stats.allocated - stats.large
}

fn make(size: usize, into: &Mutex<Vec<usize>>) {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    // SAFETY: the size is not zero.
    let made = (0..BYTES / size).map(|_| unsafe { alloc(layout) }.expose_provenance());
    into.lock().expect("nobody panics").extend(made);
}

fn free(size: usize, from: &Mutex<Vec<usize>>) {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    for block in from.lock().expect("nobody panics").drain(..) {
        // SAFETY: the other thread has made it with this layout, and given it up.
        unsafe { dealloc(std::ptr::with_exposed_provenance_mut(block), layout) };
    }
}

/// What the main thread sees while the others wait.
struct Seen {
    before: Stats,
    freed: Stats,
    by_heap: usize,
    by_picture: usize,
}

fn main() {
    let (barrier, blocks) = (Barrier::new(3), Mutex::new(Vec::with_capacity(BYTES / SIZES[0])));
    let (barrier, blocks) = (&barrier, &blocks);
    let mut seen = Vec::with_capacity(SIZES.len());
    thread::scope(|scope| {
        // Each of both has a heap before the first look, and is at the barrier while the main
        // thread looks.
        for (turn, step) in [make, free].into_iter().enumerate() {
            scope.spawn(move || {
                drop(black_box(Box::new(1)));
                for size in SIZES {
                    barrier.wait();
                    for at in 0..2 {
                        barrier.wait();
                        if at == turn {
                            step(size, blocks);
                        }
                    }
                    barrier.wait();
                    barrier.wait();
                }
            });
        }
        for _ in SIZES {
            barrier.wait();
            let before = freestone::stats();
            barrier.wait();
            barrier.wait();
            barrier.wait();
            let freed = freestone::stats();
            seen.push(Seen { before, freed, by_heap: by_heap(), by_picture: by_picture() });
            barrier.wait();
        }
    });
    // No sooner: a thread that panics would leave the others waiting.
    for (size, Seen { before, freed, by_heap, by_picture }) in SIZES.into_iter().zip(seen) {
        assert_eq!(freed.allocated, before.allocated, "{size}: {freed}");
        assert!(freed.in_flight > BYTES / 2, "{size}: little in flight, so nothing was tested: {freed}");
        let most: usize = SIZES.into_iter().map(most_held_back).sum();
        let (heaps, picture) = (by_heap - small(&freed), by_picture - small(&freed));
        assert!(heaps <= most && picture <= most, "{size}: {heaps} and {picture} bytes too many");
        let by_class: usize = freed.classes().map(|class| class.used * class.block).sum();
        assert_eq!(by_class, small(&freed));
        let in_flight: usize = freed.classes().map(|class| class.in_flight * class.block).sum();
        assert_eq!(in_flight, freed.in_flight);
    }
}
