//! Guard pages adjoin the mapping, let nothing past, and go with it.

use crate::support::{Ending, WELL, file, in_child, mapped, page, pattern, poke, touch};
use freestone::map::{Error, Mapping, Placement, Protection, Refusal};

const SEGV: Ending = Ending::Signal(libc::SIGSEGV);

#[test]
fn one_step_too_far_is_caught_on_both_sides() {
    let page = page();
    let mut mapping = Mapping::anonymous(2 * page).guard_before(page).guard_after(1).map().expect("maps");
    assert_eq!(mapping.guard_bytes(), (page, page));
    mapping.as_mut_slice().expect("its own").fill(7);
    let start = mapping.as_mut_ptr();
    for outside in [
        start.wrapping_sub(1),
        start.wrapping_sub(page),
        start.wrapping_add(2 * page),
        start.wrapping_add(3 * page - 1),
    ] {
        assert!(mapped(outside.addr()), "a guard is mapped, so nothing else can be");
        assert_eq!(in_child(|| _ = touch(outside)), SEGV);
        assert_eq!(in_child(|| poke(outside, 1)), SEGV);
    }
}

#[test]
fn guards_go_with_their_mapping() {
    let ending = in_child(|| {
        let page = page();
        let mapping = Mapping::anonymous(2 * page).guard_before(page).guard_after(page).map().expect("maps");
        let start = mapping.address().get();
        drop(mapping);
        for address in [start - page, start, start + 2 * page] {
            assert!(!mapped(address), "{address:#x} is still mapped");
        }
    });
    assert_eq!(ending, WELL);
}

#[test]
fn a_file_has_guards_too() {
    let page = page();
    let content = pattern(3 * page);
    let mapping = Mapping::file(&file(&content))
        .offset(page as u64 + 5)
        .len(page)
        .guard_before(page)
        .guard_after(page)
        .map();
    let mapping = mapping.expect("maps");
    // SAFETY: nobody but this test knows the file.
    assert_eq!(unsafe { mapping.assume_stable() }.expect("readable"), &content[page + 5..2 * page + 5]);
    let (before, after) = (mapping.waste().before, mapping.waste().after);
    assert_eq!(in_child(|| _ = touch(mapping.as_ptr().wrapping_sub(before + 1))), SEGV);
    assert_eq!(in_child(|| _ = touch(mapping.as_ptr().wrapping_add(page + after))), SEGV);
}

#[test]
fn protection_leaves_the_guards_alone() {
    let page = page();
    let mut mapping =
        Mapping::anonymous(page).guard_after(page).protection(Protection::NONE).map().expect("maps");
    mapping.protect(Protection::READ_WRITE).expect("protects");
    mapping.as_mut_slice().expect("its own").fill(1);
    assert_eq!(in_child(|| poke(mapping.as_mut_ptr().wrapping_add(page), 1)), SEGV);
}

#[test]
fn a_guarded_mapping_keeps_its_size() {
    let mut mapping = Mapping::anonymous(page()).guard_before(1).map().expect("maps");
    assert_eq!(mapping.resize(1, Placement::MayMove).expect_err("refused"), Error::Refused(Refusal::Guarded));
}

#[test]
fn the_outer_parts_of_a_split_keep_the_guards() {
    let ending = in_child(|| {
        let page = page();
        let mut front =
            Mapping::anonymous(2 * page).guard_before(page).guard_after(page).map().expect("maps");
        let back = front.split_off(page).expect("a page's boundary");
        assert_eq!((front.guard_bytes(), back.guard_bytes()), ((page, 0), (0, page)));
        let after = back.address().get() + page;
        drop(front);
        assert!(mapped(after));
        drop(back);
        assert!(!mapped(after));
    });
    assert_eq!(ending, WELL);
}
