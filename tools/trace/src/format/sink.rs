//! Where encoded events go: a vector, or memory of a fixed length.

use std::sync::atomic::{Ordering, compiler_fence};

/// A place for the bytes of events. The first byte of an event is written last, so that a process
/// that is killed in between leaves a zero there, which ends the events.
pub trait Sink {
    /// Leaves room for an event's first byte.
    fn begin(&mut self) -> usize;
    /// Adds a byte.
    fn byte(&mut self, byte: u8);
    /// Writes the first byte of the event that [`Sink::begin`] began.
    fn finish(&mut self, begun: usize, head: u8);
}

impl Sink for Vec<u8> {
    fn begin(&mut self) -> usize {
        self.push(0);
        self.len() - 1
    }

    fn byte(&mut self, byte: u8) {
        self.push(byte);
    }

    fn finish(&mut self, begun: usize, head: u8) {
        self[begun] = head;
    }
}

/// Memory with room for at least one event.
#[derive(Debug)]
pub struct PointerSink {
    start: *mut u8,
    length: usize,
}

impl PointerSink {
    /// A sink that begins at `start`.
    ///
    /// # Safety
    /// [`super::LONGEST_EVENT`] bytes from `start` are the caller's for each event that is encoded.
    #[must_use]
    pub const unsafe fn new(start: *mut u8) -> Self {
        Self { start, length: 0 }
    }

    /// Bytes written.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }
}

impl Sink for PointerSink {
    #[inline(always)]
    fn begin(&mut self) -> usize {
        self.length += 1;
        self.length - 1
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        // SAFETY: no event is longer than the room that `new` was promised.
        unsafe { self.start.add(self.length).write(byte) };
        self.length += 1;
    }

    #[inline(always)]
    fn finish(&mut self, begun: usize, head: u8) {
        // A process that is killed sees the stores of one thread in their order.
        compiler_fence(Ordering::Release);
        // SAFETY: `begun` lies before `length`.
        unsafe { self.start.add(begun).write_volatile(head) };
    }
}
