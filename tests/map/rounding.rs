//! Offsets and lengths of any size: the right bytes, and the waste by the page.

use crate::support::{file, page, pattern};
use freestone::map::{Mapping, Protection, Waste};
use proptest::prelude::*;

/// A file of this many pages is enough for every border.
const PAGES: usize = 5;

fn check(offset: usize, len: usize) {
    let page = page();
    let content = pattern(PAGES * page);
    let mapping = Mapping::file(&file(&content)).offset(offset as u64).len(len).map().expect("maps");
    let Waste { before, after, .. } = mapping.waste();
    assert_eq!(before, offset % page);
    assert!(after < page);
    assert_eq!(before + mapping.len() + after, mapping.mapped_bytes());
    assert_eq!(mapping.mapped_bytes() % page, 0);
    assert_eq!(mapping.address().get() % page, before);
    assert_eq!((mapping.len(), mapping.file_offset()), (len, Some(offset as u64)));
    let text = format!("{mapping:?}");
    assert!(text.contains(&format!("len: {len}, ")) && text.contains(&format!("Some({offset})")), "{text}");
    // SAFETY: nobody but this test knows the file.
    assert_eq!(unsafe { mapping.assume_stable() }.expect("readable"), &content[offset..offset + len]);
    let mut copied = vec![0; len + 10];
    assert_eq!(mapping.read_at(0, &mut copied).expect("reads"), len);
    assert_eq!(copied[..len], content[offset..offset + len]);
}

#[test]
fn around_every_border() {
    let page = page();
    for offset in [0, 1, page - 1, page, page + 1, 2 * page] {
        for len in [1, 2, page - 1, page, page + 1, 2 * page, 2 * page + 1] {
            check(offset, len);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn anywhere(offset in 0_usize..2 * 4096, len in 1_usize..3 * 4096) {
        check(offset, len);
    }
}

#[test]
fn to_the_end_of_the_file_unless_told_otherwise() {
    let content = pattern(10_000);
    let file = file(&content);
    assert_eq!(Mapping::file(&file).map().expect("maps").len(), 10_000);
    assert_eq!(Mapping::file(&file).offset(9_999).map().expect("maps").len(), 1);
}

#[test]
fn anonymous_memory_is_zero_and_has_no_offset() {
    let mapping = Mapping::anonymous(page() + 1).offset(7).map().expect("maps");
    let Waste { before, after, .. } = mapping.waste();
    assert_eq!((before, after), (0, page() - 1));
    assert_eq!(mapping.file_offset(), None);
    assert!(mapping.as_slice().expect("its own").iter().all(|byte| *byte == 0));
}

#[test]
fn no_safe_access_beyond_the_length() {
    let mut mapping = Mapping::anonymous(100).map().expect("maps");
    assert_eq!(mapping.as_slice().expect("its own").len(), 100);
    assert_eq!(mapping.read_at(90, &mut [0; 20]).expect("reads"), 10);
    assert_eq!(mapping.write_at(100, b"x").expect("nothing to write"), 0);
    mapping.read_at(101, &mut [0; 1]).expect_err("beyond the end");
    mapping.write_at(101, b"x").expect_err("beyond the end");
    mapping.protect(Protection::READ).expect("protects");
}
