//! The heap as an SVG: a tile a chunk, a square a unit; large mappings to the same scale; what is
//! lost to fragmentation by class.

use std::collections::BTreeMap;
use std::fmt::Write;

use svg::Document;
use svg::node::element::{Group, Path, Rectangle, Text, Title};

use crate::picture::{Cell, Chunk, Picture, human};

const WIDTH: usize = 1480;
const MARGIN: usize = 24;
/// A unit's square, and the squares along a tile's side.
const SQUARE: usize = 6;
const SIDE: usize = 8;
const TILE: usize = SQUARE * SIDE;
const PITCH: usize = TILE + 6;
/// Chunks that a row of tiles holds.
const TILES: usize = (WIDTH - 2 * MARGIN) / PITCH;

const INK: &str = "#1f2933";
const FAINT: &str = "#7b8794";
const CLEAN: &str = "#eef1f4";
const DIRTY: &str = "#f2b134";
const RECORDS: &str = "#52606d";
const LARGE: &str = "#3e7cb1";
const RETAINED: &str = "#b9d4ea";
const LIVE: &str = "#57ad63";
const LOST: &str = "#e0656f";
const UNTOUCHED: &str = "#dfe4e9";

/// Slabs' colours by block size, empty to full.
const FAMILIES: [(usize, &str, [&str; 4]); 5] = [
    (64, "blocks to 64 B", ["#e3d9f2", "#bfa6e0", "#9467c8", "#6a3aa8"]),
    (512, "to 512 B", ["#d6ecd8", "#9fd3a5", "#57ad63", "#2b7d38"]),
    (8192, "to 8 KiB", ["#cfe9ec", "#8fcdd4", "#3ea3ae", "#1b727c"]),
    (65_536, "to 64 KiB", ["#fbdfe0", "#f2abb0", "#e0656f", "#b0323f"]),
    (1 << 20, "to 1 MiB", ["#f3e3d3", "#dcb88f", "#b98446", "#85581f"]),
];

fn colour(block: usize, share: f64) -> &'static str {
    let (_, _, shades) = FAMILIES.iter().find(|(most, ..)| block <= *most).unwrap_or(&FAMILIES[4]);
    shades[((share * 4.0) as usize).min(3)]
}

fn cell_colour(cell: &Cell) -> &'static str {
    match cell {
        Cell::Records => RECORDS,
        Cell::Dirty => DIRTY,
        Cell::Clean => CLEAN,
        Cell::Slab(slab) => colour(slab.block, slab.used as f64 / slab.capacity as f64),
    }
}

/// A drawing that grows downwards.
struct Sheet {
    document: Document,
    y: usize,
}

pub(crate) fn draw(picture: &Picture) -> Document {
    let document = Document::new()
        .set("font-family", "DejaVu Sans, Helvetica, Arial, sans-serif")
        .set("font-size", 13)
        .set("fill", INK);
    let mut sheet = Sheet { document, y: MARGIN };
    sheet.rectangle(0, 0, WIDTH, 100_000, "#ffffff", "");
    sheet.heading(picture);
    sheet.bar(picture);
    sheet.legend();
    sheet.chunks(picture);
    sheet.large(picture);
    sheet.shares(picture);
    sheet.classes(picture);
    let height = sheet.y + MARGIN;
    sheet.document.set("viewBox", (0, 0, WIDTH, height)).set("width", WIDTH).set("height", height)
}

impl Sheet {
    fn put(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        svg::Node::append(&mut self.document, node);
    }

    fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, fill: &str, title: &str) {
        let rectangle = Rectangle::new()
            .set("x", x)
            .set("y", y)
            .set("width", width)
            .set("height", height)
            .set("fill", fill);
        self.put(if title.is_empty() { rectangle } else { rectangle.add(Title::new(title)) });
    }

    /// A colour's meaning.
    fn swatch(&mut self, x: usize, y: usize, fill: &str, text: impl Into<String>) {
        let square = Rectangle::new().set("x", x).set("y", y).set("width", 12).set("height", 12);
        self.put(square.set("fill", fill).set("stroke", FAINT).set("stroke-width", 0.5));
        self.text(x + 18, y + 11, text, "start", INK);
    }

    fn text(&mut self, x: usize, y: usize, text: impl Into<String>, anchor: &str, fill: &str) {
        self.put(Text::new(text).set("x", x).set("y", y).set("text-anchor", anchor).set("fill", fill));
    }

    fn title(&mut self, text: String) {
        self.y += 34;
        self.put(
            Text::new(text).set("x", MARGIN).set("y", self.y).set("font-size", 16).set("font-weight", "bold"),
        );
        self.y += 12;
    }

    fn heading(&mut self, picture: &Picture) {
        let sums = &picture.sums;
        let live = sums.used + sums.large;
        let text = format!("{} live of {} mapped", human(live), human(sums.mapped()));
        self.y += 14;
        self.put(
            Text::new(text).set("x", MARGIN).set("y", self.y).set("font-size", 24).set("font-weight", "bold"),
        );
        self.y += 16;
    }

    /// The whole as one bar, a part for each kind of memory, named below.
    fn bar(&mut self, picture: &Picture) {
        let fills = [LIVE, LARGE, LOST, UNTOUCHED, DIRTY, CLEAN, RETAINED, RECORDS];
        let (width, mapped) = (WIDTH - 2 * MARGIN, picture.sums.mapped().max(1));
        let (mut x, mut name_x) = (MARGIN, MARGIN);
        for ((name, bytes), fill) in picture.sums.parts().into_iter().zip(fills) {
            let part = width * bytes / mapped;
            self.rectangle(x, self.y, part, 28, fill, &format!("{name}: {}", human(bytes)));
            x += part;
            let text = format!("{name} {}", human(bytes));
            let room = 32 + 8 * text.len();
            self.swatch(name_x, self.y + 40, fill, text);
            name_x += room;
        }
        let outline =
            Rectangle::new().set("x", MARGIN).set("y", self.y).set("width", width).set("height", 28);
        self.put(outline.set("fill", "none").set("stroke", FAINT));
        self.y += 56;
    }

    fn legend(&mut self) {
        self.title(
            "Chunks: a tile for 4 MiB, a square for 64 KiB, the darker the more of it is in use".into(),
        );
        let mut x = MARGIN;
        for (_, name, shades) in FAMILIES {
            for shade in shades {
                self.rectangle(x, self.y, 14, 14, shade, "");
                x += 14;
            }
            self.text(x + 6, self.y + 12, name, "start", INK);
            x += 122;
        }
        for (name, fill) in [("dirty", DIRTY), ("purged or fresh", CLEAN), ("records", RECORDS)] {
            self.swatch(x, self.y + 1, fill, name);
            x += 46 + 7 * name.len();
        }
        self.y += 30;
    }

    fn chunks(&mut self, picture: &Picture) {
        // One path a colour: tens of thousands of squares stay a small drawing.
        let mut squares: BTreeMap<&str, String> = BTreeMap::new();
        let mut tips = Group::new().set("fill", "#ffffff").set("fill-opacity", 0);
        for (index, chunk) in picture.chunks.iter().enumerate() {
            let (left, top) = (MARGIN + index % TILES * PITCH, self.y + index / TILES * PITCH);
            for (place, cell) in chunk.cells.iter().enumerate() {
                let (x, y) = (left + place % SIDE * SQUARE, top + place / SIDE * SQUARE);
                let path = squares.entry(cell_colour(cell)).or_default();
                let _ = write!(path, "M{x} {y}h{SQUARE}v{SQUARE}h-{SQUARE}z");
            }
            let tip = Rectangle::new().set("x", left).set("y", top).set("width", TILE).set("height", TILE);
            tips = tips.add(tip.add(Title::new(tip_of(chunk))));
        }
        for (colour, path) in squares {
            let stroke = Path::new().set("d", path).set("fill", colour);
            self.put(stroke.set("stroke", "#ffffff").set("stroke-width", 0.6));
        }
        self.put(tips);
        self.y += picture.chunks.len().div_ceil(TILES) * PITCH;
    }

    /// Each mapping as long as its squares would be in a row of height [`TILE`].
    fn large(&mut self, picture: &Picture) {
        if picture.large.is_empty() {
            return;
        }
        self.title("Mappings of their own, to the same scale, a row at most".into());
        self.swatch(MARGIN, self.y, LARGE, "live");
        self.swatch(MARGIN + 80, self.y, RETAINED, "freed, waiting for reuse");
        self.y += 22;
        let mut x = MARGIN;
        for (address, bytes, live) in &picture.large {
            let columns = bytes.div_ceil(65_536).div_ceil(SIDE);
            let width = (columns * SQUARE).clamp(4, WIDTH - 2 * MARGIN);
            if x + width > WIDTH - MARGIN {
                x = MARGIN;
                self.y += PITCH;
            }
            let fill = if *live { LARGE } else { RETAINED };
            self.rectangle(x, self.y, width, TILE, fill, &format!("{address:#x}: {}", human(*bytes)));
            x += width + 3;
        }
        self.y += PITCH;
    }

    /// A bar a group: live in slabs, the rest of its slabs, large allocations.
    fn shares(&mut self, picture: &Picture) {
        self.title("Whose memory it is".into());
        self.swatch(MARGIN, self.y, LIVE, "live, in slabs");
        self.swatch(MARGIN + 140, self.y, UNTOUCHED, "the rest of the slabs");
        self.swatch(MARGIN + 330, self.y, LARGE, "large");
        self.y += 24;
        let most = picture.shares.values().map(|share| share.bytes + share.large).max().unwrap_or(1).max(1);
        let left = MARGIN + 210;
        let length = |bytes: usize| (WIDTH - left - 330) * bytes / most;
        for share in picture.shares.values() {
            let (slabs, large) = (length(share.bytes), length(share.large));
            self.text(left - 10, self.y + 13, share.name.clone(), "end", INK);
            self.rectangle(left, self.y + 2, slabs, 14, UNTOUCHED, "");
            self.rectangle(left, self.y + 2, length(share.used), 14, LIVE, "");
            self.rectangle(left + slabs, self.y + 2, large, 14, LARGE, "");
            let live = human(share.used + share.large);
            let text = format!("{live} live, {} slabs", share.slabs);
            self.text(left + slabs + large + 8, self.y + 13, text, "start", FAINT);
            self.y += 19;
        }
    }

    /// A bar a class: live, free but touched (lost to fragmentation), untouched.
    fn classes(&mut self, picture: &Picture) {
        self.title("Fragmentation by block size".into());
        self.swatch(MARGIN, self.y, LIVE, "live");
        self.swatch(MARGIN + 80, self.y, LOST, "free between live blocks");
        self.swatch(MARGIN + 300, self.y, UNTOUCHED, "untouched");
        self.y += 24;
        let most = picture.classes.values().map(|class| class.bytes).max().unwrap_or(1);
        let columns = 2;
        let rows = picture.classes.len().div_ceil(columns);
        let pitch = (WIDTH - 2 * MARGIN) / columns;
        let room = pitch - 330;
        for (index, (block, class)) in picture.classes.iter().enumerate() {
            let (left, y) = (MARGIN + index / rows * pitch, self.y + index % rows * 19);
            self.text(left + 66, y + 13, human(*block), "end", INK);
            let length = |bytes: usize| room * bytes / most;
            let (used, carved) = (length(class.used), length(class.carved));
            let x = left + 76;
            self.rectangle(x, y + 2, length(class.bytes).max(1), 14, UNTOUCHED, "");
            self.rectangle(x, y + 2, carved, 14, LOST, "");
            self.rectangle(x, y + 2, used, 14, LIVE, "");
            let percent = 100.0 * class.used as f64 / class.carved.max(1) as f64;
            let text = format!("{percent:.0}% of {} touched, {} slabs", human(class.carved), class.slabs);
            self.text(x + length(class.bytes) + 8, y + 13, text, "start", FAINT);
        }
        self.y += rows * 19;
    }
}

fn tip_of(chunk: &Chunk) -> String {
    let of = |matches: fn(&Cell) -> bool| chunk.cells.iter().filter(|cell| matches(cell)).count();
    let (dirty, clean) = (of(|cell| matches!(cell, Cell::Dirty)), of(|cell| matches!(cell, Cell::Clean)));
    let slabs = chunk.cells.len() - 1 - dirty - clean;
    format!("{:#x}: {slabs} units in slabs, {dirty} dirty, {clean} purged or fresh", chunk.address)
}
