//! What the kernel says of this process and thread, read without allocating.

use core::ffi::CStr;

/// The calling thread's number in the kernel (gettid(2)).
pub(crate) fn thread_id() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Bytes of the process that are resident: `Rss` in `/proc/self/smaps_rollup`, or where the kernel
/// has no such file (before 4.14) in `/proc/self/statm`. None where neither can be read.
pub(crate) fn resident_bytes() -> Option<usize> {
    let mut buffer = [0; 1024];
    if let Some(text) = read(c"/proc/self/smaps_rollup", &mut buffer) {
        let at = text.windows(4).position(|label| label == b"Rss:")?;
        return Some(number(text.get(at.wrapping_add(4)..)?)?.wrapping_mul(1024));
    }
    let text = read(c"/proc/self/statm", &mut buffer)?;
    let second = text.iter().position(|byte| *byte == b' ')?;
    Some(number(text.get(second..)?)?.wrapping_mul(super::page_bytes()))
}

/// The beginning of the file at `path`, as far as `buffer` holds.
fn read<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let _keep = super::KeepErrno::new();
    // SAFETY: the path is a string that ends with zero.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    // SAFETY: the buffer is writable for its length.
    let bytes = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: the descriptor was just opened, and nobody else knows of it.
    let _ = unsafe { libc::close(file) };
    buffer.get(..usize::try_from(bytes).ok()?)
}

/// The first number in `text`, after spaces.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    let mut value = None;
    for digit in digits {
        let so_far: usize = value.unwrap_or(0);
        value = Some(so_far.wrapping_mul(10).wrapping_add(usize::from(digit.wrapping_sub(b'0'))));
    }
    value
}
