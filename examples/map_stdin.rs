//! What mapping standard input does for a file, a pipe and a terminal, and why.
//!
//! ```text
//! cargo run --example map_stdin < Cargo.toml
//! cat Cargo.toml | cargo run --example map_stdin
//! cargo run --example map_stdin
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;

use clap::Parser;
use freestone::map::Mapping;

/// Shows what mapping standard input does: give it a file, a pipe or a terminal.
#[derive(Parser)]
#[command(name = "map_stdin")]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_stdin: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Box<dyn Error>> {
    let stdin = io::stdin();
    println!("standard input is {}", kind()?);
    match Mapping::file(&stdin).map() {
        Ok(mapping) => {
            println!("mapping it works: {} bytes at {:p}", mapping.len(), mapping.as_ptr());
            println!(
                "why: a file's bytes lie in pages that have a place, and stay there; a mapping shows them"
            );
            println!("all, from the file's beginning, however far it has been read already");
        }
        Err(error) => {
            println!("mapping it whole: {error}");
            match Mapping::file(&stdin).len(1).map() {
                Ok(_) => println!("mapping its first byte works: it is a device made for that"),
                Err(error) => println!("mapping its first byte: {error}"),
            }
            println!("why: what passes through has no place to be found at later, and is gone once read");
        }
    }
    Ok(())
}

fn kind() -> io::Result<&'static str> {
    let stdin = io::stdin();
    let kind = File::from(stdin.as_fd().try_clone_to_owned()?).metadata()?.file_type();
    Ok(if stdin.is_terminal() {
        "a terminal"
    } else if kind.is_file() {
        "a file"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a directory"
    } else {
        "a device"
    })
}
