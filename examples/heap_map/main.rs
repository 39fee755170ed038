//! Draws the heap: fills one with blocks of all sizes, frees some, and shows what is where, on the
//! terminal and as an SVG. A program of your own draws itself by the same few calls.
//!
//! ```text
//! cargo run --release --example heap_map -- --mib 2048 --out heap_map.svg
//! ```

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use freestone::groups::Group;
use rand::{RngExt, SeedableRng, rngs::StdRng};

mod drawing;
mod picture;
mod terminal;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

#[derive(Parser)]
#[command(about = "Draws a heap, on the terminal and as an SVG")]
struct Options {
    /// How much to allocate, in MiB; a part of it is freed again
    #[arg(long, default_value_t = 256)]
    mib: usize,
    /// Where the drawing goes
    #[arg(long, default_value = "heap_map.svg")]
    out: PathBuf,
    /// Seed of the random sizes
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Whose the blocks of two phases each are; those of the last two are no group's.
static GROUPS: [Group; 2] = [Group::new("short"), Group::new("long")];

/// A heap with a past: phases of different sizes, of which the older are mostly gone.
fn heap_with_a_past(options: &Options) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let phases = [(16, 64), (24, 512), (200, 4000), (2000, 60_000), (60_000, 900_000), (2 << 20, 12 << 20)];
    for (number, (least, most)) in phases.into_iter().enumerate() {
        let mut left = options.mib * (1 << 20) / phases.len();
        let group = GROUPS.get(number / 2);
        let mut phase = Vec::new();
        while left > 0 {
            let bytes = random.random_range(least..most);
            let make = || black_box(vec![1; bytes]);
            phase.push(group.map_or_else(make, |group| group.enter(make)));
            left = left.saturating_sub(bytes);
        }
        // Neighbours in time die together, as in most programs: runs of blocks, not single ones.
        let mut alive = true;
        let mut run = 0;
        phase.retain(|_| {
            if run == 0 {
                alive = random.random_range(0..10) < 3 + number;
                run = random.random_range(1..(1 << 22) / most + 2);
            }
            run -= 1;
            alive
        });
        kept.append(&mut phase);
        if number == 3 {
            freestone::purge();
        }
    }
    kept
}

fn main() -> ExitCode {
    let options = Options::parse();
    let kept = heap_with_a_past(&options);
    let picture = picture::Picture::now();
    let shown = terminal::show(&picture, &mut std::io::stdout().lock());
    let drawn = svg::save(&options.out, &drawing::draw(&picture));
    drop(kept);
    if let Err(error) = shown.and(drawn) {
        eprintln!("heap_map: {}: {error}", options.out.display());
        return ExitCode::FAILURE;
    }
    eprintln!("drawn in {}", options.out.display());
    ExitCode::SUCCESS
}
