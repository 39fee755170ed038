//! Files behind first-class heaps.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::errno::answered;
use super::{Errno, Result};

/// posix_fallocate(3): the range has room on disk, and the file is at least that long. Repeated
/// after `EINTR`.
pub(crate) fn make_room(file: BorrowedFd<'_>, from: u64, bytes: u64) -> Result<()> {
    let (Ok(from), Ok(bytes)) = (libc::off_t::try_from(from), libc::off_t::try_from(bytes)) else {
        return Err(Errno(libc::EFBIG));
    };
    loop {
        // SAFETY: the descriptor is open, and the call touches no memory.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), from, bytes) } {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(Errno(errno)),
        }
    }
}

/// flock(2) with `LOCK_EX | LOCK_NB`: the lock ends with the last descriptor of this opening.
/// `EWOULDBLOCK` where another opening has it.
pub(crate) fn lock_whole(file: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the descriptor is open.
    answered(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })
}
