//! File heaps: what was synced is there again, at the same address; what is not a whole heap is
//! refused; what was in use at the last sync is left alone until the next.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use freestone::heaps::{Error, File, Found, Heap, Options};
use freestone::map::Mapping;

use crate::common::block::layout;
use crate::common::child::{self, Files};
use crate::common::shadow::Model;
use crate::common::skip::skip;
use crate::common::{KIB, MIB, memory, seed};

/// A list in a heap: each node points to the next, as it is.
struct Node {
    value: u64,
    next: Option<NonNull<Node>>,
}

fn push(heap: &Heap<File>, value: u64) {
    let node: NonNull<Node> = heap.allocate(layout(16, 8)).expect("memory").cast();
    // SAFETY: a new block of that size.
    unsafe { node.write(Node { value, next: heap.root().expect("the lock").map(NonNull::cast) }) };
    heap.set_root(Some(node.cast())).expect("a root");
}

fn pop(heap: &Heap<File>) -> u64 {
    let node: NonNull<Node> = heap.root().expect("the lock").expect("a root").cast();
    // SAFETY: roots of these heaps are nodes.
    let (value, next) = unsafe { ((*node.as_ptr()).value, (*node.as_ptr()).next) };
    heap.set_root(next.map(NonNull::cast)).expect("a root");
    // SAFETY: allocated so, and not used any more.
    unsafe { heap.deallocate(node.cast(), layout(16, 8)) };
    value
}

fn values(heap: &Heap<File>) -> Vec<u64> {
    let mut next: Option<NonNull<Node>> = heap.root().expect("the lock").map(NonNull::cast);
    std::iter::from_fn(|| {
        // SAFETY: roots of these heaps are nodes, and nodes point to nodes.
        let node = unsafe { next?.as_ref() };
        next = node.next;
        Some(node.value)
    })
    .collect()
}

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// A child that is being started would hold the lock on a file that was closed here.
    _files: Files,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heap");
    Place { _folder: folder, path, _files: child::files() }
}

fn small(path: &Path) -> Result<Heap<File>, Error> {
    Options::new().limit(64 * MIB).file(path)
}

fn made(path: &Path, nodes: u64) -> usize {
    let heap = small(path).expect("a heap");
    (0..nodes).for_each(|value| push(&heap, value));
    let root = heap.root().expect("the lock").expect("a root").addr().get();
    heap.close().expect("closed");
    root
}

#[test]
fn what_was_closed_is_there_again_at_the_same_address() {
    let Place { path, _folder, _files } = place();
    let heap = small(&path).expect("a heap");
    assert_eq!((heap.found(), heap.root().expect("the lock")), (Found::New, None));
    drop(heap);
    let root = made(&path, 1000);
    for more in 0..5 {
        let heap = small(&path).expect("a heap");
        assert_eq!(heap.found(), Found::Clean);
        heap.verify().expect("the records hold");
        if more == 0 {
            assert_eq!(heap.root().expect("the lock").expect("a root").addr().get(), root);
        }
        assert_eq!(values(&heap), (0..1000 + more).rev().collect::<Vec<_>>());
        push(&heap, 1000 + more);
        heap.close().expect("closed");
    }
}

#[test]
fn what_was_not_synced_is_gone_and_what_was_freed_is_back() {
    let Place { path, _folder, _files } = place();
    made(&path, 500);
    let heap = small(&path).expect("a heap");
    let before = heap.stats().expect("the lock");
    for value in (300..500).rev() {
        assert_eq!(pop(&heap), value);
    }
    // What is allocated now must not come from what was just freed.
    for value in 0..2000 {
        push(&heap, 1_000_000 + value);
    }
    assert!(heap.allocate(layout(5 * MIB, 8)).is_some());
    assert_eq!(heap.stats().expect("the lock").deferred, 200 * 16);
    heap.verify().expect("the records hold");
    drop(heap);
    let heap = small(&path).expect("a heap");
    assert_eq!(heap.found(), Found::Dirty);
    heap.verify().expect("the records hold");
    assert_eq!(values(&heap), (0..500).rev().collect::<Vec<_>>());
    let after = heap.stats().expect("the lock");
    assert_eq!((after.live, after.live_blocks), (before.live, before.live_blocks));
}

#[test]
fn freed_memory_is_used_again_after_the_next_sync() {
    let Place { path, _folder, _files } = place();
    let heap = Options::new().limit(8 * MIB).file(&path).expect("a heap");
    for size in [16, 1000, 40 * KIB, MIB, 2 * MIB] {
        let mut model = Model::new(&heap, 0);
        while model.allocate(layout(size, 8)) {}
        let full = heap.stats().expect("the lock").live;
        assert!(full > 3 * MIB, "{size}: {full}");
        heap.sync().expect("synced");
        model.free_all();
        assert!(!model.allocate(layout(size, 8)), "{size}: used again before the sync");
        assert_eq!(
            heap.stats().expect("the lock").deferred == 0,
            size > MIB,
            "blocks of slabs wait, and are counted"
        );
        heap.sync().expect("synced");
        assert_eq!((heap.stats().expect("the lock").live, heap.stats().expect("the lock").deferred), (0, 0));
        heap.verify().expect("the records hold");
    }
}

#[test]
fn random_operations_with_syncs_and_reopenings() {
    let Place { path, _folder, _files } = place();
    let mut random = seed::random(2);
    for round in 0..6_u64 {
        let heap = Options::new().limit(256 * MIB).file(&path).expect("a heap");
        heap.verify().expect("the records hold");
        let kept = heap.stats().expect("the lock").live_blocks;
        let mut model = Model::new(&heap, round << 32);
        for step in 0..if cfg!(debug_assertions) { 1000 } else { 4000 } {
            model.step(&mut random, 100);
            if step % 500 == 0 {
                heap.sync().expect("synced");
                heap.verify().expect("the records hold");
            }
            if step % 700 == 0 {
                heap.purge().expect("the lock");
                heap.verify().expect("the records hold");
            }
        }
        assert_eq!(heap.stats().expect("the lock").live_blocks, kept + model.live());
        if round % 2 == 0 {
            model.free_all();
            drop(model);
            heap.close().expect("closed");
        } else {
            // It is left as it was at the last sync.
            model.leave();
        }
    }
}

#[test]
fn a_purge_makes_the_file_small_and_growth_makes_room_again() {
    use std::os::unix::fs::MetadataExt;
    let Place { path, _folder, _files } = place();
    let heap = small(&path).expect("a heap");
    let on_disk = || fs::metadata(&path).expect("a file").blocks() * 512;
    let mut model = Model::new(&heap, 0);
    for _ in 0..40 {
        assert!(model.allocate(layout(MIB, 8)));
    }
    heap.sync().expect("synced");
    assert!(on_disk() > 40 * MIB as u64);
    model.free_all();
    assert_eq!(heap.stats().expect("the lock").deferred, 40 * MIB);
    heap.purge().expect("the lock");
    assert!(on_disk() > 40 * MIB as u64, "what was in use at the last sync stays");
    heap.sync().expect("synced");
    heap.purge().expect("the lock");
    assert!(on_disk() < 12 * MIB as u64, "{} bytes are left", on_disk());
    for _ in 0..40 {
        assert!(model.allocate(layout(MIB, 8)));
    }
    assert!(on_disk() > 40 * MIB as u64, "room is made before memory is handed out");
}

#[test]
fn a_taken_address_is_refused_in_words() {
    let Place { path, _folder, _files } = place();
    let root = made(&path, 10);
    let intruder = Mapping::anonymous(4096).exactly_at(root & !4095).map().expect("the heap is closed");
    match small(&path) {
        Err(error @ Error::AddressTaken { .. }) => assert!(error.to_string().contains("taken"), "{error}"),
        other => panic!("{other:?}"),
    }
    drop(intruder);
    assert_eq!(values(&small(&path).expect("a heap")).len(), 10);
}

#[test]
fn a_file_is_open_once_at_a_time() {
    let Place { path, _folder, _files } = place();
    let heap = small(&path).expect("a heap");
    assert!(matches!(small(&path), Err(Error::InUse)));
    drop(heap);
    assert!(small(&path).is_ok());
}

#[test]
fn two_heaps_are_open_beside_each_other() {
    let (one, other) = (place(), place());
    made(&one.path, 10);
    made(&other.path, 20);
    let (one, other) = (small(&one.path).expect("a heap"), small(&other.path).expect("a heap"));
    assert_eq!((values(&one).len(), values(&other).len()), (10, 20));
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let Place { path, _folder, _files } = place();
    for bytes in [b"x".to_vec(), vec![0; 100], vec![7; 10 * MIB]] {
        fs::write(&path, &bytes).expect("written");
        assert!(matches!(small(&path), Err(Error::Foreign)), "{} bytes", bytes.len());
        assert_eq!(fs::read(&path).expect("read"), bytes);
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let Place { path, _folder, _files } = place();
    made(&path, 10);
    let whole = fs::read(&path).expect("read");
    for length in [1, 4096, 64 * KIB, MIB, 5 * MIB, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("written");
        match small(&path) {
            Err(Error::Truncated { .. } | Error::Foreign | Error::Damaged(_)) => {}
            other => panic!("{length} of {}: {other:?}", whole.len()),
        }
    }
}

#[test]
fn another_version_is_refused_by_its_number() {
    let Place { path, _folder, _files } = place();
    made(&path, 10);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    for superblock in [0, 64 * KIB as u64] {
        file.write_all_at(&99_u64.to_le_bytes(), superblock + 8).expect("written");
    }
    assert!(matches!(small(&path), Err(Error::Version { found: 99, .. })));
}

/// Every bit of what a sync wrote about the heap matters: whatever is changed there, opening says
/// so, or takes the superblock before, or the file is as it was.
#[test]
fn damage_is_noticed() {
    let Place { path, _folder, _files } = place();
    made(&path, 3000);
    let whole = fs::read(&path).expect("read");
    let expected: Vec<u64> = (0..3000).rev().collect();
    let chunk = 4 * MIB;
    let pages = [chunk + 64 * KIB, chunk + 96 * KIB];
    let mut refused = 0;
    for at in [0, 8, 16, 24, 40, 80, 64 * KIB + 16, 64 * KIB + 80]
        .into_iter()
        .chain((192 * KIB..512 * KIB).step_by(16 * KIB))
        .chain(pages.iter().flat_map(|page| (0..40).map(move |n| page + n * 100)))
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("written");
        match small(&path) {
            Err(Error::Damaged(_) | Error::Foreign | Error::Version { .. }) => refused += 1,
            Ok(heap) => {
                heap.verify().expect("the records hold");
                let found = values(&heap);
                assert!(found == expected || found.is_empty(), "{at:#x}: {} nodes", found.len());
            }
            Err(other) => panic!("{at:#x}: {other:?}"),
        }
    }
    assert!(refused >= 40, "only {refused} were refused");
}

#[test]
fn a_file_that_may_not_grow_is_an_error() {
    child::alone(|| {
        let Place { path, _folder, _files } = place();
        let heap = small(&path).expect("a heap");
        let limit = libc::rlimit { rlim_cur: 12 << 20, rlim_max: 12 << 20 };
        // SAFETY: the structure is readable, and the signal is one that the limit raises.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
        let mut model = Model::new(&heap, 0);
        while model.allocate(layout(10 * KIB, 8)) {}
        assert!(
            (3 * MIB..9 * MIB).contains(&heap.stats().expect("the lock").live),
            "{:?}",
            heap.stats().expect("the lock")
        );
        assert!(heap.allocate(layout(9 * MIB, 8)).is_none());
        heap.sync().expect("synced");
        model.free_all();
        heap.sync().expect("synced");
        assert!(model.allocate(layout(100 * KIB, 8)), "other sizes are served by what is there");
        heap.verify().expect("the records hold");
    });
}

/// A disk of 16 MiB, in a namespace of its own. False where the system allows none.
fn mount_small_disk(at: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let at = std::ffi::CString::new(at.as_os_str().as_bytes()).expect("no zero in a path");
    // SAFETY: the strings end with a zero; the child is alone in its new namespaces.
    unsafe {
        let root = libc::getuid() == 0 && libc::unshare(libc::CLONE_NEWNS) == 0;
        if !root && libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) != 0 {
            return false;
        }
        let none = std::ptr::null();
        let private = libc::MS_REC | libc::MS_PRIVATE;
        libc::mount(c"none".as_ptr(), c"/".as_ptr(), none, private, none.cast()) == 0
            && libc::mount(c"tmpfs".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=16m".as_ptr().cast())
                == 0
    }
}

#[test]
fn a_full_disk_is_an_error_and_not_a_signal() {
    child::alone(|| {
        let folder = tempfile::tempdir().expect("a folder");
        if !mount_small_disk(folder.path()) {
            skip!("no disk of its own can be had; `a_file_that_may_not_grow_is_an_error` always runs");
        }
        let heap = small(&folder.path().join("heap")).expect("a heap");
        let mut model = Model::new(&heap, 0);
        while model.allocate(layout(10 * KIB, 8)) {}
        assert!(
            (5 * MIB..16 * MIB).contains(&heap.stats().expect("the lock").live),
            "{:?}",
            heap.stats().expect("the lock")
        );
        assert!(heap.allocate(layout(9 * MIB, 8)).is_none());
        model.check();
        heap.sync().expect("synced");
        // Holes are filled again before they are handed out, or not handed out.
        model.free_all();
        heap.sync().expect("synced");
        assert!(heap.purge().expect("the lock") > 4 * MIB);
        fs::write(folder.path().join("other"), vec![1; 4 * MIB]).expect("room from the holes");
        while model.allocate(layout(10 * KIB, 8)) {}
        assert!(heap.stats().expect("the lock").live < 12 * MIB, "{:?}", heap.stats().expect("the lock"));
        model.check();
        heap.verify().expect("the records hold");
    });
}

#[test]
fn a_root_is_a_block_in_use() {
    let Place { path, _folder, _files } = place();
    let heap = small(&path).expect("a heap");
    let block = heap.allocate(layout(100, 8)).expect("memory");
    // SAFETY: inside the block.
    let inside = unsafe { block.add(1) };
    assert!(matches!(heap.set_root(Some(inside)), Err(Error::NoBlock)));
    assert!(matches!(heap.set_root(Some(NonNull::from(&0_u8))), Err(Error::NoBlock)));
    let long = heap.allocate(layout(5 * MIB, 8)).expect("memory");
    for root in [block, long] {
        heap.set_root(Some(root)).expect("a root");
        assert_eq!(heap.root().expect("the lock"), Some(root));
        // SAFETY: allocated so; not used any more.
        unsafe { heap.deallocate(root, if root == block { layout(100, 8) } else { layout(5 * MIB, 8) }) };
        heap.set_root(None).expect("no root");
        assert!(matches!(heap.set_root(Some(root)), Err(Error::NoBlock)));
    }
}

#[test]
fn a_new_heap_is_lean() {
    child::alone(|| {
        let Place { path, _folder, _files } = place();
        let before = memory::resident();
        let heap = Heap::file(&path).expect("a heap");
        push(&heap, 1);
        assert!(memory::resident() < before + 8 * MIB);
        heap.close().expect("closed");
        assert!(fs::metadata(&path).expect("a file").len() <= 12 * MIB as u64);
    });
}
