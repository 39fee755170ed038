//! Refusals on demand: mapping calls fail as the kernel may let them fail, so that tests reach
//! every answer. Only with `--cfg freestone_fault_injection`; without it [`step`] does nothing. No
//! feature: cargo would then have it in every program whose dependencies agree on one build.

use super::Result;

/// The calls that may be refused.
#[cfg_attr(not(freestone_fault_injection), expect(unreachable_pub, reason = "public for tests only"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// mmap(2).
    Map,
    /// munmap(2).
    Unmap,
    /// mremap(2).
    Remap,
    /// madvise(2).
    Advise,
    /// mprotect(2).
    Protect,
    /// msync(2).
    Sync,
}

/// Called before each call to the kernel: an error is the call's answer.
#[cfg(not(freestone_fault_injection))]
#[inline(always)]
pub(crate) fn step(_call: Call) -> Result<()> {
    Ok(())
}

#[cfg(freestone_fault_injection)]
pub(crate) use control::step;

/// The tests' control over refusals, for the whole process. Not part of the library's promises.
///
/// A refused `madvise` does nothing, like every refused call. Nothing here allocates.
#[cfg(freestone_fault_injection)]
pub mod control {
    use crate::base::random;
    use core::ffi::c_int;
    use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

    pub use super::Call;
    use super::Result;
    use crate::os::Errno;

    const CALLS: usize = 6;

    /// Which calls of one kind are refused, and with which errno.
    struct Plan {
        /// Calls since the plan was made, refused ones included.
        seen: AtomicU64,
        /// Calls that were refused.
        refused: AtomicU64,
        /// The first to be refused, counted from zero, and how many from there on.
        first: AtomicU64,
        many: AtomicU64,
        /// The chance of a refusal, in 2^32.
        rate: AtomicU64,
        errno: AtomicI32,
    }

    static PLANS: [Plan; CALLS] = [const {
        Plan {
            seen: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            first: AtomicU64::new(u64::MAX),
            many: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            errno: AtomicI32::new(libc::ENOMEM),
        }
    }; CALLS];

    static RANDOM: AtomicU64 = AtomicU64::new(1);

    fn plan(call: Call) -> &'static Plan {
        let [map, unmap, remap, advise, protect, sync] = &PLANS;
        match call {
            Call::Map => map,
            Call::Unmap => unmap,
            Call::Remap => remap,
            Call::Advise => advise,
            Call::Protect => protect,
            Call::Sync => sync,
        }
    }

    /// The plan of `call`, which refuses nothing yet.
    fn begin(call: Call, errno: c_int) -> &'static Plan {
        let plan = plan(call);
        plan.first.store(u64::MAX, Ordering::SeqCst);
        plan.rate.store(0, Ordering::SeqCst);
        plan.seen.store(0, Ordering::SeqCst);
        plan.refused.store(0, Ordering::SeqCst);
        plan.errno.store(errno, Ordering::SeqCst);
        plan
    }

    /// From now on calls number `first` to `first + many - 1` (from zero) fail with `errno`.
    pub fn refuse(call: Call, first: u64, many: u64, errno: c_int) {
        let plan = begin(call, errno);
        plan.many.store(many, Ordering::SeqCst);
        plan.first.store(first, Ordering::SeqCst);
    }

    /// From now on a call fails with `errno` with a chance of `rate` in 2^32; `seed` decides which.
    pub fn refuse_at_random(call: Call, rate: u32, errno: c_int, seed: u64) {
        RANDOM.store(seed, Ordering::SeqCst);
        begin(call, errno).rate.store(u64::from(rate), Ordering::SeqCst);
    }

    /// Ends every refusal; the counts stay as they are until the next plan.
    pub fn allow_all() {
        for plan in &PLANS {
            plan.first.store(u64::MAX, Ordering::SeqCst);
            plan.rate.store(0, Ordering::SeqCst);
        }
    }

    /// Calls since the last plan for this kind was made.
    #[must_use]
    pub fn seen(call: Call) -> u64 {
        plan(call).seen.load(Ordering::SeqCst)
    }

    /// Calls refused since the last plan for this kind was made.
    #[must_use]
    pub fn refused(call: Call) -> u64 {
        plan(call).refused.load(Ordering::SeqCst)
    }

    /// A number from the sequence that `RANDOM` seeds.
    fn random() -> u64 {
        random::mix(RANDOM.fetch_add(random::STEP, Ordering::Relaxed))
    }

    /// Called before each call to the kernel: an error is the call's answer.
    #[inline]
    pub(crate) fn step(call: Call) -> Result<()> {
        let plan = plan(call);
        let number = plan.seen.fetch_add(1, Ordering::SeqCst);
        let planned = number.checked_sub(plan.first.load(Ordering::SeqCst));
        let rate = plan.rate.load(Ordering::SeqCst);
        if planned.is_some_and(|past| past < plan.many.load(Ordering::SeqCst))
            || (rate != 0 && random() >> 32 < rate)
        {
            plan.refused.fetch_add(1, Ordering::SeqCst);
            let errno = Errno(plan.errno.load(Ordering::SeqCst));
            // As the C library does after a refusal by the kernel.
            errno.set();
            return Err(errno);
        }
        Ok(())
    }
}
