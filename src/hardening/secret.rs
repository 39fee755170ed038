//! Two words that nobody outside knows, the same in every process of one family.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys;

/// Side by side, so that one address leads to all.
struct Secrets {
    /// What addresses are multiplied with; odd.
    factor: AtomicU64,
    /// What lies behind the bytes that were asked for; no byte is zero.
    fill: AtomicU64,
    /// What addresses are mixed with; odd, or zero until [`prepare`], which writes it last.
    mask: AtomicU64,
}

static SECRETS: Secrets =
    Secrets { factor: AtomicU64::new(0), fill: AtomicU64::new(0), mask: AtomicU64::new(0) };
/// Orders drawn so far.
static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Reads the kernel's sixteen random bytes (getauxval(3), `AT_RANDOM`). All who come would write the
/// same, but each word is written once: a forked child knows its parent's blocks.
pub(crate) fn prepare() {
    // Acquire, with the release below: the others are there when the mask is.
    if SECRETS.mask.load(Ordering::Acquire) != 0 {
        return;
    }
    let [first, second] = sys::random_words();
    let mask = scramble(first) | 1;
    let set = |word: &AtomicU64, value| word.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
    // Refused where somebody else was here first.
    let _ = set(&SECRETS.factor, scramble(second) | 1);
    let _ = set(&SECRETS.fill, mask | 0x0101_0101_0101_0101);
    let _ = set(&SECRETS.mask, mask);
}

/// A secret that is read at every step: not as an atomic, so that the compiler need not read it again.
#[inline(always)]
fn known(secret: &AtomicU64) -> u64 {
    // SAFETY: written once, before there were any blocks, and only they have to do with secrets.
    unsafe { secret.as_ptr().read() }
}

/// A secret that belongs to `address`. Odd where that is even.
#[inline(always)]
pub(super) fn of(address: usize) -> u64 {
    (address as u64 ^ known(&SECRETS.mask)).wrapping_mul(known(&SECRETS.factor))
}

/// What unused bytes of a block are filled with.
#[inline(always)]
pub(super) fn fill() -> u64 {
    known(&SECRETS.fill)
}

/// Numbers that nobody can foretell.
pub(super) struct Draws(u64);

impl Draws {
    /// Others than everybody else's.
    pub(super) fn new() -> Self {
        let stream = DRAWN.fetch_add(1, Ordering::Relaxed);
        Self(scramble(stream ^ known(&SECRETS.mask).rotate_left(32)))
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
