//! Private writes stay with their writer; shared ones reach the file, other mappings and children.

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use crate::common::forked::{fork, wait};
use crate::support::{WELL, file, in_child, pattern};
use freestone::map::{Error, Mapping, Protection, Refusal, Sharing};

fn content(file: &std::fs::File, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0).expect("the file has these bytes");
    bytes
}

#[test]
fn a_private_mapping_leaves_the_file_alone() {
    let file = file(b"before");
    let mut private = Mapping::file(&file).protection(Protection::READ_WRITE).map().expect("maps");
    assert_eq!((private.sharing(), private.len()), (Sharing::Private, 6));
    assert_eq!(private.write_at(0, b"after!").expect("writes"), 6);
    let mut seen = [0; 6];
    assert_eq!(private.read_at(0, &mut seen).expect("reads"), 6);
    assert_eq!(&seen, b"after!");
    drop(private);
    assert_eq!(content(&file, 6), b"before");
}

#[test]
fn a_shared_mapping_is_the_file() {
    let file = file(b"before");
    let reader = Mapping::file(&file).shared().map().expect("maps");
    let mut writer = Mapping::file(&file).shared().protection(Protection::READ_WRITE).map().expect("maps");
    assert_eq!(writer.write_at(1, b"E").expect("writes"), 1);
    assert_eq!(content(&file, 6), b"bEfore");
    let mut seen = [0; 6];
    assert_eq!(reader.read_at(0, &mut seen).expect("reads"), 6);
    assert_eq!(&seen, b"bEfore");
    file.write_all_at(b"!", 5).expect("the file can be written");
    assert_eq!(reader.read_at(5, &mut seen).expect("reads"), 1);
    assert_eq!(seen[0], b'!');
}

#[test]
fn a_child_has_private_memory_of_its_own() {
    let mut memory = Mapping::anonymous(10_000).map().expect("maps");
    memory.as_mut_slice().expect("its own")[9_999] = 1;
    let ending = in_child(|| {
        let slice = memory.as_mut_slice().expect("its own");
        assert_eq!(slice[9_999], 1);
        slice[9_999] = 2;
    });
    assert_eq!(ending, WELL);
    assert_eq!(memory.as_slice().expect("its own")[9_999], 1);
}

#[test]
fn parent_and_child_count_in_shared_memory_at_once() {
    const ROUNDS: u64 = 100_000;
    let memory = Mapping::anonymous(8).shared().map().expect("maps");
    let count = |_: u64| _ = memory.as_atomics().expect("shared")[0].fetch_add(1, Ordering::Relaxed);
    let child = fork(|| (0..ROUNDS).for_each(count));
    (0..ROUNDS).for_each(count);
    assert_eq!(wait(child), WELL);
    assert_eq!(memory.as_atomics().expect("shared")[0].load(Ordering::Relaxed), 2 * ROUNDS);
}

#[test]
fn a_shared_file_is_written_by_the_child() {
    let file = file(&pattern(100));
    let mut shared = Mapping::file(&file).shared().protection(Protection::READ_WRITE).map().expect("maps");
    let ending = in_child(|| assert_eq!(shared.write_at(50, b"child").expect("writes"), 5));
    assert_eq!(ending, WELL);
    assert_eq!(&content(&file, 100)[50..55], b"child");
}

#[test]
fn safe_references_are_only_for_what_nobody_else_can_change() {
    let file = file(&pattern(100));
    let refused = |error: Error| match error {
        Error::Refused(refusal) => refusal,
        other => panic!("the kernel was requested: {other}"),
    };
    for builder in [Mapping::file(&file), Mapping::file(&file).shared(), Mapping::anonymous(100).shared()] {
        let mut mapping = builder.map().expect("maps");
        assert_eq!(refused(mapping.as_slice().expect_err("refused")), Refusal::MayChange);
        assert_eq!(refused(mapping.as_mut_slice().expect_err("refused")), Refusal::MayChange);
    }
    let private = Mapping::anonymous(100).map().expect("maps");
    assert_eq!(refused(private.as_atomics().expect_err("refused")), Refusal::NotSharedMemory);
    let shared = Mapping::file(&file).shared().protection(Protection::READ_WRITE).map().expect("maps");
    assert_eq!(refused(shared.as_atomics().expect_err("refused")), Refusal::NotSharedMemory);
    // SAFETY: nobody but this test knows the file.
    assert_eq!(unsafe { shared.assume_stable() }.expect("readable"), pattern(100));
}
