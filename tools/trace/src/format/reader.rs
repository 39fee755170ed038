//! A file's calls, in the order of the whole process.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, Call, Codec, Decoder, EXTENT_BYTES, Event, Flaw, HEADER_BYTES, Header,
    MOST_EVENT_BYTES, Stage,
};

/// A call, the thread that made it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedCall {
    /// The call.
    pub call: Call,
    /// The thread, numbered by the recording.
    pub thread: u32,
    /// Nanoseconds since the machine started, as coarse as the recording's marks.
    pub time: u64,
}

/// A file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The file's header.
    pub header: Header,
    /// Every call, by sequence number.
    pub calls: Vec<TimedCall>,
}

/// Reads `file`. A recording is read to its last whole block, for whatever ended the process. A
/// packed file must be whole.
///
/// # Errors
/// The file is no trace, of another version, cut, or broken.
pub fn read(file: &[u8]) -> Result<Trace, Flaw> {
    let header = Header::from_bytes(file)?;
    let mut reader = Reader { at: HEADER_BYTES, file, calls: Vec::new(), events: Vec::new() };
    let mut blocks = 0;
    loop {
        match reader.block() {
            Ok(Found::Events) => blocks += 1,
            Ok(Found::Nothing) => {}
            Ok(Found::End) if reader.at == file.len() => break,
            Ok(Found::End) => return Err(Flaw::Broken("something follows its end")),
            Err(Flaw::Cut(_)) if header.stage == Stage::Recording => break,
            Err(Flaw::Cut(_)) => return Err(Flaw::Cut(blocks)),
            Err(flaw) => return Err(flaw),
        }
    }
    let mut calls = reader.calls;
    // Stable, and nearly sorted already where there is one thread.
    calls.sort_by_key(|timed| timed.call.sequence);
    Ok(Trace { header, calls })
}

enum Found {
    Events,
    Nothing,
    End,
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    calls: Vec<TimedCall>,
    events: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Flaw> {
        let end = self.at.checked_add(bytes).filter(|&end| end <= self.file.len()).ok_or(Flaw::Cut(0))?;
        let taken = &self.file[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn block(&mut self) -> Result<Found, Flaw> {
        let header = self.take(BLOCK_HEADER_BYTES)?;
        if header.iter().all(|&byte| byte == 0) {
            return self.skip_extent();
        }
        if header[..4] != BLOCK_MAGIC {
            return Err(Flaw::Broken("a block does not begin as one"));
        }
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (held, length) = (word(8) as usize, word(12) as usize);
        if length > MOST_EVENT_BYTES || held > 2 * MOST_EVENT_BYTES {
            return Err(Flaw::Broken("a block is longer than blocks may be"));
        }
        match Codec::of(header[4]).ok_or(Flaw::Broken("a block is held in an unknown way"))? {
            Codec::End => Ok(Found::End),
            Codec::Stored => {
                let events = self.take(held)?;
                self.decode(events)?;
                Ok(Found::Events)
            }
            Codec::Zlib => {
                let held = self.take(held)?;
                let mut events = std::mem::take(&mut self.events);
                inflate(held, length, &mut events)?;
                self.decode(&events)?;
                self.events = events;
                Ok(Found::Events)
            }
        }
    }

    /// An extent that a process has claimed and not begun.
    fn skip_extent(&mut self) -> Result<Found, Flaw> {
        let next = self.at.next_multiple_of(EXTENT_BYTES);
        self.take(next - self.at)?;
        Ok(Found::Nothing)
    }

    fn decode(&mut self, events: &[u8]) -> Result<(), Flaw> {
        let mut decoder = Decoder::new(events);
        let mut thread = None;
        while let Some(event) = decoder.event()? {
            match event {
                Event::Thread(number) => thread = Some(number),
                Event::Time(_) => {}
                Event::Call(call) => {
                    let thread = thread.ok_or(Flaw::Broken("a block does not begin with its thread"))?;
                    self.calls.push(TimedCall { call, thread, time: decoder.time() });
                }
            }
        }
        Ok(())
    }
}

fn inflate(held: &[u8], length: usize, events: &mut Vec<u8>) -> Result<(), Flaw> {
    events.clear();
    // One byte more than there may be, to see that there is not.
    let read = ZlibDecoder::new(held).take(length as u64 + 1).read_to_end(events);
    match read {
        Ok(got) if got == length => Ok(()),
        Ok(_) => Err(Flaw::Broken("a block has another length than it says")),
        Err(_) => Err(Flaw::Broken("a block's checksum or compression is wrong")),
    }
}
