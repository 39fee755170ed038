//! What a block holds says nothing of how long its free takes: not where its second word was never
//! written, nor where it holds what a free block holds there.

mod common;

use std::alloc::{GlobalAlloc, alloc, dealloc, realloc};
use std::collections::HashMap;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use common::block::layout;
use common::cost::cost;
use common::{KIB, alone, border_sizes};
use freestone::heaps::Heap;
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// A pair whose value has holes costs at most so many ordinary ones.
const MOST: u64 = 10;
/// And a pair of a block that holds the mark: it takes the slow path as well. A walk through a
/// slab's list costs hundreds.
const MOST_SUSPECTED: u64 = 30;
/// Blocks of 16 bytes in a slab, the most that a walk may have to pass.
const SLAB_BLOCKS: usize = 4096;
const PAIRS: u64 = 4;
/// One size in so many is tried. Unoptimised code takes twenty times as many instructions.
const EVERY: usize = if cfg!(debug_assertions) { 15 } else { 5 };
/// Blocks of 16 bytes that are freed one after another while their cost is counted.
const MANY: usize = 40;

/// The cost of `job`, which has been run before.
fn settled(job: &mut dyn FnMut()) -> u64 {
    job();
    cost(job)
}

/// Fails if `marked` is more than `most` times `ordinary`.
fn compare(what: &str, most: u64, marked: u64, ordinary: u64) {
    println!("{what}: {marked}, ordinary ones {ordinary}: {:.1}", marked as f64 / ordinary as f64);
    assert!(marked <= ordinary * most, "{what}: {marked}, ordinary ones {ordinary}");
}

/// Fails if `job`, `PAIRS` allocations and frees, costs more than `most` times as much as ordinary
/// ones of `size` bytes.
fn is_ordinary(what: &str, size: usize, most: u64, mut job: impl FnMut()) {
    let ordinary = settled(&mut || {
        for _ in 0..PAIRS {
            let start = black_box(allocate(size));
            release(start, size);
        }
    });
    compare(&format!("{what} of {size} bytes"), most, settled(&mut job), ordinary);
}

fn allocate(size: usize) -> *mut u8 {
    // SAFETY: no caller asks for no bytes.
    let start = unsafe { alloc(layout(size, 8)) };
    assert!(!start.is_null());
    start
}

fn release(start: *mut u8, size: usize) {
    // SAFETY: allocated with that layout, and not used any more.
    unsafe { dealloc(start, layout(size, 8)) }
}

/// Makes the slabs of `size` bytes nearly empty, and their free lists long, while `job` runs.
fn with_long_lists(size: usize, job: impl FnOnce()) {
    let blocks: Vec<usize> =
        (0..SLAB_BLOCKS * 16 / size.max(16)).map(|_| allocate(size).expose_provenance()).collect();
    let (kept, given): (Vec<_>, Vec<_>) = blocks.iter().enumerate().partition(|(at, _)| at % 40 == 0);
    given.iter().for_each(|(_, start)| release(std::ptr::with_exposed_provenance_mut(**start), size));
    job();
    kept.iter().for_each(|(_, start)| release(std::ptr::with_exposed_provenance_mut(**start), size));
}

/// A second word that nobody writes.
#[repr(C, align(8))]
struct Padded<const WORDS: usize> {
    first: u8,
    padding: MaybeUninit<[u8; 15]>,
    rest: [u64; WORDS],
}

impl<const WORDS: usize> Padded<WORDS> {
    #[inline(always)]
    fn new(first: u8) -> Self {
        Self { first, padding: MaybeUninit::uninit(), rest: [first.into(); WORDS] }
    }
}

/// As a list without allocation has it: a length, and room.
struct Room {
    used: u64,
    room: [MaybeUninit<u64>; 6],
}

/// One variant has nothing in its second word.
#[allow(dead_code, reason = "only one variant is made")]
enum Node {
    Leaf,
    Pair(Box<Node>, Box<Node>),
}

macro_rules! shapes {
    ($($name:ident: $type:ty = $value:expr;)*) => { $(
        #[test]
        fn $name() {
            let _alone = alone();
            const SIZE: usize = size_of::<$type>();
            /// In a function of its own, where the compiler sees allocation, value and free at
            /// once.
            #[inline(never)]
            fn boxed() {
                let value: Box<$type> = Box::new($value);
                black_box(&*value);
            }
            /// And where it does not see the free.
            #[inline(never)]
            fn passed_on() -> Box<$type> {
                Box::new($value)
            }
            with_long_lists(SIZE, || {
                is_ordinary("boxed", SIZE, MOST, || (0..PAIRS).for_each(|_| boxed()));
                is_ordinary("passed on", SIZE, MOST, || (0..PAIRS).for_each(|_| drop(black_box(passed_on()))));
            });
        }
    )* };
}

shapes! {
    padding_of_16_bytes: Padded<0> = Padded::new(black_box(1));
    padding_of_24_bytes: Padded<1> = Padded::new(black_box(1));
    padding_of_64_bytes: Padded<6> = Padded::new(black_box(1));
    padding_of_512_bytes: Padded<62> = Padded::new(black_box(1));
    none_of_an_option: Option<[u64; 3]> = if black_box(false) { Some([1; 3]) } else { None };
    nothing_of_an_option: Option<[u64; 7]> = None;
    a_leaf: Node = Node::Leaf;
    room_of_a_list: Room = Room { used: black_box(0), room: [MaybeUninit::uninit(); 6] };
    bytes_that_nobody_wrote: [MaybeUninit<u8>; 32] = [MaybeUninit::uninit(); 32];
    many_bytes_that_nobody_wrote: [MaybeUninit<u8>; 1000] = [MaybeUninit::uninit(); 1000];
    a_tuple: (u8, MaybeUninit<[u64; 2]>) = (1, MaybeUninit::uninit());
}

/// Without reading them they would be dead code.
#[test]
fn shapes_are_what_they_seem() {
    let padded = Padded::<1>::new(3);
    let room = Room { used: 0, room: [MaybeUninit::uninit(); 6] };
    assert_eq!((padded.first, padded.rest, room.used, room.room.len()), (3, [3], 0, 6));
    assert_eq!(size_of_val(&padded.padding), 15);
}

/// The second word of `start`, whoever has it.
fn second(start: *mut u8) -> *mut u64 {
    start.wrapping_add(8).cast()
}

/// A door: how a block is had and given back.
type Door = (&'static str, fn(usize) -> *mut u8, fn(*mut u8, usize));

fn untyped_allocate(size: usize) -> *mut u8 {
    let start = untyped::allocate(size);
    assert!(!start.is_null());
    start
}

fn untyped_release(start: *mut u8, _size: usize) {
    // SAFETY: the callers give up a block of their own.
    unsafe { untyped::free(start) }
}

const DOORS: [Door; 2] =
    [("with a layout", allocate, release), ("without", untyped_allocate, untyped_release)];

/// Each block is given what it held itself when it was last free: the mark, and all that goes with
/// it.
fn with_its_own_mark(size: usize, door: Door) {
    let (what, get, give) = door;
    with_long_lists(size, || {
        is_ordinary(what, size, MOST_SUSPECTED, || {
            let mut free_word = 0;
            for _ in 0..PAIRS {
                let start = get(size);
                // SAFETY: the block has two words.
                unsafe { second(start).write_volatile(free_word) };
                give(start, size);
                // SAFETY: none: freed memory is read on purpose, as a program with a fault might.
                free_word = unsafe { second(start).read_volatile() };
            }
        });
    });
}

#[test]
fn what_a_free_block_holds_costs_no_walk() {
    let _alone = alone();
    for size in border_sizes(8 * KIB).into_iter().filter(|size| *size >= 16).step_by(EVERY) {
        DOORS.into_iter().for_each(|door| with_its_own_mark(size, door));
    }
}

/// Writes into the second words of `blocks` what they held when they were last free.
///
/// The first of them is then freed through `give`, if they are `marked`: blocks of its slab that
/// were freed without a suspicion are noted now.
fn mark_all(blocks: &mut Vec<*mut u8>, words: &HashMap<usize, u64>, marked: bool, give: fn(*mut u8, usize)) {
    for start in blocks.iter() {
        let word = words.get(&start.addr()).copied().unwrap_or(0);
        // SAFETY: the block has two words.
        unsafe { second(*start).write_volatile(if marked { word } else { 7 }) };
    }
    give(blocks.remove(0), 16);
}

/// Frees many blocks, and says what their second words are now.
fn free_many((_, get, give): Door) -> HashMap<usize, u64> {
    let blocks: Vec<*mut u8> = (0..2 * SLAB_BLOCKS).map(|_| get(16)).collect();
    blocks.iter().for_each(|start| give(*start, 16));
    // SAFETY: none, as above.
    blocks.iter().map(|start| (start.addr(), unsafe { second(*start).read_volatile() })).collect()
}

/// Many blocks that all hold the mark, in both orders, over a long list.
#[test]
fn many_blocks_that_hold_the_mark_cost_no_walk_each() {
    let _alone = alone();
    for (door, backwards) in DOORS.into_iter().flat_map(|door| [(door, false), (door, true)]) {
        let (what, get, give) = door;
        let round = |marked: bool| {
            let words = free_many(door);
            let mut blocks: Vec<*mut u8> = (0..MANY).map(|_| get(16)).collect();
            mark_all(&mut blocks, &words, marked, give);
            if backwards {
                blocks.reverse();
            }
            cost(|| blocks.iter().for_each(|start| give(*start, 16)))
        };
        let what = format!("{what}, backwards {backwards}");
        compare(&what, MOST_SUSPECTED, round(true), round(false));
    }
}

/// The number that is written in every free block of this build, were it the same everywhere.
#[test]
fn no_constant_is_the_mark() {
    // Of two classes, and so of two slabs.
    let (start, other) = (allocate(40), allocate(64));
    release(start, 40);
    release(other, 64);
    // SAFETY: none, as above.
    let (one, two) = unsafe { (second(start).read_volatile(), second(other).read_volatile()) };
    assert!(one != two || cfg!(feature = "secure"), "{one:#x} in blocks of two slabs");
}

/// `realloc` looks for a freed block as well.
#[test]
fn a_block_that_holds_the_mark_is_resized_without_a_walk() {
    let _alone = alone();
    let pair = |marked: bool| {
        let mut free_word = 0;
        for _ in 0..PAIRS {
            let start = untyped_allocate(24);
            // SAFETY: the block has two words, and is this function's own.
            let grown = unsafe {
                second(start).write_volatile(if marked { free_word } else { 7 });
                untyped::reallocate(start, 20)
            };
            assert_eq!(grown, start);
            untyped_release(start, 24);
            // SAFETY: none, as above.
            free_word = unsafe { second(start).read_volatile() };
        }
    };
    with_long_lists(24, || {
        let ordinary = settled(&mut || pair(false));
        compare("a pair", 5, settled(&mut || pair(true)), ordinary);
    });
}

#[test]
fn a_heap_of_ones_own_walks_no_list_either() {
    let _alone = alone();
    let heap = Heap::private().expect("a heap");
    let fitting = layout(16, 8);
    let blocks: Vec<NonNull<u8>> =
        (0..SLAB_BLOCKS).map(|_| heap.allocate(fitting).expect("a block")).collect();
    // SAFETY: each is a block of this heap, given up here.
    blocks.iter().skip(1).for_each(|start| unsafe { heap.deallocate(*start, fitting) });
    let pairs = |marked: bool| {
        let mut free_word = 0;
        for _ in 0..PAIRS {
            let start = heap.allocate(fitting).expect("a block");
            // SAFETY: the block has two words, and is this function's own; then none, as above.
            unsafe {
                second(start.as_ptr()).write_volatile(if marked { free_word } else { 7 });
                heap.deallocate(start, fitting);
                free_word = second(start.as_ptr()).read_volatile();
            }
        }
    };
    let ordinary = settled(&mut || pairs(false));
    compare("a pair", MOST_SUSPECTED, settled(&mut || pairs(true)), ordinary);
}

/// Whatever is noted on the list, a block deep inside it is found, and one that is not is not.
#[test]
fn a_second_free_is_told_from_data_that_looks_like_one() {
    // A thousand suspicions between pushes and pops of every depth: each free is a first one.
    let mut state = 1_u32;
    let mut random = |most: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % most
    };
    let mut held: Vec<*mut u8> = Vec::new();
    for _ in 0..300 {
        for _ in 0..random(500) {
            held.push(allocate(16));
        }
        for _ in 0..random(held.len() + 1) {
            let start = held.swap_remove(random(held.len()));
            // SAFETY: the block is read as it was left, written and freed by its only holder.
            unsafe {
                second(start).write_volatile((random(1 << 14) as u64) << 32 | start.addr() as u64 >> 16);
                let word = (1 << 31 | random(1 << 24) as u64) << 32 | start.addr() as u64 >> 16;
                if random(2) == 0 {
                    second(start).write_volatile(word);
                }
            }
            release(start, 16);
        }
    }
    held.iter().for_each(|start| release(*start, 16));
    // SAFETY: the door is the global allocator's own.
    let last = unsafe { ALLOC.alloc(layout(16, 8)) };
    // SAFETY: allocated just now, with that layout.
    let last = unsafe { realloc(last, layout(16, 8), 24) };
    release(last, 24);
}

/// Freed by another thread, which cannot know, and adopted by its owner, who looks.
#[test]
fn blocks_that_hold_the_mark_go_back_to_their_thread_without_a_walk() {
    let _alone = alone();
    let round = |marked: bool| {
        let words = free_many(DOORS[0]);
        let mut blocks: Vec<*mut u8> = (0..MANY).map(|_| allocate(16)).collect();
        mark_all(&mut blocks, &words, marked, release);
        let blocks: Vec<usize> = blocks.into_iter().map(|start| start.expose_provenance()).collect();
        let there = std::thread::spawn(move || {
            cost(|| {
                blocks.iter().for_each(|start| release(std::ptr::with_exposed_provenance_mut(*start), 16));
            })
        });
        there.join().expect("every free is well") + cost(freestone::thread_idle)
    };
    compare("freed elsewhere", 4, round(true), round(false));
}
