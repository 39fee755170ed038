//! One event as bytes, and back. State runs along a thread's events: what is written is how far the
//! sequence number and the id have moved.

use super::{Flaw, Sink};

/// Bytes that an event takes at most: a first byte and five numbers.
pub const LONGEST_EVENT: usize = 1 + 5 * 10;

/// Calls that make or give up a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// malloc.
    Allocate,
    /// calloc.
    Zeroed,
    /// An allocation that names an alignment, as all of Rust's do.
    Aligned,
    /// The same, zeroed.
    ZeroedAligned,
    /// realloc of a block.
    Resize,
    /// free.
    Free,
    /// A free that names the size.
    SizedFree,
}

const ALLOCATE: u8 = 1;
const ZEROED: u8 = 2;
const ALIGNED: u8 = 3;
const RESIZE: u8 = 4;
const FREE: u8 = 5;
const SIZED_FREE: u8 = 6;
/// What is no call: the high half says which.
const MARK: u8 = 7;
const MARK_TIME: u8 = MARK;
const MARK_THREAD: u8 = MARK | 1 << 4;

/// The bits of a first byte that say what it is.
const WHAT: u8 = 7;

/// The bit of a first byte that says that the sequence number has not moved by one.
const GAP: u8 = 8;

/// The bit of an alignment's byte that says that the block is zeroed.
const ALIGNED_ZEROED: u8 = 1 << 6;

/// Blocks are no longer than an address space.
pub const MOST_SIZE: u64 = 1 << 47;

/// Alignments are powers of two below this power.
const MOST_ALIGN_LOG2: u8 = 48;

impl Kind {
    /// Whether the call makes a block where there was none.
    #[must_use]
    pub const fn allocates(self) -> bool {
        matches!(self, Self::Allocate | Self::Zeroed | Self::Aligned | Self::ZeroedAligned)
    }

    /// Whether the call gives a block up.
    #[must_use]
    pub const fn frees(self) -> bool {
        matches!(self, Self::Free | Self::SizedFree)
    }

    /// Whether the call asks for zeroed memory.
    #[must_use]
    pub const fn zeroes(self) -> bool {
        matches!(self, Self::Zeroed | Self::ZeroedAligned)
    }

    #[inline(always)]
    const fn bits(self) -> u8 {
        match self {
            Self::Allocate => ALLOCATE,
            Self::Zeroed => ZEROED,
            Self::Aligned | Self::ZeroedAligned => ALIGNED,
            Self::Resize => RESIZE,
            Self::Free => FREE,
            Self::SizedFree => SIZED_FREE,
        }
    }
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub kind: Kind,
    /// Alignment as a power of two, where the call names one; else zero.
    pub align_log2: u8,
    /// Its place in the order of all calls of the process. Of a realloc: when the old block was
    /// given up.
    pub sequence: u64,
    /// Of a realloc, when the new block was there; else `sequence`.
    pub done: u64,
    /// Bytes requested; zero of a free.
    pub size: u64,
    /// The block made, or given up by a free.
    pub id: u64,
    /// Of a realloc, the block given up; else `id`.
    pub old: u64,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call.
    Call(Call),
    /// Nanoseconds since the machine started, at the calls that follow.
    Time(u64),
    /// The calls that follow are that thread's. Every block begins so.
    Thread(u32),
}

/// A thread's state while its events are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Encoder {
    sequence: u64,
    /// The last id, of whichever call.
    id: u64,
    /// The last id of a block that was made.
    made: u64,
    time: u64,
}

impl Encoder {
    /// Begins a block, or another thread in one. `sequence` is the one before the next call's.
    #[inline]
    pub fn thread(to: &mut impl Sink, thread: u32, sequence: u64, time: u64) -> Self {
        let begun = to.begin();
        number(to, thread.into());
        number(to, sequence);
        number(to, time);
        to.finish(begun, MARK_THREAD);
        Self { sequence, id: 0, made: 0, time }
    }

    /// Says what time it is.
    #[inline]
    pub fn time(&mut self, to: &mut impl Sink, time: u64) {
        let begun = to.begin();
        number(to, time.wrapping_sub(self.time));
        self.time = time;
        to.finish(begun, MARK_TIME);
    }

    /// Writes a call.
    #[inline(always)]
    pub fn call(&mut self, to: &mut impl Sink, call: &Call) {
        let begun = to.begin();
        let gap = call.sequence.wrapping_sub(self.sequence).wrapping_sub(1);
        if gap != 0 {
            number(to, gap);
        }
        self.sequence = call.done;
        let operand = if call.kind.frees() { self.moved(call.id) } else { call.size };
        number(to, operand >> 4);
        if !call.kind.frees() {
            self.rest(to, call);
        }
        let gap = if gap == 0 { 0 } else { GAP };
        to.finish(begun, call.kind.bits() | gap | (operand as u8) << 4);
    }

    /// What an allocation has besides its size.
    #[inline(always)]
    fn rest(&mut self, to: &mut impl Sink, call: &Call) {
        match call.kind {
            Kind::Aligned => to.byte(call.align_log2),
            Kind::ZeroedAligned => to.byte(call.align_log2 | ALIGNED_ZEROED),
            Kind::Resize => {
                let moved = self.moved(call.old);
                number(to, moved);
                number(to, call.done.wrapping_sub(call.sequence).wrapping_sub(1));
            }
            _ => {}
        }
        number(to, zigzag(call.id.wrapping_sub(self.made)));
        (self.id, self.made) = (call.id, call.id);
    }

    /// How far the id is from the last.
    #[inline(always)]
    fn moved(&mut self, id: u64) -> u64 {
        let moved = zigzag(id.wrapping_sub(self.id));
        self.id = id;
        moved
    }
}

/// A difference with its sign in the lowest bit, so that small ones of either sign are small
/// numbers.
#[inline(always)]
fn zigzag(difference: u64) -> u64 {
    let difference = difference as i64;
    (difference << 1 ^ difference >> 63) as u64
}

/// What [`zigzag`] was given.
fn unzigzag(number: u64) -> u64 {
    ((number >> 1) as i64 ^ -((number & 1) as i64)) as u64
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
#[inline(always)]
fn number(to: &mut impl Sink, mut value: u64) {
    while value >= 0x80 {
        to.byte(value as u8 | 0x80);
        value >>= 7;
    }
    to.byte(value as u8);
}

/// Reads what [`Encoder`] wrote.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    state: Encoder,
}

/// Bytes that are no event.
const SENSELESS: Flaw = Flaw::Broken("a block holds what is no event");

impl<'a> Decoder<'a> {
    /// A decoder of a block's events.
    #[must_use]
    pub fn new(events: &'a [u8]) -> Self {
        Self { rest: events, state: Encoder::default() }
    }

    /// The next event; none at the end, or at a zero byte.
    ///
    /// # Errors
    /// The bytes are no event.
    pub fn event(&mut self) -> Result<Option<Event>, Flaw> {
        let Some((&head, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        if head == 0 {
            return Ok(None);
        }
        self.rest = rest;
        match head {
            MARK_TIME => {
                self.state.time = self.state.time.wrapping_add(self.number()?);
                Ok(Some(Event::Time(self.state.time)))
            }
            MARK_THREAD => {
                let thread = u32::try_from(self.number()?).map_err(|_| SENSELESS)?;
                self.state = Encoder { sequence: self.number()?, id: 0, made: 0, time: self.number()? };
                Ok(Some(Event::Thread(thread)))
            }
            _ => self.call(head).map(|call| Some(Event::Call(call))),
        }
    }

    /// Nanoseconds at the last event that said them.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.state.time
    }

    fn call(&mut self, head: u8) -> Result<Call, Flaw> {
        let gap = if head & GAP == 0 { 0 } else { self.number()? };
        let sequence = self.state.sequence.wrapping_add(1).wrapping_add(gap);
        let operand = self.number()?;
        if operand >> 60 != 0 {
            return Err(SENSELESS);
        }
        let operand = operand << 4 | u64::from(head >> 4);
        let (kind, align_log2) = match head & WHAT {
            ALLOCATE => (Kind::Allocate, 0),
            ZEROED => (Kind::Zeroed, 0),
            ALIGNED => self.alignment()?,
            RESIZE => (Kind::Resize, 0),
            FREE => (Kind::Free, 0),
            SIZED_FREE => (Kind::SizedFree, 0),
            _ => return Err(SENSELESS),
        };
        let (mut done, mut old) = (sequence, None);
        let size = if kind.frees() { 0 } else { operand };
        if size > MOST_SIZE {
            return Err(SENSELESS);
        }
        if kind == Kind::Resize {
            let moved = self.number()?;
            old = Some(self.moved(moved));
            done = sequence.wrapping_add(1).wrapping_add(self.number()?);
        }
        let id = if kind.frees() { self.moved(operand) } else { self.made()? };
        self.state.sequence = done;
        Ok(Call { kind, align_log2, sequence, done, size, id, old: old.unwrap_or(id) })
    }

    fn alignment(&mut self) -> Result<(Kind, u8), Flaw> {
        let (&byte, rest) = self.rest.split_first().ok_or(SENSELESS)?;
        self.rest = rest;
        let align_log2 = byte & !ALIGNED_ZEROED;
        if align_log2 > MOST_ALIGN_LOG2 {
            return Err(SENSELESS);
        }
        Ok((if byte == align_log2 { Kind::Aligned } else { Kind::ZeroedAligned }, align_log2))
    }

    fn moved(&mut self, moved: u64) -> u64 {
        self.state.id = self.state.id.wrapping_add(unzigzag(moved));
        self.state.id
    }

    fn made(&mut self) -> Result<u64, Flaw> {
        let moved = self.number()?;
        self.state.made = self.state.made.wrapping_add(unzigzag(moved));
        self.state.id = self.state.made;
        Ok(self.state.id)
    }

    fn number(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for (place, &byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * place);
            if shifted >> (7 * place) != bits {
                return Err(SENSELESS);
            }
            value |= shifted;
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(SENSELESS)
    }
}
