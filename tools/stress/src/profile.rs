//! The mixes: how often each operation comes, how large blocks are, how many there are.

use std::alloc::Layout;
use std::fmt;

use clap::ValueEnum;
use rand::{RngExt, rngs::Xoshiro256PlusPlus};

/// What a lane can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Allocate,
    AllocateZeroed,
    Grow,
    Shrink,
    Free,
    /// Check a block's contents and leave it.
    Check,
    /// Give a block to another lane.
    HandOver,
    /// A short thread that takes some blocks, leaves some, and frees some as it dies.
    Visit,
    /// The lane goes on in a new thread; all its blocks were the old one's.
    Heir,
    Fork,
    Purge,
}

/// The names on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ProfileName {
    /// Up to 1 KiB, very many
    Small,
    /// 1 KiB to 2 MiB: the long slabs, and the step to mappings
    Medium,
    /// 512 KiB to 400 MiB: mappings of their own
    Large,
    /// Blocks of every size that grow and shrink
    Realloc,
    /// Most blocks are freed by another lane than the one that made them
    Remote,
    /// Threads that come and go, purges, forks; the number of blocks swings widely
    Churn,
    /// A bit of everything, in the proportions of a program that serves requests
    Server,
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => Ok(()),
        }
    }
}

/// Sizes from `least` to `most`, each doubling as likely as the next.
#[derive(Debug)]
struct Band {
    weight: u32,
    least: usize,
    most: usize,
}

/// One mix.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Operations and their weights.
    mix: &'static [(Operation, u32)],
    bands: &'static [Band],
    /// One block in this many has an alignment beyond that of plain data.
    aligned_one_in: u32,
    /// Most blocks that a lane holds.
    pub(crate) blocks: usize,
    /// Operations from one high tide to the next; see [`Profile::tide`].
    wave: u64,
}

/// Alignments go up to this power of two: 2 MiB.
const MAX_ALIGN_LOG2: u32 = 21;

use Operation::{Allocate, AllocateZeroed, Check, Fork, Free, Grow, HandOver, Heir, Purge, Shrink, Visit};

static SMALL: Profile = Profile {
    mix: &[
        (Allocate, 380_000),
        (AllocateZeroed, 50_000),
        (Grow, 30_000),
        (Shrink, 20_000),
        (Free, 430_000),
        (Check, 60_000),
        (HandOver, 30_000),
        (Visit, 100),
        (Heir, 15),
        (Fork, 4),
        (Purge, 15),
    ],
    bands: &[Band { weight: 6, least: 1, most: 128 }, Band { weight: 2, least: 1, most: 1 << 10 }],
    aligned_one_in: 40,
    blocks: 100_000,
    wave: 600_000,
};

static MEDIUM: Profile = Profile {
    mix: &[
        (Allocate, 300_000),
        (AllocateZeroed, 100_000),
        (Grow, 60_000),
        (Shrink, 60_000),
        (Free, 400_000),
        (Check, 60_000),
        (HandOver, 40_000),
        (Visit, 600),
        (Heir, 150),
        (Fork, 60),
        (Purge, 150),
    ],
    bands: &[
        Band { weight: 5, least: 1 << 10, most: 128 << 10 },
        Band { weight: 1, least: 64 << 10, most: 2 << 20 },
    ],
    aligned_one_in: 20,
    blocks: 2_000,
    wave: 30_000,
};

static LARGE: Profile = Profile {
    mix: &[
        (Allocate, 250_000),
        (AllocateZeroed, 80_000),
        (Grow, 120_000),
        (Shrink, 120_000),
        (Free, 330_000),
        (Check, 60_000),
        (HandOver, 40_000),
        (Visit, 1_000),
        (Heir, 800),
        (Fork, 500),
        (Purge, 800),
    ],
    bands: &[
        Band { weight: 5, least: 512 << 10, most: 16 << 20 },
        Band { weight: 1, least: 16 << 20, most: 400 << 20 },
    ],
    aligned_one_in: 5,
    blocks: 64,
    wave: 3_000,
};

static REALLOC: Profile = Profile {
    mix: &[
        (Allocate, 120_000),
        (AllocateZeroed, 30_000),
        (Grow, 350_000),
        (Shrink, 300_000),
        (Free, 150_000),
        (Check, 40_000),
        (HandOver, 10_000),
        (Visit, 200),
        (Heir, 100),
        (Fork, 40),
        (Purge, 100),
    ],
    bands: &[
        Band { weight: 6, least: 1, most: 4 << 10 },
        Band { weight: 3, least: 1 << 10, most: 2 << 20 },
        Band { weight: 1, least: 1 << 20, most: 48 << 20 },
    ],
    aligned_one_in: 10,
    blocks: 1_000,
    wave: 50_000,
};

static REMOTE: Profile = Profile {
    mix: &[
        (Allocate, 380_000),
        (AllocateZeroed, 30_000),
        (Grow, 10_000),
        (Shrink, 10_000),
        (Free, 130_000),
        (Check, 30_000),
        (HandOver, 410_000),
        (Visit, 300),
        (Heir, 50),
        (Fork, 10),
        (Purge, 50),
    ],
    bands: &[
        Band { weight: 20, least: 1, most: 512 },
        Band { weight: 4, least: 512, most: 32 << 10 },
        Band { weight: 1, least: 16 << 10, most: 2 << 20 },
    ],
    aligned_one_in: 50,
    blocks: 10_000,
    wave: 200_000,
};

static CHURN: Profile = Profile {
    mix: &[
        (Allocate, 400_000),
        (AllocateZeroed, 40_000),
        (Grow, 30_000),
        (Shrink, 20_000),
        (Free, 440_000),
        (Check, 20_000),
        (HandOver, 50_000),
        (Visit, 3_000),
        (Heir, 1_500),
        (Fork, 100),
        (Purge, 8_000),
    ],
    bands: &[Band { weight: 8, least: 1, most: 2 << 10 }, Band { weight: 4, least: 1 << 10, most: 1 << 20 }],
    aligned_one_in: 40,
    blocks: 400,
    wave: 3_000,
};

static SERVER: Profile = Profile {
    mix: &[
        (Allocate, 340_000),
        (AllocateZeroed, 60_000),
        (Grow, 90_000),
        (Shrink, 20_000),
        (Free, 400_000),
        (Check, 40_000),
        (HandOver, 50_000),
        (Visit, 400),
        (Heir, 60),
        (Fork, 20),
        (Purge, 60),
    ],
    bands: &[
        Band { weight: 600, least: 1, most: 512 },
        Band { weight: 200, least: 256, most: 16 << 10 },
        Band { weight: 30, least: 16 << 10, most: 1 << 20 },
        Band { weight: 2, least: 1 << 20, most: 32 << 20 },
        Band { weight: 1, least: 32 << 20, most: 256 << 20 },
    ],
    aligned_one_in: 60,
    blocks: 20_000,
    wave: 150_000,
};

impl ProfileName {
    pub(crate) fn profile(self) -> &'static Profile {
        match self {
            Self::Small => &SMALL,
            Self::Medium => &MEDIUM,
            Self::Large => &LARGE,
            Self::Realloc => &REALLOC,
            Self::Remote => &REMOTE,
            Self::Churn => &CHURN,
            Self::Server => &SERVER,
        }
    }
}

/// An entry of `choices`, by weight.
fn weighted<'a, T>(
    random: &mut Xoshiro256PlusPlus,
    choices: &'a [T],
    weight: impl Fn(&T) -> u32,
) -> Option<&'a T> {
    let total: u32 = choices.iter().map(&weight).sum();
    let mut draw = random.random_range(0..total.max(1));
    choices.iter().find(|choice| {
        let weight = weight(choice);
        let here = draw < weight;
        draw = draw.saturating_sub(weight);
        here
    })
}

impl Profile {
    /// What to do next.
    pub(crate) fn operation(&self, random: &mut Xoshiro256PlusPlus) -> Operation {
        weighted(random, self.mix, |(_, weight)| *weight).map_or(Check, |(operation, _)| *operation)
    }

    /// A size: spread evenly over the doublings of a band, often right at or beside a power of
    /// two, where size classes and routes change.
    pub(crate) fn size(&self, random: &mut Xoshiro256PlusPlus) -> usize {
        let Some(band) = weighted(random, self.bands, |band| band.weight) else { return 1 };
        let (low, high) = (band.least.ilog2(), band.most.ilog2());
        let log2 = random.random_range(low..=high);
        let size = if random.random_ratio(1, 8) {
            (1_usize << log2) + random.random_range(0..3) - 1
        } else {
            random.random_range(1 << log2..2 << log2)
        };
        size.clamp(band.least, band.most)
    }

    /// A layout of `size` bytes with an alignment of its own.
    pub(crate) fn layout(&self, random: &mut Xoshiro256PlusPlus, size: usize) -> Layout {
        let log2 = if random.random_ratio(1, self.aligned_one_in) {
            random.random_range(5..=MAX_ALIGN_LOG2)
        } else {
            random.random_range(0..=4)
        };
        // Never fails: both are far below `isize::MAX`, and the alignment is a power of two.
        Layout::from_size_align(size, 1 << log2).unwrap_or(Layout::new::<u64>())
    }

    /// How many blocks a lane should hold at `operation`: it rises and falls, so that slabs
    /// fill up and fall empty, again and again, and stays at nothing for an eighth of the wave,
    /// so that whole chunks are given back while others are being used.
    pub(crate) fn tide(&self, operation: u64) -> usize {
        let phase = operation % self.wave;
        let height = phase.min(self.wave - phase).saturating_sub(self.wave / 16);
        (self.blocks as u64 * height / (self.wave / 2 - self.wave / 16)) as usize
    }
}
