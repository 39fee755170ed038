//! Huge pages: reserved ones or a clear error, transparent ones wherever the kernel has them.

use crate::common::memory::has_huge_pages;
use crate::common::skip;
use crate::support::{page, smaps};
use freestone::map::{Backing, Call, Error, HugePages, Mapping, Protection, Refusal, huge_page_sizes};

/// Huge pages of this size that nobody has taken.
fn free_pages(bytes: usize) -> usize {
    let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages", bytes >> 10);
    std::fs::read_to_string(path).expect("each size has a count").trim().parse().expect("a number")
}

#[test]
fn reserved_ones_are_used_or_missed_by_name() {
    let sizes = huge_page_sizes().expect("sysfs can be read");
    if sizes.is_empty() {
        skip!("the kernel has no reserved huge pages");
    }
    for bytes in sizes {
        assert!(bytes.is_power_of_two() && bytes > page());
        let free = free_pages(bytes);
        let wanted = (free + 1) * bytes;
        let error = Mapping::anonymous(wanted).huge_pages(HugePages::Reserved(bytes)).map();
        match error.expect_err("one more than there are") {
            Error::Kernel { call: Call::Mmap(Backing::HugePages), errno, .. } => {
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
        skip!("the kernel has no reserved huge pages")
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
    let sizes = huge_page_sizes().expect("sysfs can be read");
    let unknown = (13..40).map(|log2| 1 << log2).find(|bytes| !sizes.contains(bytes));
    let unknown = HugePages::Reserved(unknown.expect("no kernel has every size"));
    let error = Mapping::anonymous(1).huge_pages(unknown).map().expect_err("no such page");
    assert_eq!(error.errno_name(), Some("EINVAL"));
}

#[test]
fn transparent_ones_never_fail_for_want_of_one() {
    const HUGE: usize = 2 << 20;
    if !has_huge_pages() {
        skip!("the kernel has no transparent huge pages");
    }
    let mut mapping =
        Mapping::anonymous(2 * HUGE).align(HUGE).huge_pages(HugePages::Transparent).map().expect("maps");
    assert_eq!((mapping.page_bytes(), mapping.protection()), (page(), Protection::READ_WRITE));
    mapping.as_mut_slice().expect("its own").fill(1);
    let flags = smaps(mapping.address().get(), "VmFlags").expect("it is mapped");
    assert!(flags.split_whitespace().any(|flag| flag == "hg"), "not advised: {flags}");
}
