//! `guard_pages` on a kernel that knows no marks in page tables: the guards are mappings without access,
//! gone with their block; and where those are refused, too, blocks go without.

mod common;

use std::fs;
use std::ptr;

use common::block::{Block, layout};
use common::memory::page_bytes;
use common::{MIB, child};
use freestone::fault_injection::{Call, allow_all, refuse};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().guard_pages();

const SIZE: usize = 3 * MIB;

/// The protection of the page at `address`, as the kernel shows it.
fn protection(address: usize) -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has /proc");
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (number(start)?..number(end)?).contains(&address).then(|| rest[..4].to_owned())
    })
}

fn without_marks<T>(job: impl FnOnce() -> T) -> T {
    refuse(Call::Advise, 0, u64::MAX, libc::EINVAL);
    let answer = job();
    allow_all();
    answer
}

#[test]
fn guards_are_mappings_without_access() {
    child::succeeds("guards_are_mappings_without_access", || {
        let mut blocks: Vec<Block> =
            without_marks(|| (0..8).map(|tag| Block::new(layout(SIZE, 1), tag)).collect());
        let guards = |block: &Block| [block.address() - 1, block.address() + SIZE + page_bytes() - 1];
        for block in &blocks {
            for guard in guards(block) {
                assert_eq!(protection(guard).as_deref(), Some("---p"));
            }
        }
        blocks.iter_mut().for_each(|block| without_marks(|| block.resize(2 * SIZE)));
        blocks.iter().for_each(Block::check);
        drop(blocks);
        freestone::purge();
        assert_eq!(freestone::stats().large + freestone::stats().retained, 0);
        assert_eq!(freestone::stats().stranded_total, 0);
    });
}

#[test]
fn a_write_behind_is_a_signal() {
    let output = child::run("a_write_behind_is_a_signal", 0, || {
        let block = without_marks(|| Block::new(layout(SIZE, 1), 0));
        // SAFETY: not at all: this is what is to be caught.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(block.address() + SIZE).write_volatile(1) };
    });
    if let Some(output) = output {
        assert_eq!(child::signal(&output), Some(libc::SIGSEGV), "{}", child::said(&output));
    }
}

#[test]
fn where_those_are_refused_blocks_go_without() {
    child::succeeds("where_those_are_refused_blocks_go_without", || {
        let mut block = without_marks(|| {
            refuse(Call::Protect, 0, u64::MAX, libc::ENOMEM);
            Block::new(layout(SIZE, 1), 0)
        });
        assert_ne!(protection(block.address() - 1).as_deref(), Some("---p"));
        block.resize(2 * SIZE);
        block.check();
        drop(block);
        freestone::purge();
        assert_eq!(freestone::stats().large + freestone::stats().retained, 0);
        assert_eq!(freestone::stats().stranded_total, 0);
    });
}
