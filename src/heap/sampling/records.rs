//! The samples: each stack once, with the bytes that are live and the bytes that were allocated
//! from it; and the sampled blocks that are live.

use super::rows::{Plain, Rows};
use super::samples;
use crate::base::random::mix;
use crate::heap::groups::{Name, Record};

/// The blocks, in thousandths, and the bytes that a stack stands for.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sums {
    pub(crate) live_blocks: u64,
    pub(crate) live_bytes: u64,
    pub(crate) all_blocks: u64,
    pub(crate) all_bytes: u64,
}

/// A stack in a group: a part of the row of all frames, innermost frame first.
#[derive(Clone, Copy)]
pub(super) struct Stack {
    hash: u64,
    first: usize,
    pub(super) depth: usize,
    /// The group that allocated there; no name for none.
    group: Name,
    pub(super) sums: Sums,
}

/// A live block that was sampled.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Zero where the slot was never used, one where its block was freed.
    address: usize,
    stack: usize,
    blocks: u64,
    bytes: u64,
    /// Whose block it is, where the profiler counts it for the group.
    pub(super) group: Option<&'static Record>,
}

// SAFETY: numbers throughout.
unsafe impl Plain for Stack {}
// SAFETY: numbers, and a reference that is none where it is zero.
unsafe impl Plain for Sample {}

const NONE: usize = 0;
const GONE: usize = 1;

/// Everything that is recorded. Under the profiler's lock.
pub(super) struct Records {
    frames: Rows<usize>,
    stacks: Rows<Stack>,
    /// Open-addressed, from a stack's hash to one more than its number.
    by_hash: Rows<usize>,
    /// Open-addressed, by address.
    live: Rows<Sample>,
    /// Slots of `live` that were used since it was made.
    used: usize,
}

impl Records {
    pub(super) const fn new() -> Self {
        Self { frames: Rows::new(), stacks: Rows::new(), by_hash: Rows::new(), live: Rows::new(), used: 0 }
    }

    /// The number of the stack with these frames in `group`, and room for one block more. None
    /// where there is no memory.
    pub(super) fn prepare(&mut self, frames: &[usize], group: Name) -> Option<usize> {
        let stack = self.intern(frames, group)?;
        self.has_room().then_some(stack)
    }

    /// Notes the block at `address`, on a stack that was [prepared](Self::prepare), and what it
    /// stands for.
    pub(super) fn add(
        &mut self,
        address: usize,
        stack: usize,
        (blocks, bytes): (u64, u64),
        group: Option<&'static Record>,
    ) {
        if let Some(Stack { sums, .. }) = self.stacks.as_mut_slice().get_mut(stack) {
            sums.all_blocks = sums.all_blocks.wrapping_add(blocks);
            sums.all_bytes = sums.all_bytes.wrapping_add(bytes);
        }
        self.put(Sample { address, stack, blocks, bytes, group });
    }

    /// Whether there is room for one live block more. Makes some where there is memory.
    fn has_room(&mut self) -> bool {
        self.used.wrapping_mul(2) < self.live.as_slice().len() || self.make_room()
    }

    /// Notes a live block.
    pub(super) fn put(&mut self, sample: Sample) {
        if !self.has_room() {
            return;
        }
        if let Some(Stack { sums, .. }) = self.stacks.as_mut_slice().get_mut(sample.stack) {
            sums.live_blocks = sums.live_blocks.wrapping_add(sample.blocks);
            sums.live_bytes = sums.live_bytes.wrapping_add(sample.bytes);
        }
        self.insert(sample);
    }

    fn insert(&mut self, sample: Sample) {
        let slots = self.live.as_mut_slice();
        let mask = slots.len().wrapping_sub(1);
        let mut at = mix(sample.address as u64) as usize & mask;
        while let Some(slot) = slots.get_mut(at) {
            if slot.address <= GONE {
                self.used = self.used.wrapping_add(usize::from(slot.address == NONE));
                *slot = sample;
                return;
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// The block at `address`, if it was sampled.
    pub(super) fn find(&mut self, address: usize) -> Option<&mut Sample> {
        let slots = self.live.as_mut_slice();
        let mask = slots.len().wrapping_sub(1);
        let mut at = mix(address as u64) as usize & mask;
        loop {
            match slots.get(at)?.address {
                NONE => return None,
                found if found == address => return slots.get_mut(at),
                _ => at = at.wrapping_add(1) & mask,
            }
        }
    }

    /// Takes out the block at `address`, if it was sampled.
    pub(super) fn take(&mut self, address: usize) -> Option<Sample> {
        let slot = self.find(address)?;
        let taken = *slot;
        slot.address = GONE;
        let sums = &mut self.stacks.as_mut_slice().get_mut(taken.stack)?.sums;
        sums.live_blocks = sums.live_blocks.wrapping_sub(taken.blocks);
        sums.live_bytes = sums.live_bytes.wrapping_sub(taken.bytes);
        Some(taken)
    }

    /// A fresh table of live blocks, twice as long as they need.
    fn make_room(&mut self) -> bool {
        let live = self.live.as_slice().iter().filter(|slot| slot.address > GONE).count();
        let slots = live.wrapping_mul(4).next_power_of_two().max(1024);
        let Some(fresh) = Rows::zeroed(slots) else { return false };
        let old = core::mem::replace(&mut self.live, fresh);
        self.used = 0;
        old.as_slice().iter().filter(|slot| slot.address > GONE).for_each(|slot| self.insert(*slot));
        true
    }

    /// The number of the stack with these frames in `group`.
    fn intern(&mut self, frames: &[usize], group: Name) -> Option<usize> {
        let name = group.as_str().bytes().map(u64::from);
        let key = frames.iter().map(|frame| *frame as u64).chain(name).fold(0, |key, word| mix(key ^ word));
        if self.stacks.as_slice().len().wrapping_mul(2) >= self.by_hash.as_slice().len() {
            self.make_room_for_stacks()?;
        }
        let mask = self.by_hash.as_slice().len().wrapping_sub(1);
        let mut at = key as usize & mask;
        loop {
            let number = *self.by_hash.as_slice().get(at)?;
            let Some(number) = number.checked_sub(1) else { break };
            let stack = self.stacks.as_slice().get(number)?;
            if stack.hash == key && stack.group == group && self.frames_of(stack) == frames {
                return Some(number);
            }
            at = at.wrapping_add(1) & mask;
        }
        let stack = Stack {
            hash: key,
            first: self.frames.as_slice().len(),
            depth: frames.len(),
            group,
            sums: Sums::default(),
        };
        let number = self.stacks.as_slice().len();
        if !self.frames.extend(frames) || !self.stacks.extend(&[stack]) {
            return None;
        }
        *self.by_hash.as_mut_slice().get_mut(at)? = number.wrapping_add(1);
        Some(number)
    }

    fn frames_of(&self, stack: &Stack) -> &[usize] {
        let end = stack.first.wrapping_add(stack.depth);
        self.frames.as_slice().get(stack.first..end).unwrap_or_default()
    }

    fn make_room_for_stacks(&mut self) -> Option<()> {
        let slots = self.by_hash.as_slice().len().wrapping_mul(2).max(1024);
        let mut fresh: Rows<usize> = Rows::zeroed(slots)?;
        let mask = slots.wrapping_sub(1);
        for (number, stack) in self.stacks.as_slice().iter().enumerate() {
            let mut at = stack.hash as usize & mask;
            while *fresh.as_slice().get(at)? != 0 {
                at = at.wrapping_add(1) & mask;
            }
            *fresh.as_mut_slice().get_mut(at)? = number.wrapping_add(1);
        }
        self.by_hash = fresh;
        Some(())
    }
}

/// A copy of the stacks, for the writers of profiles.
pub(crate) struct Snapshot {
    pub(crate) interval_bytes: usize,
    stacks: Vec<Stack>,
    frames: Vec<usize>,
}

impl Snapshot {
    /// Every stack: return addresses, innermost first; the name of its group, empty for none; and
    /// what it stands for.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = (&[usize], &str, &Sums)> {
        self.stacks.iter().filter_map(|stack| {
            let frames = self.frames.get(stack.first..stack.first.wrapping_add(stack.depth))?;
            Some((frames, stack.group.as_str(), &stack.sums))
        })
    }
}

/// Copies the stacks. The memory for the copy is allocated while the lock is not held.
pub(crate) fn snapshot(default_interval_bytes: usize) -> Snapshot {
    let interval_bytes = super::interval().unwrap_or(default_interval_bytes);
    let mut copy = Snapshot { interval_bytes, stacks: Vec::new(), frames: Vec::new() };
    loop {
        let (stacks, frames) = samples::with_records(|records| {
            let (stacks, frames) = (records.stacks.as_slice(), records.frames.as_slice());
            if stacks.len() <= copy.stacks.capacity() && frames.len() <= copy.frames.capacity() {
                copy.stacks.extend_from_slice(stacks);
                copy.frames.extend_from_slice(frames);
            }
            (stacks.len(), frames.len())
        });
        if copy.stacks.len() == stacks && copy.frames.len() == frames {
            return copy;
        }
        copy.stacks.reserve(stacks.wrapping_add(64));
        copy.frames.reserve(frames.wrapping_add(4096));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn stacks_are_kept_once_and_sums_follow_the_live_blocks() {
        let mut records = Records::new();
        let mut shadow: HashMap<usize, usize> = HashMap::new();
        for step in 1..20_000_usize {
            let stack = step * 31 % 700;
            let frames: Vec<usize> = (0..stack % 9 + 1).map(|depth| stack * 100 + depth).collect();
            let stack_number = records.prepare(&frames, Name::NONE).expect("there is memory");
            records.add(step * 16, stack_number, (1000, 64), None);
            shadow.insert(step * 16, stack);
            if step % 3 != 0 {
                let gone = step * 7 % step * 16;
                assert_eq!(records.take(gone).is_some(), shadow.remove(&gone).is_some());
            }
        }
        assert_eq!(records.stacks.as_slice().len(), 700);
        let live: u64 = records.stacks.as_slice().iter().map(|stack| stack.sums.live_bytes).sum();
        assert_eq!(live, shadow.len() as u64 * 64);
        let all: u64 = records.stacks.as_slice().iter().map(|stack| stack.sums.all_blocks).sum();
        assert_eq!(all, 19_999 * 1000);
        for address in shadow.keys() {
            assert!(records.take(*address).is_some());
        }
    }
}
