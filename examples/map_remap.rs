//! A mapping grown from 4 KiB to 4 GiB by moving page tables (mremap(2)), with addresses and
//! times, against copying into ever larger mappings.
//!
//! ```text
//! cargo run --release --example map_remap -- [--to-mb 4096] [--filled-mb 256]
//! ```
//!
//! Only the first `--filled-mb` of either are written, so that is what copying copies and what
//! takes memory: up to three times as much for a moment. The rest is address space.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use freestone::map::{Mapping, Placement};

/// Grows a mapping from 4 KiB to 4 GiB by moving page tables, and by copying.
#[derive(Parser)]
#[command(name = "map_remap")]
struct Arguments {
    /// The last size, in MiB
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    to_mb: u32,
    /// How much of it is filled, in MiB
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    filled_mb: u32,
}

/// Where growing starts, and its factor.
const FROM_BYTES: usize = 4 << 10;
const FACTOR: usize = 4;

fn main() -> ExitCode {
    let Arguments { to_mb, filled_mb } = Arguments::parse();
    match show((to_mb as usize) << 20, (filled_mb as usize) << 20) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_remap: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn show(to: usize, filled: usize) -> Result<(), Box<dyn Error>> {
    let mut moved = fresh(FROM_BYTES)?;
    let mut copied = fresh(FROM_BYTES)?;
    fill(&mut moved, 0, FROM_BYTES)?;
    fill(&mut copied, 0, FROM_BYTES)?;
    println!("{:>9}  {:>9}  {:>10}  {:>10}  moved by mremap", "to", "filled", "mremap", "copying");
    let mut bytes = FROM_BYTES;
    while bytes < to {
        let next = (bytes * FACTOR).min(to);
        let used = bytes.min(filled);
        let before = moved.as_ptr();
        let remapping = timed(|| Ok(moved.resize(next, Placement::MayMove)?))?;
        let copying = timed(|| copy_to(&mut copied, next, used))?;
        check(&moved, used)?;
        check(&copied, used)?;
        let way =
            if before == moved.as_ptr() { "grew in place".to_owned() } else { format!("from {before:p}") };
        println!(
            "{:>9}  {:>9}  {:>10}  {:>10}  {way}, at {:p}",
            size(next),
            size(used),
            time(remapping),
            time(copying),
            moved.as_ptr()
        );
        fill(&mut moved, used, next.min(filled))?;
        fill(&mut copied, used, next.min(filled))?;
        bytes = next;
    }
    Ok(())
}

fn fresh(bytes: usize) -> Result<Mapping, freestone::map::Error> {
    // Most of it is never touched: no promise of memory is needed.
    Mapping::anonymous(bytes).no_reserve().map()
}

/// The other way: a new mapping, the bytes in use copied, the old one gone.
fn copy_to(mapping: &mut Mapping, bytes: usize, used: usize) -> Result<(), Box<dyn Error>> {
    let mut larger = fresh(bytes)?;
    larger.as_mut_slice()?[..used].copy_from_slice(&mapping.as_slice()?[..used]);
    *mapping = larger;
    Ok(())
}

/// What is to be found at `place`, whatever moves.
fn mark(place: usize) -> u8 {
    (place / FROM_BYTES % 251) as u8 + 1
}

fn fill(mapping: &mut Mapping, from: usize, to: usize) -> Result<(), Box<dyn Error>> {
    for (number, page) in mapping.as_mut_slice()?[from..to].chunks_mut(FROM_BYTES).enumerate() {
        page.fill(mark(from + number * FROM_BYTES));
    }
    Ok(())
}

fn check(mapping: &Mapping, used: usize) -> Result<(), Box<dyn Error>> {
    let slice = mapping.as_slice()?;
    let lost = (0..used).step_by(FROM_BYTES).find(|place| slice[*place] != mark(*place));
    match lost {
        None => Ok(()),
        Some(place) => Err(format!("byte {place} was lost").into()),
    }
}

fn timed(job: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    job()?;
    Ok(start.elapsed())
}

fn time(time: Duration) -> String {
    match time.as_nanos() {
        0..10_000_000 => format!("{} µs", time.as_micros()),
        _ => format!("{} ms", time.as_millis()),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
