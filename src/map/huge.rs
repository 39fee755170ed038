//! Huge pages: those that a kernel has, and those that a mapping requests.
#![forbid(unsafe_code)]

use core::ffi::c_int;
use std::{fs, io};

/// Which huge pages a mapping uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Whichever the kernel can put together (`MADV_HUGEPAGE`): nothing needs to be reserved,
    /// nothing fails for want of one, and OS pages take their place. They fit only where the
    /// mapping holds whole ones: request their size as [alignment](super::Builder::align) too.
    Transparent,
    /// Pages of this many bytes, reserved by the administrator (`MAP_HUGETLB`; see
    /// [`huge_page_sizes`]). The mapping is made of them: lengths are rounded to them.
    ///
    /// **Where too few are reserved, mapping fails with `ENOMEM`**, at once and whole; with
    /// [`no_reserve`](super::Builder::no_reserve) it succeeds, and the first touch of a page that
    /// is not there raises `SIGBUS`. So does a write to a private page that both sides of a
    /// fork still share, in the child (the kernel's hugetlbpage documentation).
    Reserved(usize),
}

impl HugePages {
    /// The flags of mmap(2): `MAP_HUGETLB`, and the size's logarithm in the upper bits.
    pub(super) const fn flags(self) -> c_int {
        match self {
            Self::Transparent => 0,
            Self::Reserved(bytes) => {
                libc::MAP_HUGETLB | ((bytes.trailing_zeros() as c_int) << libc::MAP_HUGE_SHIFT)
            }
        }
    }
}

/// The sizes in bytes of huge pages that this kernel can reserve, smallest first; none, where it
/// knows of none. From the directories in `/sys/kernel/mm/hugepages`.
///
/// # Errors
/// That of stat(2) on a directory there.
pub fn huge_page_sizes() -> io::Result<Vec<usize>> {
    let mut sizes = Vec::new();
    for kib in (0..usize::BITS.saturating_sub(10)).map(|shift| 1_usize << shift) {
        if fs::exists(format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB"))? {
            sizes.push(kib << 10);
        }
    }
    Ok(sizes)
}
