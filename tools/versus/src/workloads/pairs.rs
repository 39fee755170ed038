//! Allocate, free, again: the shortest life a block can have. The layouts are
//! known when compiling, as in most Rust programs.

use std::hint::black_box;

use super::Workload;
use crate::bench::Bench;

/// Bytes with the alignment that most Rust types have.
#[repr(align(8))]
struct Bytes<const SIZE: usize>([u8; SIZE]);

/// Pairs in a round of the smallest blocks.
const PAIRS: usize = 10_000;

/// Bytes that a round touches at most.
const ROUND_BYTES: usize = 16 << 20;

/// Bytes between two touches of a block: the smallest page there is.
const TOUCH_STEP: usize = 4096;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        pair::<8>("8 B").full_only(),
        pair::<24>("24 B"),
        pair::<64>("64 B").full_only(),
        pair::<256>("256 B").full_only(),
        pair::<{ 1 << 10 }>("1 KiB"),
        pair::<{ 8 << 10 }>("8 KiB").full_only(),
        pair::<{ 64 << 10 }>("64 KiB"),
        pair::<{ 256 << 10 }>("256 KiB").full_only(),
        pair::<{ 1 << 20 }>("1 MiB"),
        pair::<{ 4 << 20 }>("4 MiB").full_only(),
    ]
}

fn pair<const SIZE: usize>(size: &str) -> Workload {
    Workload::new(format!("pair/{size}"), "a temporary made and dropped in a loop", body::<SIZE>)
}

fn body<const SIZE: usize>(bench: &mut Bench) {
    let pairs = (ROUND_BYTES / SIZE).min(PAIRS);
    bench.rounds(pairs as u64, || {
        for _ in 0..pairs {
            let mut block = Box::<Bytes<SIZE>>::new_uninit();
            let start = block.as_mut_ptr().cast::<u8>();
            for offset in (0..SIZE).step_by(TOUCH_STEP) {
                // SAFETY: `offset` lies below the size of the block.
                unsafe { start.add(offset).write(offset as u8) };
            }
            black_box(block);
        }
    });
}
