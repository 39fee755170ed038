//! Groups: whose a block is, to the byte, whoever frees it; limits; and the odd ways in and out.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::future::Future;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{mem, ptr, thread};

use freestone::groups::{Group, GroupStats};
use rand::{RngExt, SeedableRng, rngs::StdRng};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// One block of a shadow count.
#[derive(Clone, Copy)]
struct Block {
    address: usize,
    layout: Layout,
    group: usize,
}

const THREADS: u64 = 4;
const GROUPS: usize = 3;

fn random_layout(random: &mut StdRng) -> Layout {
    let size = match random.random_range(0..100) {
        0..80 => random.random_range(1..600),
        80..97 => random.random_range(1..70_000),
        _ => random.random_range(1..(3 << 20)),
    };
    let align = if random.random_range(0..20) == 0 { 1 << random.random_range(4..14) } else { 8 };
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn make(random: &mut StdRng, groups: &[Group], counts: &[AtomicUsize]) -> Block {
    let (group, layout) = (random.random_range(0..groups.len()), random_layout(random));
    let zeroed = random.random_range(0..8) == 0;
    // SAFETY: the size is not zero.
    let start = groups[group].enter(|| unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } });
    assert!(!start.is_null());
    counts[group].fetch_add(layout.size(), Ordering::Relaxed);
    Block { address: start.expose_provenance(), layout, group }
}

fn free(block: Block, counts: &[AtomicUsize]) {
    // SAFETY: the block is live, and this is its layout.
    unsafe { dealloc(ptr::with_exposed_provenance_mut(block.address), block.layout) };
    counts[block.group].fetch_sub(block.layout.size(), Ordering::Relaxed);
}

#[test]
fn after_random_calls_of_many_threads_every_byte_is_counted() {
    let groups: Vec<Group> = (0..GROUPS).map(|group| Group::create(&format!("group {group}"))).collect();
    let counts: Vec<AtomicUsize> = (0..GROUPS).map(|_| AtomicUsize::new(0)).collect();
    let shelf: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (groups, counts, shelf) = (&groups, &counts, &shelf);
            scope.spawn(move || churn(seed, groups, counts, shelf));
        }
    });
    check(&groups, &counts, &shelf);
    for block in mem::take(&mut *shelf.lock().expect("not poisoned")) {
        free(block, &counts);
    }
    for (group, count) in groups.iter().zip(&counts) {
        assert_eq!(count.load(Ordering::Relaxed), 0);
        let stats = group.stats();
        assert_eq!((stats.requested, stats.allocated, stats.blocks), (0, 0, 0), "{stats}");
        purge_until(group, |stats| (stats.held, stats.slabs) == (0, 0));
    }
}

/// Another test's purge may have a heap of the group in its hands: then it is asked again.
fn purge_until(group: &Group, is_done: impl Fn(GroupStats) -> bool) {
    for _ in 0..1000 {
        group.purge();
        if is_done(group.stats()) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("{}", group.stats());
}

fn churn(seed: u64, groups: &[Group], counts: &[AtomicUsize], shelf: &Mutex<Vec<Block>>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut own = Vec::new();
    for _ in 0..20_000 {
        match random.random_range(0..10) {
            0..5 => own.push(make(&mut random, groups, counts)),
            5 => shelf.lock().expect("not poisoned").extend(own.pop()),
            6 => {
                // Another thread's, freed in any group.
                let taken = shelf.lock().expect("not poisoned").pop();
                let group = random.random_range(0..groups.len());
                taken.into_iter().for_each(|block| groups[group].enter(|| free(block, counts)));
            }
            7 if !own.is_empty() => {
                let at = random.random_range(0..own.len());
                resize(&mut own[at], &mut random, groups, counts);
            }
            _ if !own.is_empty() => free(own.swap_remove(random.random_range(0..own.len())), counts),
            _ => {}
        }
    }
    shelf.lock().expect("not poisoned").extend(own);
}

/// A block that moves by copying is the current group's: here always its own.
fn resize(block: &mut Block, random: &mut StdRng, groups: &[Group], counts: &[AtomicUsize]) {
    let size = random.random_range(1..block.layout.size() * 2 + 2);
    let old = ptr::with_exposed_provenance_mut(block.address);
    // SAFETY: the block is live, and this is its layout.
    let start = groups[block.group].enter(|| unsafe { realloc(old, block.layout, size) });
    assert!(!start.is_null());
    counts[block.group].fetch_add(size.wrapping_sub(block.layout.size()), Ordering::Relaxed);
    block.address = start.expose_provenance();
    block.layout = Layout::from_size_align(size, block.layout.align()).expect("a valid layout");
}

fn check(groups: &[Group], counts: &[AtomicUsize], shelf: &Mutex<Vec<Block>>) {
    let shelf = shelf.lock().expect("not poisoned");
    for (index, (group, count)) in groups.iter().zip(counts).enumerate() {
        let of_group = || shelf.iter().filter(|block| block.group == index);
        let stats = group.stats();
        assert_eq!(stats.requested, count.load(Ordering::Relaxed), "{stats}");
        assert_eq!(stats.requested, of_group().map(|block| block.layout.size()).sum::<usize>());
        assert_eq!(stats.blocks, of_group().count(), "{stats}");
        assert!(stats.requested <= stats.allocated && stats.allocated <= stats.held, "{stats}");
        assert!(stats.held <= stats.peak && stats.active >= stats.allocated, "{stats}");
    }
}

#[test]
fn groups_are_nested_and_left_in_any_order() {
    let (one, two) = (Group::create("one"), Group::create("two"));
    assert_eq!(Group::current(), None);
    one.enter(|| {
        assert_eq!(Group::current(), Some(one.clone()));
        two.enter(|| one.enter(|| two.enter(|| assert_eq!(Group::current(), Some(two.clone())))));
        one.enter(|| assert_eq!(Group::current(), Some(one.clone())));
        assert_eq!(Group::current(), Some(one.clone()));
    });
    let (first, second, third) = (one.entered(), two.entered(), one.entered());
    drop(first);
    assert_eq!(Group::current(), Some(one.clone()));
    drop(third);
    assert_eq!(Group::current(), Some(two.clone()));
    drop(second);
    assert_eq!(Group::current(), None);
}

#[test]
fn a_panic_leaves_the_group() {
    let group = Group::create("panics");
    assert!(catch_unwind(AssertUnwindSafe(|| group.enter(|| panic!("as meant")))).is_err());
    assert_eq!(Group::current(), None);
}

#[test]
fn blocks_of_two_groups_share_no_slab() {
    let groups = [Group::create("a"), Group::create("b")];
    let mut blocks: [Vec<Box<u64>>; 2] = [Vec::new(), Vec::new()];
    for round in 0..10_000_u64 {
        for (group, blocks) in groups.iter().zip(&mut blocks) {
            let block = group.enter(|| Box::new(round));
            blocks.push(block);
        }
    }
    let units = |blocks: &[Box<u64>]| {
        blocks
            .iter()
            .map(|block| ptr::from_ref(&**block).addr() >> 16)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(units(&blocks[0]).is_disjoint(&units(&blocks[1])));
}

#[test]
fn a_limit_is_never_passed_by_sixteen_threads_and_the_rest_goes_on() {
    const LIMIT: usize = 4 << 20;
    let group = Group::create("limited");
    group.limit(LIMIT);
    let is_over = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    let start = Barrier::new(16);
    thread::scope(|scope| {
        for seed in 0..16 {
            let (group, is_over, refused, start) = (&group, &is_over, &refused, &start);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed);
                let mut kept: Vec<Vec<u8>> = Vec::with_capacity(4000);
                start.wait();
                for _ in 0..2000 {
                    let bytes =
                        if random.random_range(0..200) == 0 { 1 << 21 } else { random.random_range(1..5000) };
                    let mut block: Vec<u8> = Vec::new();
                    if group.enter(|| block.try_reserve_exact(bytes)).is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                        kept.truncate(kept.len() / 2);
                    }
                    kept.push(block);
                    is_over.fetch_or(group.held() > LIMIT, Ordering::Relaxed);
                }
                assert!(vec![0_u8; 1 << 20].len() == 1 << 20, "outside there is memory");
            });
        }
    });
    let stats = group.stats();
    assert!(!is_over.into_inner() && stats.peak <= LIMIT, "{stats}");
    assert!(refused.into_inner() > 0 && stats.refusals_total > 0, "{stats}");
    assert!(stats.peak > LIMIT / 2, "{stats}");
    assert_eq!((stats.requested, stats.blocks), (0, 0), "{stats}");
    group.limit(usize::MAX);
    assert!(group.enter(|| Vec::<u8>::new().try_reserve_exact(LIMIT * 2)).is_ok());
}

#[test]
fn large_blocks_grow_within_the_limit_and_stay_their_groups() {
    let (group, other) = (Group::create("grows"), Group::create("other"));
    group.limit(16 << 20);
    let mut block: Vec<u8> = Vec::new();
    group.enter(|| block.try_reserve_exact(4 << 20)).expect("within the limit");
    other.enter(|| block.try_reserve_exact(8 << 20)).expect("its own group's");
    assert_eq!((group.requested(), other.requested()), (8 << 20, 0));
    assert!(other.enter(|| block.try_reserve_exact(17 << 20)).is_err(), "{}", group.stats());
    assert_eq!((group.requested(), block.capacity()), (8 << 20, 8 << 20));
    assert_eq!(group.stats().large_count, 1);
    drop(block);
    assert_eq!((group.requested(), group.stats().large_count), (0, 0));
}

#[test]
fn the_soft_limit_is_told_once_a_passing() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let group = Group::create("soft");
    group.soft_limit(1 << 20, |name, held| {
        assert_eq!(name, "soft");
        assert!(held > 1 << 20 && vec![1; 100].len() == 100, "it may allocate");
        TOLD.fetch_add(1, Ordering::Relaxed);
    });
    for round in 1..=3 {
        let blocks = group.enter(|| (0..2000).map(|_| Box::new([0_u8; 1000])).collect::<Vec<_>>());
        drop(blocks);
        purge_until(&group, |stats| stats.held < 500 << 10);
        assert_eq!(TOLD.load(Ordering::Relaxed), round);
    }
}

#[test]
fn a_forgotten_guard_ends_with_its_thread() {
    let group = Group::create("forgotten");
    for _ in 0..20 {
        let handle = group.clone();
        let kept = thread::spawn(move || {
            mem::forget(handle.entered());
            vec![1_u8; 100]
        });
        let kept = kept.join().expect("it ends");
        assert!(group.requested() >= 100);
        drop(kept);
    }
    assert!(group.stats().heaps < 5, "the heap is idle again each time");
}

struct AtEnd(Group, mpsc::Sender<Box<[u8; 500]>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        let block = self.0.enter(|| Box::new([7; 500]));
        self.1.send(block).expect("somebody waits");
    }
}

thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

#[test]
fn destructors_of_thread_locals_allocate_in_a_group() {
    let group = Group::create("at the end");
    let (sender, receiver) = mpsc::channel();
    let handle = group.clone();
    let thread = thread::spawn(move || {
        AT_END.with(|at_end| *at_end.borrow_mut() = Some(AtEnd(handle, sender)));
    });
    thread.join().expect("it ends");
    let block = receiver.recv().expect("it was sent");
    assert!(group.requested() == 500 || group.requested() == 0, "in the group, or after the heap's end");
    drop(block);
    assert_eq!(group.requested(), 0);
}

#[test]
fn a_group_dropped_with_live_blocks_ends_when_they_are_freed() {
    let heaps_before = freestone::stats::heap_stats(&mut []);
    let mut kept = Vec::new();
    for round in 0..2000_u32 {
        let group = Group::create("short");
        let block = group.enter(|| Box::new(round));
        drop(group);
        kept.push(block);
        if kept.len() == 10 {
            // From a thread in no group.
            thread::scope(|scope| _ = scope.spawn(|| kept.clear()));
        }
    }
    let heaps = freestone::stats::heap_stats(&mut []) - heaps_before;
    assert!(heaps < 500, "{heaps} heaps: records and heaps are used again");
}

#[test]
fn a_handle_made_after_the_last_one_keeps_its_group() {
    let group = Group::create("again");
    let thread = thread::spawn(move || {
        mem::forget(group.entered());
        drop(group);
        let again = Group::current().expect("still in it");
        let kept = vec![1_u8; 100];
        drop((Group::create("other"), again.clone()));
        (again, kept)
    });
    let (again, kept) = thread.join().expect("it ends");
    drop((0..20).map(|_| Group::create("more")).collect::<Vec<_>>());
    assert_eq!((again.to_string().as_str(), again.requested() >= 100), ("again", true));
    drop(kept);
}

/// Sleeps once.
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_future_is_in_its_group_at_each_poll_and_may_be_dropped() {
    let group = Group::create("future");
    let task = |finish: bool| {
        let (group, expected) = (group.clone(), group.clone());
        let mut future = Box::pin(group.instrument(async move {
            let kept = vec![0_u8; 1000];
            Once(false).await;
            assert_eq!(Group::current(), Some(expected));
            kept.len()
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!((Group::current(), group.requested()), (None, 1000));
        if finish {
            // On another thread.
            let poll = |mut future: Pin<Box<_>>| {
                let mut context = Context::from_waker(Waker::noop());
                assert_eq!(Future::poll(Pin::as_mut(&mut future), &mut context), Poll::Ready(1000));
            };
            thread::spawn(move || poll(future)).join().expect("it is ready");
        }
    };
    task(false);
    assert_eq!(group.requested(), 0);
    task(true);
    assert_eq!(group.requested(), 0);
}

#[test]
fn a_forked_child_goes_on_in_the_group() {
    let group = Arc::new(Group::create("forks"));
    let (stop, handle) = (Arc::new(AtomicBool::new(false)), Arc::clone(&group));
    let is_stopped = Arc::clone(&stop);
    let other = thread::spawn(move || {
        while !is_stopped.load(Ordering::Relaxed) {
            handle.enter(|| drop(vec![0_u8; 300]));
            freestone::purge();
        }
    });
    for _ in 0..100 {
        let kept = group.enter(|| Box::new([1_u64; 20]));
        // SAFETY: the child calls what is allowed after fork(2) of a process with threads, as the
        // allocator promises to be.
        let child = group.enter(|| unsafe { libc::fork() });
        if child == 0 {
            drop(kept);
            let blocks = group.enter(|| (0..200_usize).map(|size| vec![1_u8; size * 8]).collect::<Vec<_>>());
            drop(blocks);
            let inner = Group::create("child");
            let is_right = inner.enter(|| Box::new(5_u64)).eq(&Box::new(5)) && inner.requested() == 0;
            group.purge();
            freestone::purge();
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!is_right)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
    stop.store(true, Ordering::Relaxed);
    other.join().expect("it ends");
    assert_eq!(group.requested(), 0);
}

#[test]
fn names_are_cut_between_characters() {
    let group = Group::create(&"ä".repeat(40));
    assert_eq!(group.to_string(), "ä".repeat(31));
    static STATIC: Group = Group::new("static");
    assert_eq!((format!("{STATIC:?}"), STATIC.requested()), (r#"Group("static")"#.into(), 0));
    assert!(STATIC.stats().to_string().contains("requested"));
}

/// While it moves, too, it is a block of its group, which has no handle and else would end.
#[test]
fn a_large_block_keeps_its_group_while_it_is_resized() {
    let is_done = AtomicBool::new(false);
    let layout = |mib: usize| Layout::from_size_align(mib << 20, 8).expect("a valid layout");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1_000 {
                let group = Group::create("old");
                // SAFETY: the size is not zero.
                let mut start = black_box(group.enter(|| unsafe { alloc(layout(2)) }));
                drop(group);
                for _ in 0..10 {
                    // SAFETY: the block is live, and has that layout.
                    start = black_box(unsafe { realloc(start, layout(2), 5 << 20) });
                    // SAFETY: as above.
                    start = black_box(unsafe { realloc(start, layout(5), 2 << 20) });
                }
                // SAFETY: as above.
                unsafe { dealloc(start, layout(2)) };
            }
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) {
            let group = Group::create("new");
            let stats = group.stats();
            assert_eq!(
                (stats.requested, stats.blocks, stats.held, stats.requested_total),
                (0, 0, 0, 0),
                "{stats}"
            );
        }
    });
}
