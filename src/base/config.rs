//! The numbers that shape the allocator, each with its reason.
#![forbid(unsafe_code)]

use static_assertions::const_assert;

/// Bytes of one chunk, and its alignment: large enough that a mapping call and a header
/// are spread over dozens of slabs, small enough that a tiny process maps little.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;

/// Bytes of one unit, the grain in which a chunk is cut into slabs: a multiple of every
/// OS page size in use (4, 16 and 64 KiB), so that a unit can always be purged alone.
pub(crate) const UNIT_BYTES: usize = 64 << 10;

/// Units in a chunk; the first one holds the header. 64, so that a set of units is a word.
pub(crate) const UNITS: usize = CHUNK_BYTES / UNIT_BYTES;

/// Bytes of a slab's record in the chunk header: two cache lines, one that only the
/// owner touches and one that any thread may.
pub(crate) const RECORD_BYTES: usize = 2 * LINE_BYTES;

/// Bytes of a cache line on the processors this runs on.
pub(crate) const LINE_BYTES: usize = 64;

/// The largest block that is carved from a slab; above it a block is a mapping of its own.
pub(crate) const MAX_BLOCK_BYTES: usize = 1 << 20;

/// The largest alignment a slab can give: a slab starts on a unit.
pub(crate) const MAX_BLOCK_ALIGN: usize = UNIT_BYTES;

/// Sizes and alignments strictly below this take the inlined path: a table look-up.
pub(crate) const INLINE_LIMIT: usize = 8 << 10;

/// Bytes of empty slabs that a heap may keep current, all together, those of one OS page not
/// counted: so that a loop over some blocks stays fast, and a thread that rests holds little.
pub(crate) const KEPT_BYTES: usize = 64 << 10;

/// Most bytes carved of the slabs that a heap has put aside, all together: the longest block's.
pub(crate) const SPARE_BYTES: usize = MAX_BLOCK_BYTES;

/// Units that a heap remembers as its own, to free into them at once: those of 16 MiB side by
/// side; a power of two.
pub(crate) const OWNED_SLABS: usize = 256;

/// Bytes of blocks linked at a time where the pages are resident already, when the slab is new:
/// many a thread needs a few blocks of many classes.
pub(crate) const CARVE_LEAST_BYTES: usize = 2 << 10;

/// The same when much of the slab is in use.
pub(crate) const CARVE_BYTES: usize = 16 << 10;

/// As [`CARVE_BYTES`], for blocks too long for it: so that not every one takes the slow path.
pub(crate) const CARVE_BLOCKS: usize = 4;

/// Most bytes given back to the kernel by one slow path, so that no call is slow for long.
pub(crate) const PURGE_STEP_BYTES: usize = 1 << 20;

/// Free units that may be resident whatever the delay, in bytes: more only while more than that is in use, or
/// where that much was needed again a little before. So a process that has freed everything and never calls
/// again holds this much, or what its requests were seen to need.
pub(crate) const DIRTY_BYTES: usize = 48 << 20;

/// Purge delays in a window of time over which a need is looked for: requests that follow one another within
/// as many find what they left.
pub(crate) const DEMAND_DELAYS: u64 = 8;

/// Freed ranges kept for reuse at most. One look through so many takes a microsecond or two, which is little
/// beside the pages of a block above a mebibyte.
pub(crate) const RETAINED_RANGES: usize = 1024;

/// Bytes of freed ranges kept for reuse, where no more is seen to be needed again.
pub(crate) const RETAINED_BYTES: usize = 128 << 20;

/// Address space of a mapping that blocks share, if it is to have more than one place: of the least alignment that
/// takes one, 64 places are an eighth of it.
pub(crate) const SHELF_BYTES: usize = 64 << 20;

/// A block that grows to this length is advised to be backed by huge pages: it is filled from
/// its beginning, and the one that is begun too early is at most a quarter of it.
pub(crate) const HUGE_FROM_BYTES: usize = 8 << 20;

/// Where the first window with small pages begins in a block that has grown, see `large::fill`: in what it has grown
/// by when it first has huge ones. Each further one begins at twice the offset.
pub(crate) const WINDOW_FROM_BYTES: usize = 6 << 20;

/// Bytes of a window: few, so that one huge page less is all that it costs as a rule.
pub(crate) const WINDOW_BYTES: usize = 256 << 10;

/// Where there are as many chunks, further ones may be advised to be backed by huge pages: 32 MiB are in use
/// then, of which a chunk that is begun too early is an eighth at most.
pub(crate) const HUGE_FROM_CHUNKS: usize = 8;

/// Eighths of the pages that are resident where something counts as dense: huge pages then hold a seventh more
/// than small ones at most.
pub(crate) const DENSE_EIGHTHS: usize = 7;

/// Units of short blocks in a chunk that tell whether they are dense: a quarter of them.
pub(crate) const SHORT_UNITS: usize = 16;

/// So many chunks are far from the limit to a process's mappings, which is not asked for below them: 4 GiB.
pub(crate) const FEW_CHUNKS: usize = 1 << 10;

/// What huge pages are on the processors this runs on, where OS pages are 4 KiB; shorter mappings
/// are not advised about.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A huge page that took longer to fault in than this is dear: about what its 512 small pages take.
/// At hand it takes a quarter of it; where the host has to back it first, two to six times as long.
pub(crate) const HUGE_DEAR_NS: u64 = 1_000_000;

/// After a dear huge page so many occasions to ask for another are passed, from the least, doubled each
/// time, to the most: 64 MiB of chunks to 4 GiB.
pub(crate) const HUGE_LEAST_PASSED: u64 = 16;
pub(crate) const HUGE_MOST_PASSED: u64 = 1024;

/// Slabs that one thread collects remote frees for at a time; a power of two.
pub(crate) const REMOTE_SLOTS: usize = 16;

/// Remote frees of one slab collected before they are published: beyond a few dozen the
/// one atomic operation is spread thin enough.
pub(crate) const REMOTE_BATCH_BLOCKS: usize = 64;

/// Bytes of one slab's remote frees collected before they are published, so that what
/// an idle thread holds back stays small.
pub(crate) const REMOTE_BATCH_BYTES: usize = 8 << 10;

const_assert!(UNITS == u64::BITS as usize);
const_assert!(CHUNK_BYTES.is_power_of_two() && UNIT_BYTES.is_power_of_two());
const_assert!(RECORD_BYTES.is_power_of_two() && RECORD_BYTES * UNITS <= UNIT_BYTES);
const_assert!(REMOTE_SLOTS.is_power_of_two());
