//! A packed file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::{Codec, Encoder, Header, Stage, Trace, block_header_bytes};

/// Bytes of events from which a block is closed.
const FULL: usize = 256 << 10;

/// A thread's block that is being filled.
#[derive(Default)]
struct Open {
    events: Vec<u8>,
    encoder: Encoder,
    time: u64,
    sequence: u64,
}

/// Writes `trace` as a packed file. Its calls are written as they are.
///
/// # Errors
/// `to` cannot be written.
pub fn write(trace: &Trace, to: &mut impl Write) -> io::Result<()> {
    to.write_all(&Header { stage: Stage::Packed, ..trace.header.clone() }.to_bytes())?;
    let mut open: BTreeMap<u32, Open> = BTreeMap::new();
    for timed in &trace.calls {
        let block = open.entry(timed.thread).or_default();
        if block.events.is_empty() {
            block.encoder = Encoder::thread(&mut block.events, timed.thread, block.sequence, timed.time);
        } else if block.time != timed.time {
            block.encoder.time(&mut block.events, timed.time);
        }
        block.time = timed.time;
        block.encoder.call(&mut block.events, &timed.call);
        block.sequence = timed.call.done;
        if block.events.len() >= FULL {
            close(block, to)?;
        }
    }
    for block in open.values_mut().filter(|block| !block.events.is_empty()) {
        close(block, to)?;
    }
    to.write_all(&block_header_bytes(Codec::End, 0, 0))
}

fn close(block: &mut Open, to: &mut impl Write) -> io::Result<()> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&block.events)?;
    let held = zlib.finish()?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a block is short");
    to.write_all(&block_header_bytes(Codec::Zlib, length(&held), length(&block.events)))?;
    to.write_all(&held)?;
    block.events.clear();
    Ok(())
}
