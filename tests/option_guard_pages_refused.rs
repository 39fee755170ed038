//! `guard_pages` on a kernel that knows no marks in page tables: the guards are mappings without
//! access, gone with their block; and where those are refused, too, blocks go without.

mod common;

use std::ptr;

use common::block::{Block, layout};
use common::child::{self, Child};
use common::memory::page_bytes;
use common::{MIB, smaps};
use freestone::fault_injection::{Call, allow_all, refuse};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().guard_pages(true);

const SIZE: usize = 3 * MIB;

/// Whether the page at `address` is mapped, and cannot be touched.
fn is_guard(address: usize) -> bool {
    smaps::Mapping::at(address).is_some_and(|mapping| mapping.protection() == "---p")
}

fn without_marks<T>(job: impl FnOnce() -> T) -> T {
    refuse(Call::Advise, 0, u64::MAX, libc::EINVAL);
    let answer = job();
    allow_all();
    answer
}

#[test]
fn guards_are_mappings_without_access() {
    child::alone(|| {
        let mut blocks: Vec<Block> =
            without_marks(|| (0..8).map(|tag| Block::new(layout(SIZE, 1), tag)).collect());
        let guards = |block: &Block| [block.address() - 1, block.address() + SIZE + page_bytes() - 1];
        for block in &blocks {
            for guard in guards(block) {
                assert!(is_guard(guard), "{guard:#x}");
            }
        }
        blocks.iter_mut().for_each(|block| without_marks(|| block.resize(2 * SIZE)));
        blocks.iter().for_each(Block::check);
        drop(blocks);
        freestone::purge();
        assert_eq!(freestone::stats().large + freestone::stats().retained, 0);
        assert_eq!(freestone::stats().lost_total, 0);
    });
}

#[test]
fn a_write_behind_is_a_signal() {
    let child = Child::new(0, || {
        let block = without_marks(|| Block::new(layout(SIZE, 1), 0));
        // SAFETY: not at all: this is what is to be caught.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(block.address() + SIZE).write_volatile(1) };
    });
    if let Some(child) = child {
        child.dies(libc::SIGSEGV, "");
    }
}

#[test]
fn where_those_are_refused_blocks_go_without() {
    child::alone(|| {
        let mut block = without_marks(|| {
            refuse(Call::Protect, 0, u64::MAX, libc::ENOMEM);
            Block::new(layout(SIZE, 1), 0)
        });
        assert!(!is_guard(block.address() - 1));
        block.resize(2 * SIZE);
        block.check();
        drop(block);
        freestone::purge();
        assert_eq!(freestone::stats().large + freestone::stats().retained, 0);
        assert_eq!(freestone::stats().lost_total, 0);
    });
}
