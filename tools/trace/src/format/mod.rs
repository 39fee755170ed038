//! The file: a header, then blocks of events. `README.md` has it byte by byte.

mod event;
mod reader;
mod sink;
mod writer;

use std::fmt;

pub use event::{Call, Decoder, Encoder, Event, Kind, LONGEST_EVENT, MOST_SIZE};
pub use reader::{TimedCall, Trace, read};
pub use sink::{PointerSink, Sink};
pub use writer::write;

/// The first bytes of every trace.
pub const MAGIC: [u8; 8] = *b"FSTRACE\0";

/// The version that this library writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 64;

/// Bytes of a block's header.
pub const BLOCK_HEADER_BYTES: usize = 16;

/// The first bytes of every block.
pub const BLOCK_MAGIC: [u8; 4] = *b"BLK\0";

/// Bytes of a recording that a thread claims at once.
pub const EXTENT_BYTES: usize = 64 << 10;

/// Bytes of events that a block may have at most.
pub const MOST_EVENT_BYTES: usize = 1 << 20;

/// Longest name of a program, in bytes.
pub const NAME_BYTES: usize = 32;

/// How a block holds its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As they are. A zero byte ends them.
    Stored = 0,
    /// Compressed by zlib, whose checksum is the block's.
    Zlib = 1,
    /// No events: the end of a packed file.
    End = 2,
}

impl Codec {
    /// The codec of that number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::Stored, Self::Zlib, Self::End].into_iter().find(|&codec| codec as u8 == number)
    }
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Written by the recorded process itself. Ids are addresses. It ends anywhere.
    Recording = 0,
    /// Numbered and compressed. It ends with [`Codec::End`].
    Packed = 1,
}

/// A file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How far the file has come.
    pub stage: Stage,
    /// The process, as the kernel numbers it.
    pub process: u32,
    /// The process that started it.
    pub parent: u32,
    /// The last part of the executable's path, cut to [`NAME_BYTES`].
    pub name: String,
    /// Of a packed file: frees of unknown blocks, which it leaves out.
    pub foreign: u32,
    /// Of a packed file: frees that the recording missed, which it has put in.
    pub missed: u32,
}

impl Header {
    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = header_bytes(self.stage, self.process, self.parent, self.name.as_bytes());
        bytes[56..60].copy_from_slice(&self.foreign.to_le_bytes());
        bytes[60..].copy_from_slice(&self.missed.to_le_bytes());
        bytes
    }

    /// The header at the start of `file`.
    ///
    /// # Errors
    /// The file is no trace, or one of another version.
    pub fn from_bytes(file: &[u8]) -> Result<Self, Flaw> {
        let header: &[u8; HEADER_BYTES] = file.first_chunk().ok_or(Flaw::Foreign)?;
        if header[..8] != MAGIC {
            return Err(Flaw::Foreign);
        }
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(8) != VERSION {
            return Err(Flaw::Version(word(8)));
        }
        let stage = match word(12) {
            0 => Stage::Recording,
            1 => Stage::Packed,
            _ => return Err(Flaw::Broken("its header names no stage")),
        };
        let name = header[24..24 + NAME_BYTES].split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(Self {
            stage,
            process: word(16),
            parent: word(20),
            name: String::from_utf8_lossy(name).into_owned(),
            foreign: word(56),
            missed: word(60),
        })
    }
}

/// A header made without asking for memory. A longer name is cut.
#[must_use]
pub fn header_bytes(stage: Stage, process: u32, parent: u32, name: &[u8]) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let fields = [
        (0, &MAGIC[..]),
        (8, &VERSION.to_le_bytes()),
        (12, &(stage as u32).to_le_bytes()),
        (16, &process.to_le_bytes()),
        (20, &parent.to_le_bytes()),
        (24, name),
    ];
    for (at, field) in fields {
        // What lies behind the name is not its.
        for (to, from) in bytes[..24 + NAME_BYTES].iter_mut().skip(at).zip(field) {
            *to = *from;
        }
    }
    bytes
}

/// A block's header: how it is held, the bytes that follow, and the bytes of its events.
#[must_use]
pub fn block_header_bytes(codec: Codec, held: u32, events: u32) -> [u8; BLOCK_HEADER_BYTES] {
    let [m0, m1, m2, m3] = BLOCK_MAGIC;
    let [h0, h1, h2, h3] = held.to_le_bytes();
    let [e0, e1, e2, e3] = events.to_le_bytes();
    [m0, m1, m2, m3, codec as u8, 0, 0, 0, h0, h1, h2, h3, e0, e1, e2, e3]
}

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It does not begin as a trace does.
    Foreign,
    /// It is a trace of another version.
    Version(u32),
    /// It ends before its end, after that many whole blocks.
    Cut(usize),
    /// It contradicts itself.
    Broken(&'static str),
}

impl fmt::Display for Flaw {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Foreign => write!(to, "not a trace: it does not begin as one"),
            Self::Version(version) => {
                write!(to, "a trace of version {version}; this program reads version {VERSION}")
            }
            Self::Cut(blocks) => write!(to, "cut: it ends after {blocks} whole blocks, without its end"),
            Self::Broken(how) => write!(to, "broken: {how}"),
        }
    }
}

impl std::error::Error for Flaw {}
