//! Words that nobody outside knows, the same in every process of one family, and the keyed hash that
//! makes of an address what lies beside its block.
//!
//! *Where they come from:* the kernel's generator (getrandom(2)), and nothing else uses them. Where the
//! kernel refuses, they are a one-way hash of its sixteen bytes for the program's start, the
//! clock and addresses: those bytes are the C library's secrets too, and cannot be had back from it.
//!
//! *The hash:* three multiplications to 128 bits, of which the halves are added without carry, a secret mask
//! before and a secret factor in each. Each bit of what comes out depends on each of an address and of six
//! secrets; a step has no inverse; and a block's seal and its link are different third steps of a second
//! one that nobody sees. So who has read any number of them still cannot tell another's.

use crate::base::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::random;
use crate::os;

mod sip;

/// What one step of the hash is done with.
struct Step {
    mask: AtomicU64,
    /// Odd.
    factor: AtomicU64,
}

impl Step {
    const fn new() -> Self {
        Self { mask: AtomicU64::new(0), factor: AtomicU64::new(0) }
    }

    /// The step for `word`.
    #[inline(always)]
    fn of(&self, word: u64) -> u64 {
        let product = u128::from(word ^ known(&self.mask)).wrapping_mul(u128::from(known(&self.factor)));
        product as u64 ^ (product >> u64::BITS) as u64
    }

    fn prepare(&self, [mask, factor]: [u64; 2]) {
        // Written once: refused where somebody else was here first. No word is zero then.
        let set = |word: &AtomicU64, value| {
            let _ = word.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
        };
        set(&self.mask, mask.max(1));
        set(&self.factor, factor | 1);
    }
}

/// Side by side, so that one address leads to all.
#[repr(align(64))]
struct Secrets {
    first: Step,
    second: Step,
    /// The third for seals.
    seal: Step,
    /// And for links.
    link: Step,
    /// And for random orders.
    order: Step,
}

const STEPS: usize = size_of::<Secrets>() / size_of::<Step>();

static SECRETS: Secrets = Secrets {
    first: Step::new(),
    second: Step::new(),
    seal: Step::new(),
    link: Step::new(),
    order: Step::new(),
};
static PREPARED: AtomicBool = AtomicBool::new(false);
/// Orders drawn so far.
static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Makes the secrets, before there are any blocks. Who come at the same time make one set of them
/// together; a forked child has its parent's, for it has its parent's blocks.
pub(crate) fn prepare() {
    // Acquire, with the release below: all words are there.
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
    let Secrets { first, second, seal, link, order } = &SECRETS;
    for (step, words) in [first, second, seal, link, order].into_iter().zip(words) {
        step.prepare(words);
    }
    PREPARED.store(true, Ordering::Release);
}

/// Fills `words` where the kernel's generator is not to be had.
fn last_resort(words: &mut [u64]) {
    let here = 0_u8;
    let key = os::start_words().unwrap_or_default();
    let moment = sip::hash(key, os::now_ns() ^ u64::from(os::thread_id()).rotate_left(40));
    let seed = sip::hash(key, moment ^ (&raw const here).addr() as u64);
    for (number, word) in (1..).zip(words) {
        *word = sip::hash(key, seed.wrapping_add(number));
    }
}

/// A secret that is read at every step: not as an atomic, so that the compiler need not read it again.
#[inline(always)]
fn known(secret: &AtomicU64) -> u64 {
    // SAFETY: written once, before there were any blocks, and only they have to do with secrets.
    unsafe { secret.as_ptr().read() }
}

/// What belongs to `address`. Not for anybody to see: [`seal_of`] and [`link_of`] are.
#[inline(always)]
pub(super) fn of(address: usize) -> u64 {
    SECRETS.second.of(SECRETS.first.of(address as u64))
}

/// What the seal of the block with this [key](of) is made with.
#[inline(always)]
pub(super) fn seal_of(key: u64) -> u64 {
    SECRETS.seal.of(key)
}

/// What its link is made with.
#[inline(always)]
pub(super) fn link_of(key: u64) -> u64 {
    SECRETS.link.of(key)
}

/// Numbers that nobody can foretell.
pub(super) struct Draws(u64);

impl Draws {
    /// Others than everybody else's.
    pub(super) fn new() -> Self {
        let stream = DRAWN.fetch_add(1, Ordering::Relaxed);
        Self(SECRETS.order.of(SECRETS.second.of(SECRETS.first.of(stream))))
    }

    /// A number from zero to `last`.
    pub(super) fn up_to(&mut self, last: usize) -> usize {
        let drawn = u128::from(random::next(&mut self.0));
        // As a fraction of one, times the numbers that there are (Lemire).
        (drawn.wrapping_mul((last as u128).wrapping_add(1)) >> u64::BITS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of bits flipped in, one or two at a time, each bit that comes out flips as often as not.
    #[test]
    fn every_bit_of_an_address_moves_every_bit() {
        const SAMPLES: usize = 4000;
        /// Nine times the deviation of so many coins: of some 50,000 counts none is further off by chance.
        const FAR: usize = 285;
        prepare();
        let flips = (4..47).flat_map(|one| [1_usize << one, (1 << one) | (1 << (one ^ 1)) | (1 << 5)]);
        for (flip, hash) in flips.flat_map(|flip| [(flip, seal_of as fn(u64) -> u64), (flip, link_of)]) {
            let mut counts = [0_usize; 64];
            for sample in 0..SAMPLES {
                let address = 0x7f12_3456_0000 + sample * 16;
                let moved = hash(of(address)) ^ hash(of(address ^ flip));
                for (bit, count) in counts.iter_mut().enumerate() {
                    *count += (moved >> bit & 1) as usize;
                }
            }
            let bad = counts.iter().find(|count| count.abs_diff(SAMPLES / 2) > FAR);
            assert_eq!(bad, None, "flipping {flip:#x}: {counts:?} of {SAMPLES}");
        }
    }

    /// Four addresses of which two differ as the other two do: nothing is left of that.
    #[test]
    fn no_sum_of_hashes_is_known() {
        prepare();
        for base in (0..4000).map(|step| 0x7f12_3456_0000_usize + step * 4096) {
            let [one, two, three, four] = [0, 16, 32, 48].map(|add| seal_of(of(base + add)));
            assert_ne!(one ^ two ^ three ^ four, 0);
            assert_ne!(two.wrapping_sub(one), four.wrapping_sub(three));
            assert_ne!(two.wrapping_sub(one).wrapping_mul(2), three.wrapping_sub(one));
        }
    }
}
