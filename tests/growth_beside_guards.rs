//! Where guard pages are asked for, a large block that grows in small steps ends less than a page
//! before its guard, at every step, and begins right behind the other. One that shrinks gives up
//! two pages at least, one of which becomes the guard.

mod common;

use common::memory::has_guard_marks;
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().guard_pages(true);

const MIB: usize = 1 << 20;

#[test]
fn a_guarded_block_gets_no_room() {
    // SAFETY: no preconditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size");
    let up = || (0..40).map(|step| 2 * MIB + 1 + step * 5000);
    let mut start = untyped::allocate(2 * MIB);
    // Where guards are mappings, the kernel cuts nothing off.
    let most_spare = if has_guard_marks() { 2 * page } else { MIB };
    let steps = up().map(|size| (size, page)).chain(up().rev().map(|size| (size, most_spare)));
    for (size, most) in steps {
        // SAFETY: the block is live.
        start = unsafe { untyped::reallocate(start, size) };
        assert!(!start.is_null());
        assert_eq!(start.addr() % page, 0);
        // SAFETY: the block is live.
        let usable = unsafe { untyped::usable_size(start) };
        assert!(usable >= size && usable < size + most, "{usable} for {size}");
    }
    // SAFETY: live, and given up.
    unsafe { untyped::free(start) };
}
