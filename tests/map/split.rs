//! Split and unmapped in parts: every part stays where it is, and goes alone.

use crate::common::skip;
use crate::support::{Ending, WELL, file, in_child, mapped, page, pattern, touch};
use freestone::map::{Error, Mapping, Protection, Refusal};

#[test]
fn dropping_unmaps() {
    let ending = in_child(|| {
        let mapping = Mapping::anonymous(1).map().expect("maps");
        let address = mapping.address().get();
        assert!(mapped(address));
        drop(mapping);
        assert!(!mapped(address));
        let mapping = Mapping::anonymous(1).map().expect("maps");
        let address = mapping.address().get();
        mapping.unmap().expect("unmaps");
        assert!(!mapped(address));
        _ = touch(std::ptr::without_provenance(address));
    });
    assert_eq!(ending, Ending::Signal(libc::SIGSEGV));
}

#[test]
fn a_hole_in_the_middle() {
    let ending = in_child(|| {
        let page = page();
        let mut front = Mapping::anonymous(5 * page).map().expect("maps");
        for (number, bytes) in front.as_mut_slice().expect("its own").chunks_mut(page).enumerate() {
            bytes.fill(number as u8);
        }
        let start = front.address().get();
        let mut middle = front.split_off(page).expect("a page's boundary");
        let back = middle.split_off(3 * page).expect("a page's boundary");
        assert_eq!([front.len(), middle.len(), back.len()], [page, 3 * page, page]);
        assert_eq!(middle.as_slice().expect("its own")[0], 1);
        middle.unmap().expect("unmaps");
        let there: Vec<bool> = (0..5).map(|number| mapped(start + number * page)).collect();
        assert_eq!(there, [true, false, false, false, true]);
        assert!(front.as_slice().expect("its own").iter().all(|byte| *byte == 0));
        assert!(back.as_slice().expect("its own").iter().all(|byte| *byte == 4));
    });
    assert_eq!(ending, WELL);
}

#[test]
fn parts_of_a_file_know_their_place() {
    let page = page();
    let content = pattern(4 * page);
    let mut front = Mapping::file(&file(&content)).offset(10).map().expect("maps");
    let place = 2 * page - front.waste().before;
    let back = front.split_off(place).expect("a page's boundary");
    assert_eq!((front.file_offset(), back.file_offset()), (Some(10), Some(2 * page as u64)));
    assert_eq!((back.waste().before, back.len()), (0, 2 * page));
    // SAFETY: nobody but this test knows the file.
    let (front, back) =
        unsafe { (front.assume_stable().expect("readable"), back.assume_stable().expect("readable")) };
    assert_eq!([front, back].concat(), &content[10..]);
}

#[test]
fn between_pages_only() {
    let page = page();
    let mut mapping = Mapping::anonymous(3 * page).map().expect("maps");
    for (at, refusal) in [
        (1, Refusal::NotOnAPage),
        (page - 1, Refusal::NotOnAPage),
        (page + 1, Refusal::NotOnAPage),
        (0, Refusal::OutOfBounds),
        (3 * page, Refusal::OutOfBounds),
        (usize::MAX, Refusal::OutOfBounds),
    ] {
        assert_eq!(mapping.split_off(at).expect_err("refused"), Error::Refused(refusal), "{at}");
    }
    assert_eq!(mapping.len(), 3 * page);
}

#[test]
fn unmapping_at_the_limit_of_mappings_gives_the_mapping_back() {
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .expect("a number");
    if most > 200_000 {
        skip!("reaching the limit of {most} mappings would take long");
    }
    let ending = in_child(|| {
        let page = page();
        // One mapping to the kernel, three parts to us: unmapping the middle one makes two of it.
        let mut front = Mapping::anonymous(3 * page).map().expect("maps");
        let mut middle = front.split_off(page).expect("a page's boundary");
        middle.as_mut_slice().expect("its own").fill(6);
        let _back = middle.split_off(page).expect("a page's boundary");
        // Neighbours that differ don't merge. The memory to remember them in is there before.
        let mut filling = Vec::with_capacity(most);
        let kinds = [Protection::NONE, Protection::READ];
        while let Ok(mapping) = Mapping::anonymous(page).protection(kinds[filling.len() % 2]).map() {
            filling.push(mapping);
        }
        let failure = middle.unmap().expect_err("there are too many mappings");
        assert_eq!((failure.error.call_name(), failure.error.errno_name()), (Some("munmap"), Some("ENOMEM")));
        let middle = failure.mapping;
        assert!(middle.as_slice().expect("its own").iter().all(|byte| *byte == 6), "it is as before");
        filling.truncate(most / 2);
        let address = middle.address().get();
        middle.unmap().expect("now there is room");
        assert!(!mapped(address), "it was not the mapping that came back");
    });
    assert_eq!(ending, WELL);
}
