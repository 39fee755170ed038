//! What a heap takes goes back to the kernel: on a purge, and all of it when the heap is dropped.

use freestone::heaps::{Heap, Kind};

use crate::common::block::layout;
use crate::common::shadow::Model;
use crate::common::{KIB, MIB, child, memory};

#[test]
fn a_purge_gives_the_pages_back() {
    child::alone(|| {
        purged_memory_is_gone(&Heap::private().expect("a heap"));
        purged_memory_is_gone(&Heap::shared().expect("a heap"));
    });
}

fn purged_memory_is_gone<K: Kind>(heap: &Heap<K>) {
    let mut model = Model::new(heap, 0);
    let before = memory::resident();
    for _ in 0..32 {
        assert!(model.allocate(layout(MIB, 8)) && model.allocate(layout(3 * MIB, 8)));
        for _ in 0..64 {
            assert!(model.allocate(layout(4 * KIB, 8)));
        }
    }
    assert!(memory::resident() - before > 100 * MIB);
    model.free_all();
    drop(model);
    let purged = heap.purge().expect("the lock");
    assert!(purged > 100 * MIB, "{purged} purged");
    let kept = memory::resident().saturating_sub(before);
    assert!(kept < MIB, "{kept} bytes kept");
}

/// The blocks are never freed.
fn fill_and_drop() {
    let heap = Heap::private().expect("a heap");
    let mut model = Model::new(&heap, 0);
    while heap.stats().expect("the lock").live < 32 * MIB {
        assert!(model.allocate(layout(700 * KIB, 8)));
    }
    model.leave();
}

#[test]
fn dropping_a_heap_releases_everything() {
    child::alone(|| {
        // Once before, for the program's own pages come in with their first use.
        fill_and_drop();
        let (resident, mapped) = (memory::resident(), memory::mapped());
        (0..8).for_each(|_| fill_and_drop());
        assert!(memory::resident() < resident + 2 * MIB);
        assert!(memory::mapped() < mapped + 16 * MIB);
    });
}
