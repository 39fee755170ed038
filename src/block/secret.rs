//! The process's secrets, and the keyed hash that makes a block's key of its address.
//!
//! *Origin:* the kernel's generator (getrandom(2)); nothing else uses these words. Where the kernel
//! refuses, they are a one-way hash of the sixteen bytes that it gives a program at its start
//! (`AT_RANDOM`, getauxval(3)), of the clock and of addresses. The C library makes its own secrets
//! of those bytes, and they cannot be computed back from the hash. A forked child has its parent's
//! secrets, for it has its parent's blocks.
//!
//! *Hash:* three multiplications to 128 bits, whose halves are added without carry. Each has a
//! secret mask before it and a secret factor. Every bit of the result depends on every bit of the
//! address and on six secrets, and no step has an inverse. A block's canary and its link are
//! different third steps of one second step that is never written. So whoever has read any number
//! of them cannot compute another one.

use crate::base::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::random;
use crate::os;

mod sip;

/// The two secrets of one step of the hash.
struct Step {
    mask: AtomicU64,
    /// Odd, so that no bit of the product is lost.
    factor: AtomicU64,
}

impl Step {
    const fn new() -> Self {
        Self { mask: AtomicU64::new(0), factor: AtomicU64::new(0) }
    }

    /// The step's hash of `word`.
    #[inline(always)]
    fn hash(&self, word: u64) -> u64 {
        let product = u128::from(word ^ known(&self.mask)).wrapping_mul(u128::from(known(&self.factor)));
        product as u64 ^ (product >> u64::BITS) as u64
    }

    fn prepare(&self, [mask, factor]: [u64; 2]) {
        // Written once: refused where another thread was first. Zero says that a word is not
        // written.
        let set = |word: &AtomicU64, value| {
            let _ = word.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
        };
        set(&self.mask, mask.max(1));
        set(&self.factor, factor | 1);
    }
}

/// All steps, side by side: one address leads to them all.
#[repr(align(64))]
struct Secrets {
    first: Step,
    second: Step,
    /// The third step for canaries.
    canary: Step,
    /// The third step for links.
    link: Step,
    /// The third step for random orders.
    order: Step,
}

const STEPS: usize = size_of::<Secrets>() / size_of::<Step>();

static SECRETS: Secrets = Secrets {
    first: Step::new(),
    second: Step::new(),
    canary: Step::new(),
    link: Step::new(),
    order: Step::new(),
};
static PREPARED: AtomicBool = AtomicBool::new(false);
/// Orders drawn so far.
static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Makes the secrets, before there are any blocks. Threads that come at the same time make one set
/// of them together.
pub(crate) fn prepare() {
    // Acquire, with the release in `make`: all words are written.
    if !PREPARED.load(Ordering::Acquire) {
        make();
    }
}

#[cold]
fn make() {
    let _keep = os::KeepErrno::new();
    let mut words = [[0; 2]; STEPS];
    if os::random(words.as_flattened_mut()).is_err() {
        last_resort(words.as_flattened_mut());
    }
    let Secrets { first, second, canary, link, order } = &SECRETS;
    for (step, words) in [first, second, canary, link, order].into_iter().zip(words) {
        step.prepare(words);
    }
    PREPARED.store(true, Ordering::Release);
}

/// Fills `words` where the kernel's generator cannot be used.
fn last_resort(words: &mut [u64]) {
    let here = 0_u8;
    let key = os::start_words().unwrap_or_default();
    let moment = sip::hash(key, os::now_ns() ^ u64::from(os::thread_id()).rotate_left(40));
    let seed = sip::hash(key, moment ^ (&raw const here).addr() as u64);
    for (number, word) in (1..).zip(words) {
        *word = sip::hash(key, seed.wrapping_add(number));
    }
}

/// The value of a secret. No atomic read, so that the compiler may keep the value in a register.
#[inline(always)]
fn known(secret: &AtomicU64) -> u64 {
    // SAFETY: `prepare` wrote the word before there were blocks, and only blocks lead here.
    unsafe { secret.as_ptr().read() }
}

/// The key of `address`. Never written to memory that others read: [`canary_of`] and [`link_of`]
/// are.
#[inline(always)]
pub(super) fn key_of(address: usize) -> u64 {
    SECRETS.second.hash(SECRETS.first.hash(address as u64))
}

/// The hash of a [key](key_of) that its block's canary is made with.
#[inline(always)]
pub(super) fn canary_of(key: u64) -> u64 {
    SECRETS.canary.hash(key)
}

/// The hash of a [key](key_of) that its block's link is made with.
#[inline(always)]
pub(super) fn link_of(key: u64) -> u64 {
    SECRETS.link.hash(key)
}

/// A sequence of numbers that nobody can predict.
pub(super) struct Draws(u64);

impl Draws {
    /// A sequence of its own for each caller.
    pub(super) fn new() -> Self {
        let stream = DRAWN.fetch_add(1, Ordering::Relaxed);
        Self(SECRETS.order.hash(SECRETS.second.hash(SECRETS.first.hash(stream))))
    }

    /// A number from zero to `last`, by Lemire's multiplication: the draw as a fraction of one,
    /// times the count of numbers.
    pub(super) fn up_to(&mut self, last: usize) -> usize {
        let drawn = u128::from(random::next(&mut self.0));
        (drawn.wrapping_mul((last as u128).wrapping_add(1)) >> u64::BITS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where one or two bits of an address flip, each bit of the hash flips half of the time.
    #[test]
    fn every_bit_of_an_address_moves_every_bit() {
        const SAMPLES: usize = 4000;
        /// Nine standard deviations of as many coins: none of some 50,000 counts is further off by
        /// chance.
        const FAR: usize = 285;
        prepare();
        let flips = (4..47).flat_map(|one| [1_usize << one, (1 << one) | (1 << (one ^ 1)) | (1 << 5)]);
        for (flip, hash) in flips.flat_map(|flip| [(flip, canary_of as fn(u64) -> u64), (flip, link_of)]) {
            let mut counts = [0_usize; 64];
            for sample in 0..SAMPLES {
                let address = 0x7f12_3456_0000 + sample * 16;
                let moved = hash(key_of(address)) ^ hash(key_of(address ^ flip));
                for (bit, count) in counts.iter_mut().enumerate() {
                    *count += (moved >> bit & 1) as usize;
                }
            }
            let bad = counts.iter().find(|count| count.abs_diff(SAMPLES / 2) > FAR);
            assert_eq!(bad, None, "flipping {flip:#x}: {counts:?} of {SAMPLES}");
        }
    }

    /// Of two pairs of addresses with equal differences, the hashes differ differently.
    #[test]
    fn no_sum_of_hashes_is_known() {
        prepare();
        for base in (0..4000).map(|step| 0x7f12_3456_0000_usize + step * 4096) {
            let [one, two, three, four] = [0, 16, 32, 48].map(|add| canary_of(key_of(base + add)));
            assert_ne!(one ^ two ^ three ^ four, 0);
            assert_ne!(two.wrapping_sub(one), four.wrapping_sub(three));
            assert_ne!(two.wrapping_sub(one).wrapping_mul(2), three.wrapping_sub(one));
        }
    }
}
