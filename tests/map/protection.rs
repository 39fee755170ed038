//! What the protection forbids ends in a signal, what it allows works, and it can be changed.

use crate::support::{Ending, WELL, in_child, page, poke, touch};
use freestone::map::{Error, Mapping, Protection, Refusal};

const SEGV: Ending = Ending::Signal(libc::SIGSEGV);

#[test]
fn nothing_is_nothing() {
    let mapping = Mapping::anonymous(1).protection(Protection::NONE).map().expect("maps");
    assert_eq!(in_child(|| _ = touch(mapping.as_ptr())), SEGV);
    assert_eq!(in_child(|| poke(mapping.as_mut_ptr(), 1)), SEGV);
}

#[test]
fn reading_is_not_writing() {
    let mapping = Mapping::anonymous(1).protection(Protection::READ).map().expect("maps");
    assert_eq!(in_child(|| assert_eq!(touch(mapping.as_ptr()), 0)), WELL);
    assert_eq!(in_child(|| poke(mapping.as_mut_ptr(), 1)), SEGV);
    assert_eq!(mapping.as_slice().expect("readable"), [0]);
}

#[test]
fn it_can_be_changed_and_the_bytes_stay() {
    let mut mapping = Mapping::anonymous(2 * page()).map().expect("maps");
    mapping.as_mut_slice().expect("writable")[page()] = 42;
    for (protection, writing) in [
        (Protection::READ, SEGV),
        (Protection::NONE, SEGV),
        (Protection::READ_WRITE, WELL),
        (Protection::READ_EXECUTE, SEGV),
        (Protection::READ_WRITE, WELL),
    ] {
        mapping.protect(protection).expect("protects");
        assert_eq!(mapping.protection(), protection);
        assert_eq!(in_child(|| poke(mapping.as_mut_ptr(), 1)), writing, "{protection:?}");
    }
    assert_eq!(mapping.as_slice().expect("readable")[page()], 42);
}

#[test]
fn a_part_can_be_protected_alone() {
    let page = page();
    let front = Mapping::anonymous(2 * page).map();
    let mut front = front.expect("maps");
    let mut back = front.split_off(page).expect("a page's boundary");
    back.protect(Protection::READ).expect("protects");
    assert_eq!(in_child(|| poke(front.as_mut_ptr(), 1)), WELL);
    assert_eq!(in_child(|| poke(front.as_mut_ptr().wrapping_add(page), 1)), SEGV);
}

#[test]
fn slices_and_copies_follow_the_protection() {
    let mut mapping = Mapping::anonymous(1).protection(Protection::NONE).map().expect("maps");
    let forbidden = Error::Refused(Refusal::Protected);
    assert_eq!(mapping.as_slice().expect_err("forbidden"), forbidden);
    assert_eq!(mapping.as_mut_slice().expect_err("forbidden"), forbidden);
    assert_eq!(mapping.read_at(0, &mut [0; 1]).expect_err("forbidden"), forbidden);
    assert_eq!(mapping.write_at(0, b"x").expect_err("forbidden"), forbidden);
    mapping.protect(Protection::READ).expect("protects");
    assert_eq!(mapping.as_slice().expect("readable"), [0]);
    assert_eq!(mapping.as_mut_slice().expect_err("forbidden"), forbidden);
    assert_eq!(mapping.read_at(0, &mut [1; 1]).expect("readable"), 1);
    assert_eq!(mapping.write_at(0, b"x").expect_err("forbidden"), forbidden);
    mapping.protect(Protection::WRITE).expect("protects");
    assert_eq!(mapping.as_mut_slice().expect_err("not readable"), forbidden);
    assert_eq!(mapping.write_at(0, b"x").expect("writable"), 1);
    let shared = Mapping::anonymous(8).shared().protection(Protection::READ).map().expect("maps");
    assert_eq!(shared.as_atomics().expect_err("forbidden"), forbidden);
}

#[test]
fn a_protection_changed_behind_its_back_is_efault_and_no_signal() {
    let mut mapping = Mapping::anonymous(1).map().expect("maps");
    // SAFETY: the page is this test's own, and no reference into it is alive.
    assert_eq!(unsafe { libc::mprotect(mapping.as_mut_ptr().cast(), 1, libc::PROT_NONE) }, 0);
    assert_eq!(mapping.read_at(0, &mut [0; 1]).expect_err("forbidden").errno_name(), Some("EFAULT"));
    assert_eq!(mapping.write_at(0, b"x").expect_err("forbidden").errno_name(), Some("EFAULT"));
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn code_runs_only_where_execution_is_allowed() {
    /// `mov eax, 42; ret`.
    #[cfg(target_arch = "x86_64")]
    const CODE: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];
    /// `mov w0, #42; ret`.
    #[cfg(target_arch = "aarch64")]
    const CODE: [u8; 8] = [0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

    // From a file, so that the caches of processors that need it are in step.
    let mapping = Mapping::file(&crate::support::file(&CODE)).protection(Protection::READ_EXECUTE).map();
    let mapping = mapping.expect("maps");
    let run = |mapping: &Mapping| {
        // SAFETY: the bytes are a function that answers 42, or can't be run, which a child finds
        // out.
        let code: extern "C" fn() -> i32 = unsafe { std::mem::transmute(mapping.as_ptr()) };
        assert_eq!(code(), 42);
    };
    assert_eq!(in_child(|| run(&mapping)), WELL);
    let mut mapping = mapping;
    mapping.protect(Protection::READ).expect("protects");
    assert_eq!(in_child(|| run(&mapping)), SEGV);
}
