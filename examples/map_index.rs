//! Looks single bytes of a file up, by their index in a mapping of it.
//!
//! ```text
//! cargo run --example map_index -- FILE
//! Enter -1 to quit or enter a number between 0 and 64: 3
//! Received char at 3 is D
//! Enter -1 to quit or enter a number between 0 and 64: 65
//! Received invalid index 65
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use freestone::map::Mapping;

/// Looks single bytes of a file up, by their index. The indices are read from standard input, one a
/// line.
#[derive(Parser)]
#[command(name = "map_index")]
struct Arguments {
    /// The file to look into
    file: PathBuf,
}

/// What a line asks for.
enum Request {
    Quit,
    Byte(i128),
    Nonsense,
}

fn main() -> ExitCode {
    let Arguments { file } = Arguments::parse();
    match converse(&file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_index: {}: {reason}", file.display());
            ExitCode::FAILURE
        }
    }
}

fn converse(path: &Path) -> Result<(), Box<dyn Error>> {
    let mapping = Mapping::file(&File::open(path)?).map()?;
    let mut out = io::stdout().lock();
    let mut lines = io::stdin().lock().lines();
    loop {
        write!(out, "Enter -1 to quit or enter a number between 0 and {}: ", mapping.len() - 1)?;
        out.flush()?;
        let Some(line) = lines.next().transpose()? else {
            writeln!(out)?;
            return Ok(());
        };
        match request(&line) {
            Request::Quit => return Ok(()),
            Request::Nonsense => writeln!(out, "Received no number: {line}")?,
            Request::Byte(index) => match byte_at(&mapping, index)? {
                Some(byte) => writeln!(out, "Received char at {index} is {}", shown(byte))?,
                None => writeln!(out, "Received invalid index {index}")?,
            },
        }
    }
}

fn request(line: &str) -> Request {
    match line.trim().parse() {
        Ok(-1) => Request::Quit,
        Ok(index) => Request::Byte(index),
        Err(_) => Request::Nonsense,
    }
}

/// The byte at `index`, if the mapping has one there.
fn byte_at(mapping: &Mapping, index: i128) -> Result<Option<u8>, freestone::map::Error> {
    let Some(index) = usize::try_from(index).ok().filter(|index| *index < mapping.len()) else {
        return Ok(None);
    };
    let mut byte = [0];
    mapping.read_at(index, &mut byte)?;
    Ok(Some(byte[0]))
}

/// What can be printed as itself, the rest escaped as in a string.
fn shown(byte: u8) -> String {
    match byte {
        b'"' | b'\'' | b'\\' => char::from(byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    }
}
