//! Beyond the end of the file an instruction raises `SIGBUS`; the copying accessors never do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Ending, WELL, file, in_child, page, pattern, poke, touch};
use freestone::map::{Error, Mapping, Protection};

/// Much longer than it takes to see a file whole and cut.
const PATIENCE: Duration = Duration::from_secs(60);
const BUS: Ending = Ending::Signal(libc::SIGBUS);

fn writable(file: &std::fs::File, len: usize) -> Mapping {
    Mapping::file(file).len(len).shared().protection(Protection::READ_WRITE).map().expect("maps")
}

fn assert_efault(error: Error, call: &str) {
    assert_eq!((error.call_name(), error.errno_name()), (Some(call), Some("EFAULT")));
    assert!(error.meaning().contains("SIGBUS") && error.remedy().contains("extend"), "{error}");
}

#[test]
fn an_instruction_dies_and_a_copy_is_an_error() {
    let page = page();
    let mut mapping = writable(&file(b"short"), 3 * page);
    for place in [page, 2 * page, 3 * page - 1] {
        assert_eq!(in_child(|| _ = touch(mapping.as_ptr().wrapping_add(place))), BUS);
        assert_eq!(in_child(|| poke(mapping.as_mut_ptr().wrapping_add(place), 1)), BUS);
        assert_efault(mapping.read_at(place, &mut [0; 1]).expect_err("no page"), "process_vm_readv");
        assert_efault(mapping.write_at(place, b"x").expect_err("no page"), "process_vm_writev");
    }
}

#[test]
fn a_copy_stops_where_the_file_does() {
    let page = page();
    let content = pattern(2 * page);
    let mapping = writable(&file(&content), 5 * page);
    let mut into = vec![1; 5 * page];
    let first = mapping.read_at(10, &mut into).expect("the file begins");
    assert_eq!((first, &into[..first]), (2 * page - 10, &content[10..]));
    assert_efault(mapping.read_at(2 * page, &mut into).expect_err("the file ends"), "process_vm_readv");
}

#[test]
fn the_last_page_is_zero_behind_the_end() {
    let mapping = writable(&file(b"short"), page());
    let mut into = vec![1; page()];
    assert_eq!(mapping.read_at(0, &mut into).expect("reads"), page());
    assert!(into.starts_with(b"short") && into[5..].iter().all(|byte| *byte == 0));
    assert_eq!(in_child(|| assert_eq!(touch(mapping.as_ptr().wrapping_add(5)), 0)), WELL);
}

#[test]
fn a_file_cut_short_under_its_mapping() {
    let page = page();
    let file = file(&pattern(3 * page));
    let mut mapping = writable(&file, 3 * page);
    assert_eq!(mapping.read_at(2 * page, &mut [0; 8]).expect("it is there"), 8);
    file.set_len(1).expect("a file can be cut");
    assert_eq!(in_child(|| _ = touch(mapping.as_ptr().wrapping_add(2 * page))), BUS);
    assert_efault(mapping.read_at(2 * page, &mut [0; 8]).expect_err("it is gone"), "process_vm_readv");
    assert_efault(mapping.write_at(page, b"x").expect_err("it is gone"), "process_vm_writev");
    file.set_len(3 * page as u64).expect("a file can be extended");
    assert_eq!(mapping.read_at(2 * page, &mut [0; 8]).expect("it is there again"), 8);
}

#[test]
fn a_file_cut_and_extended_while_it_is_copied() {
    let page = page();
    let file = file(&pattern(8 * page));
    let mapping = writable(&file, 8 * page);
    let seen_both = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let cutter = scope.spawn(|| {
            let started = Instant::now();
            let mut cuts = 0;
            while cuts < 2_000 || !seen_both.load(Ordering::Relaxed) {
                file.set_len(0).expect("a file can be cut");
                file.set_len(8 * page as u64).expect("a file can be extended");
                cuts += 1;
                assert!(started.elapsed() < PATIENCE, "copies are all the same after {cuts} cuts");
            }
        });
        let (mut whole, mut cut) = (0, 0);
        let mut into = vec![0; 8 * page];
        while !cutter.is_finished() {
            match mapping.read_at(0, &mut into) {
                Ok(bytes) => {
                    assert_eq!(bytes % page, 0, "whole pages or none");
                    whole += 1;
                }
                Err(error) => {
                    assert_efault(error, "process_vm_readv");
                    cut += 1;
                }
            }
            seen_both.store(whole > 0 && cut > 0, Ordering::Relaxed);
        }
    });
}
