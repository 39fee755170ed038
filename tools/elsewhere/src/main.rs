//! Every public item of Freestone that exists on all targets, used by one program: where the
//! allocator itself does not run, this compiles and runs as well, and says what is forwarded.

use std::alloc::{GlobalAlloc, Layout};
use std::pin::pin;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::task::{Context, Waker};

use freestone::counting::{Counted, Region};
use freestone::groups::{self, Entered, Group, GroupId, GroupStats, Instrumented};
use freestone::inspect::{BlockState, Description, Piece, What};
use freestone::stats::{Change, HeapUser, Stats, ThreadStats};
use freestone::{Freestone, HugePagePolicy, OnMisuse, untyped};

extern "C" fn above_soft_limit(_: usize) {}

#[global_allocator]
static ALLOC: Counted<Freestone> = Counted::new(
    Freestone::new()
        .purge_delay(std::time::Duration::MAX)
        .retained_bytes(1 << 20)
        .huge_pages(HugePagePolicy::Never)
        .memory_limit(1 << 30)
        .memory_limit_from_cgroup::<100>()
        .soft_memory_limit(1 << 29)
        .on_soft_limit(above_soft_limit)
        .on_misuse(OnMisuse::Abort),
);

/// Whether the allocator itself runs here.
const RUNS_HERE: bool = cfg!(all(target_os = "linux", target_pointer_width = "64"));

fn allocations() {
    let region = Region::new();
    let text: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    assert_eq!(text.concat().len(), 2_890);
    assert!(region.counts().allocations > 1_000);
    for log2 in 0..=20 {
        let layout = Layout::from_size_align(100, 1 << log2).expect("a valid layout");
        // SAFETY: the layout has bytes; what is allocated is freed with the same layout.
        unsafe {
            let block = NonNull::new(ALLOC.alloc_zeroed(layout)).expect("memory");
            assert_eq!((block.addr().get() % layout.align(), block.read()), (0, 0));
            ALLOC.dealloc(block.as_ptr(), layout);
        }
    }
}

fn groups() {
    static GROUP: Group = Group::new("everywhere");
    let guard: Entered<'_> = GROUP.entered();
    let kept = vec![1_u8; 1_000];
    assert_eq!(Group::current().is_some(), RUNS_HERE);
    drop(guard);
    let other = Group::create("other");
    other.limit(usize::MAX);
    other.soft_limit(usize::MAX, |_, _| {});
    let future: Instrumented<_> = other.clone().instrument(std::future::ready(5));
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(future).poll(&mut context).is_ready());
    let stats: GroupStats = GROUP.stats();
    assert_eq!(stats.requested, if RUNS_HERE { kept.len() } else { 0 });
    assert_eq!((stats.requested, stats.held), (GROUP.requested(), GROUP.held()));
    assert_eq!(other.enter(|| vec![1; 10].len()), 10);
    assert_eq!(GROUP.to_string(), "everywhere");
    let id: Option<GroupId> = GROUP.id();
    let mut found = 0;
    groups::each(|group| found += u32::from(group.id() == id));
    assert_eq!((id.is_some(), found == 1), (RUNS_HERE, RUNS_HERE));
    other.purge();
}

fn door_without_layouts() {
    for align in [1, 16, 64, 4096] {
        for size in [0, 1, 100, 100_000] {
            let block = NonNull::new(untyped::allocate_zeroed(size, align)).expect("memory");
            assert!(block.addr().get().is_multiple_of(align.max(untyped::MIN_ALIGN)));
            // SAFETY: the block is live, of at least that size, and this function's own.
            unsafe {
                assert!(untyped::usable_size(block.as_ptr()) >= size);
                block.write_bytes(7, size);
                let longer = untyped::reallocate(block.as_ptr(), size + 1_000);
                assert!(size == 0 || longer.add(size - 1).read() == 7);
                assert!(untyped::usable_size(longer) >= size + 1_000);
                untyped::free(longer);
            }
        }
    }
    assert!(untyped::allocate_aligned(1, 3).is_null() && untyped::allocate(usize::MAX).is_null());
    let _ = untyped::at_hand(8);
    // SAFETY: null is ignored, and is no block.
    unsafe {
        untyped::free(std::ptr::null_mut());
        assert_eq!(untyped::usable_size(std::ptr::null()), 0);
    }
}

fn looking_in() {
    let before: Stats = freestone::stats();
    let kept = vec![1_u8; 100_000];
    let change: Change = freestone::stats().since(&before);
    assert_eq!(change.allocated > 0, RUNS_HERE, "{change}");
    assert_eq!(before.classes().count() > 0, RUNS_HERE);
    assert!(before.to_string().contains("allocated"));
    let mut heaps = [ThreadStats::default(); 4];
    assert_eq!(freestone::stats::heap_stats(&mut heaps) > 0, RUNS_HERE);
    assert!(
        !heaps[0].to_string().is_empty() && matches!(heaps[3].user, HeapUser::Nobody | HeapUser::Thread(_))
    );
    let found: Description = freestone::describe(kept.as_ptr());
    match found.what {
        What::Block { state, .. } => assert!(RUNS_HERE && state == BlockState::Live),
        what => assert!(!RUNS_HERE && what == What::Foreign, "{found}"),
    }
    let mut pieces = 0;
    freestone::inspect::heap_map(|piece| {
        pieces += 1;
        if let Piece::Chunk(chunk) = piece {
            assert!(!chunk.units().is_empty());
        }
    });
    assert_eq!(pieces > 0, RUNS_HERE);
    freestone::thread_idle();
    freestone::purge();
}

fn main() -> ExitCode {
    allocations();
    groups();
    door_without_layouts();
    looking_in();
    println!("the allocator {} here", if RUNS_HERE { "runs" } else { "forwards to the system's" });
    ExitCode::SUCCESS
}
