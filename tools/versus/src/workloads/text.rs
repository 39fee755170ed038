//! Text to parse: made from the seed, or this workspace's own sources.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;

const SYLLABLES: [&str; 16] =
    ["ba", "cor", "den", "fi", "gra", "hu", "il", "ka", "lo", "men", "nor", "pi", "que", "ra", "sto", "ven"];

/// A word of one to four syllables.
pub(super) fn word(random: &mut Rng) -> String {
    (0..random.usize(1..5)).map(|_| SYLLABLES[random.usize(..SYLLABLES.len())]).collect()
}

/// `count` words with spaces between them.
pub(super) fn words(random: &mut Rng, count: usize) -> String {
    let mut text = word(random);
    for _ in 1..count {
        text.push(' ');
        text += &word(random);
    }
    text
}

/// A JSON array of records as a web interface returns them, of about `length`
/// bytes.
pub(super) fn json(random: &mut Rng, length: usize) -> String {
    let mut text = String::with_capacity(length + 1024);
    text.push('[');
    let mut id = 0;
    while text.len() < length {
        if id > 0 {
            text.push(',');
        }
        id += 1;
        let tags: Vec<String> = (0..random.usize(..6)).map(|_| format!("{:?}", word(random))).collect();
        let _ = write!(
            text,
            r#"{{"id":{id},"name":"{} {}","active":{},"score":{:.3},"note":"{}","tags":[{}],"place":{{"x":{},"y":{},"street":"{}"}},"parent":null}}"#,
            word(random),
            word(random),
            random.bool(),
            random.f64() * 100.0,
            {
                let count = random.usize(1..20);
                words(random, count)
            },
            tags.join(","),
            random.i32(-1000..1000),
            random.i32(-1000..1000),
            words(random, 2),
        );
    }
    text.push(']');
    text
}

/// A web page of nested sections, links, lists and a table, of about `length`
/// bytes.
pub(super) fn html(random: &mut Rng, length: usize) -> String {
    let mut page = String::with_capacity(length + 1024);
    page += "<!doctype html><html><head><title>Page</title></head><body>";
    while page.len() < length {
        let depth = random.usize(1..6);
        for _ in 0..depth {
            let _ = write!(page, r#"<div class="{} {}">"#, word(random), word(random));
        }
        let count = random.usize(5..40);
        let _ = write!(
            page,
            r#"<h2 id="{}">{}</h2><p>{} <a href="/{}/{}" title="{}">{}</a> <b>{}</b></p><ul>"#,
            word(random),
            words(random, 3),
            words(random, count),
            word(random),
            word(random),
            words(random, 2),
            word(random),
            word(random),
        );
        for _ in 0..random.usize(..8) {
            let _ = write!(page, "<li>{}</li>", words(random, 4));
        }
        page += "</ul><table>";
        for _ in 0..random.usize(..5) {
            let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", word(random), random.u16(..));
        }
        page += "</table>";
        page += &"</div>".repeat(depth);
    }
    page += "</body></html>";
    page
}

/// The Rust sources of this workspace, in the order of their paths.
pub(super) fn rust_sources() -> Vec<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for folder in ["src", "examples", "tests", "tools/versus/src"] {
        collect_sources(&workspace.join(folder), &mut paths);
    }
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

fn collect_sources(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect_sources(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
