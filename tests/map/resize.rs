//! Longer and shorter, in place and moving, with the file and without.

use std::os::unix::fs::FileExt;

use crate::support::{Ending, WELL, file, in_child, page, pattern, poke};
use freestone::map::{Error, Mapping, Placement, Protection, Refusal};

#[test]
fn bytes_move_along_and_new_ones_are_zero() {
    let page = page();
    let content = pattern(2 * page);
    let mut mapping = Mapping::anonymous(2 * page).map().expect("maps");
    mapping.as_mut_slice().expect("its own").copy_from_slice(&content);
    for len in [3 * page, 1000 * page, 5, 2 * page, 2000 * page + 1, 1] {
        let kept = content.len().min(mapping.len()).min(len);
        let before = mapping.as_slice().expect("its own")[..kept].to_vec();
        mapping.resize(len, Placement::MayMove).expect("resizes");
        assert_eq!((mapping.len(), mapping.mapped_bytes()), (len, len.next_multiple_of(page)));
        let slice = mapping.as_mut_slice().expect("its own");
        assert_eq!(slice[..kept], before);
        assert!(slice[content.len().min(len)..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn in_place_stays_or_fails() {
    let page = page();
    let mut front = Mapping::anonymous(2 * page).map().expect("maps");
    let back = front.split_off(page).expect("a page's boundary");
    let address = front.address();
    front.as_mut_slice().expect("its own").fill(3);
    let error = front.resize(2 * page, Placement::InPlace).expect_err("something is behind it");
    assert_eq!((error.call_name(), error.errno_name()), (Some("mremap"), Some("ENOMEM")));
    assert!(error.remedy().contains("MayMove"), "{error}");
    assert_eq!((front.len(), front.address()), (page, address));

    front.resize(2 * page, Placement::MayMove).expect("there is room elsewhere");
    assert_ne!(front.address(), address);
    assert_eq!(front.as_slice().expect("its own")[page - 1], 3);
    drop(back);

    let moved = front.address();
    front.resize(page + 1, Placement::InPlace).expect("within the same pages");
    front.resize(1, Placement::InPlace).expect("shorter is always possible");
    assert_eq!(front.address(), moved);
}

#[test]
fn growing_in_place_works_where_there_is_room() {
    let ending = in_child(|| {
        let page = page();
        let mut front = Mapping::anonymous(2 * page).map().expect("maps");
        drop(front.split_off(page).expect("a page's boundary"));
        let address = front.address();
        front.resize(2 * page, Placement::InPlace).expect("the room is free");
        assert_eq!((front.address(), front.len()), (address, 2 * page));
        front.as_mut_slice().expect("its own").fill(1);
    });
    assert_eq!(ending, WELL);
}

#[test]
fn a_file_grows_where_asked_and_only_there() {
    let page = page();
    let file = file(b"four");
    let bytes = || file.metadata().expect("it is open").len();
    let mut mapping = Mapping::file(&file).shared().protection(Protection::READ_WRITE).map().expect("maps");
    mapping.resize(3 * page, Placement::MayMove).expect("resizes");
    assert_eq!(bytes(), 4);
    assert_eq!(mapping.write_at(2 * page, b"x").expect_err("no such page").errno_name(), Some("EFAULT"));
    assert_eq!(in_child(|| poke(mapping.as_mut_ptr().wrapping_add(page), 1)), Ending::Signal(libc::SIGBUS));

    mapping.resize_with_file(&file, 3 * page, Placement::MayMove).expect("extends");
    assert_eq!(bytes(), 3 * page as u64);
    assert_eq!(mapping.write_at(2 * page, b"x").expect("writes"), 1);
    let mut byte = [0];
    file.read_exact_at(&mut byte, 2 * page as u64).expect("the file has it");
    assert_eq!(&byte, b"x");

    mapping.resize_with_file(&file, 1, Placement::MayMove).expect("shortens the mapping");
    assert_eq!((bytes(), mapping.len()), (3 * page as u64, 1), "the file is never made shorter");
}

#[test]
fn an_offset_stays_an_offset() {
    let page = page();
    let content = pattern(4 * page);
    let file = file(&content);
    let mut mapping = Mapping::file(&file).offset(page as u64 + 7).len(10).map().expect("maps");
    mapping.resize(2 * page, Placement::MayMove).expect("resizes");
    // SAFETY: nobody but this test knows the file.
    assert_eq!(unsafe { mapping.assume_stable() }.expect("readable"), &content[page + 7..3 * page + 7]);
    assert_eq!(mapping.waste().before, 7);
}

#[test]
fn a_new_mapping_extends_its_file_where_asked() {
    let file = file(b"");
    let shared = Mapping::file(&file).offset(10).len(90).shared().protection(Protection::READ_WRITE);
    let mut mapping = shared.extend_file().map().expect("maps");
    assert_eq!(file.metadata().expect("it is open").len(), 100);
    assert_eq!(mapping.write_at(89, b"!").expect("writes"), 1);
    drop(Mapping::file(&file).len(5).extend_file().map().expect("maps"));
    assert_eq!(file.metadata().expect("it is open").len(), 100, "a longer file stays as it is");
}

#[test]
fn shared_memory_without_a_file_does_not_grow() {
    let mut shared = Mapping::anonymous(page()).shared().map().expect("maps");
    let refused = shared.resize(2 * page(), Placement::MayMove).expect_err("refused");
    assert_eq!(refused, Error::Refused(Refusal::FixedObject));
    shared.resize(1, Placement::MayMove).expect("within its pages");
    let error = shared.resize_with_file(&file(b""), 1, Placement::MayMove).expect_err("refused");
    assert_eq!(error, Error::Refused(Refusal::NotAFile));
}

#[test]
fn nothing_is_no_length() {
    let mut mapping = Mapping::anonymous(1).map().expect("maps");
    let error = mapping.resize(0, Placement::MayMove).expect_err("no mapping is empty");
    assert_eq!(error.errno_name(), Some("EINVAL"));
    assert_eq!(mapping.len(), 1);
    let too_long = mapping.resize(usize::MAX, Placement::MayMove).expect_err("too long");
    assert_eq!(too_long, Error::Refused(Refusal::TooLong));
}

#[test]
fn a_failed_move_leaves_everything_as_it_was() {
    let ending = in_child(|| {
        let mut mapping = Mapping::anonymous(100).map().expect("maps");
        mapping.as_mut_slice().expect("its own").fill(5);
        limit_address_space();
        let error = mapping.resize(1 << 40, Placement::MayMove).expect_err("beyond the limit");
        assert_eq!(error.errno_name(), Some("ENOMEM"));
        assert!(mapping.as_slice().expect("its own").iter().all(|byte| *byte == 5));
    });
    assert_eq!(ending, WELL);
}

fn limit_address_space() {
    crate::support::limit(libc::RLIMIT_AS, 1 << 36);
}
