//! Addresses: hints, exact places that refuse to overwrite, alignment above the page.

use crate::support::{WELL, address_space_pages, file, in_child, mapped, page, pattern};
use freestone::map::{Error, Mapping, Refusal};

/// The start of a range of `bytes` that was free a moment ago, with pages free around it.
fn free_range(bytes: usize) -> usize {
    let around = Mapping::anonymous(bytes + 4 * page()).map().expect("maps");
    around.address().get() + 2 * page()
}

#[test]
fn a_hint_is_followed_where_there_is_room_and_only_there() {
    let ending = in_child(|| {
        let place = free_range(page());
        assert_eq!(Mapping::anonymous(page()).hint(place).map().expect("maps").address().get(), place);
    });
    assert_eq!(ending, WELL);
    let first = Mapping::anonymous(page()).map().expect("maps");
    let second = Mapping::anonymous(page()).hint(first.address().get()).map().expect("maps elsewhere");
    assert_ne!(first.address(), second.address());
}

#[test]
fn an_exact_place_is_taken_or_refused() {
    let page = page();
    let mut taken = Mapping::anonymous(3 * page).map().expect("maps");
    taken.as_mut_slice().expect("its own").fill(9);
    for offset in [0, page, 2 * page] {
        let error = Mapping::anonymous(page).exactly_at(taken.address().get() + offset).map();
        let error = error.expect_err("it is taken");
        assert_eq!((error.call_name(), error.errno_name()), (Some("mmap"), Some("EEXIST")));
        assert!(error.meaning().contains("refuses to overwrite"), "{error}");
    }
    let overlapping = Mapping::anonymous(4 * page).exactly_at(taken.address().get() - page).map();
    assert_eq!(overlapping.expect_err("it is taken").errno_name(), Some("EEXIST"));
    assert!(taken.as_slice().expect("its own").iter().all(|byte| *byte == 9), "it was overwritten");

    let ending = in_child(|| {
        let place = free_range(page);
        let mapping = Mapping::anonymous(page).exactly_at(place).map().expect("it is free");
        assert_eq!(mapping.address().get(), place);
    });
    assert_eq!(ending, WELL);
}

#[test]
fn an_exact_place_leaves_room_for_guards_or_is_refused() {
    let page = page();
    let ending = in_child(|| {
        let place = free_range(page);
        let mapping = Mapping::anonymous(page).exactly_at(place).guard_before(page).guard_after(page).map();
        assert_eq!(mapping.expect("there is room").address().get(), place);
        let mapping = Mapping::anonymous(page).exactly_at(place).guard_before(page).guard_after(page).map();
        let _mapping = mapping.expect("the guards are gone as well");
        assert!(mapped(place - page) && mapped(place + page));
    });
    assert_eq!(ending, WELL);
    let neighbour = Mapping::anonymous(page).guard_after(2 * page).map().expect("maps");
    let beside = neighbour.address().get() + 2 * page;
    let error = Mapping::anonymous(page).exactly_at(beside).guard_before(page).map().expect_err("taken");
    assert_eq!(error.errno_name(), Some("EEXIST"));
    assert!(mapped(beside), "the neighbour's guard is gone");
}

#[test]
fn addresses_that_are_none_are_refused() {
    let misaligned = Error::Refused(Refusal::Misaligned);
    let exactly = |address| Mapping::anonymous(1).exactly_at(address).map().expect_err("refused");
    assert_eq!(exactly(0), misaligned);
    assert_eq!(exactly(1), misaligned);
    assert_eq!(exactly(free_range(1) + 1), misaligned);
    let unaligned = Mapping::anonymous(1).exactly_at(free_range(1) | page()).align(2 * page()).map();
    assert_eq!(unaligned.expect_err("refused"), misaligned);
    assert_eq!(
        Mapping::anonymous(1).align(3).map().expect_err("refused"),
        Error::Refused(Refusal::NotAPowerOfTwo)
    );
}

#[test]
fn alignment_above_the_page() {
    let content = pattern(3 * page());
    let file = file(&content);
    let mut kept = Vec::new();
    for shift in 0..=32 {
        let align = 1_usize << shift;
        let anonymous = Mapping::anonymous(page() + 1).align(align).map().expect("maps");
        assert_eq!(anonymous.address().get() % align, 0);
        let mapping =
            Mapping::file(&file).offset(page() as u64).align(align).guard_after(1).map().expect("maps");
        assert_eq!(mapping.address().get() % align, 0);
        // SAFETY: nobody but this test knows the file.
        assert_eq!(unsafe { mapping.assume_stable() }.expect("readable"), &content[page()..]);
        kept.extend([anonymous, mapping]);
    }
}

#[test]
fn alignment_costs_no_more_than_its_pages_afterwards() {
    let ending = in_child(|| {
        let page = page();
        let before = address_space_pages();
        let around = Mapping::anonymous(page).align(64 * page).guard_before(page).guard_after(page);
        let mapping = around.map().expect("maps");
        let start = mapping.address().get();
        for address in [start - page, start, start + page] {
            assert!(mapped(address), "{address:#x} is not mapped");
        }
        assert_eq!(address_space_pages(), before + 3, "the slack is gone");
        drop(mapping);
        for address in [start - page, start, start + page] {
            assert!(!mapped(address), "{address:#x} is still mapped");
        }
    });
    assert_eq!(ending, WELL);
}

#[test]
fn threads_that_map_at_once_get_what_they_asked_for() {
    let jobs: Vec<_> = (0..4_u8)
        .map(|mark| {
            std::thread::spawn(move || {
                for _ in 0..500 {
                    let page = page();
                    let mut mapping =
                        Mapping::anonymous(4 * page).align(16 * page).guard_after(page).map().expect("maps");
                    mapping.as_mut_slice().expect("its own").fill(mark);
                    let mut plain = Mapping::anonymous(4 * page).map().expect("maps");
                    plain.as_mut_slice().expect("its own").fill(mark);
                    assert!(mapping.as_slice().expect("its own").iter().all(|byte| *byte == mark));
                    assert!(plain.as_slice().expect("its own").iter().all(|byte| *byte == mark));
                }
            })
        })
        .collect();
    for job in jobs {
        job.join().expect("each thread found its own bytes");
    }
}
