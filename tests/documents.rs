//! The documents name files, and every one that they name exists; and they, and the comments of the
//! sources, stay as short as they are meant to be.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Folders whose files are named by their path from the root.
const ROOTS: [&str; 7] = ["src/", "tests/", "benches/", "examples/", "tools/", "docs/", ".ci/"];

/// Documents in the root folder. Those beside the first two are looked at where they exist.
const DOCUMENTS: [&str; 5] = ["README.md", "ALLOCATOR.md", "BENCHMARKS.md", "CONTRIBUTING.md", "SECURITY.md"];

/// A document and how long it may be: in all, and a line, in characters.
struct Bound {
    document: &'static str,
    bytes: usize,
    columns: usize,
}

/// What holds today; the aims are 9,216 and 25,600 bytes, and 200 columns in both.
const BOUNDS: [Bound; 2] = [
    Bound { document: "README.md", bytes: 9_216, columns: 200 },
    Bound { document: "ALLOCATOR.md", bytes: 25_600, columns: 200 },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document there is.
fn documents() -> Vec<PathBuf> {
    let named = DOCUMENTS.iter().map(|name| root().join(name)).filter(|path| path.exists());
    let below =
        WalkDir::new(root().join("docs")).into_iter().filter_map(Result::ok).map(|entry| entry.into_path());
    named.chain(below.filter(|path| path.extension().is_some_and(|ending| ending == "md"))).collect()
}

fn read(document: &Path) -> String {
    fs::read_to_string(document).unwrap_or_else(|error| panic!("{}: {error}", document.display()))
}

/// What stands between backquotes, or as the aim of a link, and begins like a path of this
/// repository.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted =
        text.split('`').skip(1).step_by(2).map(|quoted| quoted.split(' ').next().unwrap_or_default());
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    quoted.chain(linked).filter(|path| ROOTS.iter().any(|root| path.starts_with(root)))
}

/// The paths in `text` that do not exist; a star stands for the rest of a name.
fn missing(text: &str) -> Vec<&str> {
    named_paths(text).filter(|path| !exists(path)).collect()
}

fn exists(path: &str) -> bool {
    let Some((before, after)) = path.split_once('*') else { return root().join(path).exists() };
    let (folder, start) = before.rsplit_once('/').unwrap_or(("", before));
    fs::read_dir(root().join(folder)).is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(after))
        })
    })
}

/// In what way `text` is longer than `bound` allows.
fn too_long(text: &str, bound: &Bound) -> Option<String> {
    let Bound { document, bytes, columns } = bound;
    if text.len() > *bytes {
        return Some(format!("{document} has {} bytes, more than {bytes}", text.len()));
    }
    let (number, line) = (1..).zip(text.lines()).find(|(_, line)| line.chars().count() > *columns)?;
    Some(format!("{document}:{number} has {} columns, more than {columns}", line.chars().count()))
}

#[test]
fn every_path_named_exists() {
    for document in documents() {
        let text = read(&document);
        let missing = missing(&text);
        assert!(missing.is_empty(), "{} names what does not exist: {missing:#?}", document.display());
    }
}

/// Or else they are not read right.
#[test]
fn the_main_documents_name_paths() {
    for document in &DOCUMENTS[..2] {
        let text = read(&root().join(document));
        assert!(named_paths(&text).next().is_some(), "{document} names no path");
    }
}

#[test]
fn no_document_is_longer_than_it_may_be() {
    for bound in &BOUNDS {
        assert_eq!(too_long(&read(&root().join(bound.document)), bound), None);
    }
}

#[test]
fn a_path_that_does_not_exist_would_be_seen() {
    let text = "see `src/nowhere.rs`, `cargo test`, `.ci/run lints`, `tests/option_*.rs`, \
                [it](docs/nowhere.md#there), `tests/no_such_*.rs` and [this](https://example.org)";
    assert_eq!(missing(text), ["src/nowhere.rs", "tests/no_such_*.rs", "docs/nowhere.md"]);
}

#[test]
fn a_document_that_is_too_long_would_be_seen() {
    let bound = Bound { document: "D", bytes: 12, columns: 5 };
    assert_eq!(too_long("äääää\n", &bound), None);
    assert_eq!(too_long("1234\n123456\n", &bound).as_deref(), Some("D:2 has 6 columns, more than 5"));
    assert_eq!(too_long("1\n2\n3\n4\n5\n6\n7", &bound).as_deref(), Some("D has 13 bytes, more than 12"));
}

/// Columns of a comment. Tables, pictures and examples may be wider.
const COMMENT_COLUMNS: usize = 100;

/// The numbers of the comments in `text` that are prose and wider than that.
fn wide_comments(text: &str) -> Vec<usize> {
    let mut in_example = false;
    let mut wide = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            in_example = false;
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']).trim_start();
        in_example ^= comment.starts_with("```");
        let is_prose = !in_example && !comment.starts_with(['|', '│', '┌', '└']);
        if is_prose && line.chars().count() > COMMENT_COLUMNS {
            wide.push(number);
        }
    }
    wide
}

#[test]
fn comments_wrap_at_100_columns() {
    let sources = ["src", "tests", "benches", "examples", "tools"]
        .into_iter()
        .flat_map(|folder| WalkDir::new(root().join(folder)))
        .filter_map(Result::ok)
        .map(|entry| entry.into_path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .filter(|path| path.components().all(|part| part.as_os_str() != "target"));
    let (mut count, mut wide) = (0, Vec::new());
    for source in sources {
        count += 1;
        let lines = wide_comments(&read(&source));
        if !lines.is_empty() {
            wide.push(format!("{}: lines {lines:?}", source.display()));
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
    assert!(count > 200, "{count} sources were looked at");
}

#[test]
fn a_wide_comment_would_be_seen() {
    let wide = "x".repeat(COMMENT_COLUMNS);
    assert_eq!(wide_comments(&format!("fn main() {{}}\n    // {wide}\n/// | {wide} |\n//! {wide}")), [2, 4]);
    assert!(wide_comments(&format!("/// ```\n/// {wide}\n/// ```\nlet {wide};")).is_empty());
}
