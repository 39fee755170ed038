//! Live bytes as a flame graph.

use std::io::{self, Write};

use inferno::flamegraph::{Options, from_lines};

use super::symbols::Symbols;
use crate::heap::sampling::records::Snapshot;

pub(super) fn write(snapshot: &Snapshot, to: impl Write) -> io::Result<()> {
    let mut symbols = Symbols::default();
    let mut lines = Vec::new();
    for (frames, group, sums) in snapshot.stacks().filter(|(.., sums)| sums.live_bytes != 0) {
        let own = symbols.own_frames(frames);
        let mut names = Vec::new();
        if !group.is_empty() {
            names.push(format!("group {}", group.replace(';', ":")));
        }
        for address in frames.iter().skip(own).rev() {
            names.extend(symbols.at(*address).iter().rev().map(|frame| frame.function.replace(';', ":")));
        }
        lines.push(format!("{} {}", names.join(";"), sums.live_bytes));
    }
    let mut options = Options::default();
    options.title = "Live bytes".into();
    options.count_name = "bytes".into();
    from_lines(&mut options, lines.iter().map(String::as_str), to).map_err(io::Error::other)
}
