//! Carries out what [`policy::huge`](crate::policy::huge) decides: the one caller of the kernel's
//! huge page advice for chunks, large blocks and shelves.

use core::ptr::NonNull;

use crate::os;
use crate::policy::huge::Advice;

/// Advises the kernel about a range. Whether it may have huge pages by this advice now. A kernel
/// that refuses leaves the range as it was, which is an ordinary answer.
///
/// # Safety
/// The range belongs to the caller.
pub(crate) unsafe fn advise(start: NonNull<u8>, bytes: usize, advice: Advice) -> bool {
    match advice {
        Advice::Unadvised => false,
        // SAFETY: forwarded to the caller.
        Advice::Huge => unsafe { os::advise_huge(start, bytes) }.is_ok(),
        Advice::Small => {
            // SAFETY: forwarded to the caller.
            let _ = unsafe { os::advise_not_huge(start, bytes) };
            false
        }
    }
}
