//! What another reader of a file sees before and after each kind of msync(2), and what the kernel
//! has still to write to the device.
//!
//! ```text
//! cargo run --example map_sync -- [DIRECTORY]
//! ```
//!
//! The other readers are a second opening of the file and a second mapping of it. What is still
//! to be written is what /proc/self/smaps calls dirty. One row, one write.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use freestone::map::{Mapping, Msync, Protection, Sharing};

/// Shows what other readers of a file see before and after each kind of msync.
#[derive(Parser)]
#[command(name = "map_sync")]
struct Arguments {
    /// Where to make the file; its file system decides what is dirty [default: for temporary files]
    directory: Option<PathBuf>,
}

/// The kinds, by their names in the man page.
const KINDS: [(&str, Msync); 5] = [
    ("MS_ASYNC", Msync::Async),
    ("MS_INVALIDATE", Msync::Invalidate),
    ("MS_ASYNC | MS_INVALIDATE", Msync::AsyncInvalidate),
    ("MS_SYNC", Msync::Sync),
    ("MS_SYNC | MS_INVALIDATE", Msync::SyncInvalidate),
];

/// What is seen at one moment.
struct View {
    by_file: char,
    by_mapping: char,
    dirty: &'static str,
}

/// One file, opened and mapped by a writer and by a reader.
struct Stage {
    writer: Mapping,
    reader_file: File,
    reader_mapping: Mapping,
}

fn main() -> ExitCode {
    let directory = Arguments::parse().directory.unwrap_or_else(std::env::temp_dir);
    match show(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_sync: {}: {reason}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn show(directory: &Path) -> Result<(), Box<dyn Error>> {
    let stages = [
        ("shared", Stage::new(directory, Sharing::Shared)?),
        ("private", Stage::new(directory, Sharing::Private)?),
    ];
    println!("                                              after the write      after msync");
    println!("mapping  msync                     written    file mapping state   file mapping state");
    for (name, mut stage) in stages {
        // A letter a row, none of which the file held before.
        for ((kind, how), written) in KINDS.into_iter().zip('A'..) {
            stage.write(written);
            let before = stage.view()?;
            stage.writer.sync(.., how)?;
            let after = stage.view()?;
            println!("{name:8} {kind:25} {written:7}    {}   {}", before.row(), after.row());
        }
    }
    println!();
    println!("A shared write is seen at once: readers and mappings use the same pages. Only MS_SYNC");
    println!("waits until the device has it (in memory file systems nothing ever gets clean).");
    println!("A private write is nobody else's: no msync makes it the file's.");
    Ok(())
}

impl Stage {
    fn new(directory: &Path, sharing: Sharing) -> Result<Self, Box<dyn Error>> {
        let named = tempfile::NamedTempFile::new_in(directory)?;
        fs::write(named.path(), "-")?;
        named.as_file().sync_all()?;
        let reader_file = File::open(named.path())?;
        let builder = Mapping::file(named.as_file()).protection(Protection::READ_WRITE);
        let writer = match sharing {
            Sharing::Shared => builder.shared().map()?,
            _ => builder.private().map()?,
        };
        Ok(Self { writer, reader_mapping: Mapping::file(&reader_file).shared().map()?, reader_file })
    }

    fn write(&mut self, letter: char) {
        // By an instruction, as a program would.
        // SAFETY: the byte is mapped, writable and in the file, which only this program knows.
        unsafe { self.writer.as_mut_ptr().write_volatile(letter as u8) };
    }

    fn view(&self) -> Result<View, Box<dyn Error>> {
        let mut by_file = [0];
        self.reader_file.read_exact_at(&mut by_file, 0)?;
        let mut by_mapping = [0];
        self.reader_mapping.read_at(0, &mut by_mapping)?;
        let dirty = if dirty_kb(self.writer.address().get())? == 0 { "clean" } else { "dirty" };
        Ok(View { by_file: by_file[0].into(), by_mapping: by_mapping[0].into(), dirty })
    }
}

impl View {
    fn row(&self) -> String {
        format!("{:4} {:7} {:5}", self.by_file, self.by_mapping, self.dirty)
    }
}

/// Kilobytes of the mapping at `address` that are not yet on the device.
fn dirty_kb(address: usize) -> Result<u64, Box<dyn Error>> {
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    let start = format!("{address:x}-");
    let fields = smaps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let dirty = fields
        .take_while(|line| !line.starts_with("VmFlags:"))
        .filter_map(|line| line.strip_prefix("Shared_Dirty:").or(line.strip_prefix("Private_Dirty:")))
        .filter_map(|field| field.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(dirty.sum())
}
