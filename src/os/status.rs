//! Figures of this process and thread that change, read without allocating.

use super::{KeepErrno, read_file};

/// gettid(2): the calling thread's number.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Resident bytes of the process: `Rss` in `/proc/self/smaps_rollup` (proc_pid_smaps(5)), or before
/// Linux 4.14 the second field of `/proc/self/statm`. None where neither can be read.
pub(crate) fn resident_bytes() -> Option<usize> {
    let _keep = KeepErrno::new();
    let mut buffer = [0; 1024];
    if let Ok(text) = read_file(c"/proc/self/smaps_rollup", &mut buffer) {
        let at = text.windows(4).position(|label| label == b"Rss:")?;
        return Some(number(text.get(at.wrapping_add(4)..)?)?.wrapping_mul(1024));
    }
    let text = read_file(c"/proc/self/statm", &mut buffer).ok()?;
    let second = text.iter().position(|byte| *byte == b' ')?;
    Some(number(text.get(second..)?)?.wrapping_mul(super::page_bytes()))
}

/// The first number in `text`, after spaces.
pub(super) fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    let mut value = None;
    for digit in digits {
        let so_far: usize = value.unwrap_or(0);
        value = Some(so_far.wrapping_mul(10).wrapping_add(usize::from(digit.wrapping_sub(b'0'))));
    }
    value
}
