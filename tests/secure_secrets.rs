//! What can be read beside a block tells nothing of another's seal, nor of the process's own
//! secrets.

mod common;

use std::alloc::{alloc, dealloc};
use std::hint::black_box;

use common::block::layout;
use common::child;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Blocks of 32 bytes, of which the last eight are the seal.
const SIZE: usize = 17;
const SEAL: usize = 24;
/// Where in a seal the size is said, as far as anybody knows.
const SAID: u32 = 24;

fn block() -> *mut u8 {
    // SAFETY: the size is not zero.
    let start = black_box(unsafe { alloc(layout(SIZE, 1)) });
    assert!(!start.is_null());
    start
}

fn word(start: *const u8, offset: usize) -> u64 {
    // SAFETY: none: read beyond a block's end on purpose, as a program with a fault might. It is
    // mapped.
    u64::from_le_bytes(unsafe { start.wrapping_add(offset).cast::<[u8; 8]>().read_volatile() })
}

/// What a seal is made with, since what it says is no secret.
fn mask(start: *const u8) -> u64 {
    word(start, SEAL) ^ (SIZE as u64) << SAID
}

/// Blocks side by side, the first of each pair at a multiple of 64.
fn pairs() -> Vec<(*mut u8, *mut u8)> {
    let mut blocks: Vec<*mut u8> = (0..8000).map(|_| block()).collect();
    blocks.sort_unstable();
    let neighbours = blocks.iter().copied().zip(blocks.iter().copied().skip(1));
    let pairs: Vec<_> =
        neighbours.filter(|(one, two)| one.addr() % 64 == 0 && two.addr() - one.addr() == 32).collect();
    assert!(pairs.len() > 2000, "blocks lie side by side");
    pairs
}

#[test]
fn the_bytes_behind_a_block_are_not_those_behind_another() {
    let blocks: Vec<*mut u8> = (0..1000).map(|_| block()).collect();
    let mut fills: Vec<u64> = blocks.iter().map(|start| word(*start, SIZE) & ((1 << 56) - 1)).collect();
    let mut seals: Vec<u64> = blocks.iter().map(|start| word(*start, SEAL)).collect();
    for words in [&mut fills, &mut seals] {
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), blocks.len());
    }
}

/// By which the step from one block's seal to its neighbour's would be known from any other such
/// step.
#[test]
fn seals_of_neighbours_do_not_differ_as_others_do() {
    let steps = |step: fn(u64, u64) -> u64| {
        let mut steps: Vec<u64> = pairs().into_iter().map(|(one, two)| step(mask(one), mask(two))).collect();
        let all = steps.len();
        steps.sort_unstable();
        steps.dedup();
        (steps.len(), all)
    };
    for step in [
        (|one, two| two ^ one) as fn(u64, u64) -> u64,
        |one: u64, two: u64| two.wrapping_sub(one),
        |one: u64, two: u64| two.wrapping_sub(one).min(one.wrapping_sub(two)),
    ] {
        let (different, all) = steps(step);
        assert_eq!(different, all, "some seals differ from their neighbours' as others do");
    }
}

/// The C library makes its stack canary and the guard of its pointers of the bytes that the kernel
/// gives a program at its start. Nothing beside a block is a known function of them.
#[test]
fn what_lies_behind_a_block_is_not_made_of_the_c_librarys_secrets() {
    const fn scramble(word: u64) -> u64 {
        let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
    const ONES: u64 = 0x0101_0101_0101_0101;
    // SAFETY: no preconditions.
    let place = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    // SAFETY: sixteen bytes that stay.
    let words = unsafe { std::ptr::with_exposed_provenance::<[u64; 2]>(place).read_unaligned() };
    let start = block();
    // Seven bytes of it: the first of these is the caller's.
    let fill = word(start, SIZE - 1) >> 8;
    for word in words.into_iter().flat_map(|word| [word, scramble(word), scramble(scramble(word))]) {
        for known in [word, word | 1, word | ONES] {
            assert_ne!(fill, known >> 8);
            assert_ne!(mask(start) | ONES, known | ONES);
        }
    }
}

/// A process forked knows its parent's blocks.
#[test]
fn a_forked_child_frees_its_parents_blocks() {
    child::succeeds("a_forked_child_frees_its_parents_blocks", || {
        let blocks: Vec<*mut u8> = (0..1000).map(|_| block()).collect();
        // SAFETY: the child does nothing but free, in its only thread, and end.
        let process = unsafe { libc::fork() };
        if process == 0 {
            for start in blocks {
                // SAFETY: the child's copy of its parent's block.
                unsafe { dealloc(start, layout(SIZE, 1)) };
            }
            // SAFETY: no preconditions.
            unsafe { libc::_exit(7) };
        }
        let mut status = 0;
        // SAFETY: the status is writable for the call.
        assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 7));
    });
}
