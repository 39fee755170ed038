//! Names for return addresses.

use std::collections::HashMap;

/// A function that was running at an address.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// Addresses that were looked up.
#[derive(Default)]
pub(super) struct Symbols(HashMap<usize, Vec<Frame>>);

impl Symbols {
    /// The functions at a return address: the innermost first, more than one where some are
    /// inlined.
    pub(super) fn at(&mut self, address: usize) -> &[Frame] {
        self.0.entry(address).or_insert_with(|| look_up(address))
    }

    /// How many frames at the beginning of a stack are the allocator's own ways.
    pub(super) fn own_frames(&mut self, frames: &[usize]) -> usize {
        let last =
            frames.iter().rposition(|address| self.at(*address).iter().any(|frame| is_own(&frame.function)));
        last.map_or(0, |last| last.wrapping_add(1).min(frames.len().saturating_sub(1)))
    }
}

/// The shims between a program and its allocator, and the allocator itself.
fn is_own(function: &str) -> bool {
    const OWN: [&str; 5] = ["__rust_alloc", "__rust_realloc", "__rustc::", "freestone::", "<freestone::"];
    OWN.iter().any(|own| function.starts_with(own)) && !function.contains("rust_begin_short_backtrace")
}

fn look_up(address: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    // A return address is behind its call, perhaps in the next line or function.
    let call = core::ptr::without_provenance_mut(address.wrapping_sub(1));
    backtrace::resolve(call, |symbol| {
        frames.push(Frame {
            function: symbol.name().map_or_else(|| format!("{address:#x}"), |name| format!("{name:#}")),
            file: symbol.filename().map_or_else(String::new, |file| file.display().to_string()),
            line: symbol.lineno().unwrap_or(0),
        });
    });
    if frames.is_empty() {
        frames.push(Frame { function: format!("{address:#x}"), file: String::new(), line: 0 });
    }
    frames
}
