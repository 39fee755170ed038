//! Advice keeps the bytes, discarding takes exactly the pages that were named.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use crate::common::skip;
use crate::support::{WELL, file, in_child, page, pattern, smaps, touch};
use freestone::map::{Advice, Discard, Error, LockWhen, Mapping, Protection, Refusal};

const ADVICE: [Advice; 19] = [
    Advice::Normal,
    Advice::Random,
    Advice::Sequential,
    Advice::WillNeed,
    Advice::Cold,
    Advice::PageOut,
    Advice::PopulateRead,
    Advice::PopulateWrite,
    Advice::HugePages,
    Advice::NoHugePages,
    Advice::Collapse,
    Advice::Mergeable,
    Advice::Unmergeable,
    Advice::DontDump,
    Advice::DoDump,
    Advice::DontFork,
    Advice::DoFork,
    Advice::WipeOnFork,
    Advice::KeepOnFork,
];

fn filled(pages: usize) -> Mapping {
    let mut mapping = Mapping::anonymous(pages * page()).map().expect("maps");
    mapping.as_mut_slice().expect("its own").fill(7);
    mapping
}

fn shared(file: &File) -> Mapping {
    Mapping::file(file).shared().protection(Protection::READ_WRITE).map().expect("maps")
}

#[test]
fn advice_changes_no_byte() {
    let mapping = filled(3);
    let mut taken = 0;
    for advice in ADVICE {
        match mapping.advise(1..page() + 1, advice) {
            Ok(()) => taken += 1,
            // The kernel may be older, or built without it.
            Err(error) => assert_ne!(error.errno_name(), Some("unknown"), "{advice:?}: {error}"),
        }
        assert!(mapping.as_slice().expect("its own").iter().all(|byte| *byte == 7), "{advice:?}");
    }
    assert!(taken >= 10, "the kernel took {taken} only");
}

#[test]
fn advice_reaches_the_kernel() {
    let flags = |mapping: &Mapping| smaps(mapping.address().get(), "VmFlags").expect("it is mapped");
    for (advice, flag) in [
        (Advice::Sequential, "sr"),
        (Advice::Random, "rr"),
        (Advice::DontDump, "dd"),
        (Advice::DontFork, "dc"),
    ] {
        let mapping = filled(1);
        assert!(!flags(&mapping).contains(flag));
        mapping.advise(.., advice).expect("this is as old as it gets");
        assert!(flags(&mapping).contains(flag), "{advice:?}: {}", flags(&mapping));
    }
}

#[test]
fn populating_brings_pages_in_or_says_why_not() {
    let mapping = Mapping::anonymous(4 * page()).map().expect("maps");
    if let Err(error) = mapping.advise(page()..3 * page(), Advice::PopulateWrite) {
        assert_eq!(error.errno_name(), Some("EINVAL"), "{error}");
        skip!("the kernel is older than MADV_POPULATE_WRITE (Linux 5.14)");
    }
    let there: Vec<bool> = mapping.residency(..).expect("asks").pages().collect();
    assert_eq!(there, [false, true, true, false]);
    let beyond = Mapping::file(&file(b"short")).len(2 * page()).map().expect("maps");
    beyond.advise(..page(), Advice::PopulateRead).expect("the file has this page");
    let error = beyond.advise(.., Advice::PopulateRead).expect_err("and not that one");
    assert_eq!((error.call_name(), error.errno_name()), (Some("madvise"), Some("EFAULT")));
}

#[test]
fn a_child_finds_what_was_advised() {
    let kept = filled(1);
    let wiped = filled(1);
    wiped.advise(.., Advice::WipeOnFork).expect("private anonymous memory");
    assert_eq!(in_child(|| assert_eq!((touch(kept.as_ptr()), touch(wiped.as_ptr())), (7, 0))), WELL);
    let error = shared(&file(b"x")).advise(.., Advice::WipeOnFork).expect_err("a file");
    assert_eq!(error.errno_name(), Some("EINVAL"));
    assert!(error.meaning().contains("anonymous"), "{error}");
}

#[test]
fn discarded_memory_is_zero_and_its_neighbours_are_not() {
    let page = page();
    let mut mapping = filled(3);
    mapping.discard(page..2 * page).expect("discards");
    assert_eq!(mapping.residency(..).expect("asks").pages().collect::<Vec<_>>(), [true, false, true]);
    let slice = mapping.as_slice().expect("its own");
    assert!(slice[page..2 * page].iter().all(|byte| *byte == 0));
    assert!(slice[..page].iter().chain(&slice[2 * page..]).all(|byte| *byte == 7));
    for range in [0..1, 1..page, page..2 * page + 1] {
        assert_eq!(mapping.discard(range).expect_err("half a page"), Error::Refused(Refusal::NotOnAPage));
    }
    mapping.discard(..).expect("discards");
    assert!(mapping.as_slice().expect("its own").iter().all(|byte| *byte == 0));
}

#[test]
fn a_discarded_copy_is_the_file_again_and_a_shared_page_stays() {
    let file = file(b"before");
    let mut private = Mapping::file(&file).protection(Protection::READ_WRITE).map().expect("maps");
    private.write_at(0, b"after!").expect("writes");
    private.discard(..).expect("discards");
    let mut seen = [0; 6];
    private.read_at(0, &mut seen).expect("reads");
    assert_eq!(&seen, b"before");
    let mut shared = shared(&file);
    shared.write_at(0, b"after!").expect("writes");
    shared.discard(..).expect("discards");
    private.read_at(0, &mut seen).expect("reads");
    assert_eq!(&seen, b"after!");
}

#[test]
fn a_hole_is_zero_for_everyone_and_the_file_keeps_its_length() {
    let page = page();
    let file = file(&pattern(3 * page));
    file.sync_all().expect("the file can be synchronised");
    let blocks = || file.metadata().expect("it is open").blocks();
    let before = blocks();
    let mut mapping = shared(&file);
    assert_eq!(mapping.punch_hole(1..).expect_err("half a page"), Error::Refused(Refusal::NotOnAPage));
    let edges = Mapping::file(&file).offset(1).shared().protection(Protection::READ_WRITE).map();
    let refused = edges.expect("maps").punch_hole(..page - 1).expect_err("the byte before is not asked for");
    assert_eq!(refused, Error::Refused(Refusal::NotOnAPage));
    match mapping.punch_hole(page..2 * page) {
        Err(error) => {
            assert_eq!(error.errno_name(), Some("EOPNOTSUPP"), "{error}");
            skip::note("holes: the file system of temporary files has none");
        }
        Ok(()) => {
            assert!(blocks() < before);
            assert_eq!(file.metadata().expect("it is open").len(), 3 * page as u64);
            let mut content = vec![1; 3 * page];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut content, 0)
                .expect("the file has these bytes");
            assert!(content[page..2 * page].iter().all(|byte| *byte == 0));
            assert_eq!(content[..page], pattern(page));
        }
    }
    let error = filled(1).punch_hole(..).expect_err("private memory has no storage");
    assert!(matches!(error.errno_name(), Some("EACCES" | "EINVAL")), "{error}");
    let mut read_only = Mapping::file(&file).len(page).shared().map().expect("maps");
    assert_eq!(read_only.punch_hole(..).expect_err("read-only"), Error::Refused(Refusal::Protected));
}

#[test]
fn discarding_locked_memory_is_einval() {
    let mut mapping = filled(2);
    mapping.lock(page().., LockWhen::Now).expect("a page can be locked");
    match mapping.discard(..).expect_err("it is locked") {
        Error::Kernel { call: freestone::map::Call::Discard(Discard::Pages), errno, .. } => {
            assert_eq!(errno.name(), "EINVAL");
        }
        other => panic!("{other}"),
    }
    assert_eq!(mapping.as_slice().expect("its own")[page()], 7, "locked memory stays");
}

#[test]
fn lazily_freed_memory_is_old_or_zero_until_it_is_written() {
    let mut mapping = filled(2);
    // SAFETY: until it is filled below, the memory is looked at through a pointer only.
    unsafe { mapping.free(..) }.expect("private anonymous memory");
    assert!(matches!(touch(mapping.as_ptr()), 0 | 7));
    for place in 0..mapping.len() {
        crate::support::poke(mapping.as_mut_ptr().wrapping_add(place), 9);
    }
    assert!(mapping.as_slice().expect("its own").iter().all(|byte| *byte == 9));
    // SAFETY: it is refused.
    let error = unsafe { shared(&file(b"x")).free(..) }.expect_err("a file");
    assert_eq!(error.errno_name(), Some("EINVAL"));
}
