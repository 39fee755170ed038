//! What the `secure` feature adds to the life of a block. Without it each step is nothing.
//!
//! | step | with `secure` | without |
//! | --- | --- | --- |
//! | [`route`], [`inline_class`] | eight bytes more, for the block's *canary* | as `size_class` says |
//! | [`hand_out`], [`seal_for`] | freed memory is still zero; the canary says what was requested | the block as it is |
//! | [`check_fast`], [`diagnose`] | the canaries of the block and of the one before it, and the padding | no check |
//! | [`clear_for_list`], [`clear_for_reuse`] | the first bytes are zeroed | nothing |
//! | [`Quarantine`] | freed blocks wait until the slab has no others | freed blocks are next to be handed out |
//! | [`CarveOrder`] | new blocks are linked in a random order | new blocks are linked by address |
//! | [`zero_size`] | zero-size blocks of the door without layouts are addresses without memory | blocks as others |
//! | [`Key`], `Link` (`block::link`) | links are encoded with a key of the block's address | a link is a pointer |
//! | `Tag` (`block::tag`) | no tag: the canary says whether the block is free | the mark of a free block |
//!
//! No step here knows slabs: `memory::slab::check` passes a block's length and offset.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `canary` | a block's last eight bytes, and the padding before them |
//! | `zeroing` | a block handed out, and cleared again |
//! | `quarantine`, `carve_order` | which block is handed out next |
//! | `zero_size` | blocks without memory |

use core::alloc::Layout;

use crate::base::address::align_up;
use crate::base::config::{INLINE_LIMIT, MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES};
use crate::block::size_class::{self, CLASS_ALIGN, Class, Route};

mod canary;
mod carve_order;
mod quarantine;
pub(crate) mod zero_size;
mod zeroing;

pub(crate) use crate::block::link::{Key, ON};
pub(crate) use canary::{CANARY_BYTES, TWICE, check_fast, diagnose, mark_free, seal_for, usable};
pub(crate) use carve_order::CarveOrder;
pub(crate) use quarantine::Quarantine;
pub(crate) use zeroing::{clear_carved, clear_for_list, clear_for_reuse, hand_out, hand_out_fresh, is_long};

/// Prepares the process for blocks, before there are any.
pub(crate) fn prepare() {
    if ON {
        crate::block::secret::prepare();
    }
}

/// The class of a layout whose size is below [`INLINE_LIMIT`] and whose alignment every class has:
/// as [`size_class::inline_class`], with room for the canary.
#[inline(always)]
pub(crate) const fn inline_class(layout: Layout) -> Option<Class> {
    if !ON {
        return size_class::inline_class(layout);
    }
    if layout.size() >= INLINE_LIMIT || layout.align() > CLASS_ALIGN {
        return None;
    }
    Some(Class::of_inline(layout.size().wrapping_add(CANARY_BYTES)))
}

/// Where `layout` lives: as [`size_class::route`], with room for the canary.
#[inline]
pub(crate) const fn route(layout: Layout) -> Route {
    if !ON {
        return size_class::route(layout);
    }
    if layout.align() > MAX_BLOCK_ALIGN || layout.size() > MAX_BLOCK_BYTES.wrapping_sub(CANARY_BYTES) {
        return Route::Large;
    }
    Route::Small(Class::of(align_up(layout.size().wrapping_add(CANARY_BYTES), layout.align())))
}
