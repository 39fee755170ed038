//! The heap in characters.

use std::cmp::Reverse;
use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use crate::picture::{Cell, Chunk, Picture, human};

/// Up to this many chunks get a line each, a character a unit; beyond, a character a chunk.
const LINES: usize = 40;
const CHUNKS_A_LINE: usize = 64;
const BAR: usize = 24;

/// The classes that the table shows: those that lose most.
const CLASSES: usize = 16;

pub(crate) fn show(picture: &Picture, out: &mut impl Write) -> io::Result<()> {
    let mapped = picture.sums.mapped();
    writeln!(
        out,
        "{} mapped in {} chunks and {} mappings of their own",
        human(mapped),
        picture.chunks.len(),
        picture.large.len()
    )?;
    for (name, bytes) in picture.sums.parts() {
        writeln!(out, "{name:>20} {:>10}  {}", human(bytes), bar(bytes, mapped))?;
    }
    if picture.chunks.len() <= LINES {
        writeln!(
            out,
            "\nchunks, a character for 64 KiB: in use ░ a quarter … █ all, · purged or fresh, ~ dirty, # records;\n\
             below each, a letter for whose the slab is"
        )?;
        for chunk in &picture.chunks {
            let line: String = chunk.cells.iter().map(character).collect();
            writeln!(out, "{:#014x} {line}", chunk.address)?;
            let letters: String = chunk.cells.iter().map(|cell| letter(picture, cell)).collect();
            if !letters.trim_end().is_empty() {
                writeln!(out, "{:14} {}", "", letters.trim_end())?;
            }
        }
    } else {
        writeln!(out, "\na character for a chunk of 4 MiB: in use ░ a quarter … █ all, · nothing")?;
        for line in picture.chunks.chunks(CHUNKS_A_LINE) {
            let shades: String = line.iter().map(|chunk| shade(in_use(chunk))).collect();
            writeln!(out, "{:#014x} {shades}", line[0].address)?;
        }
    }
    writeln!(out, "\nwhose memory it is:\n{}", shares(picture))?;
    writeln!(out, "\nmost lost between live blocks:\n{}", classes(picture))
}

fn shade(share: f64) -> char {
    match share {
        0.0 => '·',
        ..0.25 => '░',
        ..0.5 => '▒',
        ..0.85 => '▓',
        _ => '█',
    }
}

fn character(cell: &Cell) -> char {
    match cell {
        Cell::Records => '#',
        Cell::Dirty => '~',
        Cell::Clean => '·',
        Cell::Slab(slab) => shade(slab.used as f64 / slab.capacity as f64),
    }
}

fn letter(picture: &Picture, cell: &Cell) -> char {
    match cell {
        Cell::Slab(slab) => picture.letter(slab.group),
        _ => ' ',
    }
}

fn shares(picture: &Picture) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "group", "slabs", "mapped", "live", "large"]);
    for (group, share) in &picture.shares {
        table.add_row([
            picture.letter(*group).to_string(),
            share.name.clone(),
            share.slabs.to_string(),
            human(share.bytes),
            human(share.used),
            human(share.large),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn in_use(chunk: &Chunk) -> f64 {
    let used: f64 = chunk
        .cells
        .iter()
        .map(|cell| match cell {
            Cell::Slab(slab) => slab.used as f64 / slab.capacity as f64,
            _ => 0.0,
        })
        .sum();
    used / (chunk.cells.len() - 1) as f64
}

fn bar(part: usize, whole: usize) -> String {
    let filled = (part * BAR).checked_div(whole).unwrap_or(0);
    "█".repeat(filled) + if part > 0 && filled == 0 { "▏" } else { "" }
}

fn classes(picture: &Picture) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["block", "slabs", "mapped", "live", "lost", "in use of what was touched"]);
    let mut classes: Vec<_> = picture.classes.iter().collect();
    classes.sort_by_key(|(_, class)| Reverse(class.carved - class.used));
    for (block, class) in classes.into_iter().take(CLASSES) {
        table.add_row([
            human(*block),
            class.slabs.to_string(),
            human(class.bytes),
            human(class.used),
            human(class.carved - class.used),
            format!(
                "{:3.0}% {}",
                100.0 * class.used as f64 / class.carved.max(1) as f64,
                bar(class.used, class.carved)
            ),
        ]);
    }
    for column in table.column_iter_mut().take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
