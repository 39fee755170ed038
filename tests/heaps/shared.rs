//! Shared heaps: both sides of a fork allocate and free at once, and whoever dies inside does not
//! lock the others out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use freestone::heaps::{Heap, Options, Shared};
use rand::RngExt;

use crate::common::block::layout;
use crate::common::forked::{Ending, WELL, fork, wait};
use crate::common::shadow::Model;
use crate::common::{MIB, child, seed};

const STEPS: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

/// Kills a child that must not have come to its end before: by a failed check of its own.
fn kill(pid: libc::pid_t) {
    // SAFETY: the child is this test's own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    assert_eq!(wait(pid), Ending::Signal(libc::SIGKILL));
}

#[test]
fn threads_share_a_heap() {
    let heap = Heap::shared().expect("a heap");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let heap = &heap;
            scope.spawn(move || {
                let mut random = seed::random(thread);
                let mut model = Model::new(heap, thread << 32);
                for _ in 0..STEPS {
                    model.step(&mut random, 100);
                }
                model.free_all();
            });
        }
    });
    heap.verify().expect("the records hold");
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
}

#[test]
fn both_sides_of_a_fork_allocate_and_free_each_others_blocks() {
    child::alone(|| {
        const CHILDREN: usize = 4;
        const LEFT: usize = 200;
        let heap = Heap::shared().expect("a heap");
        let mut own = Model::new(&heap, 1 << 60);
        for size in 1..500 {
            assert!(own.allocate(layout(size, 8)));
        }
        let slots = heap.allocate_zeroed(layout(CHILDREN * LEFT * 8, 8)).expect("memory");
        // SAFETY: a zeroed block of that many words, which lives as long as the heap.
        let slots: &[AtomicUsize] =
            unsafe { std::slice::from_raw_parts(slots.as_ptr().cast(), CHILDREN * LEFT) };
        let children: Vec<_> = (0..CHILDREN)
            .map(|number| {
                fork(|| {
                    let mut random = seed::random(number as u64);
                    let mut model = Model::new(&heap, (number as u64) << 32);
                    for _ in 0..STEPS {
                        model.step(&mut random, 100);
                    }
                    model.free_all();
                    for slot in &slots[number * LEFT..(number + 1) * LEFT] {
                        let block = heap.allocate(layout(100, 8)).expect("memory");
                        // SAFETY: a new block of that size.
                        unsafe { block.write_bytes(number as u8, 100) };
                        slot.store(block.addr().get(), Ordering::Release);
                    }
                })
            })
            .collect();
        let mut random = seed::random(99);
        let mut model = Model::new(&heap, 99 << 32);
        for _ in 0..STEPS {
            model.step(&mut random, 100);
        }
        for pid in children {
            assert_eq!(wait(pid), WELL);
        }
        for (index, slot) in slots.iter().enumerate() {
            let block = std::ptr::with_exposed_provenance_mut::<u8>(slot.load(Ordering::Acquire));
            let block = std::ptr::NonNull::new(block).expect("a block");
            // SAFETY: a child has allocated and written it, and nobody else has it now.
            unsafe {
                let bytes = std::slice::from_raw_parts(block.as_ptr(), 100);
                assert!(bytes.iter().all(|byte| usize::from(*byte) == index / LEFT));
                heap.deallocate(block, layout(100, 8));
            }
        }
        own.check();
        own.free_all();
        model.free_all();
        heap.verify().expect("the records hold");
        assert_eq!(
            (heap.stats().expect("the lock").live_blocks, heap.stats().expect("the lock").recoveries),
            (1, 0)
        );
    });
}

/// What a child does until it is killed.
fn churn(heap: &Heap<Shared>, number: u64) {
    let mut random = seed::random(number);
    let mut model = Model::new(heap, number << 32);
    loop {
        for _ in 0..200 {
            let size = [16, 100, 5000, 200_000, 2 * MIB][random.random_range(0..5)];
            // Not filled: as much time as can be is spent inside the heap.
            if let Some(block) = heap.allocate(layout(size, 8)) {
                // SAFETY: just allocated.
                unsafe { heap.deallocate(block, layout(size, 8)) };
            }
        }
        model.step(&mut random, 20);
        heap.purge().expect("the lock");
    }
}

#[test]
fn who_is_killed_inside_does_not_lock_the_others_out() {
    child::alone(|| {
        const ROUNDS: u64 = 60;
        let heap = Options::new().limit(1 << 30).shared().expect("a heap");
        let mut random = seed::random(1000);
        let mut model = Model::new(&heap, 1 << 60);
        for round in 0..ROUNDS {
            let children = [0, 1].map(|child| fork(|| churn(&heap, 2 * round + child)));
            std::thread::sleep(Duration::from_micros(random.random_range(0..8_000)));
            for pid in children {
                kill(pid);
                for _ in 0..20 {
                    model.step(&mut random, 50);
                }
                heap.verify().expect("the records hold");
            }
            model.check();
            // A child holds 41 blocks at most, which it takes with it.
            let (live, own) = (heap.stats().expect("the lock").live_blocks, model.live());
            assert!((own..=own + 2 * 41 * (round as usize + 1)).contains(&live), "{live} of {own}");
            if live - own > 500 && heap.stats().expect("the lock").recoveries > 0 {
                break; // Their blocks stay in use: enough of that.
            }
        }
        assert!(heap.stats().expect("the lock").recoveries > 0, "nobody was killed inside");
        model.free_all();
        heap.verify().expect("the records hold");
    });
}

/// The same in a file, killed in the middle of syncs: each opening and the survivor find what was
/// synced.
#[test]
fn who_is_killed_in_a_sync_leaves_a_whole_file() {
    child::alone(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("heap");
        let mut random = seed::random(2000);
        for round in 0..10 {
            let heap = Options::new().limit(64 * MIB).file(&path).expect("a heap");
            heap.verify().expect("the records hold");
            let kept = heap.stats().expect("the lock").live_blocks;
            for _ in 0..4 {
                let pid = fork(|| {
                    let mut model = Model::new(&heap, round << 32);
                    loop {
                        model.allocate(layout(3000, 8));
                        heap.sync().expect("synced");
                        model.free_all();
                        heap.sync().expect("synced");
                    }
                });
                std::thread::sleep(Duration::from_micros(random.random_range(0..10_000)));
                kill(pid);
                heap.sync().expect("synced by the survivor");
                heap.verify().expect("the records hold");
            }
            // Each child had one block at most, and took it with it.
            let live = heap.stats().expect("the lock").live_blocks;
            assert!((kept..=kept + 4).contains(&live), "{live} of {kept}");
            drop(heap);
            let heap = Options::new().file(&path).expect("a heap");
            heap.verify().expect("the records hold");
            assert_eq!(heap.stats().expect("the lock").live_blocks, live);
        }
    });
}
