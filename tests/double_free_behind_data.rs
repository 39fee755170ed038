//! A second free is caught however deep the block lies among the free ones, also after blocks were
//! freed whose data looked like the mark of a free one.

mod common;

use std::alloc::{alloc, dealloc};

use common::block::layout;
use common::report::{announce, is_reported};
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const DOUBLE: &str = "double free";
const SIZE: usize = 16;
/// Two slabs' worth.
const BLOCKS: usize = 8000;
/// Frees before the second one of the same block.
const DEPTHS: [usize; 12] = [0, 1, 2, 3, 7, 8, 100, 127, 1000, 2047, 3000, 3800];

type Door = (fn() -> *mut u8, fn(*mut u8));

const DOORS: [Door; 2] = [
    (
        // SAFETY: the size is not zero.
        || unsafe { alloc(layout(SIZE, 8)) },
        // SAFETY: none: second frees are what is tested, in processes of their own.
        |start| unsafe { dealloc(start, layout(SIZE, 8)) },
    ),
    // SAFETY: none, as above.
    (|| untyped::allocate(SIZE), |start| unsafe { untyped::free(start) }),
];

fn second(start: *mut u8) -> *mut u64 {
    start.wrapping_add(8).cast()
}

/// Frees a block that holds what it held when it was last free. Its data, no fault.
fn free_what_looks_free((get, give): Door) {
    let start = get();
    give(start);
    // SAFETY: none: freed memory is read on purpose.
    let word = unsafe { second(start).read_volatile() };
    let again = get();
    // SAFETY: the block has two words.
    unsafe { second(again).write_volatile(if again == start { word } else { again.addr() as u64 >> 16 }) };
    give(again);
}

/// Blocks in a row, of which the last `depth` are freed, and a few others.
fn second_free(door: Door, depth: usize, suspect: fn(Door, usize)) {
    let (get, give) = door;
    let mut blocks: Vec<*mut u8> = (0..BLOCKS).map(|_| get()).collect();
    blocks.sort_unstable();
    let (rest, freed) = blocks.split_at(BLOCKS - depth - 1);
    rest.iter().step_by(3).for_each(|start| give(*start));
    let twice = announce(freed[0]);
    for (at, start) in freed.iter().enumerate() {
        give(*start);
        suspect(door, at);
    }
    give(twice);
}

fn each_depth(test: &str, suspect: fn(Door, usize)) {
    for (case, depth) in DEPTHS.into_iter().enumerate() {
        for (number, door) in DOORS.into_iter().enumerate() {
            is_reported(test, case * DOORS.len() + number, DOUBLE, || second_free(door, depth, suspect));
        }
    }
}

#[test]
fn without_any() {
    each_depth("without_any", |_, _| {});
}

#[test]
fn after_each_free() {
    each_depth("after_each_free", |door, _| free_what_looks_free(door));
}

#[test]
fn now_and_then() {
    each_depth("now_and_then", |door, at| {
        if at % 17 == 5 {
            free_what_looks_free(door);
        }
    });
}

/// Up and down: blocks that were noted are handed out, and others come in their place.
#[test]
fn while_the_list_shrinks_and_grows() {
    each_depth("while_the_list_shrinks_and_grows", |door, at| {
        if at % 50 != 7 {
            return;
        }
        let (get, give) = door;
        free_what_looks_free(door);
        // Not so many that the block which is freed twice is handed out.
        let taken: Vec<*mut u8> = (0..at.min(40)).map(|_| get()).collect();
        free_what_looks_free(door);
        taken.iter().step_by(2).for_each(|start| give(*start));
        free_what_looks_free(door);
        taken.iter().skip(1).step_by(2).for_each(|start| give(*start));
    });
}
