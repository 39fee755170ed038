//! The documents name files: every path that they name exists.

use std::path::Path;

/// Folders whose files are named by their path from the root.
const ROOTS: [&str; 6] = ["src/", "tests/", "benches/", "examples/", "tools/", ".ci/"];

/// What stands between backquotes and begins like a path of this repository.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| ROOTS.iter().any(|root| quoted.starts_with(root)))
}

#[test]
fn every_path_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "ALLOCATOR.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect("the document can be read");
        let paths: Vec<&str> = named_paths(&text).collect();
        assert!(!paths.is_empty(), "{document} names no path: is it still read right?");
        for path in paths {
            assert!(root.join(path).exists(), "{document} names {path}, which does not exist");
        }
    }
}

#[test]
fn a_path_that_does_not_exist_would_be_seen() {
    let text = "see `src/nowhere.rs` and `cargo test`";
    assert_eq!(named_paths(text).collect::<Vec<_>>(), ["src/nowhere.rs"]);
}
