//! A block of no bytes is aligned as it was asked for: at both doors, and in heaps of every kind.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use freestone::heaps::{Heap, Kind, Options};
use freestone::{Freestone, untyped};

#[global_allocator]
static ALLOC: Freestone = Freestone::new();

/// Beyond a chunk, a unit and a page, the borders between which layouts live elsewhere.
const MOST_LOG2: u32 = 23;

/// Blocks at a time: the first of a slab is aligned by chance.
const BLOCKS: usize = 5;

fn layouts() -> impl Iterator<Item = Layout> {
    (0..=MOST_LOG2).map(|log2| Layout::from_size_align(0, 1 << log2).expect("a valid layout"))
}

fn is_aligned(block: NonNull<u8>, layout: Layout) {
    assert_eq!(block.addr().get() % layout.align(), 0, "{layout:?} at {block:p}");
}

#[test]
fn blocks_of_the_global_allocator() {
    for layout in layouts() {
        for zeroed in [false, true] {
            let blocks: Vec<NonNull<u8>> = (0..BLOCKS)
                .map(|_| {
                    // SAFETY: Freestone takes layouts of no bytes as it takes others.
                    let start =
                        unsafe { if zeroed { ALLOC.alloc_zeroed(layout) } else { ALLOC.alloc(layout) } };
                    NonNull::new(start).expect("memory")
                })
                .collect();
            blocks.iter().for_each(|block| is_aligned(*block, layout));
            // SAFETY: allocated above, each once.
            blocks.iter().for_each(|block| unsafe { ALLOC.dealloc(block.as_ptr(), layout) });
        }
    }
}

#[test]
fn blocks_of_the_door_without_a_layout() {
    for layout in layouts() {
        for allocate in [untyped::allocate_aligned, untyped::allocate_zeroed] {
            let blocks: Vec<NonNull<u8>> =
                (0..BLOCKS).map(|_| NonNull::new(allocate(0, layout.align())).expect("memory")).collect();
            blocks.iter().for_each(|block| is_aligned(*block, layout));
            // SAFETY: allocated above, each once.
            blocks.iter().for_each(|block| unsafe { untyped::free(block.as_ptr()) });
        }
    }
}

fn blocks_of_a_heap<K: Kind>(heap: &Heap<K>) {
    for layout in layouts() {
        for zeroed in [false, true] {
            let blocks: Vec<NonNull<u8>> = (0..BLOCKS)
                .map(|_| if zeroed { heap.allocate_zeroed(layout) } else { heap.allocate(layout) })
                .map(|block| block.expect("memory"))
                .collect();
            blocks.iter().for_each(|block| is_aligned(*block, layout));
            // SAFETY: allocated above, each once.
            blocks.iter().for_each(|block| unsafe { heap.deallocate(*block, layout) });
        }
    }
    #[cfg(feature = "allocator-api2")]
    blocks_as_an_allocator(heap);
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
    heap.verify().expect("whole books");
}

#[cfg(feature = "allocator-api2")]
fn blocks_as_an_allocator(heap: impl allocator_api2::alloc::Allocator) {
    let one = Layout::new::<u8>();
    for layout in layouts() {
        for _ in 0..BLOCKS {
            is_aligned(heap.allocate(layout).expect("memory").cast(), layout);
            is_aligned(heap.allocate_zeroed(layout).expect("memory").cast(), layout);
            // What shrinks to nothing takes the alignment of the layout it shrinks to.
            let block = heap.allocate(one).expect("memory").cast();
            let nothing = Layout::from_size_align(0, 1).expect("a valid layout");
            // SAFETY: allocated above, with that layout.
            is_aligned(unsafe { heap.shrink(block, one, nothing) }.expect("nothing").cast(), nothing);
        }
    }
}

#[test]
fn blocks_of_heaps_of_every_kind() {
    let options = Options::new().limit(1 << 30);
    blocks_of_a_heap(&options.private().expect("a heap"));
    blocks_of_a_heap(&options.shared().expect("a heap"));
    let directory = tempfile::tempdir().expect("a directory");
    blocks_of_a_heap(&options.file(directory.path().join("heap")).expect("a heap"));
}
