//! Pages that stay in memory: mlock(2), munlock(2).

use core::ops::RangeBounds;

use super::Mapping;
use super::error::{Call, Error};
use super::extent::Pages;
use crate::os;

/// When a page to be locked comes into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockWhen {
    /// Now, all of them (mlock(2)).
    Now,
    /// Each when it is first touched (`MLOCK_ONFAULT`, mlock2(2)).
    OnFault,
}

impl Mapping {
    /// Keeps every page that `range` touches from being paged out. Locks do not stack: one
    /// [`unlock`](Self::unlock) undoes any number of them; a child of a fork has none (mlock(2)).
    ///
    /// # Errors
    /// `ENOMEM`, `EPERM` or `EAGAIN` beyond `RLIMIT_MEMLOCK`, which does not hold for a process
    /// with `CAP_IPC_LOCK`; `ENOMEM` too where protection or the end of the file keeps pages from
    /// being brought in. Part of the range may be locked then.
    pub fn lock(&self, range: impl RangeBounds<usize>, when: LockWhen) -> Result<(), Error> {
        let Pages { from, bytes } = self.extent.pages_touching(&range)?;
        let start = self.body.at(from);
        match when {
            LockWhen::Now => os::calls::lock(start, bytes),
            LockWhen::OnFault => os::calls::lock_on_fault(start, bytes),
        }
        .map_err(Error::of(Call::Mlock))
    }

    /// Lets every page that `range` touches be paged out again.
    ///
    /// # Errors
    /// `ENOMEM` when that would make more mappings than there may be.
    pub fn unlock(&self, range: impl RangeBounds<usize>) -> Result<(), Error> {
        let Pages { from, bytes } = self.extent.pages_touching(&range)?;
        os::calls::unlock(self.body.at(from), bytes).map_err(Error::of(Call::Munlock))
    }
}
