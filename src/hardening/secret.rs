//! Two words that nobody outside knows, the same in every process of one family.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys;

/// Side by side, so that one address leads to both.
struct Secrets {
    /// What addresses are mixed with; zero until [`prepare`].
    mask: AtomicU64,
    /// What they are multiplied with; odd.
    factor: AtomicU64,
}

static SECRETS: Secrets = Secrets { mask: AtomicU64::new(0), factor: AtomicU64::new(1) };
/// Orders drawn so far.
static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Reads the kernel's sixteen random bytes (getauxval(3), `AT_RANDOM`). Whoever comes first writes
/// what all others would: a forked child knows its parent's blocks.
pub(crate) fn prepare() {
    // Acquire, with the release below: the factor is there when the mask is.
    if SECRETS.mask.load(Ordering::Acquire) != 0 {
        return;
    }
    let [first, second] = sys::random_words();
    SECRETS.factor.store(scramble(second) | 1, Ordering::Relaxed);
    SECRETS.mask.store(scramble(first) | 1, Ordering::Release);
}

/// A secret that belongs to `address`.
#[inline(always)]
pub(super) fn of(address: usize) -> u64 {
    (address as u64 ^ mask()).wrapping_mul(SECRETS.factor.load(Ordering::Relaxed))
}

/// The secret word itself.
#[inline(always)]
pub(super) fn mask() -> u64 {
    SECRETS.mask.load(Ordering::Relaxed)
}

/// Numbers that nobody can foretell.
pub(super) struct Draws(u64);

impl Draws {
    /// Others than everybody else's.
    pub(super) fn new() -> Self {
        let stream = DRAWN.fetch_add(1, Ordering::Relaxed);
        Self(scramble(stream ^ mask().rotate_left(32)))
    }

    /// A number from zero to `last`.
    pub(super) fn up_to(&mut self, last: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let drawn = u128::from(scramble(self.0));
        // As a fraction of one, times the numbers that there are (Lemire).
        (drawn.wrapping_mul((last as u128).wrapping_add(1)) >> u64::BITS) as usize
    }
}

/// A good mixture of a word's bits (splitmix64, public domain).
const fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
