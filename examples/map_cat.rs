//! Prints a file through a mapping of it, and says why when that can't be done.
//!
//! ```text
//! cargo run --example map_cat -- FILE
//! ```
//!
//! The bytes are copied out by the kernel ([`Mapping::read_at`]), so a file that somebody cuts
//! short meanwhile is an error here, not a `SIGBUS`.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use freestone::map::{Advice, Mapping};

/// Prints a file through a mapping of it.
#[derive(Parser)]
#[command(name = "map_cat")]
struct Arguments {
    /// The file to print
    file: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { file } = Arguments::parse();
    match print(&file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_cat: {}: {reason}", file.display());
            ExitCode::FAILURE
        }
    }
}

fn print(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    if is_empty(&file)? {
        return Ok(()); // No bytes can't be mapped, and needn't be.
    }
    let mapping = Mapping::file(&file).map()?;
    mapping.advise(.., Advice::Sequential)?;
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let bytes = mapping.read_at(at, &mut buffer)?;
        if bytes == 0 {
            return Ok(out.flush()?);
        }
        match out.write_all(&buffer[..bytes]) {
            // Whoever reads has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            answer => answer?,
        }
        at += bytes;
    }
}

/// Whether there is nothing to print: files in /proc say so of themselves, and are wrong.
fn is_empty(mut file: &File) -> io::Result<bool> {
    let facts = file.metadata()?;
    Ok(facts.is_file() && facts.len() == 0 && file.read(&mut [0])? == 0)
}
