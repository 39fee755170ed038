//! `Stats::calls` counts the global allocator's calls to the kernel: none of `freestone::map`, and
//! none of a first-class heap, as is promised there.
//!
//! The program's own allocator is the system's, so that the right number is zero throughout.

use std::alloc::Layout;

use freestone::heaps::{Heap, Kind, Options};
use freestone::map::{Mapping, Placement};

fn assert_nothing_counted(after: &str) {
    for call in freestone::stats().calls() {
        assert_eq!((call.made, call.refused), (0, 0), "{} after {after}", call.name);
    }
}

/// Every call of the mapping floor that the allocator makes as well.
fn use_mappings() {
    let page = Mapping::anonymous(1).map().expect("a page").page_bytes();
    let mut mapping = Mapping::anonymous(8 * page).map().expect("pages");
    mapping.as_mut_slice().expect("its own")[0] = 1;
    mapping.resize(4 * page, Placement::InPlace).expect("a shorter one");
    mapping.resize(4096 * page, Placement::MayMove).expect("a longer one");
    let _ = mapping.resize(1 << 46, Placement::InPlace).expect_err("no room");
    mapping.discard(..).expect("its own pages");
    let part = mapping.split_off(16 * page).expect("a page's border");
    part.unmap().expect("unmapped");
    drop(mapping);
    let aligned = Mapping::anonymous(page).align(1 << 20).guard_before(page).map().expect("a page");
    drop(aligned);
}

fn use_heap<K: Kind>(heap: Heap<K>) {
    let layout = Layout::new::<[u8; 1000]>();
    let blocks: Vec<_> = (0..5_000).map(|_| heap.allocate(layout).expect("memory")).collect();
    for block in blocks {
        // SAFETY: allocated above, with this layout.
        unsafe {
            block.write_bytes(1, layout.size());
            heap.deallocate(block, layout);
        }
    }
    assert_ne!(heap.purge().expect("the lock"), 0, "megabytes were freed");
    drop(heap);
}

#[test]
fn neither_mappings_nor_heaps_are_counted() {
    use_mappings();
    assert_nothing_counted("mappings");
    use_heap(Options::new().limit(64 << 20).private().expect("a heap"));
    assert_nothing_counted("a private heap");
    use_heap(Options::new().limit(64 << 20).shared().expect("a heap"));
    assert_nothing_counted("a shared heap");
}
