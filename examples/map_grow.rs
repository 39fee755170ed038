//! Writing to an empty file through a mapping: what goes wrong without making the file longer, and
//! how it goes right.
//!
//! ```text
//! cargo run --example map_grow
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use clap::Parser;
use freestone::map::{Builder, Mapping, Placement, Protection};

/// Shows what goes wrong when an empty file is written through a mapping, and how it goes right.
#[derive(Parser)]
#[command(name = "map_grow")]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_grow: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Box<dyn Error>> {
    let file = tempfile::tempfile()?;
    without(&file)?;
    with(&file)
}

fn writable(file: &File) -> Builder<'_> {
    Mapping::file(file).shared().protection(Protection::READ_WRITE)
}

fn without(file: &File) -> Result<(), Box<dyn Error>> {
    println!("An empty file, as it is:");
    match writable(file).map() {
        Ok(_) => return Err("a mapping of no bytes was made".into()),
        Err(error) => println!("  mapping all of it: {error}"),
    }
    let mut mapping = writable(file).len(100).map()?;
    println!(
        "  mapping 100 bytes of it works: {} are mapped, the file has {}",
        mapping.mapped_bytes(),
        bytes(file)?
    );
    match mapping.write_at(0, b"hello") {
        Ok(_) => return Err("the file took a write beyond its end".into()),
        Err(error) => println!("  writing by way of the kernel: {error}"),
    }
    println!("  writing by an instruction, in a child: {}", write_in_child(&mapping)?);
    Ok(())
}

fn with(file: &File) -> Result<(), Box<dyn Error>> {
    println!("The same, made as long as its mapping first (ftruncate):");
    let mut mapping = writable(file).len(100).extend_file().map()?;
    mapping.write_at(0, b"hello")?;
    println!("  the file has {} bytes and begins with {:?}", bytes(file)?, text(file, 0)?);
    println!("  writing by an instruction, in a child: {}", write_in_child(&mapping)?);
    println!("  the file begins with {:?}", text(file, 0)?);

    println!("Mapping and file made longer together (ftruncate and mremap):");
    mapping.resize_with_file(file, 100_000, Placement::MayMove)?;
    mapping.write_at(99_995, b"world")?;
    println!("  the file has {} bytes and ends with {:?}", bytes(file)?, text(file, 99_995)?);
    Ok(())
}

/// Writes one byte in a child process, which that may kill; says what came of it.
fn write_in_child(mapping: &Mapping) -> Result<String, Box<dyn Error>> {
    // What is buffered would be the child's too.
    io::stdout().flush()?;
    // SAFETY: this program has one thread, so its child may do whatever it could.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the byte is mapped and writable; whether a page is behind it is what is asked.
        unsafe { mapping.as_mut_ptr().write_volatile(b'J') };
        // SAFETY: ends the child here, without what its parent wants to do at its end.
        unsafe { libc::_exit(0) }
    }
    let mut status = 0;
    // SAFETY: `status` is writable for the call.
    if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(if !libc::WIFSIGNALED(status) {
        "it works".to_owned()
    } else if libc::WTERMSIG(status) == libc::SIGBUS {
        "killed by SIGBUS: there is no page of the file at that address".to_owned()
    } else {
        format!("killed by signal {}", libc::WTERMSIG(status))
    })
}

fn bytes(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

fn text(file: &File, at: u64) -> io::Result<String> {
    let mut text = [0; 5];
    file.read_exact_at(&mut text, at)?;
    Ok(text.escape_ascii().to_string())
}
