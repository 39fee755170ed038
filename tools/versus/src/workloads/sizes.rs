//! Random block sizes as programs ask for them: many small, few large.

use fastrand::Rng;

/// Sizes drawn ahead of the measured part.
const DRAWN: usize = 8192;

/// A supply of sizes, drawn once, so that the measured part pays for a table
/// look-up and not for the drawing.
#[derive(Debug)]
pub(crate) struct Sizes {
    drawn: Vec<u32>,
    next: usize,
}

impl Sizes {
    /// Sizes from `smallest` up to `largest`, each doubling half as likely as the
    /// one before it.
    pub(crate) fn power_law(random: &mut Rng, smallest: usize, largest: usize) -> Self {
        let doublings = (largest / smallest).max(2).ilog2();
        Self::draw(|| {
            let doubling = random.u32(..).trailing_zeros() % doublings;
            let low = smallest << doubling;
            random.usize(low..(low * 2).min(largest) + 1)
        })
    }

    /// Sizes from `smallest` up to `largest`, all as likely.
    pub(crate) fn even(random: &mut Rng, smallest: usize, largest: usize) -> Self {
        Self::draw(|| random.usize(smallest..=largest))
    }

    fn draw(mut size: impl FnMut() -> usize) -> Self {
        Self { drawn: (0..DRAWN).map(|_| size() as u32).collect(), next: 0 }
    }

    /// The next size; the supply starts again at its end.
    #[inline]
    pub(crate) fn next(&mut self) -> usize {
        let size = self.drawn[self.next];
        self.next = (self.next + 1) % DRAWN;
        size as usize
    }

    /// Makes the supply start again at its beginning.
    pub(crate) fn start_again(&mut self) {
        self.next = 0;
    }
}
