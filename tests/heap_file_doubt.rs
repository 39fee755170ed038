//! A sync whose superblock may or may not have reached the disk: whichever it is, an opening after
//! a crash finds a whole state, however far the program and its next sync had come.
//!
//! msync(2) is refused on demand, so the file's pages are what memory holds; what a disk may hold
//! instead of a superblock whose writing failed is put into a copy of the file.

use std::alloc::Layout;
use std::fs;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use freestone::fault_injection::{Call, allow_all, refuse, refused};
use freestone::heaps::{Error, File, Heap, Options};

/// Bytes of each superblock's part of the file, and where they are.
const PLACE: usize = 64 << 10;

/// A node of a list, as long as a few make a slab, so that slabs come and go.
#[repr(C)]
struct Node {
    next: Option<NonNull<Node>>,
    value: u64,
    rest: [u64; 1022],
}

fn push(heap: &Heap<File>, value: u64) -> bool {
    let Some(node) = heap.allocate(Layout::new::<Node>()) else { return false };
    let node: NonNull<Node> = node.cast();
    // SAFETY: a new block of that size.
    unsafe {
        node.write(Node {
            next: heap.root().expect("the lock").map(NonNull::cast),
            value,
            rest: [value; 1022],
        })
    };
    heap.set_root(Some(node.cast())).expect("a block");
    true
}

fn pop(heap: &Heap<File>) {
    let node: NonNull<Node> = heap.root().expect("the lock").expect("a root").cast();
    // SAFETY: roots of these heaps are nodes.
    let next = unsafe { (*node.as_ptr()).next };
    heap.set_root(next.map(NonNull::cast)).expect("a block");
    // SAFETY: allocated so, and not used any more.
    unsafe { heap.deallocate(node.cast(), Layout::new::<Node>()) };
}

/// The list's values, each found whole.
fn values(heap: &Heap<File>) -> Vec<u64> {
    let mut next: Option<NonNull<Node>> = heap.root().expect("the lock").map(NonNull::cast);
    std::iter::from_fn(|| {
        // SAFETY: roots of these heaps are nodes, and nodes point to nodes.
        let node = unsafe { next?.as_ref() };
        assert!(node.rest.iter().all(|word| *word == node.value), "the node of {} is whole", node.value);
        next = node.next;
        Some(node.value)
    })
    .collect()
}

/// Refusals are the process's. A test that failed leaves none to the next.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    allow_all();
    alone
}

fn open(path: &Path) -> Result<Heap<File>, Error> {
    Options::new().limit(64 << 20).file(path)
}

/// A file with a list that was synced; the list.
fn synced(path: &Path) -> Vec<u64> {
    let heap = open(path).expect("a heap");
    (0..200).for_each(|value| assert!(push(&heap, value)));
    heap.sync().expect("a sync");
    values(&heap)
}

/// What the program does before the sync that fails: nodes go, and others come.
fn change(heap: &Heap<File>) {
    (0..150).for_each(|_| pop(heap));
    (1_000..1_100).for_each(|value| assert!(push(heap, value)));
}

/// What it does after: as before it. Nothing may be allocated, for all that it asks.
fn go_on(heap: &Heap<File>) {
    (0..60).for_each(|_| pop(heap));
    heap.purge().expect("the lock");
    (5_000..5_200).for_each(|value| _ = push(heap, value));
    heap.purge().expect("the lock");
}

/// The file's two superblocks' places.
fn places(file: &mut [u8]) -> [&mut [u8]; 2] {
    let (first, rest) = file.split_at_mut(PLACE);
    [first, &mut rest[..PLACE]]
}

#[test]
fn either_superblock_leads_to_a_whole_state() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let [base, whole, doubtful, after] =
        ["base", "whole", "doubtful", "after"].map(|name| folder.path().join(name));
    let before = synced(&base);

    // What the disk has if the superblock reached it.
    fs::copy(&base, &whole).expect("a copy");
    let heap = open(&whole).expect("a heap");
    change(&heap);
    let changed = values(&heap);
    heap.sync().expect("a sync");
    drop(heap);

    // The same, and the superblock's msync is refused, and every one from there on.
    fs::copy(&base, &doubtful).expect("a copy");
    let heap = open(&doubtful).expect("a heap");
    change(&heap);
    assert_eq!(values(&heap), changed);
    refuse(Call::Sync, 1, u64::MAX, libc::EIO);
    assert!(heap.sync().is_err() && refused(Call::Sync) > 0);
    go_on(&heap);
    assert!(heap.sync().is_err());
    go_on(&heap);
    drop(heap);
    allow_all();

    // The machine stops. The disk has the superblock, or has it not.
    let mut crashed = fs::read(&doubtful).expect("a file");
    let heap = open(&doubtful).expect("the last sync counts");
    assert_eq!(values(&heap), before);
    heap.verify().expect("whole books");
    drop(heap);
    let (mut old, mut new) = (fs::read(&base).expect("a file"), fs::read(&whole).expect("a file"));
    let mut written = 0;
    for ((old, new), place) in places(&mut old).into_iter().zip(places(&mut new)).zip(places(&mut crashed)) {
        // The mark of use lies behind the first superblock.
        if old[..128] != new[..128] {
            place[..128].copy_from_slice(&new[..128]);
            written += 1;
        }
    }
    assert_eq!(written, 1, "a sync writes one superblock");
    fs::write(&after, crashed).expect("a file");
    let heap = open(&after).expect("the sync that failed counts as well");
    assert_eq!(values(&heap), changed);
    heap.verify().expect("whole books");
}

#[test]
fn a_sync_that_succeeds_ends_the_doubt() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heap");
    synced(&path);
    let heap = open(&path).expect("a heap");
    change(&heap);
    refuse(Call::Sync, 1, u64::MAX, libc::EIO);
    assert!(heap.sync().is_err());
    assert!(!push(&heap, 7), "nothing is allocated while two states must be kept");
    pop(&heap);
    allow_all();
    heap.sync().expect("a sync");
    (0..300).for_each(|value| assert!(push(&heap, value), "as before"));
    heap.verify().expect("whole books");
    let all = values(&heap);
    heap.close().expect("a sync");
    assert_eq!(values(&open(&path).expect("a heap")), all);
}

#[test]
fn where_the_superblock_can_be_taken_back_there_is_no_doubt() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heap");
    let before = synced(&path);
    let heap = open(&path).expect("a heap");
    change(&heap);
    refuse(Call::Sync, 1, 1, libc::EIO);
    assert!(heap.sync().is_err() && refused(Call::Sync) == 1);
    allow_all();
    assert!(push(&heap, 7));
    drop(heap);
    assert_eq!(values(&open(&path).expect("a heap")), before, "the last sync counts");
}

#[test]
fn a_heap_is_made_lower_where_the_kernel_offers_fewer_addresses() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    for (refusals, below) in [(1, 1_usize << 42), (2, 1 << 38)] {
        let path = folder.path().join(format!("heap {refusals}"));
        // What the kernel says to an address beyond its own.
        refuse(Call::Map, 0, refusals, libc::ENOMEM);
        let heap = open(&path).expect("a lower address");
        assert_eq!(refused(Call::Map), refusals);
        allow_all();
        assert!(push(&heap, 1) && heap.root().expect("the lock").expect("a root").addr().get() < below);
        heap.close().expect("a sync");
        assert_eq!(values(&open(&path).expect("the same address")), [1]);
    }
    refuse(Call::Map, 0, u64::MAX, libc::ENOMEM);
    let error = open(&folder.path().join("nowhere")).expect_err("no address at all");
    allow_all();
    assert!(error.to_string().contains("no room"), "{error}");
}
