//! The `heap_map` example draws what is there: sums that add up, a line a chunk and a character a
//! unit on the terminal, and in the SVG a square a unit, each of them inside the drawing.

mod common;

use std::path::Path;
use std::process::Command;

use svg::node::element::path::{Command as Stroke, Data};
use svg::parser::Event;

fn example() -> Command {
    common::example::example("heap_map")
}

/// What the program shows of a heap of that many MiB; the drawing is at `out`.
fn shown(mib: usize, out: &Path) -> String {
    let output =
        example().args(["--mib", &mib.to_string(), "--out"]).arg(out).output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// `12.5 MiB` in bytes, as exactly as it is said.
fn bytes(number: &str, unit: &str) -> f64 {
    let scale = match unit {
        "B" => 1.0,
        "KiB" => f64::from(1 << 10),
        "MiB" => f64::from(1 << 20),
        "GiB" => f64::from(1 << 30),
        _ => panic!("{number} {unit} is no size"),
    };
    number.parse::<f64>().expect(number) * scale
}

/// The first size in a line, after its name.
fn size_in(line: &str) -> f64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = words.iter().position(|word| ["B", "KiB", "MiB", "GiB"].contains(word)).expect(line);
    bytes(words[unit - 1], words[unit])
}

const PARTS: [&str; 8] = [
    "live, in slabs",
    "live, large",
    "free, in slabs",
    "untouched",
    "dirty",
    "purged, fresh",
    "retained",
    "records",
];

/// The units of each chunk, a string a chunk.
fn chunks(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("0x")?.split_once(' ')).map(|(_, units)| units).collect()
}

fn part(text: &str, name: &str) -> f64 {
    size_in(text.lines().find(|line| line.trim_start().starts_with(name)).expect(name))
}

#[test]
fn shows_a_character_for_each_unit() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = shown(96, &directory.path().join("heap.svg"));
    let (mapped, rest) = text.split_once(" mapped in ").expect("a first line");
    let mapped = size_in(mapped);
    let sum: f64 = PARTS.iter().map(|name| part(&text, name)).sum();
    // Each is shown to a tenth of its unit.
    assert!((sum - mapped).abs() < 0.02 * mapped, "{sum} in all parts, {mapped} mapped\n{text}");
    let live = part(&text, "live, in slabs") + part(&text, "live, large");
    assert!(live > f64::from(16 << 20) && live < f64::from(96 << 20), "{live} of 96 MiB\n{text}");

    let chunks = chunks(&text);
    assert!(rest.starts_with(&format!("{} chunks", chunks.len())), "{rest}");
    let count = |unit: char| chunks.iter().map(|units| units.chars().filter(|is| *is == unit).count()).sum();
    for units in &chunks {
        assert_eq!(units.chars().count(), 64, "{units}");
        assert!(units.starts_with('#') && units.chars().all(|unit| "#~·░▒▓█".contains(unit)), "{units}");
    }
    // Whose each slab is, below its character.
    let lines: Vec<&str> = text.lines().collect();
    let below = lines.iter().zip(lines.iter().skip(1)).filter(|(line, _)| line.starts_with("0x"));
    for (units, letters) in below {
        // A chunk without slabs has no such line.
        let letters = if letters.starts_with("0x") { "" } else { letters };
        let letters = letters.chars().chain(std::iter::repeat(' '));
        for (unit, letter) in units.chars().zip(letters).skip(15) {
            let is_slab = "░▒▓█".contains(unit);
            assert!(!is_slab || "-ab".contains(letter), "{unit} {letter}\n{text}");
            assert!(!"#~".contains(unit) || letter == ' ', "{unit} {letter}\n{text}");
        }
    }
    // Each has some of the MiB.
    let whose = |name: &str| {
        let line = lines.iter().find(|line| line.contains(&format!(" {name} "))).expect(name);
        line.split_whitespace().any(|word| word == "MiB")
    };
    assert!(whose("short") && whose("long") && whose("no group"), "{text}");

    for (unit, name) in [('~', "dirty"), ('#', "records")] {
        let units: usize = count(unit);
        let is = part(&text, name);
        let drawn = (units * 65_536) as f64;
        assert!((drawn - is).abs() <= 0.05 * is, "{drawn} bytes of {unit}, {is} {name}\n{text}");
    }
    let used: usize = "░▒▓█".chars().map(count).sum();
    assert!(used > 0, "{text}");
}

#[test]
fn draws_a_square_for_each_unit_inside_the_drawing() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("heap.svg");
    let text = shown(96, &out);
    let drawing = std::fs::read_to_string(&out).expect("text");
    let (mut squares, mut is_open, mut width, mut height) = (0, false, 0.0, 0.0);
    let mut words = String::new();
    for event in svg::read(&drawing).expect("it is SVG") {
        match event {
            Event::Error(error) => panic!("{error}"),
            Event::Tag("svg", _, attributes) if !is_open => {
                is_open = true;
                let number = |name: &str| attributes[name].parse::<f32>().expect("a number");
                (width, height) = (number("width"), number("height"));
            }
            Event::Tag("path", _, attributes) => {
                for stroke in Data::parse(&attributes["d"]).expect("a path").iter() {
                    if let Stroke::Move(_, to) = stroke {
                        let to: Vec<f32> = to.iter().copied().collect();
                        assert!(to[0] >= 0.0 && to[0] < width && to[1] > 0.0 && to[1] < height, "{to:?}");
                        squares += 1;
                    }
                }
            }
            Event::Text(text) => words = words + text + "\n",
            _ => {}
        }
    }
    assert!(is_open && width > 0.0 && height > 0.0);
    assert_eq!(squares, chunks(&text).len() * 64);
    for name in PARTS {
        assert!(words.contains(name), "{name} in\n{words}");
    }
    for name in ["Whose memory it is", "short", "long", "no group"] {
        assert!(words.contains(name), "{name} in\n{words}");
    }
    // Both show the same sum.
    let mapped = text.split_once(" mapped in ").expect("a first line").0;
    assert!(words.contains(&format!("live of {mapped} mapped")), "{mapped} in\n{words}");
}

#[test]
fn a_drawing_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("missing").join("heap.svg");
    let output = example().args(["--mib", "8", "--out"]).arg(&out).output().expect("the example runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"), "{output:?}");
}
