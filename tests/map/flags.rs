//! Locked, no-reserve, populate, grows-down: each does what it says.

use crate::support::{Ending, WELL, become_ordinary, in_child, limit, mapped, page, poke, smaps, touch};
use freestone::map::{Mapping, Protection};

fn has_flag(mapping: &Mapping, flag: &str) -> bool {
    let flags = smaps(mapping.address().get(), "VmFlags").expect("it is mapped");
    flags.split_whitespace().any(|found| found == flag)
}

#[test]
fn locked_memory_is_there_and_stays() {
    let plain = Mapping::anonymous(4 * page()).map().expect("maps");
    assert!(!has_flag(&plain, "lo"));
    let locked = Mapping::anonymous(4 * page()).locked().map().expect("maps");
    assert!(has_flag(&locked, "lo"));
    assert_eq!(locked.residency(..).expect("asks").resident_pages(), 4);
}

#[test]
fn too_much_locked_memory_is_eagain() {
    let ending = in_child(|| {
        limit(libc::RLIMIT_MEMLOCK, 4 * page() as u64);
        become_ordinary();
        drop(Mapping::anonymous(4 * page()).locked().map().expect("within the limit"));
        let error = Mapping::anonymous(5 * page()).locked().map().expect_err("beyond the limit");
        assert_eq!((error.call_name(), error.errno_name()), (Some("mmap"), Some("EAGAIN")));
        assert!(error.meaning().contains("RLIMIT_MEMLOCK"), "{error}");
    });
    assert_eq!(ending, WELL);
}

#[test]
fn populated_memory_is_there_at_once() {
    let pages = 64;
    let lazy = Mapping::anonymous(pages * page()).map().expect("maps");
    let eager = Mapping::anonymous(pages * page()).populate().map().expect("maps");
    assert_eq!(lazy.residency(..).expect("asks").resident_pages(), 0);
    assert_eq!(eager.residency(..).expect("asks").resident_pages(), pages);
}

#[test]
fn unreserved_memory_is_not_promised() {
    let len = 1 << 20;
    let promised = Mapping::anonymous(len).map().expect("maps");
    let unpromised = Mapping::anonymous(len).no_reserve().map().expect("maps");
    assert!(has_flag(&promised, "ac"), "the kernel accounts for it");
    assert!(!has_flag(&unpromised, "ac") || has_flag(&unpromised, "nr"));
    // More than any machine has: a promise of that is refused unless all promises are given.
    let huge = 1 << 46;
    let unpromised = Mapping::anonymous(huge).no_reserve().protection(Protection::READ_WRITE).map();
    drop(unpromised.expect("address space is free"));
}

#[test]
fn a_stack_grows_down_by_being_touched() {
    let ending = in_child(|| {
        let page = page();
        // The kernel keeps 256 pages free below a stack: it must be far above its neighbour.
        let room = Mapping::anonymous(4096 * page).map().expect("maps");
        let place = room.address().get() + 2048 * page;
        drop(room);
        let mapping = Mapping::anonymous(2 * page).grows_down().exactly_at(place).map().expect("maps");
        let start = mapping.as_mut_ptr();
        for step in 1..=3 {
            assert!(!mapped(start.addr() - step * page));
            poke(start.wrapping_sub(step * page), step as u8);
            assert!(mapped(start.addr() - step * page));
        }
        assert_eq!(touch(start.wrapping_sub(2 * page)), 2);
        drop(mapping);
        assert!(!mapped(start.addr()) && mapped(start.addr() - page), "what it gained is not part of it");
    });
    assert_eq!(ending, WELL);
    let plain = Mapping::anonymous(1).guard_before(page()).map().expect("maps");
    let ending = in_child(|| poke(plain.as_mut_ptr().wrapping_sub(1), 1));
    assert_eq!(ending, Ending::Signal(libc::SIGSEGV), "others don't");
}
