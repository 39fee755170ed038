//! Huge pages: reserved ones or a clear error, transparent ones wherever the kernel has them.
#![cfg(target_os = "linux")]

mod map_support;

use freestone::map::{Backing, Call, Error, HugePages, Mapping, Protection, Refusal, huge_page_sizes};
use map_support::{page, smaps};

/// Huge pages of this size that nobody has taken.
fn free_pages(bytes: usize) -> usize {
    let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages", bytes >> 10);
    std::fs::read_to_string(path).expect("each size has a count").trim().parse().expect("a number")
}

#[test]
fn reserved_ones_are_used_or_missed_by_name() {
    for bytes in huge_page_sizes().expect("sysfs can be read") {
        assert!(bytes.is_power_of_two() && bytes > page());
        let free = free_pages(bytes);
        let wanted = (free + 1) * bytes;
        let error = Mapping::anonymous(wanted).huge_pages(HugePages::Reserved(bytes)).map();
        match error.expect_err("one more than there are") {
            Error::Kernel { call: Call::Mmap(Backing::HugePages), errno } => {
                assert_eq!(errno.name(), "ENOMEM")
            }
            other => panic!("{other}"),
        }
        let Ok(mut mapping) = Mapping::anonymous(1).huge_pages(HugePages::Reserved(bytes)).map() else {
            assert_eq!(free, 0, "there was one");
            continue;
        };
        assert_eq!(
            (mapping.page_bytes(), mapping.mapped_bytes(), mapping.waste().after),
            (bytes, bytes, bytes - 1)
        );
        assert_eq!(mapping.address().get() % bytes, 0);
        mapping.as_mut_slice().expect("its own")[0] = 1;
        assert_eq!(smaps(mapping.address().get(), "KernelPageSize"), Some(format!("{} kB", bytes >> 10)));
        mapping.unmap().expect("whole huge pages can be unmapped");
    }
}

#[test]
fn where_none_are_reserved_the_error_says_what_to_do() {
    let Some(bytes) = huge_page_sizes().expect("sysfs can be read").into_iter().max() else {
        return;
    };
    let too_many = (free_pages(bytes) + 1) * bytes;
    let error =
        Mapping::anonymous(too_many).huge_pages(HugePages::Reserved(bytes)).map().expect_err("too many");
    assert!(error.meaning().contains("reserved") && error.remedy().contains("nr_hugepages"), "{error}");
}

#[test]
fn sizes_that_do_not_exist_are_errors() {
    let odd =
        Mapping::anonymous(1).huge_pages(HugePages::Reserved(3)).map().expect_err("no page has three bytes");
    assert_eq!(odd, Error::Refused(Refusal::NotAPowerOfTwo));
    let unknown = Mapping::anonymous(1).huge_pages(HugePages::Reserved(1 << 25)).map();
    if !huge_page_sizes().expect("sysfs can be read").contains(&(1 << 25)) {
        assert_eq!(unknown.expect_err("no such page").errno_name(), Some("EINVAL"));
    }
}

#[test]
fn transparent_ones_never_fail_for_want_of_one() {
    const HUGE: usize = 2 << 20;
    if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").expect("sysfs can be read") {
        return;
    }
    let mut mapping =
        Mapping::anonymous(2 * HUGE).align(HUGE).huge_pages(HugePages::Transparent).map().expect("maps");
    assert_eq!((mapping.page_bytes(), mapping.protection()), (page(), Protection::READ_WRITE));
    mapping.as_mut_slice().expect("its own").fill(1);
    let flags = smaps(mapping.address().get(), "VmFlags").expect("it is mapped");
    assert!(flags.split_whitespace().any(|flag| flag == "hg"), "not advised: {flags}");
}
