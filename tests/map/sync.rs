//! What is written is seen at once; synchronising brings it to the device, whole or in part.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use crate::common::skip;
use crate::support::{file, page, smaps_kb};
use freestone::map::{LockWhen, Mapping, Msync, Protection};

const KINDS: [Msync; 5] =
    [Msync::Async, Msync::Sync, Msync::Invalidate, Msync::AsyncInvalidate, Msync::SyncInvalidate];

/// A shared mapping of `pages` pages, alone in its file.
fn shared(pages: usize) -> (File, Mapping) {
    let file = file(&vec![0; pages * page()]);
    file.sync_all().expect("the file can be synchronised");
    let mapping = Mapping::file(&file).shared().protection(Protection::READ_WRITE).map().expect("maps");
    (file, mapping)
}

fn dirty_kb(mapping: &Mapping) -> u64 {
    ["Shared_Dirty", "Private_Dirty"].map(|field| smaps_kb(mapping.address().get(), field)).iter().sum()
}

/// Whether this file system ever cleans a page: one in memory does not, whatever fsync(2) says.
fn has_a_device() -> bool {
    let (file, mapping) = shared(1);
    crate::support::poke(mapping.as_mut_ptr(), 1);
    assert_ne!(dirty_kb(&mapping), 0);
    file.sync_all().expect("the file can be synchronised");
    dirty_kb(&mapping) == 0
}

#[test]
fn another_reader_sees_a_write_before_any_kind() {
    for kind in KINDS {
        let (file, mut mapping) = shared(2);
        mapping.write_at(page() - 1, b"ab").expect("writes");
        let mut seen = [0; 2];
        file.read_exact_at(&mut seen, page() as u64 - 1).expect("the file has it");
        assert_eq!(&seen, b"ab");
        mapping.sync(.., kind).expect("synchronises");
        let other = Mapping::file(&file).map().expect("maps");
        other.read_at(page() - 1, &mut seen).expect("reads");
        assert_eq!(&seen, b"ab");
    }
}

#[test]
fn a_synchronised_page_is_clean_and_others_stay_dirty() {
    if !has_a_device() {
        skip!("temporary files are kept in memory alone: there is nothing to synchronise with");
    }
    // Far apart, since file systems write neighbouring pages together.
    const APART: usize = 4 << 20;
    let page_kb = page() as u64 / 1024;
    let file = file(b"");
    let mut mapping = Mapping::file(&file)
        .len(3 * APART)
        .extend_file()
        .shared()
        .protection(Protection::READ_WRITE)
        .map()
        .expect("maps");
    for number in 0..3 {
        // By an instruction, so that the page's own dirty mark is set.
        crate::support::poke(mapping.as_mut_ptr().wrapping_add(number * APART), 1);
    }
    assert_eq!(dirty_kb(&mapping), 3 * page_kb);
    mapping.sync(APART..=APART, Msync::Sync).expect("synchronises a byte's page");
    assert_eq!(dirty_kb(&mapping), 2 * page_kb);
    mapping.sync(3 * APART.., Msync::Sync).expect("synchronises nothing");
    assert_eq!(dirty_kb(&mapping), 2 * page_kb);
    mapping.sync(.., Msync::SyncInvalidate).expect("synchronises");
    assert_eq!(dirty_kb(&mapping), 0);
    mapping.write_at(0, b"x").expect("writes");
    assert_ne!(dirty_kb(&mapping), 0, "a write makes it dirty again");
}

#[test]
fn invalidating_locked_pages_is_ebusy() {
    let (_file, mapping) = shared(2);
    mapping.lock(..1, LockWhen::Now).expect("a page can be locked");
    for kind in [Msync::Invalidate, Msync::SyncInvalidate, Msync::AsyncInvalidate] {
        let error = mapping.sync(.., kind).expect_err("a page is locked");
        assert_eq!((error.call_name(), error.errno_name()), (Some("msync"), Some("EBUSY")));
    }
    mapping.sync(page().., Msync::Invalidate).expect("this page is not");
    mapping.sync(.., Msync::Sync).expect("no invalidation, no matter");
}

#[test]
fn a_private_mapping_synchronises_nothing() {
    let mut file = file(b"before");
    let mut private = Mapping::file(&file).protection(Protection::READ_WRITE).map().expect("maps");
    private.write_at(0, b"after!").expect("writes");
    for kind in KINDS {
        private.sync(.., kind).expect("is allowed");
    }
    let mut content = Vec::new();
    std::io::Seek::rewind(&mut file).expect("a file can be rewound");
    file.read_to_end(&mut content).expect("it can be read");
    assert_eq!(content, b"before");
}
