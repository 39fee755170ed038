//! What misuse is reported as: tests announce an address, and the line must name it.

use std::fmt::Display;

use super::child::{self, Child};
use super::death;

/// Says which address the report must name.
pub(crate) fn announce(address: *mut u8) -> *mut u8 {
    eprintln!("{:#x}", address.addr());
    address
}

/// Fails unless `job`, in a process of its own, is ended by a report of `what` at the announced
/// address. The job must do nothing after the faulty call.
#[track_caller]
pub(crate) fn is_reported(test: &str, case: usize, what: &str, job: impl FnOnce()) {
    if let Some(child) = Child::of(test, case, job) {
        dies_of(child, case, what);
    }
}

/// The same for the calling test.
#[track_caller]
pub(crate) fn dies_by_report(what: &str, job: impl FnOnce()) {
    if let Some(child) = Child::new(0, job) {
        dies_of(child, 0, what);
    }
}

/// Fails unless `child` is ended by a report of `what` at the address that it announces.
#[track_caller]
pub(crate) fn dies_of(child: Child, case: impl Display, what: &str) {
    let output = child.run();
    let said = child::said(&output);
    let (address, _) = said.split_once('\n').unwrap_or_else(|| panic!("case {case}: {}", output.status));
    let expected = format!("{address}\nfreestone: {what} at {address}\n");
    death::by(&output, libc::SIGABRT, &expected).unwrap_or_else(|why| panic!("case {case}: {why}"));
}

/// Fails unless `job` is ended by such a report or, where nothing is known of the address, by a
/// fault that says nothing.
#[track_caller]
pub(crate) fn is_reported_or_faults(test: &str, case: usize, what: &str, job: impl FnOnce()) {
    let Some(child) = Child::of(test, case, job) else { return };
    let output = child.run();
    let said = child::said(&output);
    let (address, _) = said.split_once('\n').unwrap_or_else(|| panic!("case {case}: {}", output.status));
    let report = format!("{address}\nfreestone: {what} at {address}\n");
    let ends = [libc::SIGSEGV, libc::SIGBUS].map(|signal| (signal, format!("{address}\n")));
    let well = ends.into_iter().chain([(libc::SIGABRT, report)]);
    let wrong: Vec<String> =
        well.map_while(|(signal, said)| death::by(&output, signal, &said).err()).collect();
    assert!(wrong.len() < 3, "case {case}: {wrong:#?}");
}

/// Runs `job` for each size, in processes of their own.
#[track_caller]
pub(crate) fn each_is_reported(test: &str, sizes: &[usize], what: &str, job: fn(usize)) {
    assert!(!sizes.is_empty());
    for (case, size) in sizes.iter().enumerate() {
        is_reported(test, case, what, || job(*size));
    }
}
