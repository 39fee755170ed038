//! A process that uses a file heap is killed at any moment: the file is what it was at the last
//! sync, to the block and to the byte.

use std::env;
use std::fs::{self, File as OsFile};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::slice;
use std::time::{Duration, Instant};

use freestone::heaps::{File, Found, Heap, Options};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::common::block::layout;
use crate::common::child::{self, Child};
use crate::common::{KIB, MIB, death, seed};

/// Set in the child, to the folder that it works in.
const VARIABLE: &str = "TEST_CRASH_FOLDER";
/// Blocks that the root names.
const BLOCKS: usize = 300;
/// A child that syncs nothing for so long hangs; the generations then say so.
const PATIENCE: Duration = Duration::from_secs(30);

/// The root: made anew by each transaction, never overwritten.
#[repr(C)]
struct Root {
    generation: u64,
    blocks: [Entry; BLOCKS],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    block: Option<NonNull<u8>>,
    size: usize,
    tag: u64,
}

impl Entry {
    /// What the block contains, in pieces of eight bytes, of which the last may be cut.
    fn words(self) -> impl Iterator<Item = [u8; 8]> {
        let word =
            move |index: usize| self.tag.wrapping_add(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..self.size.div_ceil(8)).map(move |index| word(index).rotate_left(29).to_le_bytes())
    }

    fn fill(self, block: NonNull<u8>) {
        for (index, word) in self.words().enumerate() {
            let bytes = (self.size - 8 * index).min(8);
            // SAFETY: that many bytes from there lie in the new block.
            unsafe { block.add(8 * index).copy_from_nonoverlapping(NonNull::from(&word).cast(), bytes) };
        }
    }

    fn check(self) {
        let Some(block) = self.block else { return };
        // SAFETY: a block that the root names is in use, and was filled.
        let bytes = unsafe { slice::from_raw_parts(block.as_ptr(), self.size) };
        for (index, (found, word)) in bytes.chunks(8).zip(self.words()).enumerate() {
            assert_eq!(found, &word[..found.len()], "word {index} of {} bytes at {block:p}", self.size);
        }
    }
}

fn open(folder: &Path) -> Heap<File> {
    Options::new().limit(256 * MIB).file(folder.join("heap")).expect("a heap, however its last user ended")
}

/// What the root says, after everything that it names was looked at.
fn check(heap: &Heap<File>) -> u64 {
    heap.verify().expect("the records hold");
    let Some(root) = heap.root().expect("the lock") else {
        assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
        return 0;
    };
    // SAFETY: roots of these heaps are of this type.
    let root: &Root = unsafe { root.cast().as_ref() };
    root.blocks.iter().for_each(|entry| entry.check());
    // Nothing else is in use: what was allocated since the last sync is gone.
    let named = root.blocks.iter().filter(|entry| entry.block.is_some()).count();
    assert_eq!(heap.stats().expect("the lock").live_blocks, named + 1);
    root.generation
}

/// The next generation: some blocks replaced, each in new memory.
fn step(heap: &Heap<File>, random: &mut StdRng) -> Option<u64> {
    let old: Option<NonNull<Root>> = heap.root().expect("the lock").map(NonNull::cast);
    let new: NonNull<Root> = heap.allocate(layout(size_of::<Root>(), 8))?.cast();
    // SAFETY: a new block, and the old root, which nobody changes. Zeroes are a root.
    let root = unsafe {
        match old {
            Some(old) => new.copy_from_nonoverlapping(old, 1),
            None => new.write_bytes(0, 1),
        }
        &mut *new.as_ptr()
    };
    root.generation += 1;
    for _ in 0..random.random_range(1..60) {
        let most = [100, 3000, 100 * KIB, 3 * MIB][[0, 0, 0, 0, 1, 1, 2, 3][random.random_range(0..8)]];
        let fresh = match random.random_range(0..5) {
            0 => Entry { block: None, size: 0, tag: 0 },
            _ => {
                let size = random.random_range(1..=most);
                let fresh = Entry { block: heap.allocate(layout(size, 8)), size, tag: random.random() };
                let block = fresh.block?;
                fresh.fill(block);
                fresh
            }
        };
        let slot = &mut root.blocks[random.random_range(0..BLOCKS)];
        let before = std::mem::replace(slot, fresh);
        if let Some(block) = before.block {
            // SAFETY: only the old root names it, which is given up below.
            unsafe { heap.deallocate(block, layout(before.size, 8)) };
        }
    }
    heap.set_root(Some(new.cast())).expect("a root");
    if let Some(old) = old {
        // SAFETY: it is no root any more.
        unsafe { heap.deallocate(old.cast(), layout(size_of::<Root>(), 8)) };
    }
    Some(root.generation)
}

/// Until it is killed.
fn work_until_killed() {
    let folder = PathBuf::from(env::var_os(VARIABLE).expect("the parent says where"));
    let acknowledged = OsFile::options().write(true).open(folder.join("acknowledged")).expect("a file");
    let mut random = StdRng::seed_from_u64(std::process::id().into());
    let heap = open(&folder);
    check(&heap);
    loop {
        let generation = step(&heap, &mut random).expect("memory");
        heap.sync().expect("synced");
        acknowledged.write_all_at(&generation.to_le_bytes(), 0).expect("written");
        if random.random_range(0..4) == 0 {
            heap.purge().expect("the lock");
        }
    }
}

/// The last generation that a child said was synced.
fn acknowledged(folder: &Path) -> u64 {
    let bytes = fs::read(folder.join("acknowledged")).expect("read");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// Works `child` in `folder`, and kills it after some time. How the heap is found then.
fn round(child: Child, folder: &Path, random: &mut StdRng) -> Found {
    let closed = close_at_random(folder, random);
    let mut child = child.env(VARIABLE, folder).start();
    if random.random_range(0..2) == 0 {
        // In half of the rounds it comes to work first, however slow the machine is.
        let (before, started) = (acknowledged(folder), Instant::now());
        while acknowledged(folder) == before && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    std::thread::sleep(Duration::from_micros(random.random_range(0..40_000)));
    child.kill().expect("a child can be killed");
    let output = child.wait_with_output().expect("the child's output");
    death::by(&output, libc::SIGKILL, "").unwrap_or_else(|why| panic!("{why}"));
    if !folder.join("heap").exists() {
        return Found::New;
    }
    let _files = child::files();
    let heap = open(folder);
    let (found, generation) = (heap.found(), check(&heap));
    let acknowledged = acknowledged(folder);
    // The sync before the kill may have ended without its acknowledgement.
    assert!(
        (acknowledged..=acknowledged + 1).contains(&generation),
        "{generation}, {acknowledged} acknowledged"
    );
    if found == Found::Clean {
        assert_eq!(closed, Some(generation), "whoever used the heap since it was closed left a mark");
    }
    found
}

/// Opens the heap, if it is there, and closes it in half of the cases. Which generation it was
/// closed at.
fn close_at_random(folder: &Path, random: &mut StdRng) -> Option<u64> {
    if !folder.join("heap").exists() {
        return None;
    }
    let _files = child::files();
    let heap = open(folder);
    let generation = check(&heap);
    let close = random.random_range(0..2) == 0;
    if close {
        heap.close().expect("closed");
    }
    close.then_some(generation)
}

fn rounds(rounds: usize) {
    // The first child is what each round starts again.
    let Some(first) = Child::new("killed", work_until_killed) else { return };
    // On a disk, and in memory, where there is less waiting for the disk and more else to be killed
    // in.
    let folders = [env::temp_dir(), PathBuf::from("/dev/shm")]
        .into_iter()
        .filter(|folder| folder.is_dir())
        .map(|folder| tempfile::tempdir_in(folder).expect("a folder"))
        .collect::<Vec<_>>();
    for folder in &folders {
        fs::write(folder.path().join("acknowledged"), 0_u64.to_le_bytes()).expect("written");
    }
    let mut random = seed::random(0);
    let mut dirty = 0;
    let children = std::iter::once(first).chain(std::iter::from_fn(|| Child::new("killed", || ())));
    for (number, child) in children.take(rounds).enumerate() {
        let folder = folders[number % folders.len()].path();
        if round(child, folder, &mut random) == Found::Dirty {
            dirty += 1;
        }
    }
    let _files = child::files();
    let last = folders.iter().map(|folder| check(&open(folder.path()))).collect::<Vec<_>>();
    eprintln!("killed {rounds} times, {dirty} times in use, after {last:?} syncs");
    assert!(dirty > rounds / 4 && last.iter().sum::<u64>() > rounds as u64 / 4, "{dirty} dirty, {last:?}");
}

#[test]
fn killed_at_any_of_60_moments() {
    rounds(60);
}

/// Some two minutes.
#[test]
#[ignore = "long"]
fn killed_at_any_of_1000_moments() {
    rounds(1000);
}
