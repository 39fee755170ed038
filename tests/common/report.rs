//! What misuse is reported as: tests announce an address, and the line must name it.

use super::child;

/// Says which address the report must name.
pub(crate) fn announce(address: *mut u8) -> *mut u8 {
    eprintln!("{:#x}", address.addr());
    address
}

/// Fails unless `job`, in a process of its own, is ended by a report of `what` at the announced
/// address. The job must do nothing after the faulty call.
pub(crate) fn is_reported(test: &str, case: usize, what: &str, job: impl FnOnce()) {
    let Some(output) = child::run(test, case, job) else { return };
    let (said, status) = (child::said(&output), output.status);
    assert_eq!(child::signal(&output), Some(libc::SIGABRT), "case {case}: {status}, saying:\n{said}");
    let (address, report) = said.split_once('\n').expect("the announcement");
    assert_eq!(report, format!("freestone: {what} at {address}\n"), "case {case}");
}

/// Runs `job` for each size, in processes of their own.
pub(crate) fn each_is_reported(test: &str, sizes: &[usize], what: &str, job: fn(usize)) {
    for (case, size) in sizes.iter().enumerate() {
        is_reported(test, case, what, || job(*size));
    }
}
