//! Changes one byte of a file in place through a shared mapping; then shows that a private
//! mapping leaves the file alone.
//!
//! ```text
//! cargo run --example map_edit -- FILE --at 3 --byte D
//! ```

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use freestone::map::{Mapping, Msync, Protection};

/// Changes one byte of a file through a shared mapping, and none through a private one.
#[derive(Parser)]
#[command(name = "map_edit")]
struct Arguments {
    /// The file to change
    file: PathBuf,
    /// Which byte, from 0
    #[arg(long, default_value_t = 0)]
    at: usize,
    /// What it becomes: one ASCII character
    #[arg(long, default_value = "#", value_parser = ascii)]
    byte: u8,
}

fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err("give one ASCII character".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match edit(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_edit: {}: {reason}", arguments.file.display());
            ExitCode::FAILURE
        }
    }
}

fn edit(&Arguments { file: ref path, at, byte }: &Arguments) -> Result<(), Box<dyn Error>> {
    let file = File::options().read(true).write(true).open(path)?;
    println!("{}: byte {at} is {}", path.display(), shown(in_file(&file, at)?));

    let mut shared = Mapping::file(&file).shared().protection(Protection::READ_WRITE).map()?;
    write(&mut shared, at, byte)?;
    shared.sync(at..=at, Msync::Sync)?;
    report("shared", &shared, &file, at)?;

    // Any other byte will do, to tell the two apart.
    let other = if byte == b'?' { b'!' } else { b'?' };
    let mut private = Mapping::file(&file).private().protection(Protection::READ_WRITE).map()?;
    write(&mut private, at, other)?;
    report("private", &private, &file, at)
}

fn write(mapping: &mut Mapping, at: usize, byte: u8) -> Result<(), Box<dyn Error>> {
    match mapping.write_at(at, &[byte])? {
        0 => Err(format!("there is no byte {at}: it has {}", mapping.len()).into()),
        _ => Ok(()),
    }
}

fn report(kind: &str, mapping: &Mapping, file: &File, at: usize) -> Result<(), Box<dyn Error>> {
    let mut byte = [0];
    mapping.read_at(at, &mut byte)?;
    println!(
        "through a {kind} mapping: the mapping reads {}, the file reads {}",
        shown(byte[0]),
        shown(in_file(file, at)?)
    );
    Ok(())
}

fn in_file(file: &File, at: usize) -> Result<u8, Box<dyn Error>> {
    let mut byte = [0];
    match file.read_at(&mut byte, at as u64)? {
        0 => Err(format!("there is no byte {at}: it has {}", file.metadata()?.len()).into()),
        _ => Ok(byte[0]),
    }
}

fn shown(byte: u8) -> String {
    format!("'{}'", byte.escape_ascii())
}
