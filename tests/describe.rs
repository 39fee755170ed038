//! What `describe` says of an address is so: of live and free blocks, of large allocations, of the
//! allocator's own, and of addresses that are nothing of its, mapped or not.

mod common;

use std::alloc::{Layout, alloc, dealloc};
use std::ptr;
use std::sync::mpsc;
use std::thread;

use freestone::counting::Region;
use freestone::describe;
use freestone::inspect::{BlockState, What};
use freestone::stats::HeapUser;

#[global_allocator]
static ALLOC: freestone::counting::Counted<freestone::Freestone> =
    freestone::counting::Counted::new(freestone::Freestone::new());

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a valid layout")
}

fn state(pointer: *const u8) -> BlockState {
    match describe(pointer).what {
        What::Block { state, .. } => state,
        other => panic!("{pointer:p} is a block's, not {other:?}"),
    }
}

#[test]
fn own_blocks() {
    let layout = layout(200);
    // SAFETY: the size is not zero.
    let blocks: Vec<*mut u8> = (0..40).map(|_| unsafe { alloc(layout) }).collect();
    for block in &blocks {
        let inside = block.wrapping_add(150);
        let description = describe(inside);
        let What::Block { start, bytes, slab, state, owner, .. } = description.what else {
            panic!("{description}")
        };
        assert_eq!((start, bytes, state), (block.addr(), 208, BlockState::Live));
        assert!(slab <= start && matches!(owner, HeapUser::Thread(_)));
        assert!(description.to_string().contains("150 bytes into a block of 208 bytes"), "{description}");
    }
    for block in &blocks[..20] {
        // SAFETY: each block is freed once, with its layout.
        unsafe { dealloc(*block, layout) }
    }
    for (index, block) in blocks.iter().enumerate() {
        let expected = if index < 20 { BlockState::Free } else { BlockState::Live };
        assert_eq!(state(*block), expected);
    }
    // A block written after it was freed is not called live by the thread that can know.
    // SAFETY: none: this is the misuse to be seen. The second word is no link.
    unsafe { blocks[19].cast::<u64>().add(1).write(7) };
    assert_eq!(state(blocks[19]), BlockState::Free);
    for block in &blocks[20..] {
        // SAFETY: as above.
        unsafe { dealloc(*block, layout) }
    }
}

#[test]
fn untouched_blocks_tails_and_records() {
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(layout(5000)) };
    let What::Block { slab, bytes, .. } = describe(block).what else { panic!("a block") };
    let at = |place: usize| ptr::without_provenance::<u8>(slab + place);
    let capacity = 65536 / bytes;
    assert_eq!(state(at(bytes * (capacity - 1))), BlockState::Untouched);
    assert_eq!(describe(at(65535)).what, describe(at(capacity * bytes)).what);
    assert!(matches!(describe(at(65535)).what, What::Tail { .. }), "{}", describe(at(65535)));
    assert!(describe(at(65535)).to_string().contains("the unused end of the slab"));
    assert!(describe(at(bytes * (capacity - 1))).to_string().contains("never handed out"));
    let chunk = slab & !((4 << 20) - 1);
    assert_eq!(describe(ptr::without_provenance::<u8>(chunk)).what, What::Records);
    assert!(
        describe(ptr::without_provenance::<u8>(chunk)).to_string().contains("the allocator's own records")
    );
    assert!(matches!(describe(at(0)).what, What::Block { .. }));
    // SAFETY: the block is freed once, with its layout.
    unsafe { dealloc(block, layout(5000)) }
}

#[test]
fn blocks_of_other_threads() {
    let layout = layout(64);
    let (to_us, from_them) = mpsc::channel();
    let (to_them, from_us) = mpsc::channel::<()>();
    let them = thread::spawn(move || {
        // SAFETY: the sizes are not zero.
        let blocks = [unsafe { alloc(layout) }, unsafe { alloc(layout) }];
        // SAFETY: the block is freed once, with its layout.
        unsafe { dealloc(blocks[1], layout) };
        to_us.send(blocks.map(|block| block.expose_provenance())).expect("we listen");
        from_us.recv().expect("we answer");
        // SAFETY: as above.
        unsafe { dealloc(blocks[0], layout) };
    });
    let [live, free] = from_them.recv().expect("they tell").map(ptr::without_provenance::<u8>);
    for block in [live, free] {
        let description = describe(block.wrapping_add(10));
        let What::Block { start, bytes, owner, .. } = description.what else { panic!("{description}") };
        assert_eq!((start, state(block)), (block.addr(), BlockState::Unknown));
        // With `secure` the canary takes the next class.
        assert!((64..=80).contains(&bytes), "{bytes}");
        assert!(matches!(owner, HeapUser::Thread(_)));
        assert!(
            description.to_string().contains("in use or free, as its slab's thread knows"),
            "{description}"
        );
    }
    to_them.send(()).expect("they wait");
    them.join().expect("no thread fails");
}

#[test]
fn large_allocations() {
    let _alone = common::alone();
    let layout = layout(3 << 20);
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(layout) };
    let inside = block.wrapping_add(1 << 20);
    let What::Large { start, bytes, .. } = describe(inside).what else { panic!("{}", describe(inside)) };
    assert_eq!((start, bytes), (block.addr(), 3 << 20));
    assert!(describe(inside).to_string().contains("live"));
    // SAFETY: the block is freed once, with its layout.
    unsafe { dealloc(block, layout) };
    let what = describe(inside).what;
    assert!(matches!(what, What::Retained { .. }), "{what:?}");
    freestone::purge();
    assert_eq!(describe(inside).what, What::Foreign);
}

/// Blocks that share a chunk with one that stays.
#[test]
fn pages_of_no_slab() {
    let _alone = common::alone();
    let layout = layout(600_000);
    // SAFETY: the size is not zero.
    let blocks: Vec<*mut u8> = (0..30).map(|_| unsafe { alloc(layout) }).collect();
    let chunk = |block: &*mut u8| block.addr() >> 22;
    let kept: Vec<*mut u8> =
        blocks.chunk_by(|one, other| chunk(one) == chunk(other)).map(|run| run[0]).collect();
    for block in blocks.iter().filter(|block| !kept.contains(block)) {
        // SAFETY: pages of blocks are writable, and each block is freed once, with its layout.
        unsafe {
            ptr::write_bytes(*block, 1, layout.size());
            dealloc(*block, layout);
        }
    }
    let unused = |dirty| {
        let gone = blocks.iter().filter(|block| !kept.contains(block));
        gone.map(|block| describe(*block))
            .filter(|description| matches!(description.what, What::Unused { dirty: is, .. } if is == dirty))
            .count()
    };
    // All but those that wait to be used again.
    assert!(unused(true) + unused(false) > 10, "{} {}", unused(true), unused(false));
    freestone::purge();
    assert_eq!(unused(true), 0);
    assert!(unused(false) > 10, "{}", unused(false));
    for block in kept {
        // SAFETY: as above.
        unsafe { dealloc(block, layout) }
    }
}

#[test]
fn addresses_that_are_nothing_of_ours() {
    static DATA: u64 = 1;
    let local = 1_u64;
    let foreign: [*const u8; 6] = [
        ptr::null(),
        ptr::without_provenance(8),
        ptr::without_provenance(0x5555_0000_0000),
        ptr::without_provenance(usize::MAX),
        (&raw const DATA).cast(),
        (&raw const local).cast(),
    ];
    for address in foreign {
        assert_eq!(describe(address).what, What::Foreign, "{address:p}");
        assert!(describe(address).to_string().contains("nothing of the allocator's"));
    }
    assert_eq!(describe(addresses_that_are_nothing_of_ours as *const fn()).what, What::Foreign);
}

#[test]
fn nothing_is_allocated() {
    let boxed = Box::new(1_u64);
    let region = Region::new();
    let first = describe(&raw const *boxed);
    let second = describe(ptr::null::<u8>());
    assert!(region.counts().is_nothing());
    assert_ne!(first.what, second.what);
}
