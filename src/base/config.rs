//! The numbers that shape the allocator, each with its reason.
#![forbid(unsafe_code)]

use static_assertions::const_assert;

/// Bytes of a chunk, and its alignment. Large enough that one mapping call and one header serve
/// dozens of slabs; small enough that a tiny process maps little.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;

/// Bytes of a unit, the grain in which a chunk is cut into slabs. A multiple of every OS page size
/// in use (4, 16 and 64 KiB), so that each unit can be purged alone.
pub(crate) const UNIT_BYTES: usize = 64 << 10;

/// Units in a chunk; the first holds the header. A set of units is thus one 64-bit word.
pub(crate) const UNITS: usize = CHUNK_BYTES / UNIT_BYTES;

/// Bytes of a slab's record in the chunk header: one cache line for the owner, one for any thread.
pub(crate) const RECORD_BYTES: usize = 2 * LINE_BYTES;

/// Bytes of a cache line on the supported processors.
pub(crate) const LINE_BYTES: usize = 64;

/// Bytes of the largest block that is carved from a slab. A longer one is a large allocation.
pub(crate) const MAX_BLOCK_BYTES: usize = 1 << 20;

/// The largest alignment of a slab's blocks: a slab begins on a unit.
pub(crate) const MAX_BLOCK_ALIGN: usize = UNIT_BYTES;

/// Sizes and alignments strictly below this take the inlined path, a table look-up.
pub(crate) const INLINE_LIMIT: usize = 8 << 10;

/// Bytes of empty slabs that a heap may keep current, all together; slabs whose blocks take one OS
/// page are not counted. A loop over a few blocks stays fast, and an idle thread holds little.
pub(crate) const KEPT_BYTES: usize = 64 << 10;

/// Most bytes carved of the slabs that a heap has put aside, all together: those of the longest
/// block.
pub(crate) const SPARE_BYTES: usize = MAX_BLOCK_BYTES;

/// Most blocks in a bin. A program that frees as often as it allocates, in any order, finds it full
/// or empty once in about as many calls.
pub(crate) const BIN_BLOCKS: usize = 63;

/// Units of a heap's slabs from which on it may have bins: more than a core's own cache holds.
pub(crate) const BIN_FROM_UNITS: i32 = 64;

/// Slabs in a row with few free blocks after which a class's frees count as scattered.
pub(crate) const BIN_SCATTERED: i16 = 8;

/// Few free blocks are at most such a part of the slab's: an eighth.
pub(crate) const BIN_SCATTERED_PART: usize = 8;

/// Blocks that go through a bin in one direction before it is closed: at least eight halves of it,
/// which a random walk of frees and allocations goes once in 2^8 turns.
pub(crate) const BIN_RUN: i16 = 256;

/// Most bytes of the blocks in a bin.
pub(crate) const BIN_BYTES: usize = 16 << 10;

/// Bytes of the longest block that goes into a bin. A longer one may have a longer class than its
/// layout's: see `doors::resize`.
pub(crate) const BIN_LONGEST: usize = 2 << 10;

/// Entries of a heap's table of slabs whose blocks go into bins, one a unit: enough for 256 MiB
/// side by side. A power of two.
pub(crate) const BINNED_UNITS: usize = 1 << 12;

/// Entries of the near table of a heap's owned-slab cache, one a unit: enough for 16 MiB side by
/// side. A power of two.
pub(crate) const NEAR_SLABS: usize = 256;

/// Entries of the far table, which larger heaps have besides: enough for 512 MiB. A power of two.
pub(crate) const FAR_SLABS: usize = 8 << 10;

/// Bytes of blocks linked at a time in a new slab whose pages are resident. Few, since many threads
/// need a few blocks of many classes.
pub(crate) const CARVE_LEAST_BYTES: usize = 2 << 10;

/// Bytes of blocks linked at a time once much of the slab is in use.
pub(crate) const CARVE_BYTES: usize = 16 << 10;

/// Blocks linked at a time where [`CARVE_BYTES`] holds fewer, so that not every allocation takes
/// the slow path.
pub(crate) const CARVE_BLOCKS: usize = 4;

/// Most bytes that one slow path gives back to the kernel, so that no call is slow for long.
pub(crate) const PURGE_STEP_BYTES: usize = 1 << 20;

/// Bytes of free blocks inside the slabs of an ended thread that may stay resident until a purge.
/// More goes back as the thread ends. Short threads have less, and the next ones use it.
pub(crate) const ENDED_BYTES: usize = 4 << 20;

/// Milliseconds between one purge by an ended thread and the next, for each mebibyte that it gave
/// back. To give it back and to fault it in anew takes some 0.3 ms: a hundredth of them.
pub(crate) const ENDS_MS_A_MIB: u64 = 30;

/// Mebibytes that ended threads may purge without such a pause between them: all the threads of a
/// program that ends its work.
pub(crate) const ENDS_AHEAD_MIB: u64 = 512;

/// Bytes of free units that may stay resident beyond the purge delay. More may stay only while more
/// is in use or where more was needed again a little before. A process that frees everything and
/// never calls again holds this much, or its learned demand.
pub(crate) const DIRTY_BYTES: usize = 48 << 20;

/// Length of a window of demand, in purge delays. Requests that follow one another within a window
/// find the memory of the last one.
pub(crate) const DEMAND_DELAYS: u64 = 8;

/// Most freed ranges kept for reuse. A search through all of them is short beside faulting in the
/// pages of a block above a mebibyte.
pub(crate) const RETAINED_RANGES: usize = 1024;

/// Bytes of freed ranges kept for reuse, where the demand is no larger.
pub(crate) const RETAINED_BYTES: usize = 128 << 20;

/// Address space of a shelf with more than one block. At the least alignment that needs a shelf,
/// its 64 strides take an eighth of it.
pub(crate) const SHELF_BYTES: usize = 64 << 20;

/// A block that grows to this length is advised to be huge. It is filled from its beginning, so the
/// last huge page, begun too early, is at most a quarter of it.
pub(crate) const HUGE_FROM_BYTES: usize = 8 << 20;

/// Offset of the first window of small pages in a grown block, see `large::fill`. It lies in what
/// the block had grown by when it was first advised. Each further window begins at twice the
/// offset.
pub(crate) const WINDOW_FROM_BYTES: usize = 6 << 20;

/// Bytes of a window. Few, so that it costs one huge page as a rule.
pub(crate) const WINDOW_BYTES: usize = 256 << 10;

/// Chunks from which on further ones may be advised to be huge. At most an eighth of what is in use
/// is then a chunk that is begun too early.
pub(crate) const HUGE_FROM_CHUNKS: usize = 8;

/// Eighths of the pages that are resident in dense memory. Huge pages then hold at most a seventh
/// more than small ones.
pub(crate) const DENSE_EIGHTHS: usize = 7;

/// Units of short blocks from which on a chunk tells whether they are dense: a quarter of its
/// units.
pub(crate) const SHORT_UNITS: usize = 16;

/// So few chunks are far from the process's limit of mappings, which is not read below them.
pub(crate) const FEW_CHUNKS: usize = 1 << 10;

/// Bytes of a huge page where OS pages are 4 KiB. Shorter mappings are not advised.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A huge page that takes longer to fault in is dear: about what its 512 small pages take. The
/// kernel needs a quarter of it where it has one at hand. It needs several times as long where the
/// host must back it first.
pub(crate) const HUGE_DEAR_NS: u64 = 1_000_000;

/// Occasions to ask for a huge page that are passed after a dear one. The number doubles with each
/// dear one, from the least to the most.
pub(crate) const HUGE_LEAST_PASSED: u64 = 16;
pub(crate) const HUGE_MOST_PASSED: u64 = 1024;

/// Slabs for which one thread collects remote frees at a time; a power of two.
pub(crate) const REMOTE_SLOTS: usize = 16;

/// Remote frees of one slab that are collected before they are published. A few dozen spread the
/// one atomic operation thin enough.
pub(crate) const REMOTE_BATCH_BLOCKS: usize = 64;

/// Bytes of one slab's remote frees that are collected before they are published, so that an idle
/// thread holds back little.
pub(crate) const REMOTE_BATCH_BYTES: usize = 8 << 10;

const_assert!(UNITS == u64::BITS as usize);
const_assert!(CHUNK_BYTES.is_power_of_two() && UNIT_BYTES.is_power_of_two());
const_assert!(RECORD_BYTES.is_power_of_two() && RECORD_BYTES * UNITS <= UNIT_BYTES);
const_assert!(REMOTE_SLOTS.is_power_of_two());
