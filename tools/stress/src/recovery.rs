//! After the run, every refusal over: each size must be had again.

use std::alloc::Layout;

use crate::block::{Block, Fresh};
use crate::failure::Damage;
use crate::pattern::Care;
use crate::timing::Untimed;

/// The longest request: above every size class, and large enough to be a mapping.
const MOST_BYTES: usize = 8 << 20;

/// Asks for a block of each size class, and frees it.
pub(crate) fn every_size() -> Result<(), Damage> {
    let mut size: usize = 1;
    while size <= MOST_BYTES {
        for align in [1, 4096] {
            let Ok(layout) = Layout::from_size_align(size, align) else { continue };
            let id = size as u64;
            if let Some(block) = Block::allocate(layout, id, Fresh::Zero(Care::Thorough), &mut Untimed)? {
                block.free(&mut Untimed)?;
            }
        }
        size += (size / 8).max(1);
    }
    Ok(())
}
