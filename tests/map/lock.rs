//! Locked pages: which, when, and how many an ordinary user may have.

use crate::support::{WELL, become_ordinary, file, in_child, limit, page, poke, smaps_kb};
use freestone::map::{LockWhen, Mapping, Placement};

fn locked_kb(mapping: &Mapping, place: usize) -> u64 {
    smaps_kb(mapping.address().get() + place, "Locked")
}

#[test]
fn locked_now_is_there_now() {
    let mapping = Mapping::anonymous(4 * page()).map().expect("maps");
    mapping.lock(1..=page(), LockWhen::Now).expect("two pages can be locked");
    assert_eq!(mapping.residency(..).expect("asks").pages().collect::<Vec<_>>(), [true, true, false, false]);
    assert_ne!(locked_kb(&mapping, 0), 0);
    assert_eq!(locked_kb(&mapping, 2 * page()), 0);
    mapping.unlock(..).expect("unlocks");
    assert_eq!(locked_kb(&mapping, 0), 0);
}

#[test]
fn locked_on_fault_comes_when_touched() {
    let mapping = Mapping::anonymous(4 * page()).map().expect("maps");
    mapping.lock(.., LockWhen::OnFault).expect("four pages can be locked");
    assert_eq!(mapping.residency(..).expect("asks").resident_pages(), 0);
    poke(mapping.as_mut_ptr(), 1);
    assert_eq!(mapping.residency(..).expect("asks").resident_pages(), 1);
}

#[test]
fn an_ordinary_user_has_a_limit() {
    let ending = in_child(|| {
        limit(libc::RLIMIT_MEMLOCK, 2 * page() as u64);
        become_ordinary();
        let mut mapping = Mapping::anonymous(3 * page()).map().expect("maps");
        for when in [LockWhen::Now, LockWhen::OnFault] {
            let error = mapping.lock(.., when).expect_err("beyond the limit");
            assert_eq!((error.call_name(), error.errno_name()), (Some("mlock"), Some("ENOMEM")));
            assert!(error.meaning().contains("RLIMIT_MEMLOCK"), "{error}");
        }
        mapping.resize(2 * page(), Placement::InPlace).expect("shortens");
        mapping.lock(.., LockWhen::Now).expect("within the limit");
        let error = mapping.resize(3 * page(), Placement::MayMove).expect_err("beyond the limit");
        assert_eq!((error.call_name(), error.errno_name()), (Some("mremap"), Some("EAGAIN")));
        limit(libc::RLIMIT_MEMLOCK, 0);
        let other = Mapping::anonymous(1).map().expect("maps");
        assert_eq!(other.lock(.., LockWhen::Now).expect_err("not a page").errno_name(), Some("EPERM"));
    });
    assert_eq!(ending, WELL);
}

#[test]
fn what_the_file_has_not_cannot_be_locked() {
    let mapping = Mapping::file(&file(b"short")).len(2 * page()).map().expect("maps");
    mapping.lock(..page(), LockWhen::Now).expect("the file has this page");
    let error = mapping.lock(.., LockWhen::Now).expect_err("and not that one");
    assert!(matches!(error.errno_name(), Some("ENOMEM" | "EAGAIN")), "{error}");
}
